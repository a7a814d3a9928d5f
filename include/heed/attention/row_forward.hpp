#pragma once

#include <algorithm>
#include <cstdint>

#include <heed/attention/call.hpp>
#include <heed/attention/forward.hpp>
#include <heed/attention/query_tile.hpp>
#include <heed/attention/row_scores.hpp>
#include <heed/attention/rows.hpp>
#include <heed/attention/scores.hpp>
#include <heed/attention/stats.hpp>
#include <heed/attention/support.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>

/// \file
/// Exact attention forward for normalisers that need a whole row: entmax, sparse softmax, ….
///
/// A block of query rows at a time holds its scores against all keys in scratch; the normaliser
/// takes row by row. Where few probabilities are not zero, only those rows of v are read: then the
/// product q·kᵀ is nearly all of the time, and it runs at the peak of the multiply-add units.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A row with more probabilities than one in this many is multiplied as a dense one: from there on
/// the microkernel, though it multiplies zeros, is faster than reading scattered rows.
inline constexpr index dense_share = 4;

/// Entries of a sum that starts from zero: a long chain of additions loses accuracy.
inline constexpr index support_block = 256;

/// output = Σ p_j·v_j over a support.
template <int Vectors, class T>
void gather_columns(const row_support<T>& support, const contiguous_rows<T>& values, index column,
                    T* output) {
    constexpr int size = static_cast<int>(vec<T>::size);
    array_of<vec<T>, Vectors> total;
    unroll<Vectors>([&](auto c) { total[c] = vec<T>(T(0)); });
    for (index first = 0; first < support.count; first += support_block) {
        const index last = std::min(first + support_block, support.count);
        // Two chains hide the latency of the multiply-add.
        array_of<vec<T>, Vectors> even, odd;
        unroll<Vectors>([&](auto c) { even[c] = odd[c] = vec<T>(T(0)); });
        const auto add = [&](index s, vec<T> * sums) __attribute__((always_inline)) {
            const vec<T> p(support.probabilities[s]);
            const T* row = values[support.positions[s]] + column;
            unroll<Vectors>(
                [&](auto c) { sums[c] = fma(p, vec<T>::load(row + c * size), sums[c]); });
        };
        index s = first;
        for (; s + 1 < last; s += 2) {
            add(s, even);
            add(s + 1, odd);
        }
        if (s < last) add(s, even);
        unroll<Vectors>([&](auto c) { total[c] += even[c] + odd[c]; });
    }
    unroll<Vectors>([&](auto c) { total[c].store(output + column + c * size); });
}

template <class T>
void gather_values(const row_support<T>& support, const contiguous_rows<T>& values, index value_dim,
                   T* output) {
    constexpr index size = vec<T>::size;
    const index columns = padded<T>(value_dim);
    index column = 0;
    for (; column + 4 * size <= columns; column += 4 * size)
        gather_columns<4>(support, values, column, output);
    for (; column < columns; column += size) gather_columns<1>(support, values, column, output);
}

/// f(first row, rows) for every run of a tile's rows, within a strip, that `is` says yes to.
template <class T, class Is, class F>
void for_runs(const query_tile<T>& tile, Is&& is, F&& f) {
    for (index r = 0; r < tile.count; ++r) {
        if (!is(r)) continue;
        const index first = r;
        const index end = std::min((r / tile.strip + 1) * tile.strip, tile.count);
        while (r + 1 < end && is(r + 1)) ++r;
        f(first, r + 1 - first);
    }
}

/// output += p·v of one block of keys, for the rows that are dense.
template <class T, class Call>
void add_dense_rows(const Call& call, const call_positions& where, const query_tile<T>& tile,
                    const block_view<T>& block, const packed_head<T>& head,
                    const score_rows<T>& rows, const bool* dense, T* output, index output_stride,
                    arena& scratch) {
    const index value_dim = call.shape.value_dim;
    const bool finite = head.finite_values[block.first / key_block<T>];
    const auto is_dense = [&](index r) { return dense[r]; };
    for_runs(tile, is_dense, [&](index first, index count) {
        const key_interval range = block.range[first / tile.strip];
        if (range.first == range.last) return;
        const index column = block.first - rows.first + range.first;
        const index first_key = block.first + range.first;
        const index keys = std::min(range.last - range.first, call.shape.keys - first_key);
        const contiguous_rows<T> values{head.values[first_key], head.values.stride};
        for (index r = first; r < first + count; ++r)
            clear_outside(rows.own[r], column, column + range.last - range.first, rows.row(r));
        if (finite) {
            multiply_columns(
                count, rows.row(first) + column, rows.stride, index(1), values, value_dim, keys,
                [&]<int Vectors>(index r, index c, const vec<T>* sums)
                    __attribute__((always_inline)) {
                        if (r >= count) return;
                        T* to = output + (first + r) * output_stride + c;
                        unroll<Vectors>([&](auto v) __attribute__((always_inline)) {
                            T* at = to + v * vec<T>::size;
                            (vec<T>::load_aligned(at) + sums[v]).store_aligned(at);
                        });
                    });
            return;
        }
        const arena::scope mark(scratch);
        bool* sees = scratch.take<bool>(key_block<T>);
        for (index r = first; r < first + count; ++r) {
            list_seen(call, where, tile, r, block, range, sees);
            add_seen_values(rows.row(r) + column, sees + range.first, keys, values, value_dim, T(1),
                            output + r * output_stride);
        }
    });
}

/// All keys for one block of queries; writes o and, unless null, what backward needs.
template <class T, class Call, class Preparation, class Stats>
void attend_rows(const Call& call, const call_positions& where, const Preparation& preparation,
                 index batch, index head, index first, index count, const packed_head<T>& packed,
                 const tensor_view<T, 4>& o, Stats* kept, arena& scratch) {
    using rows_type = decltype(call.normaliser().template whole_row<T>(head));
    const arena::scope mark(scratch);
    auto tile = take_tile<T>(call.shape, Call::query_map_count, count, scratch);
    fill_tile(call, where, preparation, batch, head, first, count, tile);
    const auto rows = make_score_rows(tile, scratch);
    score_all_keys(call, where, tile, packed.key_panels, rows, scratch);

    const rows_type normaliser = call.normaliser().template whole_row<T>(head);
    const index stride = padded<T>(call.shape.value_dim);
    T* output = scratch.take<T>(count * stride);
    bool* dense = scratch.take<bool>(count);
    std::fill_n(output, static_cast<std::size_t>(count * stride), T(0));
    std::fill_n(dense, static_cast<std::size_t>(count), true);
    observed_rows<T, Call::has_observers> observed(count, scratch);
    if constexpr (is_sparse<rows_type>)
        if (kept != nullptr) kept->supports().begin_block(batch, head, first);
    for (index r = 0; r < count; ++r) {
        const index width = rows.own[r].last - rows.own[r].first;
        T* row = rows.row(r) + rows.own[r].first;
        typename rows_type::statistics solved{};
        if constexpr (is_sparse<rows_type>) {
            const arena::scope row_mark(scratch);
            T* probabilities = scratch.take<T>(width + panel_width<T>);
            auto* positions = scratch.take<std::int32_t>(width + vec<T>::size);
            const row_support<T> support{
                probabilities, positions,
                normaliser.support(row, width, rows.maximum[r], probabilities, positions, solved,
                                   scratch)};
            const index first_key = rows.first + rows.own[r].first;
            dense[r] = dense_share * support.count > width;
            if (dense[r])
                normaliser.recompute(solved, row, width);
            else
                gather_values(support, {packed.values[first_key], packed.values.stride},
                              call.shape.value_dim, output + r * stride);
            if (kept != nullptr) kept->supports().add(batch, head, first + r, first_key, support);
            if constexpr (Call::has_observers) {
                const index whole = round_up(support.count, panel_width<T>);
                std::fill(probabilities + support.count, probabilities + whole, T(0));
                observed.add(r, T(1), probabilities, 0, whole);
            }
        } else {
            solved = normaliser.normalise(row, width, scratch);
            observed.add(r, T(1), row, 0, width);
        }
        call.observe(tile.rows[r], observed.finish(r, T(1), tile.visible[r]));
        if (kept != nullptr) {
            const index before = (batch * call.shape.heads + head) * call.shape.queries + first;
            kept->data()[before + r] = solved;
        }
    }
    for_key_blocks(call, where, tile, scratch, [&](const block_view<T>& block) {
        add_dense_rows(call, where, tile, block, packed, rows, dense, output, stride, scratch);
    });
    write_rows(o, batch, head, first, count, output, stride, [](index) { return T(1); });
}

/// o, and unless null the stats of its rows, of a checked call.
template <class T, class Call, class Stats>
void forward_whole_rows(const Call& call, const tensor_view<T, 4>& o, Stats* kept) {
    const index rows = row_block<T>(call.shape.keys);
    if constexpr (is_sparse<typename Stats::stream_type>)
        if (kept != nullptr) kept->supports().reset(call.shape, rows);
    for_query_blocks<T>(
        call, rows,
        [&](const call_positions& where, const auto& preparation, index batch, index head,
            index first, index count, const packed_head<T>& packed, arena& scratch) {
            attend_rows(call, where, preparation, batch, head, first, count, packed, o, kept,
                        scratch);
        });
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
