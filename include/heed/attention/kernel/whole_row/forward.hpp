#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <heed/attention/kernel/online/forward_tile.hpp>
#include <heed/attention/kernel/products/block_view.hpp>
#include <heed/attention/kernel/products/packed_head.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/products/scores.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/attention/kernel/schedule/call_threads.hpp>
#include <heed/attention/kernel/schedule/query_blocks.hpp>
#include <heed/attention/kernel/whole_row/row_rule.hpp>
#include <heed/attention/kernel/whole_row/scores.hpp>
#include <heed/attention/kernel/whole_row/support.hpp>
#include <heed/attention/observers/observer.hpp>
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

/// output = Σ p_j·v_j over a support; values(s) is the row of its s-th key.
template <int Vectors, class T, class Values>
void gather_columns(const row_support<T>& support, const Values& values, index column, T* output) {
    constexpr int size = static_cast<int>(vec<T>::size);
    array_of<vec<T>, Vectors> total;
    unroll<Vectors>([&](int c) __attribute__((always_inline)) { total[c] = vec<T>(T(0)); });
    for (index first = 0; first < support.count; first += support_block) {
        const index last = std::min(first + support_block, support.count);
        // Two chains hide the latency of the multiply-add.
        array_of<vec<T>, Vectors> even, odd;
        unroll<Vectors>([&](int c)
                            __attribute__((always_inline)) { even[c] = odd[c] = vec<T>(T(0)); });
        const auto add = [&](index s, vec<T> * sums) __attribute__((always_inline)) {
            const vec<T> p(support.probabilities[s]);
            const T* row = values(s) + column;
            unroll<Vectors>([&](int c) __attribute__((always_inline)) {
                sums[c] = fma(p, vec<T>::load(row + c * size), sums[c]);
            });
        };
        index s = first;
        for (; s + 1 < last; s += 2) {
            add(s, even);
            add(s + 1, odd);
        }
        if (s < last) add(s, even);
        unroll<Vectors>([&](int c)
                            __attribute__((always_inline)) { total[c] += even[c] + odd[c]; });
    }
    unroll<Vectors>([&](int c) __attribute__((always_inline)) {
        total[c].store(output + column + c * size);
    });
}

template <class T, class Values>
void gather_values(const row_support<T>& support, const Values& values, index value_dim,
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

/// A task of forward: a block of queries, and what it works with.
template <class T>
struct row_task {
    const attention_program<T>& program;
    const packed_head<T>& head;
    arena& scratch;
    query_tile<T> tile;
    block_view<T> block;
    score_rows<T> rows;
    T* output;
    index output_stride;
    bool* dense;  ///< whether a row takes the dense product
};

template <class T>
row_task<T> make_row_task(const attention_program<T>& program, const query_place& at,
                          const packed_head<T>& packed, arena& scratch) {
    const index count = at.count;
    auto tile = take_tile<T>(program.shape(), program.source.query_map_count, count, scratch);
    fill_tile(program, at, tile);
    const index stride = padded<T>(program.shape().value_dim);
    row_task<T> task{program,
                     packed,
                     scratch,
                     tile,
                     make_block_view(program, tile.strip_count(), scratch),
                     make_score_rows(tile, scratch),
                     scratch.take<T>(count * stride),
                     stride,
                     scratch.take<bool>(count)};
    std::fill_n(task.output, static_cast<std::size_t>(count * stride), T(0));
    std::fill_n(task.dense, static_cast<std::size_t>(count), true);
    return task;
}

/// output += p·v of one block of keys, for the rows that are dense.
template <class T>
void add_dense_rows(const row_task<T>& task) {
    const query_tile<T>& tile = task.tile;
    const block_view<T>& block = task.block;
    const score_rows<T>& rows = task.rows;
    const attention_shape& shape = task.program.shape();
    const bool finite = task.head.is_finite(block.first / key_block<T>);
    const auto is_dense = [&](index r) { return task.dense[r]; };
    for_runs(tile, is_dense, [&](index first, index count) {
        const key_interval range = block.range[first / tile.strip];
        if (range.first == range.last) return;
        const index column = block.first - rows.first + range.first;
        const index first_key = block.first + range.first;
        const index keys = std::min(range.last - range.first, shape.keys - first_key);
        const contiguous_rows<T> values = task.head.values(first_key);
        for (index r = first; r < first + count; ++r)
            clear_outside(rows.own[r], column, column + range.last - range.first, rows.row(r));
        if (finite) {
            const index stride = task.output_stride;
            T* output = task.output + first * stride;
            multiply_columns(
                count, rows.row(first) + column, rows.stride, fixed<1>(), values, shape.value_dim,
                keys,
                [=]<int Vectors>(index r, index c, const vec<T>* sums)
                    __attribute__((always_inline)) {
                        if (r >= count) return;
                        T* to = output + r * stride + c;
                        unroll<Vectors>([&](int v) __attribute__((always_inline)) {
                            T* at = to + v * vec<T>::size;
                            (vec<T>::load_aligned(at) + sums[v]).store_aligned(at);
                        });
                    });
            return;
        }
        const arena::scope mark(task.scratch);
        bool* sees = task.scratch.template take<bool>(key_block<T>);
        for (index r = first; r < first + count; ++r) {
            task.program.sight.list_seen(tile, r, block, range, sees);
            add_seen_values(rows.row(r) + column, sees + range.first, keys, values, shape.value_dim,
                            T(1), task.output + r * task.output_stride);
        }
    });
}

/// What forward keeps of whole rows for backward; null if nobody wants it.
template <class T>
struct kept_rows {
    std::byte* statistics;       ///< [batch, head, query]
    support_store<T>* supports;  ///< of a sparse normaliser
};

/// The product of a row's support with v, its positions counted from `first_key`.
template <class T>
void gather_row(const row_task<T>& task, index r, const row_support<T>& support, index first_key) {
    const attention_shape& shape = task.program.shape();
    T* output = task.output + r * task.output_stride;
    const auto gather = [&](const auto& values) {
        gather_values(support, values, shape.value_dim, output);
    };
    const auto* cache = task.program.cache;
    if (cache == nullptr) {
        const contiguous_rows<T> values = task.head.values(first_key);
        return gather([&](index s) { return values[support.positions[s]]; });
    }
    const index kv_head = task.tile.head / (shape.heads / shape.kv_heads);
    const index width = padded<T>(shape.value_dim);
    const T** rows = task.scratch.template take<const T*>(support.count);
    T* buffer = task.scratch.template take<T>(support.count * width);
    for (index s = 0; s < support.count; ++s)
        rows[s] = cache->value_row(task.tile.batch, kv_head, first_key + support.positions[s],
                                   buffer + s * width);
    gather([rows](index s) { return rows[s]; });
}

/// Dropout of a row's support, whose positions are counted from `first_key`.
template <class T>
void drop_support(const attention_program<T>& program, const query_row& row, index first_key,
                  const row_support<T>& support, T* probabilities) {
    if (program.drop == nullptr) return;
    for (index s = 0; s < support.count; ++s)
        probabilities[s] *= program.drop->factor(row, first_key + support.positions[s]);
}

/// The normaliser on all rows of a task: probabilities in place, or where they are few, their
/// product with v at once.
template <class T>
void normalise_rows(row_task<T>& task, const row_rule<T>& rule, const kept_rows<T>& kept) {
    const query_tile<T>& tile = task.tile;
    const score_rows<T>& rows = task.rows;
    arena& scratch = task.scratch;
    const attention_shape& shape = task.program.shape();
    const auto* observers = task.program.observers;
    auto* kernel = scratch.template take<std::byte>(rule.kernel_bytes);
    auto* unused = scratch.template take<std::byte>(rule.statistics_bytes);
    rule.open(kernel, tile.head);
    observed_rows<T> observed(observers == nullptr ? 0 : tile.count, scratch);
    if (kept.supports != nullptr) kept.supports->begin_block(tile.batch, tile.head, tile.first);
    for (index r = 0; r < tile.count; ++r) {
        const arena::scope mark(scratch);
        const index width = rows.own[r].last - rows.own[r].first;
        T* row = rows.row(r) + rows.own[r].first;
        const index number =
            (tile.batch * shape.heads + tile.head) * shape.queries + tile.first + r;
        std::byte* statistics =
            kept.statistics == nullptr ? unused : kept.statistics + number * rule.statistics_bytes;
        if (!rule.is_sparse) {
            rule.normalise(kernel, row, width, statistics, scratch);
            if (observers != nullptr) observed.add(r, T(1), row, 0, width);
        } else {
            T* probabilities = scratch.template take<T>(width + panel_width<T>);
            auto* positions = scratch.template take<std::int32_t>(width + vec<T>::size);
            const row_support<T> support{
                probabilities, positions,
                rule.support(kernel, row, width, rows.maximum[r], probabilities, positions,
                             statistics, scratch)};
            const index first_key = rows.first + rows.own[r].first;
            if (kept.supports != nullptr)
                kept.supports->add(tile.batch, tile.head, tile.first + r, first_key, support);
            if (observers != nullptr) {
                const index whole = round_up(support.count, panel_width<T>);
                std::fill(probabilities + support.count, probabilities + whole, T(0));
                observed.add(r, T(1), probabilities, 0, whole);
            }
            task.dense[r] = dense_share * support.count > width;
            if (task.dense[r]) {
                rule.recompute(kernel, statistics, row, width);
            } else {
                drop_support(task.program, tile.rows[r], first_key, support, probabilities);
                gather_row(task, r, support, first_key);
            }
        }
        if (task.dense[r])
            drop_weights(task.program, tile, r, r + 1, rows.first, rows.own[r], rows.scores,
                         rows.stride);
        if (observers != nullptr)
            observers->tell(tile.rows[r], observed.finish(r, T(1), tile.visible[r]));
    }
}

/// o, and what backward needs of its rows, of a call.
template <class T>
void forward_whole_rows(const attention_program<T>& program, const row_rule<T>& rule,
                        const tensor_view<T, 4>& o, const kept_rows<T>& kept) {
    const attention_shape& shape = program.shape();
    const index rows = row_block<T>(shape.keys);
    const index threads = count_threads(program, 2);
    if (kept.supports != nullptr) kept.supports->reset(shape, rows);
    const auto attend = [&](const query_place& at, const packed_head<T>& packed, arena& scratch) {
        const arena::scope mark(scratch);
        auto task = make_row_task(program, at, packed, scratch);
        const auto keys_of = [&](index block) {
            open_block(program, task.tile, block, packed, scratch);
            return packed.keys();
        };
        score_all_keys(program, task.tile, keys_of, task.rows, task.block, scratch);
        normalise_rows(task, rule, kept);
        if (std::find(task.dense, task.dense + at.count, true) != task.dense + at.count) {
            for_seen_blocks(program, task.tile, task.block, [&](const block_view<T>& block) {
                open_block(program, task.tile, block.first / key_block<T>, packed, scratch);
                add_dense_rows(task);
            });
        }
        write_rows(o, at.batch, at.head, at.first, at.count, task.output, task.output_stride,
                   [](index) { return T(1); });
    };
    if (program.cache == nullptr) return for_query_blocks(program, threads, rows, attend);
    for_streamed_queries(
        program, threads, rows, [&](index number, index first, index count, arena& scratch) {
            const packed_head<T> head = make_open_head(program, scratch);
            const index heads = shape.heads / shape.kv_heads;
            for (index h = 0; h < heads; ++h)
                attend({number / shape.kv_heads, number % shape.kv_heads * heads + h, first, count},
                       head, scratch);
        });
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
