#pragma once

#include <array>
#include <cmath>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/linear/detail/head_numbers.hpp>
#include <heed/linear/part.hpp>

/// \file
/// A decay for all tokens.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// γ itself.
struct given_decay {
    static constexpr const char* name = "heed::decay";
    static constexpr const char* gradient_name = "the gradient of heed::decay";
    static constexpr const char* range = "above 0 and at most 1";
    static bool in_range(double x) { return x > 0 && x <= 1; }
    static double value(double x) { return std::log(x); }
    /// A quotient: 1/γ may be infinite where the gradient by log γ is as small.
    static double from_value(double gradient, double x) { return gradient / x; }
};

}  // namespace detail

/// The state is multiplied by γ, 0 < γ ≤ 1, at every token:
///
///     S_t = γ S_{t−1} + v_t k_tᵀ        o_t = c·S_t q_t = c·Σ_{j≤t} γ^{t−j} (q_t·k_j) v_j
///
/// c is 1/√dim unless heed::scale says otherwise. γ is a number, or any vector of one a head, whose
/// count divides that of o's heads or is more than q, k and v have. Retention has γ_h = 1 −
/// 2^{−5−h} (arXiv 2307.08621), Lightning attention a number a head too (arXiv 2401.04658). It can
/// be learned. It goes with heed::causal, and with neither a feature map nor a denominator.
///
///     auto o = heed::linear_attention(q, k, v, heed::causal, heed::decay(0.97));
///
/// The call throws argument_error where a γ is out of its range, shape_error where heads do not
/// divide. Takes up to a tenth more time than a call without.
template <class Number>
requires std::is_arithmetic_v<Number>
[[nodiscard]] auto decay(Number gamma) {
    auto kept = detail::keep_vector("heed::decay", std::array{static_cast<double>(gamma)});
    return detail::head_numbers<decay_base, detail::given_decay, decltype(kept)>(std::move(kept));
}

/// A γ for each head.
template <detail::vector_like Numbers>
[[nodiscard]] auto decay(Numbers&& gammas) {
    auto kept = detail::keep_vector("heed::decay", std::forward<Numbers>(gammas));
    return detail::head_numbers<decay_base, detail::given_decay, decltype(kept)>(std::move(kept));
}

}  // namespace heed::inline HEED_ARCHITECTURE
