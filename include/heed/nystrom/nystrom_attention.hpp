#pragma once

#include <array>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/attention/attention.hpp>
#include <heed/attention/detail/checked_outputs.hpp>
#include <heed/attention/forward_result.hpp>
#include <heed/attention/gradient.hpp>
#include <heed/attention/kernel/call/stored_tensors.hpp>
#include <heed/attention/kernel/program/learning.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>
#include <heed/nystrom/kernel/nystrom_backward.hpp>
#include <heed/nystrom/kernel/nystrom_call.hpp>
#include <heed/nystrom/kernel/nystrom_forward.hpp>
#include <heed/nystrom/kernel/nystrom_learned.hpp>
#include <heed/nystrom/kernel/nystrom_parts.hpp>
#include <heed/nystrom/nystrom_options.hpp>
#include <heed/nystrom/nystrom_stats.hpp>

/// \file
/// Nyström attention (Xiong et al., AAAI 2021, arXiv 2102.03902; kexue 8180):
///
///     o = softmax(c·Q·K̃ᵀ)·softmax(c·Q̃·K̃ᵀ)⁺·(softmax(c·Q̃·Kᵀ)·V)
///
/// q̃_i and k̃_i, the m landmarks, are the means of rows ⌊in/m⌋ … ⌊(i + 1)n/m⌋ − 1. Time and memory
/// grow with n·m, not n².
///
/// q, k and v are attention's: [batch, heads, queries, dim], [batch, kv_heads, keys, dim], [batch,
/// kv_heads, keys, value_dim], leading axes missing in all three or in none, float, double, or
/// 16-bit numbers, which become floats and are rounded once. Behind the options
/// come parts in any order: a scale, heed::softmax.temperature, heed::key_lengths,
/// heed::residual_convolution, heed::on, heed::in. See docs/nystrom/nystrom_attention.md.
///
/// Every function throws shape_error or argument_error, naming the argument, before it writes
/// anything.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// Forward into the caller's o, of S as q is, its shape and memory checked; fills `kept` unless it
/// is null.
template <class S, class O, class Call, class Stats>
void checked_nystrom_forward(O& o, const Call& of, Stats* kept) {
    static_assert(std::is_same_v<scalar_of<O>, S>, "heed: o must have the scalar of q, k and v");
    const auto view = rank4(view_of(o));
    const attention_shape& shape = of.shape();
    check_output("o", view, {shape.batch, shape.heads, shape.queries, shape.value_dim});
    check_output_memory("o", view, of);
    workspace& memory = of.call.memory();
    const arena::scope mark(memory.slot(0));
    const rounded_output<S> output(view, memory.slot(0));
    nystrom_forward(of, output.numbers(), kept);
    output.round(of.call.threads(), memory);
}

/// Checks all shapes and memory of backward, then runs it.
template <class T, class... Parts, class S, class Gradients, class Stats, class Call>
void checked_nystrom_backward(Gradients& gradients, const tensor_view<const S, 4>& d_o,
                              const tensor_view<const S, 4>& o, const Stats& kept, const Call& of,
                              const Parts&... parts) {
    constexpr bool fit = std::is_same_v<S, scalar_of<decltype(gradients.q)>> &&
                         std::is_same_v<S, scalar_of<decltype(gradients.k)>> &&
                         std::is_same_v<S, scalar_of<decltype(gradients.v)>>;
    static_assert(fit, "heed: the gradients of q, k and v must have their scalar");
    const attention_shape& shape = of.shape();
    const std::array<index, 4> output{shape.batch, shape.heads, shape.queries, shape.value_dim};
    check_output("d_o", d_o, output);
    check_output("o", o, output);
    kept.check(shape, of.options);
    std::size_t i = 0;
    of.for_each_run([&](const nystrom_run& run) { kept.of(i++, run); });
    const tensor_view<S, 4> dq = rank4(view_of(gradients.q)), dk = rank4(view_of(gradients.k)),
                            dv = rank4(view_of(gradients.v));
    check_output("dq", dq, {shape.batch, shape.heads, shape.queries, shape.dim});
    check_output("dk", dk, {shape.batch, shape.kv_heads, shape.keys, shape.dim});
    check_output("dv", dv, {shape.batch, shape.kv_heads, shape.keys, shape.value_dim});
    const auto learned = learned_views<T>(gradients.learned);
    check_learned(std::tuple<const Parts&...>(parts...), learned, shape);
    check_gradient_memory({dq, dk, dv, o, d_o}, of, learned);

    const on_pool threads = of.call.threads();
    workspace& memory = of.call.memory();
    arena& scratch = memory.slot(0);
    const arena::scope mark(scratch);
    const rounded_output<S> of_q(dq, scratch), of_k(dk, scratch), of_v(dv, scratch);
    nystrom_backward(of,
                     nystrom_gradients<T>{widened(d_o, threads, memory, scratch),
                                          widened(o, threads, memory, scratch), of_q.numbers(),
                                          of_k.numbers(), of_v.numbers()},
                     kept, learned_views_of<false, Parts...>(learned),
                     learned_views_of<true, Parts...>(learned));
    for (const rounded_output<S>* written : {&of_q, &of_k, &of_v}) written->round(threads, memory);
}

}  // namespace detail

/// What nystrom_attention_forward's stats are for tensors of this scalar and these parts.
template <class Scalar, class... Parts>
using nystrom_stats_for = nystrom_stats<detail::computed_in<Scalar>,
                                        detail::normaliser_of<std::remove_cvref_t<Parts>...>>;

/// nystrom_attention, written to the caller's memory: o [batch, heads, queries, value_dim], of any
/// storage order; it is never resized, and must not overlap q, k, v or what a part was given.
template <class O, class Q, class K, class V, class... Parts>
void nystrom_attention_into(O&& o, const Q& q, const K& k, const V& v,
                            const nystrom_options& options, const Parts&... parts) {
    using S = scalar_of<Q>;
    detail::with_nystrom_call(
        q, k, v, options,
        [&](const auto& of) {
            detail::checked_nystrom_forward<S>(
                o, of, static_cast<nystrom_stats_for<S, Parts...>*>(nullptr));
        },
        parts...);
}

/// o [batch, heads, queries, value_dim], an object of q's kind, storage order and scalar.
///
///     auto o = heed::nystrom_attention(q, k, v, {.landmarks = 64});
///
/// O(n·m·(dim + value_dim) + m³) a head; with sequences no longer than m it is attention itself, as
/// far as the pseudo-inverse is exact.
template <class Q, class K, class V, class... Parts>
[[nodiscard]] auto nystrom_attention(const Q& q, const K& k, const V& v,
                                     const nystrom_options& options, const Parts&... parts) {
    if constexpr (detail::check_inputs<Q, K, V, true>()) {
        auto o = detail::make_output(q, k, v);
        nystrom_attention_into(o, q, k, v, options, parts...);
        return o;
    }
}

/// nystrom_attention_into that also keeps what backward needs; `kept` is a
/// nystrom_stats_for<Scalar, Parts...>, and allocates nothing when it held the stats of the same
/// shapes and lengths before.
template <class O, class Scalar, class Normaliser, class Q, class K, class V, class... Parts>
void nystrom_attention_forward_into(O&& o, nystrom_stats<Scalar, Normaliser>& kept, const Q& q,
                                    const K& k, const V& v, const nystrom_options& options,
                                    const Parts&... parts) {
    static_assert(std::is_same_v<Scalar, detail::computed_in<scalar_of<Q>>>,
                  "heed: stats must have the scalar of q, k and v, or float if that has 16 bits");
    detail::with_nystrom_call(
        q, k, v, options,
        [&](const auto& of) {
            constexpr bool fits = std::is_same_v<Normaliser, detail::normaliser_of<Parts...>>;
            static_assert(fits, "heed: stats must be those of this call: heed::nystrom_stats_for");
            if constexpr (fits) detail::checked_nystrom_forward<scalar_of<Q>>(o, of, &kept);
        },
        parts...);
}

/// o as nystrom_attention computes it, and the stats that nystrom_attention_backward needs: `auto
/// [o, stats] = …`.
template <class Q, class K, class V, class... Parts>
[[nodiscard]] auto nystrom_attention_forward(const Q& q, const K& k, const V& v,
                                             const nystrom_options& options,
                                             const Parts&... parts) {
    if constexpr (detail::check_inputs<Q, K, V, true>()) {
        auto o = detail::make_output(q, k, v);
        nystrom_stats_for<scalar_of<Q>, Parts...> kept;
        nystrom_attention_forward_into(o, kept, q, k, v, options, parts...);
        return forward_result<decltype(o), decltype(kept)>{std::move(o), std::move(kept), {}};
    }
}

/// nystrom_attention_backward into the caller's memory: `gradients` is what it returned before, or
/// heed::into(dq, dk, dv, learned…). Nothing is resized; outputs must not overlap inputs or each
/// other. shape_error or argument_error unless `kept` are the stats of a forward call of the same
/// shapes, lengths and options.
template <class Gradients, class DO, class O, class Scalar, class Normaliser, class Q, class K,
          class V, class... Parts>
void nystrom_attention_backward_into(Gradients&& gradients, const DO& d_o, const O& o,
                                     const nystrom_stats<Scalar, Normaliser>& kept, const Q& q,
                                     const K& k, const V& v, const nystrom_options& options,
                                     const Parts&... parts) {
    static_assert(std::is_same_v<scalar_of<DO>, scalar_of<Q>> &&
                      std::is_same_v<scalar_of<O>, scalar_of<Q>> &&
                      std::is_same_v<Scalar, detail::computed_in<scalar_of<Q>>>,
                  "heed: d_o, o, stats, q, k and v must have the same scalar, stats float where "
                  "that has 16 bits");
    constexpr bool fixed = !(detail::learns_by_choice<Parts> || ...);
    static_assert(fixed, "heed: a learned part may be optional, but not one of several");
    const auto held_d_o = detail::evaluate(d_o);
    const auto held_o = detail::evaluate(o);
    detail::with_nystrom_call(
        q, k, v, options,
        [&](const auto& of) {
            constexpr bool fits = std::is_same_v<Normaliser, detail::normaliser_of<Parts...>>;
            static_assert(fits, "heed: stats must be those of this call: heed::nystrom_stats_for");
            constexpr bool one_each =
                std::tuple_size_v<std::remove_cvref_t<decltype(gradients.learned)>> ==
                detail::learned_count<std::tuple<const Parts&...>>;
            static_assert(one_each || !fixed,
                          "heed: there must be one gradient for each learned part");
            if constexpr (fits && fixed && one_each)
                detail::checked_nystrom_backward<Scalar>(gradients, detail::rank4(held_d_o.view()),
                                                         detail::rank4(held_o.view()), kept, of,
                                                         parts...);
        },
        parts...);
}

/// The gradients of q, k, v and of what is learned (heed::learn of a scale or of
/// heed::residual_convolution), from d_o and what nystrom_attention_forward returned for the same
/// q, k, v, options and parts. Through the pseudo-inverse too: through its rounds, or by the
/// derivative of the exact one, which exists while no singular value crosses the tolerance.
///
///     auto [o, stats] = heed::nystrom_attention_forward(q, k, v, {.landmarks = 64});
///     auto [dq, dk, dv] = heed::nystrom_attention_backward(d_o, o, stats, q, k, v,
///                                                          {.landmarks = 64});
template <class DO, class O, class Scalar, class Normaliser, class Q, class K, class V,
          class... Parts>
[[nodiscard]] auto nystrom_attention_backward(const DO& d_o, const O& o,
                                              const nystrom_stats<Scalar, Normaliser>& kept,
                                              const Q& q, const K& k, const V& v,
                                              const nystrom_options& options,
                                              const Parts&... parts) {
    if constexpr (detail::check_inputs<Q, K, V, true>()) {
        const auto held_q = detail::evaluate(q);
        const auto held_k = detail::evaluate(k);
        const auto held_v = detail::evaluate(v);
        [[maybe_unused]] const attention_shape shape = detail::shape_of<scalar_of<Q>>(
            detail::rank4(held_q.view()), detail::rank4(held_k.view()),
            detail::rank4(held_v.view()));
        auto gradients =
            detail::make_gradients(detail::make_like<Q>(held_q.view().extents),
                                   detail::make_like<K>(held_k.view().extents),
                                   detail::make_like<V>(held_v.view().extents),
                                   std::tuple_cat(detail::make_learned<Scalar>(parts, shape)...));
        nystrom_attention_backward_into(gradients, d_o, o, kept, q, k, v, options, parts...);
        return gradients;
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE
