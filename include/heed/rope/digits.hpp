#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// Rotary positions as a number system: position n turns pair t by n/β^{t−1}, and its digit t at
/// base β is ⌊n/β^{t−1}⌋ mod β. Cosine and sine, periodic as "mod" is, take the digit's place.

namespace heed::inline HEED_ARCHITECTURE {
namespace rope {

/// The digits of n at mixed radices, lowest first: ⌊n/(β₁…β_{t−1})⌋ mod β_t for each of them. They
/// need not be whole numbers; digits are below their radix.
///
///     heed::rope::digits(3754, {24, 60, 60})     // {10, 36, 2}: 2·24·60 + 36·24 + 10
///
/// Throws argument_error for n below 0 or not below 2⁵³, and for a radix that is not above 1.
/// Source: kexue 9675, 9706.
[[nodiscard]] inline std::vector<double> digits(heed::detail::any_real n,
                                                const std::vector<double>& radices) {
    heed::detail::require_argument(n.value >= 0 && n.value < 0x1p53, "n is ", n.value,
                                   ", but it must be at least 0 and below 2^53");
    std::vector<double> result;
    double place = 1;
    for (const double radix : radices) {
        heed::detail::require_argument(radix > 1 && std::isfinite(radix), "a radix is ", radix,
                                       ", but it must be finite and greater than 1");
        result.push_back(std::fmod(std::floor(n.value / place), radix));
        place *= radix;
    }
    return result;
}

/// The `count` lowest digits of n at base β: ⌊n/β^{t−1}⌋ mod β, t = 1 … count.
///
///     heed::rope::digits(1729, 10, 4)            // {9, 2, 7, 1}
///
/// With β = b^{2/r} and count = r/2 they are what heed::rope::plain({.dim = r, .base = b}) turns.
/// Throws argument_error as for mixed radices, and for a count below 0 or beyond 2²⁴.
[[nodiscard]] inline std::vector<double> digits(heed::detail::any_real n,
                                                heed::detail::any_real base,
                                                heed::detail::any_integral count) {
    heed::detail::require_argument(count.value >= 0 && count.value <= 1 << 24, "count is ",
                                   count.value, ", but it must lie between 0 and 2^24");
    return digits(n, std::vector<double>(static_cast<std::size_t>(count.value), base.value));
}

}  // namespace rope
}  // namespace heed::inline HEED_ARCHITECTURE
