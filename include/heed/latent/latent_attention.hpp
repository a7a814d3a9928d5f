#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include <heed/attention/caches/kv_cache.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/view.hpp>
#include <heed/latent/detail/latent_model.hpp>
#include <heed/latent/detail/packed_layer.hpp>
#include <heed/latent/kernel/latent_backward.hpp>
#include <heed/latent/kernel/latent_cached.hpp>
#include <heed/latent/kernel/latent_forward.hpp>
#include <heed/latent/kernel/latent_rows.hpp>
#include <heed/latent/latent_options.hpp>
#include <heed/latent/latent_saved.hpp>
#include <heed/latent/latent_weights.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434; kexue 10091): keys and values of all
/// heads come from d_c + d_r numbers a token.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// Stops the compilation with one sentence unless X holds rows of T, of one sequence or several.
template <class T, class X>
constexpr bool is_latent_input() {
    constexpr bool is_tensor = tensor_like<X>;
    static_assert(is_tensor,
                  "heed: latent attention takes an Eigen tensor, matrix, array, map, block, or "
                  "heed::view");
    if constexpr (is_tensor) {
        constexpr bool has_rank = rank_of<X> == 2 || rank_of<X> == 3;
        static_assert(has_rank,
                      "heed: latent attention takes [sequence, model] or [batch, sequence, model]");
        constexpr bool has_scalar = std::is_same_v<scalar_of<X>, T>;
        static_assert(has_scalar, "heed: x must have the scalar of the latent attention");
        return has_rank && has_scalar;
    } else {
        return false;
    }
}

}  // namespace detail

/// A layer of causal multi-head latent attention. Of each row x, with the names of the
/// paper; latent_weights has those of checkpoints:
///
///     c = RMS(x·W_cᵀ)⊙γ      k_r = rope(x·W_krᵀ)                 d_c, d_r numbers, for all heads
///     c' = RMS(x·W_c'ᵀ)⊙γ'   q = [c'·W_qcᵀ, rope(c'·W_qrᵀ)]      a head; without q_a_proj c' = x
///     k = [c·W_kcᵀ, k_r]     v = c·W_vᵀ                          a head
///     y = [o_1 … o_H]·W_oᵀ, o = softmax(scale·q·kᵀ)·v, each o_h·σ(x·W_gᵀ)_h with a gate
///
/// The scale is g²/√(d_k + d_r), see latent_options. `rope` may be missing; DeepSeek's checkpoints
/// have `.layout = heed::rope::interleaved`, and YaRN's factor on rotated q and k is in its value.
///
///     heed::latent_attention<float> mla(weights, {.heads = 128, .content = 128, .rotated = 64,
///                                                 .value = 128, .rank = 512}, rope);
///     auto [y, saved] = mla.forward(x);            // [batch, sequence, model]
///     auto grad = mla.backward(dy, x, saved);      // grad.x, grad.weights.kv_b_proj, …
///
///     auto cache = mla.make_cache<Eigen::bfloat16>({.batch = B, .capacity = 4096});
///     auto y = mla.prefill(x, cache);              // a text, or the next piece of one,
///     auto y = mla.decode(x, cache);               // the next tokens, one or some
///
/// Weights are seen where they lie, and must stay; packed() copies them. A row of y is bit for bit
/// the same for any number of threads, of sequences beside its own and of rows behind it; one of
/// grad.x for any number of threads and sequences, and the gradients of weights for any number of
/// threads. One object may be used by many threads.
///
/// The constructor throws argument_error for options out of their range and weights that are
/// missing or too many, shape_error for weights or frequencies that do not fit, by name.
template <class T>
class latent_attention {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>,
                  "heed: latent attention computes in float or double");

  public:
    using scalar = T;

    latent_attention(const latent_weights<T>& weights, const latent_options& options)
        : model_{weights, options, std::nullopt} {
        model_.check();
    }
    latent_attention(const latent_weights<T>& weights, const latent_options& options,
                     rope::frequencies rope)
        : model_{weights, options, std::move(rope)} {
        model_.check();
    }

    const latent_options& options() const noexcept { return model_.options; }
    const latent_weights<T>& weights() const noexcept { return model_.weights; }

    /// The same layer with its weights copied once into the order in which they are read, as
    /// heed::packed_weights: for decoding, of which a token takes as long as reading them. Same
    /// bits.
    ///
    ///     const auto served = mla.packed();
    ///     auto y = served.decode(x, cache);
    ///
    /// Copies share the memory, packed_bytes(): about that of the weights. These must stay for all
    /// that, and as they are: what changes in them afterwards is for another packed().
    [[nodiscard]] latent_attention packed() const {
        latent_attention result = *this;
        result.model_.packed = detail::packed_layer<T>(model_.weights, model_.options);
        return result;
    }
    /// The memory of packed weights; 0 where they are seen where they lie.
    std::size_t packed_bytes() const { return model_.packed.bytes(); }

    /// y, of x's kind, and what backward needs; x [batch, sequence, model] or [sequence, model],
    /// the first row of each sequence at position 0. Behind come heed::on(pool),
    /// heed::in(workspace).
    ///
    /// Expanded: keys and values of every head are made, 2·n·d_c·H·(d_k + d_v) operations, beside
    /// the other projections and a causal attention of H heads of d_k + d_r and d_v. Throws
    /// shape_error for rows that are not as long as the weights are wide.
    template <class X, class... Extras>
    [[nodiscard]] auto forward(const X& x, const Extras&... extras) const {
        if constexpr (detail::is_latent_input<T, X>()) {
            const detail::latent_resources resources(extras...);
            const auto held = detail::evaluate("x", x);
            const auto rows = checked(held.view());
            auto extents = held.view().extents;
            extents.back() = model_.outputs();
            detail::check_result<T>("y", extents);
            auto y = detail::make_like<X>(extents);
            latent_result<decltype(y), T> result{std::move(y), {}};
            detail::latent_forward(model_, rows, detail::rank3(detail::view_of(result.y)),
                                   result.saved, resources);
            return result;
        }
    }

    /// The gradients of x and of every weight that is given, from that of y and what forward saved
    /// for the same x and weights. Some twice forward's cost. Throws shape_error where shapes do
    /// not fit.
    template <class DY, class X, class... Extras>
    [[nodiscard]] auto backward(const DY& dy, const X& x, const latent_saved<T>& saved,
                                const Extras&... extras) const {
        if constexpr (detail::is_latent_input<T, X>() && detail::is_latent_input<T, DY>()) {
            constexpr bool same_rank = rank_of<X> == rank_of<DY>;
            static_assert(same_rank, "heed: x and dy have the same rank");
            if constexpr (same_rank) {
                const detail::latent_resources resources(extras...);
                const auto held = detail::evaluate("x", x);
                const auto held_dy = detail::evaluate("dy", dy);
                const auto rows = checked(held.view());
                const auto dy_rows = detail::rank3(held_dy.view());
                const std::array<index, 3> of_y{rows.extents[0], rows.extents[1], model_.outputs()};
                detail::require_shape(dy_rows.extents == of_y, "dy has shape ",
                                      held_dy.view().extents, ", but y of x has ", of_y);
                saved.check(model_, {rows.extents[0], rows.extents[1]});
                auto dx = detail::make_like<X>(held.view().extents);
                latent_gradient<decltype(dx), T> gradient{std::move(dx), {}};
                detail::latent_backward(model_, dy_rows, rows, saved,
                                        detail::rank3(detail::view_of(gradient.x)),
                                        gradient.weights, resources);
                return gradient;
            }
        }
    }

    /// An empty cache for this layer, in float, double, Eigen::bfloat16, Eigen::half or
    /// std::int8_t: a heed::kv_cache of one head whose keys are [c, k_r], c after its norm, k_r
    /// after its rotation, and whose values are c, stored once: d_c + d_r numbers a token. It is
    /// truncated, shared and reordered as any.
    template <storage_type Storage>
    [[nodiscard]] auto make_cache(const latent_cache_options& options = {}) const {
        if constexpr (is_storage<Storage>())
            return kv_cache<Storage>({.batch = options.batch,
                                      .kv_heads = 1,
                                      .dim = model_.options.latent_dim(),
                                      .value_dim = model_.options.rank,
                                      .capacity = options.capacity,
                                      .values_in_keys = true});
    }

    /// Appends x [batch, sequence, model] to the sequences of a cache, each behind its own end, and
    /// returns y, of x's kind; a matrix [sequence, model] is for a cache of one sequence. Expanded:
    /// keys and values of every head are made anew of all that is cached, 2·length·d_c·H·(d_k +
    /// d_v) operations, and a pair of tokens costs 2(d_k + d_r + d_v) a head. For texts, and long
    /// pieces.
    ///
    /// What is attended to is what is stored: y has the same bits for any pieces, and over a cache
    /// of T those of forward. Throws shape_error where x or the cache does not fit; then, and where
    /// appending throws, the cache is as it was.
    template <class X, storage_type Storage, class... Extras>
    auto prefill(const X& x, kv_cache<Storage>& cache, const Extras&... extras) const {
        return over_cache<false>(x, cache, extras...);
    }

    /// The same, absorbed: W_kc goes into the queries and W_v behind attention, which is
    /// multi-query attention of dimension d_c + d_r over the cache as it is. Nothing is expanded; a
    /// pair costs 2(2d_c + d_r) operations a head. For one token, or some: with DeepSeek's sizes
    /// cheaper than prefill up to about 170.
    ///
    /// The same bits for any pieces; from prefill's y it differs by rounding. Heads that threads
    /// share are worked on in each thread's own memory, not in that of heed::in.
    template <class X, storage_type Storage, class... Extras>
    auto decode(const X& x, kv_cache<Storage>& cache, const Extras&... extras) const {
        return over_cache<true>(x, cache, extras...);
    }

  private:
    template <class Storage>
    static constexpr bool is_storage() {
        constexpr bool computes = std::is_same_v<computed_scalar<Storage>, T>;
        static_assert(computes,
                      "heed: a cache of double is for latent attention in double, all others for "
                      "one in float");
        return computes;
    }

    template <bool IsAbsorbed, class X, class Storage, class... Extras>
    auto over_cache(const X& x, kv_cache<Storage>& cache, const Extras&... extras) const {
        if constexpr (detail::is_latent_input<T, X>() && is_storage<Storage>()) {
            const detail::latent_resources resources(extras...);
            const auto held = detail::evaluate("x", x);
            const auto rows = checked(held.view());
            detail::check_latent_cache(model_, cache, rows.extents[0]);
            auto extents = held.view().extents;
            extents.back() = model_.outputs();
            detail::check_result<T>("y", extents);
            auto y = detail::make_like<X>(extents);
            const auto to = detail::rank3(detail::view_of(y));
            if constexpr (IsAbsorbed)
                detail::latent_decode(model_, rows, to, cache, resources);
            else
                detail::latent_prefill(model_, rows, to, cache, resources);
            return y;
        }
    }

    /// x as rows of sequences, checked.
    template <int Rank>
    tensor_view<const T, 3> checked(const tensor_view<const T, Rank>& x) const {
        detail::require_shape(x.extents.back() == model_.width(), "x has shape ", x.extents,
                              ", but kv_a_proj_with_mqa takes rows of ", model_.width(),
                              " numbers");
        return detail::rank3(x);
    }

    detail::latent_model<T> model_;
};

}  // namespace heed::inline HEED_ARCHITECTURE
