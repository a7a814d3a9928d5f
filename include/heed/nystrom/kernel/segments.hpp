#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/unroll.hpp>
#include <heed/core/view.hpp>

/// \file
/// The means of segments of rows, and the way back.
///
/// Built for reading memory: each row is read once, and every number of it is one addition.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Rows first … last − 1.
struct row_segment {
    index first, last;

    index size() const { return last - first; }
};

/// The i-th of `count` segments of `rows` rows: none is empty if count ≤ rows, none overlaps
/// another, and their lengths differ by one at most.
constexpr row_segment segment_of(index i, index count, index rows) {
    return {i * rows / count, (i + 1) * rows / count};
}

/// How many segments there are where `wanted` are asked for: each has a row.
constexpr index count_segments(index wanted, index rows) { return std::min(wanted, rows); }

/// How many segments lie in the first rows: i with segment_of(i, count, rows).last ≤ first.
constexpr index segments_within(index first, index count, index rows) {
    return count_blocks((first + 1) * count, rows) - 1;
}

/// Rows that are summed by themselves, from zero. Their sums are added as Kahan's: one plain chain
/// over a long segment would lose digits.
inline constexpr index rows_a_sum = 16;

/// As many sums of vectors are found side by side as registers hold, since memory that is read at
/// several places is read faster; rows are asked for before their turn by as many.
template <int Vectors>
inline constexpr int sums_at_once = std::max(1, 16 / Vectors);
template <int Vectors>
inline constexpr index rows_fetched_before = sums_at_once<Vectors>* rows_a_sum;

/// The means of Vectors vectors of columns; load(row, vector) are their numbers.
template <class T, int Vectors, class Load>
[[gnu::always_inline]] inline void mean_columns(index rows, vec<T>* means, const Load& load) {
    array_of<vec<T>, Vectors> lost;  // in rounding, so far
    unroll<Vectors>([&](auto v) { means[v] = lost[v] = vec<T>(T(0)); });
    const auto add_sums = [&]<int Sums>(index first, index count) __attribute__((always_inline)) {
        array_of<array_of<vec<T>, Vectors>, Sums> sum;
        const auto for_each = [&](const auto& f) __attribute__((always_inline)) {
            unroll<Sums>([&](auto s) { unroll<Vectors>([&](auto v) { f(s, v, sum[s][v]); }); });
        };
        for_each([&](auto s, auto v, vec<T>& x) { x = load(first + s * rows_a_sum, v); });
        for (index r = 1; r < count; ++r)
            for_each([&](auto s, auto v, vec<T>& x) { x += load(first + s * rows_a_sum + r, v); });
        for_each([&](auto, auto v, const vec<T>& x) {
            const vec<T> corrected = x - lost[v], before = means[v];
            means[v] = before + corrected;
            lost[v] = (means[v] - before) - corrected;
        });
    };
    constexpr int many = sums_at_once<Vectors>;
    index first = 0;
    for (; first + many * rows_a_sum <= rows; first += many * rows_a_sum)
        add_sums.template operator()<many>(first, rows_a_sum);
    for (; first < rows; first += rows_a_sum)
        add_sums.template operator()<1>(first, std::min(rows_a_sum, rows - first));
    unroll<Vectors>([&](auto v) { means[v] /= vec<T>(static_cast<T>(rows)); });
}

/// `count` numbers of a line from number c on, and back, rounded where they have 16 bits.
template <class S>
vec<computed_in<S>> load_columns(const S* line, index step, index c, index count) {
    constexpr index size = vec<computed_in<S>>::size;
    if constexpr (is_read_in_place<S>)
        return step == 1 ? vec<S>::load_partial(line + c, count)
                         : vec<S>::load_strided(line + c * step, step, std::min(count, size));
    else
        return step == 1 && count >= size ? load_stored(line + c)
                                          : load_stored(line + c * step, step, count);
}
template <class T, class S>
void store_columns(vec<T> x, S* line, index step, index c, index count) {
    constexpr index size = vec<T>::size;
    if constexpr (!is_read_in_place<S>) {
        std::array<T, static_cast<std::size_t>(size)> lanes;
        x.store(lanes.data());
        narrow_row(lanes.data(), std::min(count, size), line + c * step, step);
    } else if (step == 1) {
        x.store_partial(line + c, count);
    } else {
        x.store_strided(line + c * step, step, std::min(count, size));
    }
}

/// The mean of these rows of x [row, column], written to a line of numbers `to_step` apart.
template <class S>
void mean_of_rows(const tensor_view<const S, 2>& x, const row_segment& rows, S* to, index to_step) {
    using T = computed_in<S>;
    constexpr index size = vec<T>::size;
    const index columns = x.extents[1], stride = x.strides[0], step = x.strides[1];
    const S* first = x.data + rows.first * stride;
    index c = 0;
    const auto whole_columns = [&]<int AtOnce>() {
        for (; step == 1 && c + AtOnce * size <= columns; c += AtOnce * size) {
            array_of<vec<T>, AtOnce> means;
            mean_columns<T, AtOnce>(rows.size(), means, [&](index r, auto v) {
                const S* at = first + r * stride + c + v * size;
                prefetch_behind(at, rows_fetched_before<AtOnce> * stride);
                return load_stored(at);
            });
            for (int v = 0; v < AtOnce; ++v)
                store_columns(means[v], to, to_step, c + v * size, size);
        }
    };
    whole_columns.template operator()<8>();
    whole_columns.template operator()<4>();
    for (; c < columns; c += size) {
        vec<T> mean;
        mean_columns<T, 1>(rows.size(), &mean, [&](index r, auto) {
            return load_columns(first + r * stride, step, c, columns - c);
        });
        store_columns(mean, to, to_step, c, columns - c);
    }
}

/// x += g/size for each of these rows of x, g the gradient of their mean, numbers g_step apart.
template <class S>
void add_to_rows(const S* g, index g_step, const row_segment& rows, const tensor_view<S, 2>& x) {
    using T = computed_in<S>;
    constexpr index size = vec<T>::size;
    const index columns = x.extents[1], step = x.strides[1];
    const vec<T> count(static_cast<T>(rows.size()));
    for (index c = 0; c < columns; c += size) {
        const vec<T> share = load_columns(g, g_step, c, columns - c) / count;
        for (index r = rows.first; r < rows.last; ++r) {
            S* line = x.data + r * x.strides[0];
            store_columns(load_columns<S>(line, step, c, columns - c) + share, line, step, c,
                          columns - c);
        }
    }
}

/// One head of x [batch, head, row, column].
template <class T>
tensor_view<T, 2> matrix_of(const tensor_view<T, 4>& x, index batch, index head) {
    return {x.data + batch * x.strides[0] + head * x.strides[1],
            {x.extents[2], x.extents[3]},
            {x.strides[2], x.strides[3]}};
}

/// Sequences first … first + count − 1 of x, and of each the first `rows` rows.
template <class T>
tensor_view<T, 4> part_of_batch(const tensor_view<T, 4>& x, index first, index count, index rows) {
    tensor_view<T, 4> part = x;
    part.data += first * x.strides[0];
    part.extents[0] = count;
    part.extents[2] = rows;
    return part;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
