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
#include <heed/nystrom/kernel/whole_rows.hpp>
#include <heed/softmax/softmax.hpp>

/// \file
/// Exact attention of many queries over so few keys that one block holds all of them.
///
/// Built for the peak of the multiply-add units where a row has little work: the keys are packed
/// once a head and rows of q are read where they lie, all scores of a row are there before its
/// softmax begins, and o is written by the product itself. Rows of q and of o come into the cache
/// line by line while others are multiplied.
///
/// Passes over few_keys_rows queries, whose scores stay in L1:
///   1. scores, products times the row's scale;
///   2. largest scores, weights and their sums;
///   3. o = weights·v/sum.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Queries whose scores lie in L1 together, and those that are one task's.
inline constexpr index few_keys_rows = 8 * tiles.value_rows;
inline constexpr index few_keys_task = 4 * few_keys_rows;

/// The keys of a head of q, as all of its queries read them.
template <class T>
struct few_keys {
    index count, width;  ///< width: of rows of scores, the same in whole panels
    T* panels;           ///< a key a lane
    contiguous_rows<T> values;
    bool moderate;  ///< whether no Σ weight·v can be beyond T
};

/// Where the next queries and rows of o lie, and nothing.
template <class T>
struct query_lines {
    fetched_lines<T> q, o, none;
};

/// Those of the `number`-th head, which has its own; rows of v are whole vectors.
template <class T>
few_keys<T> make_few_keys(const attention_program<T>& program, index number, T* panels,
                          arena& scratch) {
    const attention_shape& shape = program.shape();
    const index batch = number / shape.heads, head = number % shape.heads;
    const arena::scope mark(scratch);
    T* buffer = scratch.take<T>(shape.keys * shape.dim);
    pack_panels(program.source.keys(batch, head, 0, shape.keys, encoding_map::near, buffer),
                shape.keys, shape.dim, panels);
    const contiguous_rows<T> values =
        rows_of<T>(program.v, batch, head, 0, shape.keys, static_cast<T*>(nullptr));
    return {shape.keys, lanes_of<T>(shape.keys), panels, values,
            all_moderate(values, shape.keys, shape.value_dim)};
}

/// The scales of a tile's rows.
template <class T>
void find_scales(const attention_program<T>& program, const query_place& at, query_tile<T>& tile) {
    tile.batch = at.batch;
    tile.head = at.head;
    tile.first = at.first;
    tile.count = at.count;
    program.sight.look(tile);
    std::fill_n(tile.visible, at.count, program.shape().keys);
    program.scale.find(tile);
}

/// Queries where they lie, if they are whole tiles of the microkernel, or a copy of them.
template <class T>
contiguous_rows<T> rows_to_multiply(const tensor_view<const T, 4>& q, const query_place& at,
                                    arena& scratch) {
    const index dim = q.extents[3];
    if (are_padded(q) && at.count % tiles.score_rows == 0)
        return rows_of<T>(q, at.batch, at.head, at.first, at.count, nullptr);
    T* copy = scratch.take<T>((at.count + tiles.score_rows) * dim);
    copy_rows(q, at.batch, at.head, at.first, at.count, copy);
    return {copy, dim};
}

/// o of few_keys_rows queries or less, and, unless null, the statistics of the first and of those
/// behind it.
template <class T>
void attend_rows(const attention_program<T>& program, const softmax_normaliser& normaliser,
                 const few_keys<T>& keys, const query_lines<T>& next, const query_place& at,
                 const tensor_view<const T, 4>& q, const tensor_view<T, 2>& o,
                 softmax_statistics<T>* statistics, arena& scratch) {
    constexpr index size = vec<T>::size, stride = score_stride<T>;
    constexpr index room = few_keys_rows + tiles.score_rows;  // tiles may be a few rows too high
    const arena::scope mark(scratch);
    const index dim = program.shape().dim, value_dim = program.shape().value_dim;
    query_tile<T> tile = take_tile<T>(program.shape(), 0, room, scratch);
    find_scales(program, at, tile);
    const contiguous_rows<T> queries = rows_to_multiply(q, at, scratch);
    const tensor_view<const T, 2> all_q = matrix_of(q, at.batch, at.head);

    T* scores = scratch.take<T>(room * stride);
    T* const first_o = o.data + at.first * o.strides[0];
    const index o_stride = o.strides[0], step = o.strides[1];
    const T* const scale = tile.scale;
    const auto coming_lines = [&](index lane, index r) {
        if (lane == 0) return next.q.at(all_q.data, at.first + few_keys_rows + r);
        if (lane + panel_width<T> == keys.width) return next.o.at(o.data, at.first + r);
        return next.none.at(keys.panels, 0);
    };
    multiply_lanes(
        at.count, queries.data, queries.stride, keys.panels, keys.width, dim,
        coming_lines, [=](index r, index lane, const vec<T>* sums) __attribute__((always_inline)) {
            const vec<T> by(scale[r]);
            unroll<tiles.score_vectors>([&](auto c) __attribute__((always_inline)) {
                (sums[c] * by).store(scores + r * stride + lane + c * size);
            });
        });

    for (index r = 0; r < at.count; ++r)
        std::fill(scores + r * stride + keys.count, scores + r * stride + keys.width,
                  -std::numeric_limits<T>::infinity());
    T* factor = scratch.take<T>(round_up(room, size));
    weigh_whole_rows(normaliser, at.count, scores, stride, keys.width, factor, statistics);
    for (index r = 0; r < (keys.moderate ? 0 : at.count); ++r) {  // Σ p·v is not beyond T
        multiply_row(scores + r * stride, keys.width, factor[r], scores + r * stride);
        factor[r] = T(1);
    }

    const index count = at.count;
    multiply_columns(
        count, scores, fixed<stride>(), fixed<1>(), keys.values, value_dim, keys.count,
        [=]<int Vectors>(index r, index column, const vec<T>* sums) __attribute__((always_inline)) {
            if (r >= count) return;
            const vec<T> by(factor[r]);
            T* const to = first_o + r * o_stride;
            const bool whole = step == 1 && column + Vectors * size <= value_dim;
            unroll<Vectors>([&](auto c) __attribute__((always_inline)) {
                const index at_column = column + c * size;
                if (whole)
                    (sums[c] * by).store(to + at_column);
                else
                    store_columns(sums[c] * by, to, step, at_column, value_dim - at_column);
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
    const index panels = panels_size<T>(shape.keys, shape.dim);
    T* numbers = own.take<T>(heads * panels);
    auto* keys = own.take<few_keys<T>>(heads);
    const query_lines<T> next{
        find_fetched_lines<T>(shape.dim, q.strides[2], q.strides[3], shape.dim, own),
        find_fetched_lines<T>(shape.value_dim, o.strides[2], o.strides[3], shape.dim, own),
        find_no_lines<T>(shape.dim, own)};
    for_each_task(
        program.threads.pool, memory, heads,
        [&](index slot, index head) {
            keys[head] = make_few_keys(program, head, numbers + head * panels, memory.slot(slot));
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
                    program, normaliser, keys[number], next,
                    {batch, head, first, std::min(few_keys_rows, end - first)}, q,
                    matrix_of(o, batch, head),
                    statistics == nullptr ? nullptr : statistics + number * shape.queries + first,
                    memory.slot(slot));
        },
        helpers);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
