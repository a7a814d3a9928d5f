#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/online/weight_rule.hpp>
#include <heed/attention/kernel/products/block_view.hpp>
#include <heed/attention/kernel/products/packed_head.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/products/scores.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/observers/observer.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/softmax/kernel/streaming.hpp>

/// \file
/// A block of queries on its way through the keys, and what it keeps from block to block.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Blocks whose sums are added one to the other. Such stretches add up to the whole with what each
/// addition lost kept beside, so that a mean over millions of keys is as good as one over a
/// stretch.
inline constexpr index blocks_in_a_stretch = 32;

/// What a task of forward keeps of its rows from block to block.
template <class T>
struct forward_state {
    running_rows<T> rows;
    T* scores;
    T* lane_maximum;
    T* row_maximum;
    T* output;  ///< Σ weight·v of this stretch of blocks
    index output_stride;
    T* before;         ///< the same of all stretches before it; null if there is one
    T* before_lost;    ///< what is to be added to that
    T* before_factor;  ///< by which both have shrunk since
};

template <class T>
forward_state<T> make_forward_state(const attention_shape& shape, index count, arena& scratch) {
    const index rows = round_up(count, std::max<index>(tiles.score_rows, vec<T>::size)) +
                       tiles.score_rows;  // tiles may be a few rows too high
    const index stride = padded<T>(shape.value_dim);
    const bool stretches = shape.keys > blocks_in_a_stretch * key_block<T>;
    return {{scratch.take<T>(rows), scratch.take<T>(rows), scratch.take<double>(rows),
             scratch.take<T>(rows)},
            scratch.take<T>(rows * score_stride<T>),
            scratch.take<T>(rows * vec<T>::size),
            scratch.take<T>(rows),
            scratch.take<T>(rows * stride),
            stride,
            stretches ? scratch.take<T>(rows * stride) : nullptr,
            stretches ? scratch.take<T>(rows * stride) : nullptr,
            stretches ? scratch.take<T>(rows) : nullptr};
}

/// A task of forward: a block of queries, and what it works with.
template <class T>
struct forward_task {
    const attention_program<T>& program;
    const weight_rule<T>& weights;
    const packed_head<T>& head;
    arena& scratch;
    query_tile<T> tile;
    forward_state<T> state;
    block_view<T> block;
    void* stream;
    observed_rows<T> observed;
};

template <class T>
forward_task<T> make_forward_task(const attention_program<T>& program,
                                  const weight_rule<T>& weights, const packed_head<T>& head,
                                  index count, arena& scratch) {
    const index strips = count_blocks(count, query_tile<T>::strip);
    forward_task<T> task{
        program,
        weights,
        head,
        scratch,
        take_tile<T>(program.shape(), program.source.query_map_count, count, scratch),
        make_forward_state<T>(program.shape(), count, scratch),
        make_block_view(program, strips, scratch),
        scratch.take<std::byte>(weights.stream_bytes),
        {program.observers == nullptr ? 0 : count, scratch}};
    if (program.pairs != nullptr || program.multiplies_integers) {
        const index rows = strips * query_tile<T>::strip;
        task.tile.factor = scratch.take<T>(rows);
        std::fill_n(task.tile.factor, static_cast<std::size_t>(rows), T(1));
    }
    return task;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
