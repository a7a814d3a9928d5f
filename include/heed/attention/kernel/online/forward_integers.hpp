#pragma once

#include <algorithm>

#include <heed/attention/kernel/online/forward_task.hpp>
#include <heed/attention/kernel/products/encoding_maps.hpp>
#include <heed/attention/kernel/products/key_blocks.hpp>
#include <heed/attention/kernel/products/packed_head.hpp>
#include <heed/attention/kernel/products/scores.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// The two products of a task with a block of a cache that multiplies integers: by the cache, which
/// never makes floats of the block, strip by strip.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The scores of a task's block of integers, strip by strip.
template <class T>
void score_integer_block(const forward_task<T>& task) {
    const auto& [program, weights, head, scratch, tile, state, block, stream, observed] = task;
    find_block(program, tile, block.first / key_block<T>, head, scratch);
    T* const maximum = begin_maximum(program, tile, state.lane_maximum);
    for (index s = 0; s < tile.strip_count(); ++s) {
        const index row = s * tile.strip;
        program.cache->multiply_keys(
            *head.open, tile.strips[query_map(encoding_map::near)] + row * program.packed_dim(),
            std::min(tile.strip, tile.count - row), tile.factor + row, block.range[s],
            state.scores + row * score_stride<T>,
            maximum == nullptr ? nullptr : maximum + row * vec<T>::size);
    }
    program.scores.finish(tile, block, state.scores, score_stride<T>, state.lane_maximum,
                          state.row_maximum);
}

/// Σ weight·v over the next `keys` keys of a task's block of integers, from one in it on, for rows
/// first … last − 1.
template <class T>
void add_integer_values(forward_task<T>& task, index first, index last, index key, index keys) {
    const forward_state<T>& state = task.state;
    const index stride = state.output_stride, count = last - first;
    const arena::scope mark(task.scratch);
    T* sums = task.scratch.template take<T>((count + tiles.score_rows) * stride);
    task.program.cache->multiply_values(*task.head.open,
                                        state.scores + first * score_stride<T> + key, count, key,
                                        keys, sums, stride);
    for (index r = 0; r < count; ++r) {
        const vec<T> shrink(state.rows.factor[first + r]);
        T* const to = state.output + (first + r) * stride;
        for (index c = 0; c < stride; c += vec<T>::size)
            fma(vec<T>::load(to + c), shrink, vec<T>::load(sums + r * stride + c)).store(to + c);
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
