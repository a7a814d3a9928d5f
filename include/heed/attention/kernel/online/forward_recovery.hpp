#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/online/forward_tile.hpp>
#include <heed/attention/kernel/online/weight_rule.hpp>
#include <heed/attention/kernel/products/scores.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/rows/lines.hpp>

/// \file
/// Forward of rows whose weights, or sums of weight·v, are beyond T though o is not.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Pass 2: rows whose weights were beyond T begin again with shrunk ones. Whether there are any.
template <class T>
bool shrink_weights(forward_task<T>& task) {
    const query_tile<T>& tile = task.tile;
    const forward_state<T>& state = task.state;
    const arena::scope mark(task.scratch);
    bool* overflows = task.scratch.template take<bool>(tile.count);
    bool some = false;
    for (index r = 0; r < tile.count; ++r)
        some = (overflows[r] = task.weights.overflows(task.stream, state.rows, r)) || some;
    if (!some) return false;

    T* largest = task.scratch.template take<T>(tile.count);
    std::fill_n(largest, static_cast<std::size_t>(tile.count), T(0));
    for_seen_blocks(task.program, tile, task.block, [&](const block_view<T>& block) {
        score_head_block(task);
        for (index r = 0; r < tile.count; ++r) {
            const key_interval range = block.range[r / tile.strip];
            const contiguous_line<const T> row{state.scores + r * score_stride<T> + range.first,
                                               range.last - range.first};
            largest[r] = std::max(largest[r], reduce_max(largest_finite_magnitude(row)));
        }
    });
    task.weights.begin(task.stream, state.rows, tile.visible, tile.count);
    for (index r = 0; r < tile.count; ++r)
        if (overflows[r]) task.weights.shrink(task.stream, state.rows, r, largest[r]);
    return true;
}

/// Pass 3: where Σ weight·v of a row is beyond T, it becomes Σ p·v, and its factor 1.
template <class T>
void recover_outputs(forward_task<T>& task) {
    const query_tile<T>& tile = task.tile;
    const forward_state<T>& state = task.state;
    const index stride = state.output_stride, value_dim = task.program.shape().value_dim;
    const auto numbers = static_cast<std::size_t>(tile.count * stride);
    const auto is_finite = [&](const T* outputs, index r) {
        return all_finite<T>({outputs + r * stride, stride}, 1, value_dim);
    };
    bool all_are = true;
    for (index r = 0; r < tile.count; ++r) all_are = all_are && is_finite(state.output, r);
    if (all_are) return;

    const arena::scope mark(task.scratch);
    T* outputs = task.scratch.template take<T>(tile.count * stride);
    T* factors = task.scratch.template take<T>(tile.count);
    auto* statistics =
        task.scratch.template take<std::byte>(tile.count * task.weights.statistics_bytes);
    std::copy_n(state.output, numbers, outputs);
    task.weights.finish(task.stream, state.rows, tile.count, factors, statistics);
    attend_to_all(task, statistics);
    for (index r = 0; r < tile.count; ++r) {
        if (!is_finite(outputs, r)) continue;
        std::copy_n(outputs + r * stride, static_cast<std::size_t>(stride),
                    state.output + r * stride);
        state.rows.factor[r] = factors[r];
    }
}

/// Whether no Σ weight·v of a tile can be beyond T.
template <class T>
bool outputs_are_moderate(const forward_task<T>& task) {
    constexpr double most = 4294967296;  // all_moderate's
    const key_interval seen = task.tile.seen_by_all();
    bool moderate = true;
    for (index key = seen.first / key_block<T>; key * key_block<T> < seen.last; ++key)
        moderate = moderate && task.head.is_moderate(key);
    if (task.weights.may_overflow)
        for (index r = 0; r < task.tile.count; ++r)
            moderate = moderate && task.state.rows.sum[r] <= most;
    return moderate;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
