#pragma once

#include <array>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/detail/head_numbers.hpp>
#include <heed/linear/detail/token_numbers.hpp>
#include <heed/linear/part.hpp>

/// \file
/// The delta rule.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// β, of any size: what is stable depends on ‖k‖ too.
struct given_delta {
    static constexpr const char* name = "heed::delta";
    static constexpr const char* gradient_name = "the gradient of heed::delta";
    static constexpr const char* range = "a number";
    static bool in_range(double) { return true; }
    static double value(double x) { return x; }
    static double from_value(double gradient, double) { return gradient; }
};

}  // namespace detail

/// Each token replaces, by the share β_t, what the state has for its key by its value (DeltaNet,
/// arXiv 2102.11174, 2406.06484; with heed::log_decay gated DeltaNet, arXiv 2412.06464):
///
///     S_t = α_t S_{t−1}(I − β_t k_t k_tᵀ) + β_t v_t k_tᵀ        o_t = c·S_t q_t
///
/// α_t is 1 without a decay; c is 1/√dim unless heed::scale says otherwise. β is [batch, heads,
/// keys], or [heads, keys] for all sequences, of the scalar of q, k and v; or a vector of one
/// number a head, or one number, for all tokens. Its count of heads divides that of o's or is more
/// than q, k and v have. The state is stable for 0 ≤ β_t‖k_t‖² ≤ 2, which is not checked:
/// heed::unit_rows makes ‖k‖ = 1, and β ≤ 2 is then enough. It can be learned: the gradient has β's
/// own shape and kind. It goes with heed::causal, and with neither a feature map nor a denominator.
///
///     auto o = heed::linear_attention(q, k, v, heed::causal, heed::log_decay(g),
///                                     heed::delta(beta), heed::unit_rows);
///
/// The call throws shape_error where the shape does not fit. What is padding is not read. Takes
/// 6·d·d_v operations a token instead of 4·d·d_v.
template <detail::vector_like Beta>
[[nodiscard]] auto delta(Beta&& beta) {
    if constexpr (detail::is_one_axis<Beta>()) {
        auto kept = detail::keep_vector("heed::delta", std::forward<Beta>(beta));
        return detail::head_numbers<update_base, detail::given_delta, decltype(kept)>(
            std::move(kept));
    } else {
        constexpr bool good_rank = rank_of<Beta> == 2 || rank_of<Beta> == 3;
        static_assert(good_rank,
                      "heed: heed::delta takes [heads], [heads, keys] or [batch, heads, keys]");
        if constexpr (good_rank) {
            auto kept = detail::keep(std::forward<Beta>(beta));
            return detail::token_numbers<update_base, detail::given_delta,
                                         std::remove_cvref_t<Beta>, decltype(kept)>(
                std::move(kept));
        }
    }
}

/// One β for all heads.
template <class Number>
requires std::is_arithmetic_v<Number>
[[nodiscard]] auto delta(Number beta) {
    auto kept = detail::keep_vector("heed::delta", std::array{static_cast<double>(beta)});
    return detail::head_numbers<update_base, detail::given_delta, decltype(kept)>(std::move(kept));
}

}  // namespace heed::inline HEED_ARCHITECTURE
