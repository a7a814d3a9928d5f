#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>

#include <heed/attention/kernel/products/block_view.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/products/scores.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// Whole rows of scores, for the normalisers that cannot take a row block by block.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The scores of a block of queries against all keys that any of them sees.
///
/// A row's own columns are whole panels around what it sees, whoever its neighbours are: what a
/// normaliser makes of them depends on the row alone.
template <class T>
struct score_rows {
    index first = 0;              ///< the key of column 0, where a block of keys begins
    index last = 0;               ///< the key behind the last column
    index stride = 0;             ///< from row to row
    T* scores = nullptr;          ///< [rows, stride]; −∞ is what a row does not see
    T* maximum = nullptr;         ///< [rows]
    key_interval* own = nullptr;  ///< [rows]: columns, whole panels

    T* row(index r) const { return scores + r * stride; }
};

/// Query rows of a task: as many as have their scores in the second cache, and enough to hide the
/// reading of the keys where a row alone fills it.
template <class T>
index row_block(index keys) {
    constexpr index cached = 512 * 1024 / static_cast<index>(sizeof(T));
    constexpr index least = 4 * tiles.score_rows;
    const index rows = cached / std::max<index>(1, keys) / tiles.score_rows * tiles.score_rows;
    return std::clamp(rows, least, std::max(least, tiles.query_block));
}

/// Room for the scores of a tile, rows too high by what the microkernels may write below it.
template <class T>
score_rows<T> make_score_rows(const query_tile<T>& tile, arena& scratch) {
    constexpr index width = panel_width<T>;
    const index count = round_up(tile.count, tile.strip) + tiles.score_rows;
    const key_interval seen = tile.seen_by_all();
    score_rows<T> rows;
    rows.first = seen.first / key_block<T> * key_block<T>;
    rows.last = seen.last;
    // One vector more, for rows a power of two apart fall on a few sets of a cache.
    rows.stride = round_up(rows.last - rows.first, key_block<T>) + vec<T>::size;
    rows.scores = scratch.take<T>(count * rows.stride);
    rows.maximum = scratch.take<T>(count);
    rows.own = scratch.take<key_interval>(tile.count);
    for (index r = 0; r < tile.count; ++r) {
        const auto [first, last] = tile.seen[r];
        rows.own[r] = first < last ? key_interval{(first - rows.first) / width * width,
                                                  round_up(last - rows.first, width)}
                                   : key_interval{0, 0};
    }
    return rows;
}

/// All scores of a tile, and the largest of each row. keys_of(block) are the panels of a block.
template <class T, class KeysOf>
void score_all_keys(const attention_program<T>& program, const query_tile<T>& tile,
                    KeysOf&& keys_of, const score_rows<T>& rows, block_view<T>& block,
                    arena& scratch) {
    constexpr T left_out = -std::numeric_limits<T>::infinity();
    const arena::scope mark(scratch);
    const index count = round_up(tile.count, tile.strip) + tiles.score_rows;
    T* lane_maximum = scratch.take<T>(count * vec<T>::size);
    T* block_maximum = scratch.take<T>(count);
    std::fill_n(rows.maximum, static_cast<std::size_t>(tile.count), left_out);
    if (program.sight.has_lane_masks) {  // panels without a visible key are not visited
        for (index r = 0; r < tile.count; ++r)
            std::fill(rows.row(r) + rows.own[r].first, rows.row(r) + rows.own[r].last, left_out);
    }
    for_seen_blocks(program, tile, block, [&](const block_view<T>& at) {
        score_block(program, tile, at, keys_of(at.first / key_block<T>),
                    rows.scores + (at.first - rows.first), rows.stride, lane_maximum,
                    block_maximum);
        for (index r = 0; r < tile.count; ++r)
            rows.maximum[r] = std::max(rows.maximum[r], block_maximum[r]);
    });
}

/// In the columns of a block that its neighbours see and it does not, a row of probabilities is 0.
template <class T>
void clear_outside(const key_interval& own, index first, index last, T* row) {
    if (first < std::min(last, own.first))
        std::fill(row + first, row + std::min(last, own.first), T(0));
    if (std::max(first, own.last) < last)
        std::fill(row + std::max(first, own.last), row + last, T(0));
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
