#pragma once

#include <cstdint>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// Rows of tensors on their way into the cache.
///
/// A processor foresees rows that follow one another, but not those of several tensors, of which a
/// product meets some now and then. A kernel that waits for them waits for long, and one that asks
/// for many at once waits until the first of them are there: a line a step of a product is as much
/// as memory brings meanwhile.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Lines that a product of a tile asks for, lines_a_step in each of its steps: addresses are `from`
/// and these bytes. Numbers, as they may lie beyond what there is.
struct line_fetch {
    std::uintptr_t from;
    const std::uintptr_t* offsets;
};

/// Enough for as many rows as the tile has, of as many numbers as it has steps.
template <class T>
inline constexpr index lines_a_step = count_blocks(tiles.score_rows* static_cast<index>(sizeof(T)),
                                                   index(64));

/// Where the lines of as many rows as a tile has lie, in the order of a product's steps.
template <class T>
struct fetched_lines {
    index stride;                   ///< of the rows
    const std::uintptr_t* offsets;  ///< [steps, lines_a_step], in bytes from the first row on

    /// Of the `row`-th of these rows and those behind it.
    line_fetch at(const T* rows, index row) const {
        return {reinterpret_cast<std::uintptr_t>(rows) +
                    static_cast<std::uintptr_t>(row * stride) * sizeof(T),
                offsets};
    }
};

/// Of rows `stride` apart, each of `columns` numbers `step` apart; products have `steps` steps.
/// Only numbers next to one another are worth it: of others the first line comes, again and again.
template <class T>
fetched_lines<T> find_fetched_lines(index columns, index stride, index step, index steps,
                                    arena& scratch) {
    constexpr index line = 64 / static_cast<index>(sizeof(T));
    const index count = steps * lines_a_step<T>, lines_a_row = count_blocks(columns, line);
    auto* offsets = scratch.take<std::uintptr_t>(count);
    for (index i = 0; i < count; ++i) {
        const index l = step == 1 ? i * tiles.score_rows * lines_a_row / count : 0;
        const index number = l / lines_a_row * stride + l % lines_a_row * line;
        offsets[i] = static_cast<std::uintptr_t>(number) * sizeof(T);
    }
    return {stride, offsets};
}

/// None: the same line, which the cache has, again and again.
template <class T>
fetched_lines<T> find_no_lines(index steps, arena& scratch) {
    return find_fetched_lines<T>(1, 0, 1, steps, scratch);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
