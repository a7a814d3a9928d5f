#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>

#include <heed/attention/kernel/online/forward_integers.hpp>
#include <heed/attention/kernel/online/forward_task.hpp>
#include <heed/attention/kernel/online/weight_rule.hpp>
#include <heed/attention/kernel/products/block_view.hpp>
#include <heed/attention/kernel/products/packed_head.hpp>
#include <heed/attention/kernel/products/paired_products.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/products/scores.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/observers/observer.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/microkernel.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>
#include <heed/softmax/kernel/streaming.hpp>

/// \file
/// Forward of one tile for streaming normalisers: a block of queries against all keys.
///
/// Built for the peak of the multiply-add units: of a block's time at d = 64 the two products take
/// nine tenths. A tile of scores (query_block × key_block) stays in the L2 cache, as do the block's
/// keys and values; a panel of keys stays in L1 while all strips of queries pass it.
///
/// Passes, each over the blocks of keys in their order:
///   1. scores, weights, Σ weight·v;
///   2. rarely, where weights of a row were beyond T: the rows' largest |score|, then 1 again with
///      weights that shrink by it;
///   3. rarely, where Σ weight·v of a row was: scores, probabilities, Σ p·v.
/// A row's own scores and values say whether it takes 2 or 3, never those of its neighbours.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// output[r] = factor[r]·output[r] + Σ_j weight[r, j]·v_j, `values` being those of the first
/// weight.
template <class T>
void add_values(const T* weights, index rows, index keys, const contiguous_rows<T>& values,
                index value_dim, const T* factor, T* output, index output_stride) {
    multiply_columns(
        rows, weights, fixed<score_stride<T>>(), fixed<1>(), values, value_dim, keys,
        [=]<int Vectors>(index r, index column, const vec<T>* sums) __attribute__((always_inline)) {
            T* to = output + r * output_stride + column;
            const vec<T> shrink(factor[r]);
            unroll<Vectors>([&](int c) __attribute__((always_inline)) {
                T* at = to + c * vec<T>::size;
                fma(vec<T>::load_aligned(at), shrink, sums[c]).store_aligned(at);
            });
        });
}

/// The same for one row of a block that holds NaN or infinities: in the same order, over the keys
/// that the row sees and no others, since 0·NaN is NaN.
template <class T>
void add_seen_values(const T* weights, const bool* sees, index keys,
                     const contiguous_rows<T>& values, index value_dim, T factor, T* output) {
    for (index column = 0; column < value_dim; column += vec<T>::size) {
        vec<T> sum(T(0));
        for (index j = 0; j < keys; ++j)
            if (sees[j]) sum = fma(vec<T>(weights[j]), vec<T>::load(values[j] + column), sum);
        fma(vec<T>::load(output + column), vec<T>(factor), sum).store(output + column);
    }
}

/// The queries of a task, which are pairs, for keys that are read as rows.
template <class T>
const T* pack_paired_queries(const forward_task<T>& task, arena& scratch) {
    const index dim = task.program.shape().dim;
    return task.program.pairs->pack_row_queries({task.tile.plain[0], dim}, task.tile.count, dim,
                                                task.head.open->shared_dim, scratch);
}

/// The scores of a task's block of keys.
template <class T>
void score_head_block(const forward_task<T>& task) {
    if (task.program.multiplies_integers) return score_integer_block(task);
    const forward_state<T>& state = task.state;
    open_block(task.program, task.tile, task.block.first / key_block<T>, task.head, task.scratch);
    if (task.head.open != nullptr && task.head.open->reads_rows) {
        const arena::scope mark(task.scratch);
        query_tile<T> tile = task.tile;
        // Until now they were rows of a tile of all heads.
        if (tile.panels == nullptr) tile.panels = pack_paired_queries(task, task.scratch);
        score_row_block(task.program, tile, task.block, task.head.rows(), state.scores,
                        state.lane_maximum, state.row_maximum);
    } else {
        score_block(task.program, task.tile, task.block, task.head.keys(), state.scores,
                    score_stride<T>, state.lane_maximum, state.row_maximum);
    }
}

/// Whether a block's values are more than a core's second cache keeps beside the scores. All strips
/// then pass a few columns of them before the next, for which they go to that cache; else a strip
/// is done while its weights lie in the first.
template <class T>
constexpr bool has_wide_values(index value_dim) {
    constexpr index most_bytes = 256 * 1024;
    return padded<T>(value_dim) * key_block<T> * static_cast<index>(sizeof(T)) > most_bytes;
}

/// The first strip from s on that sees another range of a block than strip s.
template <class T>
index next_range(const block_view<T>& block, index s, index strips) {
    index next = s + 1;
    while (next < strips && block.range[next].first == block.range[s].first &&
           block.range[next].last == block.range[s].last)
        ++next;
    return next;
}

/// The weights of row r of a task's block, at `row`, become pairs. Unless `before`, the row's sum
/// before this block, is null, its sum becomes that of what weights are rounded to; but with
/// dropout, whose weights are not those of the sum.
template <class T>
void join_weights(const forward_task<T>& task, index r, T* row, key_interval range,
                  const double* before) {
    const weight_rule<T>& weights = task.weights;
    const bool of_squares = weights.sums == summed::squares;
    const T sum = task.program.pairs->join_weights(row, range, of_squares);
    if (before == nullptr || task.program.drop != nullptr || weights.sums == summed::nothing)
        return;
    const auto factor = static_cast<double>(task.state.rows.factor[r]);
    task.state.rows.sum[r] =
        *before * (of_squares ? factor * factor : factor) + static_cast<double>(sum);
}

/// The weights of a strip become pairs, and their products with v are added. `before`, unless null,
/// are the sums of the strip's rows before this block.
template <class T>
void add_paired_values(forward_task<T>& task, index strip, const double* before) {
    const auto& [program, weights, head, scratch, tile, state, block, stream, observed] = task;
    const key_interval range = block.range[strip];
    const index first = strip * tile.strip, last = std::min(first + tile.strip, tile.count);
    for (index r = first; r < last; ++r)
        join_weights(task, r, state.scores + r * score_stride<T>, range,
                     before == nullptr ? nullptr : before + (r - first));
    const index first_key = block.first + range.first, value_dim = program.shape().value_dim;
    const index keys = std::min(range.last - range.first, program.shape().keys - first_key);
    const contiguous_rows<T> values = head.values(first_key);
    const T* of_first = state.scores + range.first / 2;
    if (head.is_finite(block.first / key_block<T>)) {
        program.pairs->add_values(of_first + first * score_stride<T>, last - first, pairs_of(keys),
                                  values, value_dim, state.rows.factor + first,
                                  state.output + first * state.output_stride, state.output_stride);
        return;
    }
    const arena::scope mark(scratch);
    bool* sees = scratch.template take<bool>(key_block<T>);
    for (index r = first; r < last; ++r) {
        program.sight.list_seen(tile, r, block, range, sees);
        program.pairs->add_seen_values(of_first + r * score_stride<T>, sees + range.first,
                                       pairs_of(keys), values, value_dim, state.rows.factor[r],
                                       state.output + r * state.output_stride);
    }
}

/// One block of keys: scores, weights, or where the rows' statistics are `known`, probabilities,
/// and their product with v.
template <class T>
void attend_to_block(forward_task<T>& task, const std::byte* known) {
    const auto& [program, weights, head, scratch, tile, state, block, stream, observed] = task;
    const index value_dim = program.shape().value_dim;
    score_head_block(task);
    if (known == nullptr) weights.advance(stream, state.rows, state.row_maximum, tile.count);
    const bool finite = head.is_finite(block.first / key_block<T>);
    const bool is_wide =
        program.pairs == nullptr && !program.multiplies_integers && has_wide_values<T>(value_dim);
    for (index s = 0, next = 0; s < tile.strip_count(); s = next) {
        const key_interval range = block.range[s];
        next = is_wide ? next_range(block, s, tile.strip_count()) : s + 1;
        if (range.first == range.last) continue;
        const index first = s * tile.strip;
        const index last = std::min(next * tile.strip, tile.count);
        array_of<double, tiles.score_rows> before = {};
        if (program.pairs != nullptr) std::copy_n(state.rows.sum + first, last - first, before);
        if (known == nullptr)
            weights.weigh(stream, state.rows, first, last, state.scores, range, task.observed);
        else
            weights.weigh_known(stream, known, first, last, state.scores, range);
        drop_weights(program, tile, first, last, block.first, range, state.scores, score_stride<T>);
        if (program.pairs != nullptr) {
            add_paired_values(task, s, known == nullptr ? before : nullptr);
            continue;
        }
        const index first_key = block.first + range.first;
        const index keys = std::min(range.last - range.first, program.shape().keys - first_key);
        if (program.multiplies_integers) {
            add_integer_values(task, first, last, range.first, keys);
            continue;
        }
        const contiguous_rows<T> values = head.values(first_key);
        const T* of_first = state.scores + range.first;
        if (finite) {
            add_values(of_first + first * score_stride<T>, last - first, keys, values, value_dim,
                       state.rows.factor + first, state.output + first * state.output_stride,
                       state.output_stride);
            continue;
        }
        const arena::scope mark(scratch);
        bool* sees = scratch.template take<bool>(key_block<T>);
        for (index r = first; r < last; ++r) {
            program.sight.list_seen(tile, r, block, range, sees);
            add_seen_values(of_first + r * score_stride<T>, sees + range.first, keys, values,
                            value_dim, state.rows.factor[r],
                            state.output + r * state.output_stride);
        }
    }
}

/// A stretch of blocks is over: its sums go to those before it, or all of them back to `output`.
template <class T>
void end_stretch(const forward_state<T>& state, index count, bool is_last) {
    const vec<T> zero(T(0));
    for (index r = 0; r < count; ++r) {
        const vec<T> factor(state.before_factor[r]);
        const index row = r * state.output_stride;
        for (index c = row; c < row + state.output_stride; c += vec<T>::size) {
            const vec<T> before = product(vec<T>::load(state.before + c), factor);
            const vec<T> now = vec<T>::load(state.output + c);
            const vec<T> sum = before + now;
            const vec<T> of_now = sum - before;
            const vec<T> lost = (before - (sum - of_now)) + (now - of_now);
            const vec<T> all_lost = fma(vec<T>::load(state.before_lost + c), factor, lost);
            if (is_last) {
                // What is not finite has lost NaNs.
                select(abs(sum) < vec<T>(std::numeric_limits<T>::infinity()), sum + all_lost, sum)
                    .store(state.output + c);
            } else {
                sum.store(state.before + c);
                all_lost.store(state.before_lost + c);
                zero.store(state.output + c);
            }
        }
        state.before_factor[r] = T(1);
    }
}

/// Before the first block.
template <class T>
void begin_sums(const forward_task<T>& task) {
    const forward_state<T>& state = task.state;
    const index count = task.tile.count;
    const index rows =
        round_up(count, std::max<index>(tiles.score_rows, vec<T>::size)) + tiles.score_rows;
    std::fill_n(state.output, static_cast<std::size_t>(rows * state.output_stride), T(0));
    std::fill_n(state.rows.factor, static_cast<std::size_t>(rows), T(1));
    std::fill_n(state.row_maximum, static_cast<std::size_t>(rows),
                -std::numeric_limits<T>::infinity());
    if (state.before != nullptr) {
        for (T* sums : {state.before, state.before_lost})
            std::fill_n(sums, static_cast<std::size_t>(rows * state.output_stride), T(0));
        std::fill_n(state.before_factor, static_cast<std::size_t>(rows), T(1));
    }
}

/// The sums of the task's block are added.
template <class T>
void add_block(forward_task<T>& task, const std::byte* known) {
    const forward_state<T>& state = task.state;
    attend_to_block(task, known);
    if (state.before == nullptr) return;
    for (index r = 0; r < task.tile.count; ++r) state.before_factor[r] *= state.rows.factor[r];
    const index blocks = task.block.first / key_block<T> + 1;
    if (blocks % blocks_in_a_stretch == 0) end_stretch(state, task.tile.count, false);
}

/// After the last block.
template <class T>
void end_sums(const forward_task<T>& task) {
    if (task.state.before != nullptr) end_stretch(task.state, task.tile.count, true);
}

/// Σ weight·v over all keys, in state.output; or Σ p·v where the rows' statistics are known.
template <class T>
void attend_to_all(forward_task<T>& task, const std::byte* known) {
    begin_sums(task);
    for_seen_blocks(task.program, task.tile, task.block,
                    [&](const block_view<T>&) { add_block(task, known); });
    end_sums(task);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
