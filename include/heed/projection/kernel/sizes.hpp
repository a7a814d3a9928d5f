#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// The table of a projection's sizes: a row an architecture. No result depends on it.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Beside core/tiles.hpp, whose score_rows × score_vectors are the tile of a projection too.
struct projection_sizes {
    index depth_block;   ///< inputs at a time: a panel of so many lies in the L1 cache
    index row_block;     ///< rows of x that pass each such panel: depth_block of them lie in L2
    index panel_group;   ///< panels of outputs a task takes at most
    index few_rows;      ///< up to so many rows the weights' way from memory is all that counts
    int panels_at_once;  ///< for one row: so many streams of weights are read, and sums kept
};

#if defined(__AVX512F__)
inline constexpr projection_sizes projection{192, 192, 8, 3, 8};
#elif defined(__aarch64__)
inline constexpr projection_sizes projection{256, 96, 8, 3, 6};
#else
inline constexpr projection_sizes projection{256, 192, 8, 3, 6};
#endif

/// A packed matrix is cut into depth blocks, and its transpose is read in them too.
static_assert(projection.depth_block % panel_width<float> == 0);
static_assert(projection.row_block % tiles.score_rows == 0);

}  // namespace heed::inline HEED_ARCHITECTURE::detail
