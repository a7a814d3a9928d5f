#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>

/// \file
/// The γ of a given entropy.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// γ, and in how many steps it was found: evaluations of the entropy.
struct entropy_solution {
    double gamma;
    int steps;
};

/// More steps than any row needs: see solve_entropy.
inline constexpr int most_entropy_steps = 256;

/// γ with H(γ) = target, given lowest < target < H(0), where lowest is log t of t elements that
/// share the maximum, and `first` is a guess.
///
/// Newton's method for log(H − lowest), which is nearly a straight line where γ is large. The root
/// stays between bounds. Where a step would leave them, or after one that did not halve H − target,
/// the bounds' ratio is made its root. `moments(γ)` returns H(γ) and −γ·H'(γ), the variance of γx.
///
/// It ends where H is within `tolerance` of the target, or γ of the root, relatively, within
/// `resolution`. From the sixteenth step on every other one moves the bounds: while one is missing,
/// a factor that is squared each time reaches all doubles in 10 steps; then roots come to a ratio
/// of two in 11 steps and to 2⁻⁵³ in 53 more.
template <class Moments>
entropy_solution solve_entropy(double target, double lowest, double first, double tolerance,
                               double resolution, Moments&& moments) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    constexpr double most = std::numeric_limits<double>::max();
    double low = 0, high = infinity, before = infinity, factor = 4;
    double gamma = first > 0 && first < infinity ? first : 1;
    for (int steps = 1;; ++steps) {
        const auto [entropy, spread] = moments(gamma);
        const double distance = std::abs(entropy - target);
        if (distance <= tolerance) return {gamma, steps};
        (entropy > target ? low : high) = gamma;
        if (high - low <= resolution * low) return {gamma, steps};
        const double above = entropy - lowest;
        double next = fma(gamma, above * std::log(above / (target - lowest)) / spread, gamma);
        const bool is_slow = distance > before / 2;
        const bool halves =
            is_slow || !(next > low && next < high) || (steps >= 16 && steps % 2 == 0);
        if (halves) {
            next = high == infinity ? std::min(gamma * factor, most)
                   : low == 0       ? gamma / factor
                                    : std::sqrt(low) * std::sqrt(high);
            if (low == 0 || high == infinity) factor *= factor;
            if (next == gamma || next == 0) return {gamma, steps};
        }
        before = halves ? infinity : distance;
        gamma = next;
    }
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
