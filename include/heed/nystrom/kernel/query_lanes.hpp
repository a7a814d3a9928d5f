#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>

#include <heed/attention/kernel/products/packed_head.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/attention/part.hpp>
#include <heed/attention/position_encoding.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/math.hpp>
#include <heed/core/microkernel.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>
#include <heed/core/view.hpp>
#include <heed/nystrom/kernel/row_fetch.hpp>
#include <heed/nystrom/kernel/row_lanes.hpp>
#include <heed/nystrom/kernel/segments.hpp>
#include <heed/softmax/softmax.hpp>

/// \file
/// Few queries, one a lane, on their way through blocks of keys.
///
/// Built for the peak of the multiply-add units: rows of k and v are multiplied where they lie, and
/// the largest score and the sum of weights of a query are those of its lane.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Queries that pass a block of keys together: their scores lie in the L2 cache beside it.
template <class T>
inline constexpr index queries_at_once = key_block<T> / 2;

/// What weights are multiplied by where Σ weight·v is beyond T though o is not: 2^−33, since no
/// piece of the keys has as many.
template <class T>
inline constexpr T weight_shrink = T(1) / T(8589934592);

/// Queries of a head, and what is kept of them from block to block.
template <class T>
struct query_lanes {
    query_place at;
    index width;  ///< their number in whole panels
    T* panels;    ///< rows times their scale, a query a lane
    running_rows<T> rows;
    T* block_maximum;  ///< of each lane's scores in this block
    T* block_sum;      ///< of its weights
    T* output;         ///< [query, column]: Σ weight·v so far
    index output_stride;
    T* kept;  ///< the same of all keys, before weights shrank; or null

    /// With the rows that the microkernel computes too many.
    index output_size() const { return (width + vec<T>::size) * output_stride; }
};

/// Queries times their scale, packed.
template <class T>
query_lanes<T> make_query_lanes(const attention_program<T>& program, const query_place& at,
                                arena& scratch) {
    const attention_shape& shape = program.shape();
    const index width = lanes_of<T>(at.count), room = width + vec<T>::size;
    const index stride = padded<T>(shape.value_dim);
    query_lanes<T> lanes{at,
                         width,
                         scratch.take<T>(panels_size<T>(at.count, shape.dim)),
                         {scratch.take<T>(room), scratch.take<T>(room), scratch.take<double>(room),
                          scratch.take<T>(room)},
                         scratch.take<T>(room),
                         scratch.take<T>(room),
                         scratch.take<T>(room * stride),
                         stride,
                         nullptr};
    const arena::scope mark(scratch);
    query_tile<T> tile = take_tile<T>(shape, program.source.query_map_count, at.count, scratch);
    fill_tile(program, at, tile);
    pack_panels<T>({tile.plain[0], shape.dim}, at.count, shape.dim, lanes.panels);
    return lanes;
}

/// Before the first block.
template <class T>
void begin_lanes(const softmax_normaliser& normaliser, const query_lanes<T>& lanes) {
    normaliser.streaming<T>(lanes.at.head).begin(lanes.rows, nullptr, lanes.width);
    std::fill_n(lanes.output, lanes.output_size(), T(0));
}

/// Scores of `count` keys, rows `stride` apart; the lines of ahead(lane, key) come meanwhile.
template <class T, class Ahead>
void score_keys(const query_lanes<T>& lanes, const contiguous_rows<T>& keys, index count, index dim,
                T* scores, index stride, const Ahead& ahead) {
    constexpr index size = vec<T>::size;
    T* const maximum = lanes.block_maximum;
    multiply_lanes(
        count, keys.data, keys.stride, lanes.panels, lanes.width, dim,
        ahead, [=](index key, index lane, const vec<T>* sums) __attribute__((always_inline)) {
            if (key >= count) return;
            unroll<tiles.score_vectors>([&](auto c) __attribute__((always_inline)) {
                T* so_far = maximum + lane + c * size;
                sums[c].store(scores + key * stride + lane + c * size);
                max(vec<T>::load(so_far), sums[c]).store(so_far);
            });
        });
}

/// Vectors vectors of scores of `count` keys become weights, and block_sum their sums.
template <int Vectors, class T, class Exponent>
void weigh_lanes(const query_lanes<T>& lanes, index lane, const Exponent& exponent_of, index count,
                 T* scores, index stride) {
    constexpr index size = vec<T>::size;
    array_of<vec<T>, Vectors> sum, reference;
    unroll<Vectors>([&](auto c) {
        sum[c] = vec<T>(T(0));
        reference[c] = vec<T>::load(lanes.rows.reference + lane + c * size);
    });
    for (index key = 0; key < count; ++key) {
        unroll<Vectors>([&](auto c) __attribute__((always_inline)) {
            T* at = scores + key * stride + lane + c * size;
            const vec<T> weight = exp2_nonpositive(exponent_of(vec<T>::load(at), reference[c]));
            sum[c] += weight;
            weight.store(at);
        });
    }
    unroll<Vectors>([&](auto c) { sum[c].store(lanes.block_sum + lane + c * size); });
}

template <class T, class Exponent>
void weigh_all_lanes(const query_lanes<T>& lanes, const Exponent& exponent_of, index count,
                     T* scores, index stride) {
    constexpr index size = vec<T>::size;
    index lane = 0;
    for (; lane + 4 * size <= lanes.width; lane += 4 * size)
        weigh_lanes<4>(lanes, lane, exponent_of, count, scores, stride);
    for (; lane < lanes.width; lane += size)
        weigh_lanes<1>(lanes, lane, exponent_of, count, scores, stride);
}

/// output = factor·output + Σ weight·v
template <class T>
void add_weighted_values(const query_lanes<T>& lanes, const T* weights, index stride, index count,
                         const contiguous_rows<T>& values, index value_dim) {
    T* const output = lanes.output;
    const T* const factor = lanes.rows.factor;
    const index output_stride = lanes.output_stride;
    multiply_columns(
        lanes.at.count, weights, fixed<1>(), stride, values, value_dim, count,
        [=]<int Vectors>(index r, index column, const vec<T>* sums) __attribute__((always_inline)) {
            const vec<T> by(factor[r]);
            unroll<Vectors>([&](auto c) __attribute__((always_inline)) {
                T* at = output + r * output_stride + column + c * vec<T>::size;
                fma(vec<T>::load(at), by, sums[c]).store(at);
            });
        });
}

/// f(rows, first, number) for all rows of x: those of whole tiles of the microkernel where they
/// lie, the others copied, since it reads a few too many.
template <class T, class F>
void for_whole_tiles(const contiguous_rows<T>& x, index count, index columns, arena& scratch,
                     const F& f) {
    const index whole = count / tiles.score_rows * tiles.score_rows, rest = count - whole;
    if (whole > 0) f(x, index(0), whole);
    if (rest == 0) return;
    const arena::scope mark(scratch);
    T* copy = scratch.take<T>(tiles.score_rows * columns);
    for (index r = 0; r < tiles.score_rows; ++r)
        std::copy_n(x[whole + std::min(r, rest - 1)], columns, copy + r * columns);
    f(contiguous_rows<T>{copy, columns}, whole, rest);
}

/// Scores of a block become weights, and their sums those of all blocks so far.
template <class T>
void weigh_block(const softmax_normaliser& normaliser, const query_lanes<T>& lanes, index count,
                 T* scores, index stride) {
    const relative_exponents<T> exponents(normaliser.tau());
    normaliser.streaming<T>(lanes.at.head).advance(lanes.rows, lanes.block_maximum, lanes.width);
    if (exponents.is_plain())
        weigh_all_lanes(
            lanes,
            [&](vec<T> s, vec<T> reference)
                __attribute__((always_inline)) { return exponents.plain(s, reference); },
            count, scores, stride);
    else
        weigh_all_lanes(
            lanes, [&](vec<T> s, vec<T> reference) { return exponents.scaled(s, reference); },
            count, scores, stride);
    const running_rows<T>& rows = lanes.rows;
    for (index r = 0; r < lanes.at.count; ++r)
        rows.sum[r] = rows.sum[r] * static_cast<double>(rows.factor[r]) +
                      static_cast<double>(lanes.block_sum[r]);
}

/// The values of a block of keys as rows of whole vectors: where they lie, or in `buffer`.
template <class T>
contiguous_rows<T> whole_values(const attention_program<T>& program, const key_place& at, T* buffer,
                                arena& scratch) {
    const index columns = program.shape().value_dim;
    const arena::scope mark(scratch);
    T* rows = scratch.take<T>(at.count * columns);
    const auto values = rows_of(program.v, at.batch, at.kv_head, at.first, at.count, rows);
    if (are_padded(program.v)) return values;
    pad_rows(values, at.count, columns, buffer);
    return {buffer, padded<T>(columns)};
}

/// Where the next keys and their values lie, and nothing.
template <class T>
struct next_lines {
    fetched_lines<T> keys, values, none;
};

/// All lanes pass a block of keys; the block behind it comes into the cache meanwhile. Weights are
/// `shrink` times as large.
template <class T>
void add_keys(const attention_program<T>& program, const softmax_normaliser& normaliser,
              const key_place& at, const next_lines<T>& next, query_lanes<T>* lanes, index count,
              T shrink, arena& scratch) {
    constexpr index stride = queries_at_once<T> + vec<T>::size;
    const arena::scope mark(scratch);
    const index dim = program.shape().dim, value_dim = program.shape().value_dim;
    T* scores = scratch.take<T>(at.count * stride);
    T* buffer = scratch.take<T>(at.count * dim);
    const contiguous_rows<T> keys =
        program.source.keys(at.batch, at.kv_head, at.first, at.count, encoding_map::near, buffer);
    T* padding = scratch.take<T>(at.count * padded<T>(value_dim));
    const contiguous_rows<T> values = whole_values(program, at, padding, scratch);
    for (query_lanes<T>* some = lanes; some < lanes + count; ++some) {
        std::fill_n(some->block_maximum, some->width, -std::numeric_limits<T>::infinity());
        const bool fetches_keys = some == lanes && keys.data != buffer;
        const bool fetches_values = some == lanes && values.data != padding;
        const index last_lane = some->width - panel_width<T>;
        const auto score = [&](const contiguous_rows<T>& rows, index first, index number) {
            score_keys(*some, rows, number, dim, scores + first * stride, stride,
                       [&](index lane, index key) {
                           const index behind = key_block<T> + first + key;
                           if (lane == 0 && fetches_keys) return next.keys.at(keys.data, behind);
                           if (lane == last_lane && fetches_values)
                               return next.values.at(values.data, behind);
                           return next.none.at(some->panels, 0);
                       });
        };
        for_whole_tiles(keys, at.count, dim, scratch, score);
        weigh_block(normaliser, *some, at.count, scores, stride);
        if (shrink != T(1))
            for (index key = 0; key < at.count; ++key)
                multiply_row(scores + key * stride, some->width, shrink, scores + key * stride);
        add_weighted_values(*some, scores, stride, at.count, values, value_dim);
    }
}

/// Whether sums of rows first … last − 1 are finite.
template <class T>
bool are_finite(const query_lanes<T>& lanes, const T* sums, index first, index last) {
    return all_finite<T>({sums + first * lanes.output_stride, lanes.output_stride}, last - first,
                         lanes.output_stride);
}

/// Those of weights that did not shrink are kept beside what comes.
template <class T>
void keep_sums(query_lanes<T>& lanes, arena& scratch) {
    lanes.kept = scratch.take<T>(lanes.output_size());
    std::copy_n(lanes.output, lanes.output_size(), lanes.kept);
}

/// After the last block: o [query, column] of the head, and the statistics of the first query and
/// of those behind it. A row's own sums say which of both are taken.
template <class T>
void end_lanes(const softmax_normaliser& normaliser, const query_lanes<T>& lanes,
               const tensor_view<T, 2>& o, softmax_statistics<T>* statistics) {
    const softmax_stream<T> stream = normaliser.streaming<T>(lanes.at.head);
    const index columns = o.extents[1];
    for (index r = 0; r < lanes.at.count; ++r) {
        vec<T> factor(stream.finish(lanes.rows, r, statistics[r]));
        const T* from = lanes.output;
        if (lanes.kept != nullptr && are_finite(lanes, lanes.kept, r, r + 1))
            from = lanes.kept;
        else if (lanes.kept != nullptr)
            factor = factor * vec<T>(T(1) / weight_shrink<T>);
        from += r * lanes.output_stride;
        for (index c = 0; c < columns; c += vec<T>::size)
            store_columns(vec<T>::load(from + c) * factor, &o(lanes.at.first + r, 0), o.strides[1],
                          c, columns - c);
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
