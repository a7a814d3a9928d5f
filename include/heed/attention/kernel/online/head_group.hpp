#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>

#include <heed/attention/kernel/online/forward_tile.hpp>
#include <heed/attention/kernel/online/joint_rows.hpp>
#include <heed/attention/kernel/online/weight_rule.hpp>
#include <heed/attention/kernel/products/packed_head.hpp>
#include <heed/attention/kernel/products/paired_products.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/products/scores.hpp>
#include <heed/attention/kernel/products/streamed_products.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>

/// \file
/// Forward of a block of queries of all heads that share a head of k, whose blocks are opened one
/// after the other and read by all of them before the next: from memory once.
///
/// Built for the bandwidth of reading memory. Few queries a head are rows of one tile of all heads,
/// so that a vector of keys or values that was loaded serves all of them; what is not a product
/// goes head by head.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Rows for which numbers of a cache that are not T become T in registers, again for every tile;
/// for more they become it once, in memory.
inline constexpr index rows_in_registers = 2 * tiles.score_rows;

/// Looks at a block with all heads: what any of them sees of it.
template <class T>
key_interval look_jointly(const head_group<T>& group, index first_key) {
    key_interval range{key_block<T>, 0};
    for (index h = 0; h < group.heads; ++h) {
        forward_task<T>& task = *group.tasks[h];
        look_at_block(task.program, task.tile, first_key, task.block);
        range = {std::min(range.first, task.block.seen.first),
                 std::max(range.last, task.block.seen.last)};
    }
    return range;
}

/// Finds a block, and has its numbers become T where that serves enough rows.
template <class T>
void find_jointly(const head_group<T>& group, index first_key) {
    const forward_task<T>& any = *group.tasks[0];
    if (group.joint.count > rows_in_registers && !any.program.multiplies_integers)
        open_block(any.program, any.tile, first_key / key_block<T>, any.head, any.scratch);
    else
        find_block(any.program, any.tile, first_key / key_block<T>, any.head, any.scratch);
}

/// Pass 1: the products of all rows with the panels of a block that any of them sees.
template <class T>
void multiply_joint_keys(const head_group<T>& group, index first_key, key_interval range) {
    const joint_rows<T>& joint = group.joint;
    const attention_program<T>& program = group.program();
    const packed_head<T>& head = group.tasks[0]->head;
    T* maximum = program.scores.changes_products ? nullptr : joint.lane_maximum;
    if (maximum != nullptr) {
        const vec<T> lowest(-std::numeric_limits<T>::infinity());
        for (index r = 0; r < round_up(joint.count, tiles.score_rows); ++r)
            lowest.store_aligned(maximum + r * vec<T>::size);
    }
    if (program.pairs != nullptr)
        return program.pairs->multiply_row_keys(joint.panels, joint.count, head.rows(), range,
                                                nullptr, joint.product_factor, joint.scores,
                                                maximum);
    if (!head.open->is_ready)
        return program.cache->multiply_keys(*head.open, joint.strips, joint.count,
                                            joint.product_factor, range, joint.scores, maximum);
    const panels_of_keys<T> keys = head.keys();
    multiply_streamed_keys(
        joint.strips, joint.count,
        [&](index key) { return keys.at(encoding_map::near, first_key + key); }, range,
        program.shape().dim, joint.scores, maximum);
}

/// Pass 2, head by head: products → scores, and the largest of each row.
template <class T>
void finish_joint_scores(const head_group<T>& group) {
    const joint_rows<T>& joint = group.joint;
    for (index h = 0; h < group.heads; ++h) {
        const forward_task<T>& task = *group.tasks[h];
        const key_interval own = task.block.range[0];
        if (own.first == own.last) continue;
        const index row = joint.row_of(h);
        task.program.scores.finish(task.tile, task.block, joint.scores + row * score_stride<T>,
                                   score_stride<T>, joint.lane_maximum + row * vec<T>::size,
                                   task.state.row_maximum);
    }
}

/// Pass 3, head by head: scores → weights, 0 where this head sees less than others.
template <class T>
void weigh_joint_rows(const head_group<T>& group, index first_key, key_interval range) {
    const joint_rows<T>& joint = group.joint;
    for (index h = 0; h < group.heads; ++h) {
        forward_task<T>& task = *group.tasks[h];
        const index count = joint.queries, row = joint.row_of(h);
        const key_interval own = task.block.range[0];
        T* scores = joint.scores + row * score_stride<T>;
        T* factor = joint.factor + row;
        const bool is_seen = own.first < own.last;
        array_of<double, tiles.score_rows> before = {};
        if (is_seen) {
            std::copy_n(task.state.rows.sum, static_cast<std::size_t>(count), before);
            task.weights.advance(task.stream, task.state.rows, task.state.row_maximum, count);
            task.weights.weigh(task.stream, task.state.rows, 0, count, scores, own, task.observed);
            drop_weights(task.program, task.tile, 0, count, first_key, own, scores,
                         score_stride<T>);
            std::copy_n(task.state.rows.factor, static_cast<std::size_t>(count), factor);
        } else {
            std::fill_n(factor, static_cast<std::size_t>(count), T(1));
        }
        const index first = std::clamp(own.first, range.first, range.last);
        const index last = std::clamp(own.last, first, range.last);
        for (index r = 0; r < count; ++r, scores += score_stride<T>) {
            std::fill(scores + range.first, scores + first, T(0));
            std::fill(scores + last, scores + range.last, T(0));
            if (task.program.pairs != nullptr)
                join_weights(task, r, scores, range, is_seen ? before + r : nullptr);
        }
    }
}

/// The keys of a range of a block that there are.
template <class T>
index count_keys(const attention_program<T>& program, index first_key, key_interval range) {
    return std::min(range.last - range.first, program.shape().keys - first_key - range.first);
}

/// Pass 4: Σ weight·v of a block whose values are finite.
template <class T>
void sum_joint_values(const head_group<T>& group, index first_key, key_interval range) {
    const joint_rows<T>& joint = group.joint;
    const attention_program<T>& program = group.program();
    const packed_head<T>& head = group.tasks[0]->head;
    const index keys = count_keys(program, first_key, range), stride = joint.output_stride;
    const T* weights = joint.scores + range.first;
    std::fill_n(joint.sums, static_cast<std::size_t>(joint.count * stride), T(0));
    if (program.pairs != nullptr) {
        program.pairs->add_values(joint.scores + range.first / 2, joint.count, pairs_of(keys),
                                  head.values(first_key + range.first), program.shape().value_dim,
                                  joint.factor, joint.sums, stride);
    } else if (head.open->is_ready) {
        const contiguous_rows<T> values = head.values(first_key + range.first);
        multiply_streamed_values(weights, joint.count, keys, values.data, values.stride,
                                 program.shape().value_dim, joint.sums, stride);
    } else {
        program.cache->multiply_values(*head.open, weights, joint.count, range.first, keys,
                                       joint.sums, stride);
    }
}

/// The sums of a block are added to those before it.
template <class T>
void add_joint_sums(const joint_rows<T>& joint) {
    const index stride = joint.output_stride;
    for (index r = 0; r < joint.count; ++r) {
        const vec<T> factor(joint.factor[r]);
        for (index c = r * stride; c < (r + 1) * stride; c += vec<T>::size)
            fma(vec<T>::load(joint.output + c), factor, vec<T>::load(joint.sums + c))
                .store(joint.output + c);
    }
}

/// The same for a block with values that are not finite: each row adds those that it sees.
template <class T>
void add_seen_joint_values(const head_group<T>& group, index first_key, key_interval range) {
    const joint_rows<T>& joint = group.joint;
    const attention_program<T>& program = group.program();
    const packed_head<T>& head = group.tasks[0]->head;
    const index keys = count_keys(program, first_key, range);
    const index value_dim = program.shape().value_dim;
    const T* weights = joint.scores + (program.pairs == nullptr ? range.first : range.first / 2);
    arena& scratch = group.tasks[0]->scratch;
    open_block(program, group.tasks[0]->tile, first_key / key_block<T>, head, scratch);
    const contiguous_rows<T> values = head.values(first_key + range.first);
    const arena::scope mark(scratch);
    bool* sees = scratch.take<bool>(key_block<T>);
    for (index h = 0; h < group.heads; ++h) {
        const forward_task<T>& task = *group.tasks[h];
        if (task.block.range[0].first == task.block.range[0].last) continue;
        for (index r = 0; r < joint.queries; ++r) {
            const index row = joint.row_of(h) + r;
            program.sight.list_seen(task.tile, r, task.block, range, sees);
            const T* own = weights + row * score_stride<T>;
            T* to = joint.output + row * joint.output_stride;
            if (program.pairs != nullptr)
                program.pairs->add_seen_values(own, sees + range.first, pairs_of(keys), values,
                                               value_dim, joint.factor[row], to);
            else
                add_seen_values(own, sees + range.first, keys, values, value_dim, joint.factor[row],
                                to);
        }
    }
}

/// The sums of a head's rows go to its task, or come back from it.
template <class T>
void copy_joint_output(const head_group<T>& group, index h, bool back) {
    const joint_rows<T>& joint = group.joint;
    T* shared = joint.output + joint.row_of(h) * joint.output_stride;
    T* own = group.tasks[h]->state.output;
    const auto count = static_cast<std::size_t>(joint.queries * joint.output_stride);
    std::copy_n(back ? own : shared, count, back ? shared : own);
}

/// After a block: what was summed before this stretch of blocks shrinks too, and the stretch may
/// be over.
template <class T>
void end_joint_block(const head_group<T>& group, index first_key) {
    if (group.tasks[0]->state.before == nullptr) return;
    for (index h = 0; h < group.heads; ++h) {
        const forward_state<T>& state = group.tasks[h]->state;
        for (index r = 0; r < group.joint.queries; ++r)
            state.before_factor[r] *= group.joint.factor[group.joint.row_of(h) + r];
        if ((first_key / key_block<T> + 1) % blocks_in_a_stretch != 0) continue;
        copy_joint_output(group, h, false);
        end_stretch(state, group.joint.queries, false);
        copy_joint_output(group, h, true);
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
