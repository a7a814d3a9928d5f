#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/rope/detail/stretch.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// Position interpolation: every pair turns k times slower.

namespace heed::inline HEED_ARCHITECTURE {
namespace rope {

/// The frequencies of position interpolation, b^{−2t/r}/k, t = 0 … r/2 − 1:
///
///     auto rope = heed::rope::interpolation({.dim = 64, .stretch = 8});
///
/// `stretch` k is any number above 0. Throws argument_error for another one, and for a dim or base
/// that heed::rope::plain refuses. Source: arXiv 2306.15595; "linear" in transformers.
[[nodiscard]] inline frequencies interpolation(const stretched_options& options) {
    std::vector<double> angular = heed::detail::ladder(options.dim.value, options.base.value);
    const double k = options.stretch.value;
    heed::detail::require_argument(k > 0 && std::isfinite(k), "stretch is ", k,
                                   ", but it must be finite and above 0");
    for (double& angle : angular) angle /= k;
    return frequencies(std::move(angular), options.layout);
}

}  // namespace rope
}  // namespace heed::inline HEED_ARCHITECTURE
