#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <heed/attention/stats.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/storage.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/softmax/kernel/streaming.hpp>

/// \file
/// o = a·o + b·o_part, row by row; a and b come from what the normaliser knows of the two.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// o[c] = whole·o[c] + part·o_part[c]. Where the factors make a mean, what is finite stays so.
template <class T>
void merge_row(T* o, const T* o_part, index count, const merge_factors<T>& by) {
    constexpr T most = std::numeric_limits<T>::max();
    const bool is_mean = by.whole + by.part <= 1 + 4 * std::numeric_limits<T>::epsilon();
    const vec<T> whole(by.whole), part(by.part), limit(most);
    for (index c = 0; c < count; c += vec<T>::size) {
        const vec<T> a = vec<T>::load_partial(o + c, count - c);
        const vec<T> b = vec<T>::load_partial(o_part + c, count - c);
        vec<T> sum = fma(part, b, whole * a);
        const auto overflows = abs(sum) > limit;
        if (is_mean && any(overflows)) {
            const auto rounded_up = overflows & (abs(a) <= limit) & (abs(b) <= limit);
            sum = select(rounded_up, max(min(sum, limit), -limit), sum);
        }
        sum.store_partial(o + c, count - c);
    }
}

/// A row as contiguous numbers that are computed with: where it lies, or copied to `buffer`.
template <class S, class T>
auto opened_row(S* row, index step, index count, T* buffer) {
    if constexpr (std::is_same_v<std::remove_const_t<S>, T>)
        if (step == 1)
            return static_cast<std::conditional_t<std::is_const_v<S>, const T*, T*>>(row);
    widen_row<std::remove_const_t<S>>(row, step, count, buffer);
    return static_cast<std::conditional_t<std::is_const_v<S>, const T*, T*>>(buffer);
}

/// The way back of what was copied.
template <class S, class T>
void close_row(const T* numbers, index count, S* row, index step) {
    if constexpr (std::is_same_v<S, T>) {
        if (numbers == row) return;
        for (index c = 0; c < count; ++c) row[c * step] = numbers[c];
    } else {
        narrow_row(numbers, count, row, step);
    }
}

/// All rows of o, [batch, head, query, value_dim], and their statistics. A task is a stretch of
/// rows of one head; each row is done by itself.
template <class S, class T, class Normaliser>
void merge_rows(const tensor_view<S, 4>& o, stats<T, Normaliser>& kept,
                const tensor_view<const S, 4>& o_part, const stats<T, Normaliser>& part,
                const call_resources& resources) {
    const auto [batches, heads, queries, width] = o.extents;
    constexpr index numbers_a_task = 1 << 14;
    const index rows_a_task = std::max<index>(1, numbers_a_task / std::max<index>(1, width));
    const index stretches = count_blocks(queries, rows_a_task);
    const index all_heads = heads, rows_a_head = queries, count = width;
    for_each_task(
        resources.pool, *resources.memory, batches * heads * stretches,
        [&](index slot, index task) {
            arena& scratch = resources.memory->slot(slot);
            const arena::scope mark(scratch);
            T* const of_o = scratch.take<T>(count);
            T* const of_part = scratch.take<T>(count);
            const index which = task / stretches, b = which / all_heads, h = which % all_heads;
            const auto stream = kept.stream(h);
            const index first = task % stretches * rows_a_task;
            const index last = std::min(rows_a_head, first + rows_a_task);
            for (index i = first; i < last; ++i) {
                const index row = which * rows_a_head + i;
                const merge_factors<T> by = stream.merge(kept.data()[row], part.data()[row]);
                T* const numbers = opened_row(&o(b, h, i, index(0)), o.strides[3], count, of_o);
                merge_row<T>(
                    numbers,
                    opened_row(&o_part(b, h, i, index(0)), o_part.strides[3], count, of_part),
                    count, by);
                close_row(numbers, count, &o(b, h, i, index(0)), o.strides[3]);
            }
        });
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
