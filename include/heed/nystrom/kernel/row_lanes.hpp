#pragma once

#include <algorithm>
#include <cstdint>

#include <heed/core/architecture.hpp>
#include <heed/core/microkernel.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>
#include <heed/nystrom/kernel/row_fetch.hpp>

/// \file
/// Few rows, one a lane: the vector operand of products with rows that are read where they lie.
///
/// They are packed as panels, as keys of exact attention are: half of the first cache holds one, of
/// up to 128 columns, while all other rows pass it. Rows side by side in one matrix would fall on
/// few sets of it.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Rows in whole panels, and the memory that they take.
template <class T>
constexpr index lanes_of(index rows) {
    return round_up(rows, panel_width<T>);
}
template <class T>
constexpr index panels_size(index rows, index depth) {
    return packed_size<T>(panel_width<T>, rows, depth);
}

/// The stride of a panel, at each step of which lines come into the cache.
template <class T>
struct fetching_panel {
    const T* panel;  ///< where the steps begin
    line_fetch lines;

    constexpr operator index() const { return panel_width<T>; }
};
template <int Columns, class T>
[[gnu::always_inline]] inline void fetch_ahead(const T* const& row, const fetching_panel<T>& by) {
    const std::uintptr_t* const offsets =
        by.lines.offsets + (row - by.panel) / panel_width<T> * lines_a_step<T>;
    unroll<static_cast<int>(lines_a_step<T>)>([&](int l) __attribute__((always_inline)) {
        prefetch(reinterpret_cast<const void*>(by.lines.from + offsets[l]));
    });
}

/// `finish(row, lane, sums)` with sums = Σ_k a[row, k]·x[lane …, k], score_vectors vectors, for all
/// rows of a, a_row apart, and all lanes; x is what pack_panels made panels of. Up to score_rows/3
/// rows too many are computed. Meanwhile the lines of ahead(lane, first row of a tile) come.
template <class T, class Ahead, class Finish>
void multiply_lanes(index rows, const T* a, index a_row, const T* panels, index lanes, index depth,
                    const Ahead& ahead, Finish finish) {
    constexpr index height = tiles.score_rows;
    for (index lane = 0; lane < lanes; lane += panel_width<T>)
        for (index first = 0; first < rows; first += height) {
            const T* const panel = panels + lane * depth;
            multiply_rows<height, tiles.score_vectors>(
                std::min(height, rows - first), a + first * a_row, index(0), a_row, fixed<1>(),
                panel, fetching_panel<T>{panel, ahead(lane, first)},
                depth, [=](index r, const vec<T>* sums) __attribute__((always_inline)) {
                    finish(first + r, lane, sums);
                });
        }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
