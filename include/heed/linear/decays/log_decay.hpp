#pragma once

#include <array>
#include <type_traits>
#include <utility>

#include <heed/attention/detail/parameter_gradient.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/decays/detail/head_decay.hpp>
#include <heed/linear/part.hpp>

/// \file
/// A decay for each token, by its logarithm.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// log γ.
struct given_log_decay {
    static constexpr const char* name = "heed::log_decay";
    static constexpr const char* range = "at most 0";
    static bool in_range(double x) { return x <= 0; }
    static double log(double x) { return x; }
    static double from_log(double gradient, double) { return gradient; }
};

/// Whether an object has an axis of heads alone.
template <class X>
constexpr bool is_one_axis() {
    if constexpr (!tensor_like<X>)
        return true;
    else if constexpr (eigen_dense<std::remove_cvref_t<X>>)
        return bool(std::remove_cvref_t<X>::IsVectorAtCompileTime);
    else
        return rank_of<X> == 1;
}

/// [batch, head, token] of [head, token] too.
template <class T, int Rank>
tensor_view<T, 3> as_token_decays(const tensor_view<T, Rank>& given, index batch) {
    if constexpr (Rank == 3) {
        return given;
    } else {
        return {given.data,
                {batch, given.extents[0], given.extents[1]},
                {0, given.strides[0], given.strides[1]}};
    }
}

}  // namespace detail

/// The type of heed::log_decay(g) of a number a token.
template <class Tensor, class Kept>
class token_decay : public decay_base {
  public:
    explicit token_decay(Kept logs) : logs_(std::move(logs)) {}

    index heads() const { return logs(1).extents[1]; }

    void check_call(const linear_shape& shape) const {
        detail::check_view("heed::log_decay", logs_.view());
        const auto extents = logs(shape.batch).extents;
        const std::array<index, 3> expected{shape.batch, heads(), shape.keys};
        detail::require_shape(extents == expected, "heed::log_decay has shape ",
                              logs_.view().extents, ", but q, k and v have ", shape.batch,
                              " sequences and ", shape.keys, " keys");
    }
    /// Padding is not looked at.
    void check_tokens(index batch, index first, index last) const {
        const auto all = logs(batch + 1);
        for (index head = 0; head < heads(); ++head) {
            for (index token = first; token < last; ++token) {
                const auto x = static_cast<double>(all(batch, head, token));
                detail::require_argument(!(x > 0), "heed::log_decay: the number of sequence ",
                                         batch, ", head ", head, ", token ", token, " is ", x,
                                         ", but must be at most 0");
            }
        }
    }
    template <class See>
    void inputs(See&& see) const {
        see("heed::log_decay", logs_.view());
    }

    template <class T>
    tensor_view<const T, 3> log_decays(arena&, const linear_shape& shape) const {
        constexpr bool same_scalar = std::is_same_v<T, scalar_of<Tensor>>;
        static_assert(same_scalar,
                      "heed: heed::log_decay of tokens must have the scalar of q, k and v");
        if constexpr (same_scalar)
            return logs(shape.batch);
        else
            return {};
    }

    /// Its own shape; what serves all sequences is summed.
    template <class T>
    auto make_gradient(const attention_shape&) const {
        return detail::make_tensor_gradient<Tensor>(logs_.view());
    }
    template <class View>
    void check_gradient(const View& gradient) const {
        constexpr bool same_rank = rank_of<View> == rank_of<Tensor>;
        static_assert(same_rank, "heed: the gradient of heed::log_decay has as many axes as it");
        if constexpr (same_rank) {
            constexpr const char* name = "the gradient of heed::log_decay";
            detail::check_view(name, gradient);
            detail::check_same_shape(name, gradient, "heed::log_decay", logs_.view());
        }
    }
    template <class T, class View>
    void sum_gradient(View gradient, const tensor_view<const T, 3>& of_logs) const {
        constexpr bool for_each_sequence = rank_of<Tensor> == 3;
        const auto [sequences, all_heads, tokens] = of_logs.extents;
        const index own = for_each_sequence ? sequences : 1, each = all_heads / heads();
        const index alike = for_each_sequence ? 1 : sequences;  // none too: the sum is 0
        const auto to = detail::as_token_decays(gradient, 1);
        for (index first = 0; first < own; ++first) {
            for (index head = 0; head < heads(); ++head) {
                for (index token = 0; token < tokens; ++token) {
                    double sum = 0;
                    for (index b = first; b < first + alike; ++b)
                        for (index h = head * each; h < (head + 1) * each; ++h)
                            sum += static_cast<double>(of_logs(b, h, token));
                    to(first, head, token) = static_cast<T>(sum);
                }
            }
        }
    }

  private:
    auto logs(index batch) const { return detail::as_token_decays(logs_.view(), batch); }

    Kept logs_;
};

/// The state is multiplied by α_t = e^{g_t}, g_t ≤ 0, at each token:
///
///     S_t = α_t S_{t−1} + v_t k_tᵀ        o_t = c·S_t q_t = c·Σ_{j≤t} α_{j+1}⋯α_t (q_t·k_j) v_j
///
/// c is 1/√dim unless heed::scale says otherwise. g is [batch, heads, keys], or [heads, keys] for
/// all sequences, of the scalar of q, k and v: Mamba-2 (arXiv 2405.21060: q = C, k = B, v = Δx,
/// c = 1), mLSTM's and gated retention's forget gates; or a vector of one number a head for all
/// tokens. The count of heads divides that of o's or is more than q, k and v have. Where e^{g_t} is
/// 0 in the scalar, as for −∞, the state begins anew: nothing before token t is read again. It can
/// be learned: the gradient has g's own shape and kind. It goes with heed::causal, and with neither
/// a feature map nor a denominator.
///
///     auto o = heed::linear_attention(q, k, v, heed::causal, heed::log_decay(g));
///
/// The call throws shape_error where the shape does not fit, argument_error where a number is above
/// 0; what is padding is not read. Takes up to a tenth more time than without.
template <detail::vector_like Logs>
[[nodiscard]] auto log_decay(Logs&& g) {
    if constexpr (detail::is_one_axis<Logs>()) {
        auto kept = detail::keep_vector("heed::log_decay", std::forward<Logs>(g));
        return head_decay<detail::given_log_decay, decltype(kept)>(std::move(kept));
    } else {
        constexpr bool good_rank = rank_of<Logs> == 2 || rank_of<Logs> == 3;
        static_assert(good_rank,
                      "heed: heed::log_decay takes [heads], [heads, keys] or [batch, heads, keys]");
        if constexpr (good_rank) {
            auto kept = detail::keep(std::forward<Logs>(g));
            return token_decay<std::remove_cvref_t<Logs>, decltype(kept)>(std::move(kept));
        }
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE
