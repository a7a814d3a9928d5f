#pragma once

#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/detail/channel_numbers.hpp>
#include <heed/linear/detail/head_numbers.hpp>
#include <heed/linear/detail/token_numbers.hpp>
#include <heed/linear/part.hpp>

/// \file
/// A decay for each token, or for each of its channels, by its logarithm.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// log γ.
struct given_log_decay {
    static constexpr const char* name = "heed::log_decay";
    static constexpr const char* gradient_name = "the gradient of heed::log_decay";
    static constexpr const char* range = "at most 0";
    static bool in_range(double x) { return x <= 0; }
    static double value(double x) { return x; }
    static double from_value(double gradient, double) { return gradient; }
};

}  // namespace detail

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
///
/// g [batch, heads, keys, dim] has a number a channel of k: S_t = S_{t−1} Diag(α_t) + v_t k_tᵀ
/// (gated linear attention, arXiv 2312.06635). −∞ clears its channel alone. Always four axes, and
/// all sequences'; the rest is as above. Takes a tenth to a quarter more time than a number a
/// token.
template <detail::vector_like Logs>
[[nodiscard]] auto log_decay(Logs&& g) {
    if constexpr (detail::is_one_axis<Logs>()) {
        auto kept = detail::keep_vector("heed::log_decay", std::forward<Logs>(g));
        return detail::head_numbers<decay_base, detail::given_log_decay, decltype(kept)>(
            std::move(kept));
    } else {
        constexpr bool good_rank = rank_of<Logs> >= 2 && rank_of<Logs> <= 4;
        static_assert(good_rank,
                      "heed: heed::log_decay takes [heads], [heads, keys], [batch, heads, keys] or "
                      "[batch, heads, keys, dim]");
        if constexpr (good_rank) {
            auto kept = detail::keep(std::forward<Logs>(g));
            if constexpr (rank_of<Logs> == 4)
                return detail::channel_numbers<decay_base, detail::given_log_decay,
                                               std::remove_cvref_t<Logs>, decltype(kept)>(
                    std::move(kept));
            else
                return detail::token_numbers<decay_base, detail::given_log_decay,
                                             std::remove_cvref_t<Logs>, decltype(kept)>(
                    std::move(kept));
        }
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE
