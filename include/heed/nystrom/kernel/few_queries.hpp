#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <heed/attention/kernel/online/attend.hpp>
#include <heed/attention/kernel/online/forward_tile.hpp>
#include <heed/attention/kernel/online/weight_rule.hpp>
#include <heed/attention/kernel/products/packed_head.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/products/scores.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/kernel/schedule/call_threads.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>
#include <heed/nystrom/kernel/row_fetch.hpp>
#include <heed/nystrom/kernel/segments.hpp>
#include <heed/softmax/softmax.hpp>

/// \file
/// Exact attention of few queries over many keys, piece by piece of the keys.
///
/// Built for the bandwidth of reading memory, which few queries share: attention packs all keys of
/// a head before its queries pass them. Here a block of keys is packed when its turn comes, and all
/// queries of all heads that read it pass it while the L2 cache holds it.
///
/// Passes:
///   1. each piece of a head's keys, a task: o and the statistics of its queries over these keys;
///   2. each head, a task: its pieces become one, in order.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Keys of a piece, whole blocks. The sequence's length alone decides, so that results depend on no
/// threads; there are few pieces, since o of each is kept.
template <class T>
index keys_a_piece(index keys) {
    constexpr index least = 2048, most_pieces = 16;
    return round_up(std::max(least, count_blocks(keys, most_pieces)), key_block<T>);
}

/// Pass 2, of a row and one piece more: o = (a·o + b·o')/(a + b), a and b the sums of e^{s/τ} of
/// both below one maximum.
template <class T>
void merge_row(T* o, index step, softmax_statistics<T>& row, const T* other_o,
               const softmax_statistics<T>& other, index columns, double temperature) {
    if (other.sum == T(0)) return;
    const double maximum =
        std::max(static_cast<double>(row.maximum), static_cast<double>(other.maximum));
    const auto weight = [&](const softmax_statistics<T>& of) {
        if (of.sum == T(0)) return 0.0;
        return static_cast<double>(of.sum) *
               std::exp((static_cast<double>(of.maximum) - maximum) / temperature);
    };
    const double a = weight(row), b = weight(other), sum = a + b;
    const vec<T> of_row(static_cast<T>(a / sum)), of_other(static_cast<T>(b / sum));
    for (index c = 0; c < columns; c += vec<T>::size) {
        const vec<T> x = load_columns<T>(o, step, c, columns - c) * of_row;
        const vec<T> y = vec<T>::load_partial(other_o + c, columns - c);
        store_columns(fma(y, of_other, x), o, step, c, columns - c);
    }
    row = {static_cast<T>(maximum), static_cast<T>(sum)};
}

/// Pass 1: all queries that read the `number`-th head of k, over its keys `piece`, whole blocks.
template <class T>
void attend_to_piece(const attention_program<T>& program, const weight_rule<T>& weights,
                     const tensor_view<const T, 4>& k, index number, const key_interval& piece,
                     const tensor_view<T, 4>& o, softmax_statistics<T>* statistics,
                     arena& scratch) {
    const attention_shape& shape = program.shape();
    constexpr index height = tiles.query_block;
    packed_head<T> head = make_open_head(program, scratch);
    const index batch = number / shape.kv_heads, kv_head = number % shape.kv_heads;
    locate_values(program, batch, kv_head, head);
    const auto keys = matrix_of(k, batch, kv_head), values = matrix_of(program.v, batch, kv_head);
    const index count = shape.heads / shape.kv_heads * count_blocks(shape.queries, height);
    auto** tasks = scratch.take<forward_task<T>*>(count);
    for (index i = 0; i < count; ++i) {
        const query_place at = locate_queries(shape, number, i, height);
        tasks[i] =
            &scratch.make<forward_task<T>>(begin_attention(program, weights, at, head, scratch));
        for (index r = 0; r < at.count; ++r) {
            key_interval& seen = tasks[i]->tile.seen[r];
            seen = {std::max(seen.first, piece.first), std::min(seen.last, piece.last)};
        }
        tasks[i]->state.scores = tasks[0]->state.scores;  // the first is as high as any
        begin_sums(*tasks[i]);
    }
    for (index first = piece.first; first < piece.last; first += key_block<T>) {
        const index last = std::min(first + key_block<T>, piece.last);
        fetch_rows(keys, first, last);
        fetch_rows(values, first, last);
        for (index i = 0; i < count; ++i) {
            look_at_block(program, tasks[i]->tile, first, tasks[i]->block);
            add_block(*tasks[i], nullptr);
        }
    }
    for (index i = 0; i < count; ++i) {
        const query_place at = locate_queries(shape, number, i, height);
        const index row = (at.batch * shape.heads + at.head) * shape.queries + at.first;
        end_sums(*tasks[i]);
        end_attention(*tasks[i], at, o, reinterpret_cast<std::byte*>(statistics + row));
    }
}

/// o and, unless null, `statistics`, [batch, head, query], of a softmax attention of this
/// temperature; k is the program's.
template <class T>
void attend_with_few_queries(const attention_program<T>& program, const weight_rule<T>& weights,
                             double temperature, const tensor_view<const T, 4>& k,
                             const tensor_view<T, 4>& o, softmax_statistics<T>* statistics) {
    const attention_shape& shape = program.shape();
    workspace& memory = program.memory;
    arena& own = memory.slot(0);
    const arena::scope mark(own);
    const index queries = shape.queries, columns = shape.value_dim;
    const index heads = shape.batch * shape.heads, rows = heads * queries;
    const index length = keys_a_piece<T>(shape.keys), pieces = count_blocks(shape.keys, length);
    const index helpers = count_threads(program, 2) - 1;
    if (statistics == nullptr) statistics = own.take<softmax_statistics<T>>(rows);
    // Of the first piece they are o and statistics themselves.
    T* others = own.take<T>((pieces - 1) * rows * columns);
    auto* of_others = own.take<softmax_statistics<T>>((pieces - 1) * rows);
    for_each_task(
        program.threads.pool, memory, shape.batch * shape.kv_heads * pieces,
        [&](index slot, index task) {
            arena& scratch = memory.slot(slot);
            const arena::scope until_the_end(scratch);
            const index piece = task % pieces, other = (piece - 1) * rows;
            const key_interval keys{piece * length, std::min(shape.keys, (piece + 1) * length)};
            if (piece == 0)
                attend_to_piece(program, weights, k, task / pieces, keys, o, statistics, scratch);
            else
                attend_to_piece<T>(
                    program, weights, k, task / pieces, keys,
                    {others + other * columns, o.extents, row_major_strides(o.extents)},
                    of_others + other, scratch);
        },
        helpers);
    for_each_task(
        program.threads.pool, memory, pieces == 1 ? 0 : heads,
        [&](index, index head) {
            const tensor_view<T, 2> to = matrix_of(o, head / shape.heads, head % shape.heads);
            for (index i = 0; i < queries; ++i) {
                const index row = head * queries + i;
                for (index other = row; other < (pieces - 1) * rows; other += rows)
                    merge_row(&to(i, 0), to.strides[1], statistics[row], others + other * columns,
                              of_others[other], columns, temperature);
            }
        },
        helpers);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
