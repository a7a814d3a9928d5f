#pragma once

#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// Proportional frequencies: only the fastest pairs of a full ladder turn.

namespace heed::inline HEED_ARCHITECTURE {
namespace rope {

/// What heed::rope::proportional takes.
struct proportional_options {
    heed::detail::any_integral dim;         ///< d: even, and at least 2
    heed::detail::any_real base = 10000;    ///< b > 1
    heed::detail::any_real proportion = 1;  ///< ρ in [0, 1], the share of pairs that turn
    heed::detail::any_real stretch = 1;     ///< k > 0
    pair_layout layout = pair_layout::halves;
};

/// b^{−2t/d}/k for t < ⌊ρd/2⌋, and 0 beyond:
///
///     auto rope = heed::rope::proportional({.dim = 512, .base = 1000000, .proportion = 0.25});
///
/// Exponents and halves run over all d dimensions: that is not partial rotation, which a smaller
/// dim is. Throws argument_error for a dim or base that heed::rope::plain refuses, a proportion
/// outside [0, 1], and a stretch not above 0. Source: "proportional" in transformers.
[[nodiscard]] inline frequencies proportional(const proportional_options& options) {
    std::vector<double> angular = heed::detail::ladder(options.dim.value, options.base.value);
    const double share = options.proportion.value, k = options.stretch.value;
    heed::detail::require_argument(share >= 0 && share <= 1, "proportion is ", share,
                                   ", but it must be in [0, 1]");
    heed::detail::require_argument(k > 0 && std::isfinite(k), "stretch is ", k,
                                   ", but it must be finite and above 0");
    const auto turning = static_cast<std::size_t>(share * static_cast<double>(angular.size()));
    for (std::size_t t = 0; t < angular.size(); ++t) angular[t] = t < turning ? angular[t] / k : 0;
    return frequencies(std::move(angular), options.layout);
}

}  // namespace rope
}  // namespace heed::inline HEED_ARCHITECTURE
