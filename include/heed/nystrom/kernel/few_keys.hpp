#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>

#include <heed/attention/kernel/online/forward.hpp>
#include <heed/attention/kernel/online/weight_rule.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/attention/kernel/schedule/call_threads.hpp>
#include <heed/attention/part.hpp>
#include <heed/attention/position_encoding.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/microkernel.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>
#include <heed/nystrom/kernel/row_fetch.hpp>
#include <heed/nystrom/kernel/row_lanes.hpp>
#include <heed/nystrom/kernel/segments.hpp>
#include <heed/softmax/softmax.hpp>

/// \file
/// Exact attention of many queries over so few keys that one block holds all of them.
///
/// Built for the peak of the multiply-add units where a row has little work: the keys are packed
/// once a head and rows of q not at all, all scores of a row are there before its softmax begins,
/// and o is written by the product itself. Rows of q and of o come into the cache one by one while
/// others are multiplied.
///
/// Passes over few_keys_rows queries, whose scores stay in L1:
///   1. rows of q times their scale, scores;
///   2. largest scores, weights and their sums;
///   3. o = weights·v/sum.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Queries whose scores lie in L1 together, and those that are one task's.
inline constexpr index few_keys_rows = 8 * tiles.value_rows;
inline constexpr index few_keys_task = 4 * few_keys_rows;

/// The keys of a head of q, as all of its queries read them.
template <class T>
struct few_keys {
    index count, width;  ///< width: of rows of scores, the same in whole pairs of vectors
    T* turned;           ///< [dim, width]
    contiguous_rows<T> values;
    bool moderate;  ///< whether no Σ weight·v can be beyond T
};

/// Those of the `number`-th head, which has its own; rows of v are whole vectors.
template <class T>
few_keys<T> make_few_keys(const attention_program<T>& program, index number, T* turned,
                          arena& scratch) {
    const attention_shape& shape = program.shape();
    const index batch = number / shape.heads, head = number % shape.heads;
    const arena::scope mark(scratch);
    T* buffer = scratch.take<T>(shape.keys * shape.dim);
    const index width = round_up(shape.keys, 2 * vec<T>::size);
    pack_lanes(program.source.keys(batch, head, 0, shape.keys, encoding_map::near, buffer),
               shape.keys, shape.dim, width, turned);
    const contiguous_rows<T> values =
        rows_of<T>(program.v, batch, head, 0, shape.keys, static_cast<T*>(nullptr));
    return {shape.keys, width, turned, values, all_moderate(values, shape.keys, shape.value_dim)};
}

/// Rows of a tile times their scale, not packed.
template <class T>
void prepare_rows(const attention_program<T>& program, const query_place& at, query_tile<T>& tile) {
    tile.batch = at.batch;
    tile.head = at.head;
    tile.first = at.first;
    tile.count = at.count;
    program.sight.look(tile);
    std::fill_n(tile.visible, at.count, program.shape().keys);
    program.scale.find(tile);
    program.source.queries(tile);
}

/// o of few_keys_rows queries or less, and, unless null, the statistics of the first and of those
/// behind it.
template <class T>
void attend_rows(const attention_program<T>& program, const softmax_normaliser& normaliser,
                 const few_keys<T>& keys, const query_place& at, const tensor_view<const T, 2>& q,
                 const tensor_view<T, 2>& o, softmax_statistics<T>* statistics, arena& scratch) {
    constexpr index size = vec<T>::size, stride = score_stride<T>;
    constexpr index room = few_keys_rows + tiles.value_rows;  // tiles may be a few rows too high
    const arena::scope mark(scratch);
    const index dim = program.shape().dim, value_dim = program.shape().value_dim;
    query_tile<T> tile =
        take_tile<T>(program.shape(), program.source.query_map_count, room, scratch);
    prepare_rows(program, at, tile);

    T* scores = scratch.take<T>(room * stride);
    T* const first_o = o.data + at.first * o.strides[0];
    const index o_stride = o.strides[0], step = o.strides[1];
    multiply_columns(
        at.count, tile.plain[0], dim, fixed<1>(), contiguous_rows<T>{keys.turned, keys.width},
        keys.width, dim,
        [=]<int Vectors>(index r, index column, const vec<T>* sums) __attribute__((always_inline)) {
            if (column == 0) fetch_row<true>(first_o, r, o_stride, value_dim);
            unroll<Vectors>([&](auto c) __attribute__((always_inline)) {
                sums[c].store(scores + r * stride + column + c * size);
            });
        });

    constexpr index lanes = round_up(room, size);
    const running_rows<T> rows{scratch.take<T>(lanes), scratch.take<T>(lanes),
                               scratch.take<double>(lanes), scratch.take<T>(lanes)};
    T* maximum = scratch.take<T>(lanes);
    for (index r = 0; r < at.count; ++r) {
        T* row = scores + r * stride;
        std::fill(row + keys.count, row + keys.width, -std::numeric_limits<T>::infinity());
        vec<T> even = vec<T>::load(row), odd = vec<T>::load(row + size);
        for (index c = 2 * size; c < keys.width; c += 2 * size) {
            even = max(even, vec<T>::load(row + c));
            odd = max(odd, vec<T>::load(row + c + size));
        }
        maximum[r] = reduce_max(max(even, odd));
    }
    const softmax_stream<T> stream = normaliser.streaming<T>(at.head);
    stream.begin(rows, tile.visible, at.count);
    stream.advance(rows, maximum, at.count);
    T* factor = rows.factor;
    for (index r = 0; r < at.count; ++r) {
        T* row = scores + r * stride;
        stream.weigh(rows, r, row, 0, keys.width);
        softmax_statistics<T> unused;
        factor[r] = stream.finish(rows, r, statistics == nullptr ? unused : statistics[r]);
        if (keys.moderate) continue;
        multiply_row(row, keys.width, factor[r], row);  // Σ p·v is not beyond T
        factor[r] = T(1);
    }

    const T* const first_q = q.data;
    const index q_stride = q.strides[0], next = at.first + few_keys_rows, last = q.extents[0] - 1;
    const index count = at.count;
    multiply_columns(
        count, scores, fixed<stride>(), fixed<1>(), keys.values, value_dim, keys.count,
        [=]<int Vectors>(index r, index column, const vec<T>* sums) __attribute__((always_inline)) {
            if (r >= count) return;
            if (column == 0) fetch_row(first_q, std::min(next + r, last), q_stride, dim);
            const vec<T> by(factor[r]);
            unroll<Vectors>([&](auto c) __attribute__((always_inline)) {
                const index at_column = column + c * size;
                store_columns(sums[c] * by, first_o + r * o_stride, step, at_column,
                              value_dim - at_column);
            });
        });
}

/// o and, unless null, `statistics`, [batch, head, query], as forward computes them to rounding; q
/// is the program's. k and v have a head for each of q, and rows of v are whole vectors.
template <class T>
void attend_to_few_keys(const attention_program<T>& program, const weight_rule<T>& weights,
                        const softmax_normaliser& normaliser, const tensor_view<const T, 4>& q,
                        const tensor_view<T, 4>& o, softmax_statistics<T>* statistics) {
    const attention_shape& shape = program.shape();
    if (shape.keys > key_block<T>)
        return forward(program, weights, o, reinterpret_cast<std::byte*>(statistics));
    workspace& memory = program.memory;
    arena& own = memory.slot(0);
    const arena::scope mark(own);
    const index heads = shape.batch * shape.heads;
    const index blocks = count_blocks(shape.queries, few_keys_task);
    const index helpers = count_threads(program, 2) - 1;
    const index turned = shape.dim * round_up(shape.keys, 2 * vec<T>::size);
    T* numbers = own.take<T>(heads * turned);
    auto* keys = own.take<few_keys<T>>(heads);
    for_each_task(
        program.threads.pool, memory, heads,
        [&](index slot, index head) {
            keys[head] = make_few_keys(program, head, numbers + head * turned, memory.slot(slot));
        },
        helpers);
    for_each_task(
        program.threads.pool, memory, heads * blocks,
        [&](index slot, index task) {
            const index number = task / blocks;
            const index batch = number / shape.heads, head = number % shape.heads;
            const index begin = task % blocks * few_keys_task;
            const index end = std::min(begin + few_keys_task, shape.queries);
            for (index first = begin; first < end; first += few_keys_rows)
                attend_rows<T>(
                    program, normaliser, keys[number],
                    {batch, head, first, std::min(few_keys_rows, end - first)},
                    matrix_of(q, batch, head), matrix_of(o, batch, head),
                    statistics == nullptr ? nullptr : statistics + number * shape.queries + first,
                    memory.slot(slot));
        },
        helpers);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
