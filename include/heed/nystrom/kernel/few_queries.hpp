#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/products/packed_head.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
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
#include <heed/nystrom/kernel/query_lanes.hpp>
#include <heed/nystrom/kernel/row_fetch.hpp>
#include <heed/nystrom/kernel/segments.hpp>
#include <heed/softmax/softmax.hpp>

/// \file
/// Exact attention of few queries over many keys, piece by piece of the keys.
///
/// Built for the bandwidth of reading memory, which few queries share: attention packs all keys of
/// a head before its queries pass them. Here nothing is packed but the queries, and all of them, of
/// all heads that read a block of keys, pass it while the L2 cache holds it.
///
/// Passes:
///   1. each piece of a head's keys, a task: o and the statistics of its queries over these keys;
///   2. each head, a task: its pieces become one, two by two.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Keys of a piece, whole blocks. The sequence's length alone decides, so that results depend on no
/// threads. Not more than that: sums of blocks are added one to the other, and pieces two by two.
template <class T>
index keys_a_piece(index keys) {
    constexpr index least = 1024, most = 8192, pieces = 16;
    return round_up(std::clamp(count_blocks(keys, pieces), least, most), key_block<T>);
}

/// Pass 2, of a row and one piece more: o = (a·o + b·o')/(a + b), a and b the sums of e^{s/τ} of
/// both below one maximum.
template <class T>
void merge_row(const softmax_stream<T>& stream, T* o, index step, softmax_statistics<T>& row,
               const T* other_o, index other_step, const softmax_statistics<T>& other,
               index columns) {
    if (other.sum == T(0)) return;
    const merge_factors<T> by = stream.merge(row, other);
    const vec<T> of_row(by.whole), of_other(by.part);
    for (index c = 0; c < columns; c += vec<T>::size) {
        const vec<T> x = load_columns<T>(o, step, c, columns - c) * of_row;
        const vec<T> y = load_columns<T>(other_o, other_step, c, columns - c);
        store_columns(fma(y, of_other, x), o, step, c, columns - c);
    }
}

/// Pass 1: all queries that read the `number`-th head of k, over its keys `piece`, whole blocks;
/// passed(number, first, last) of each of them.
template <class T, class Passed>
void attend_to_piece(const attention_program<T>& program, const softmax_normaliser& normaliser,
                     index number, const key_interval& piece, const next_lines<T>& next,
                     const tensor_view<T, 4>& o, softmax_statistics<T>* statistics,
                     const Passed& passed, arena& scratch) {
    const attention_shape& shape = program.shape();
    const index count =
        shape.heads / shape.kv_heads * count_blocks(shape.queries, queries_at_once<T>);
    auto* lanes = scratch.take<query_lanes<T>>(count);
    for (index i = 0; i < count; ++i)
        lanes[i] = make_query_lanes(program, locate_queries(shape, number, i, queries_at_once<T>),
                                    scratch);
    const auto sum_all = [&](T shrink, const auto& done) {
        for (index i = 0; i < count; ++i) begin_lanes(normaliser, lanes[i]);
        for (index first = piece.first; first < piece.last; first += key_block<T>) {
            add_keys(program, normaliser, locate_keys<T>(shape, number, first / key_block<T>), next,
                     lanes, count, shrink, scratch);
            done(number, first, std::min(piece.last, first + key_block<T>));
        }
    };
    sum_all(T(1), passed);
    bool is_finite = true;
    for (index i = 0; i < count; ++i)
        is_finite = is_finite && are_finite(lanes[i], lanes[i].output, 0, lanes[i].at.count);
    if (!is_finite) {  // they are kept where they are, and the others summed again
        for (index i = 0; i < count; ++i) keep_sums(lanes[i], scratch);
        sum_all(weight_shrink<T>, [](index, index, index) {});
    }
    for (index i = 0; i < count; ++i) {
        const query_place& at = lanes[i].at;
        end_lanes(normaliser, lanes[i], matrix_of(o, at.batch, at.head),
                  statistics + (at.batch * shape.heads + at.head) * shape.queries + at.first);
    }
}

/// o and, unless null, `statistics`, [batch, head, query], of a softmax attention; k is the
/// program's. passed(head, first, last), the head k's, is called once for these keys of each, while
/// a cache holds them.
template <class T, class Passed>
void attend_with_few_queries(const attention_program<T>& program,
                             const softmax_normaliser& normaliser, const tensor_view<const T, 4>& k,
                             const tensor_view<T, 4>& o, softmax_statistics<T>* statistics,
                             const Passed& passed) {
    const attention_shape& shape = program.shape();
    const softmax_stream<T> stream = normaliser.streaming<T>(0);
    workspace& memory = program.memory;
    arena& own = memory.slot(0);
    const arena::scope mark(own);
    const index queries = shape.queries, columns = shape.value_dim;
    const index heads = shape.batch * shape.heads, rows = heads * queries;
    const index length = keys_a_piece<T>(shape.keys), pieces = count_blocks(shape.keys, length);
    const index helpers = count_threads(program, 2) - 1;
    if (statistics == nullptr) statistics = own.take<softmax_statistics<T>>(rows);
    const tensor_view<const T, 4>& v = program.v;
    const next_lines<T> next{
        find_fetched_lines<T>(shape.dim, k.strides[2], k.strides[3], shape.dim, own),
        find_fetched_lines<T>(columns, v.strides[2], v.strides[3], shape.dim, own),
        find_no_lines<T>(shape.dim, own)};
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
            const index number = task / pieces;
            if (piece == 0)
                attend_to_piece(program, normaliser, number, keys, next, o, statistics, passed,
                                scratch);
            else
                attend_to_piece<T>(
                    program, normaliser, number, keys, next,
                    {others + other * columns, o.extents, row_major_strides(o.extents)},
                    of_others + other, passed, scratch);
        },
        helpers);
    const auto merge_pieces = [&](index, index head) {
        const tensor_view<T, 2> to = matrix_of(o, head / shape.heads, head % shape.heads);
        for (index row = head * queries; row < (head + 1) * queries; ++row) {
            T* const first = &to(row % queries, 0);
            const auto other = [&](index piece) { return (piece - 1) * rows + row; };
            for (index apart = 1; apart < pieces; apart *= 2) {
                for (index p = 0; p + apart < pieces; p += 2 * apart)
                    merge_row(stream, p == 0 ? first : others + other(p) * columns,
                              p == 0 ? to.strides[1] : 1,
                              p == 0 ? statistics[row] : of_others[other(p)],
                              others + other(p + apart) * columns, 1, of_others[other(p + apart)],
                              columns);
            }
        }
    };
    for_each_task(program.threads.pool, memory, pieces == 1 ? 0 : heads, merge_pieces, helpers);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
