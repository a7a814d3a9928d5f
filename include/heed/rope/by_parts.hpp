#pragma once

#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/rope/detail/stretch.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// Frequencies that are plain where a pair turns often within the trained length, interpolated
/// where it does not turn once, and between the two in between.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// θ' = (γ + (1 − γ)/k)θ, γ = clip((r − slow)/(fast − slow), 0, 1), where r = Lθ/2π is how often a
/// pair turns within the length L. Where slow = fast, γ is a step: 1 from there on.
inline void interpolate_by_turns(std::vector<double>& angular, double stretch, index length,
                                 double slow, double fast) {
    for (double& angle : angular) {
        const double turns = static_cast<double>(length) * angle / (2 * std::numbers::pi);
        double kept = turns >= fast ? 1 : 0;
        if (slow < turns && turns < fast) kept = (turns - slow) / (fast - slow);
        angle *= std::lerp(1 / stretch, 1.0, kept);
    }
}

}  // namespace detail

namespace rope {

/// What heed::rope::by_parts takes.
struct by_parts_options {
    heed::detail::any_integral dim;              ///< r: even, and at least 2
    heed::detail::any_real base = 10000;         ///< b > 1
    heed::detail::any_real stretch;              ///< k ≥ 1
    heed::detail::any_integral original_length;  ///< L ≥ 1, the trained length
    heed::detail::any_real beta_fast = 32;       ///< pairs that turn as often are plain
    heed::detail::any_real beta_slow = 1;        ///< pairs that turn no oftener are interpolated
    pair_layout layout = pair_layout::halves;
};

/// NTK-by-parts: θ' = (γ + (1 − γ)/k)θ with γ = clip((r − β_slow)/(β_fast − β_slow), 0, 1), where
/// r = Lθ/2π is how often the pair turns within the trained length:
///
///     auto rope = heed::rope::by_parts({.dim = 64, .stretch = 8, .original_length = 4096});
///
/// Throws argument_error for a dim or base that heed::rope::plain refuses, a stretch or an
/// original_length below 1, and unless 0 ≤ beta_slow ≤ beta_fast; where they are equal, pairs that
/// turn as often are plain and others interpolated. Source: arXiv 2309.00071, section 3.2;
/// kexue 9948.
[[nodiscard]] inline frequencies by_parts(const by_parts_options& options) {
    std::vector<double> angular = heed::detail::ladder(options.dim.value, options.base.value);
    const double slow = options.beta_slow.value, fast = options.beta_fast.value;
    heed::detail::require_stretch(options.stretch.value);
    heed::detail::require_original_length(options.original_length.value);
    heed::detail::require_argument(slow >= 0 && std::isfinite(slow), "beta_slow is ", slow,
                                   ", but it must be finite and at least 0");
    heed::detail::require_not_below("beta_fast", fast, "beta_slow", slow);
    heed::detail::interpolate_by_turns(angular, options.stretch.value,
                                       options.original_length.value, slow, fast);
    return frequencies(std::move(angular), options.layout);
}

}  // namespace rope
}  // namespace heed::inline HEED_ARCHITECTURE
