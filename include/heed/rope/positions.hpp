#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/random.hpp>
#include <heed/core/shape.hpp>

/// \file
/// Lists of positions for heed::rotate and heed::positions: those of a grid, and random ones for
/// training that is robust to positions.

namespace heed::inline HEED_ARCHITECTURE {
namespace rope {

/// The positions of a grid's points in row-major order, [product of extents, axes], the last axis
/// fastest: {height, width} for an image, {frames, height, width} for a video.
///
/// Throws shape_error for a grid without an axis, or an extent below 0.
inline Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> grid_positions(
    const std::vector<heed::detail::any_integral>& extents) {
    heed::detail::require_shape(!extents.empty(), "a grid has [0] axes, but must have one");
    index points = 1;
    for (const heed::detail::any_integral& extent : extents) {
        heed::detail::require_shape(extent.value >= 0, "an extent of a grid is ", extent.value,
                                    ", but it must be at least 0");
        points *= extent.value;
    }
    const auto axes = static_cast<index>(extents.size());
    Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> result(points, axes);
    for (index i = 0; i < points; ++i) {
        index rest = i;
        for (index a = axes; a-- > 0;) {
            const index extent = extents[static_cast<std::size_t>(a)].value;
            result(i, a) = static_cast<double>(rest % extent);
            rest /= extent;
        }
    }
    return result;
}

}  // namespace rope
}  // namespace heed::inline HEED_ARCHITECTURE
