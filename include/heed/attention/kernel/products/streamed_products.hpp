#pragma once

#include <algorithm>
#include <type_traits>

#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/microkernel.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>

/// \file
/// The two products for few rows, whose keys and values come from memory and serve but once.
///
/// Built for the bandwidth of reading memory: every line is read once, in the order in which it
/// lies, and fetched while others are multiplied; numbers of 16 and 8 bits become T in registers.
/// Each number is the same chain of multiply-adds as in the products of many rows.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Bytes between what is multiplied and what is fetched of a panel: the next panel of 128 floats a
/// key.
inline constexpr index panel_bytes_ahead = 16384;
/// Values between those that are multiplied and those that are fetched.
inline constexpr index values_ahead = 64;
/// Values that are multiplied for all rows and columns before the next ones, where not all sums of
/// a row of values stay in registers: so many lie in L1 together.
inline constexpr index values_at_once = 16;

/// What a row's scores of a panel do to the largest of each lane so far, unless that is null.
template <int Vectors, class T>
[[gnu::always_inline]] inline void raise_lane_maximum(const vec<T>* scores, T* lane_maximum) {
    if (lane_maximum == nullptr) return;
    vec<T> maximum = vec<T>::load_aligned(lane_maximum);
    unroll<Vectors>([&](int c)
                        __attribute__((always_inline)) { maximum = max(maximum, scores[c]); });
    maximum.store_aligned(lane_maximum);
}

/// The products of a row alone with `Panels` panels, panel(0), panel(1), …: several at once hide
/// the multiply-add's latency, and are read as so many streams. `step` goes from number to number.
template <int Panels, class T, class Panel, class Step = fixed<panel_width<T>>>
void multiply_row_panels(const T* strip, Panel&& panel, index dim, T* to, T* lane_maximum,
                         Step step = {}) {
    constexpr int vectors = tiles.score_vectors, all = Panels * vectors;
    array_of<vec<T>, all> sum;
    unroll<all>([&](int i) __attribute__((always_inline)) { sum[i] = vec<T>(T(0)); });
    array_of<std::remove_cvref_t<decltype(panel(0))>, Panels> row;
    unroll<Panels>([&](int p) __attribute__((always_inline)) { row[p] = panel(p); });
    for (index k = 0; k < dim; ++k, strip += tiles.score_rows) {
        const vec<T> left(*strip);
        unroll<Panels>([&](int p)
                           __attribute__((always_inline)) { fetch_ahead<vectors>(row[p], step); });
        unroll<all>([&](int i) __attribute__((always_inline)) {
            sum[i] = fma(left, read_vector(row[i / vectors], i % vectors), sum[i]);
        });
        unroll<Panels>([&](int p) __attribute__((always_inline)) { row[p] += step; });
    }
    unroll<all>([&](int i) __attribute__((always_inline)) {
        sum[i].store(to + i / vectors * panel_width<T> + i % vectors * vec<T>::size);
    });
    raise_lane_maximum<all>(sum, lane_maximum);
}

/// to[r, key] = the products of packed rows with the keys of a range of panels, panel(key), rows
/// score_stride apart; the largest of each lane so far, a vector a row, unless null.
template <class T, class Panel>
void multiply_streamed_keys(const T* strips, index rows, Panel&& panel, key_interval range,
                            index dim, T* to, T* lane_maximum) {
    constexpr int vectors = tiles.score_vectors;
    constexpr index width = panel_width<T>;
    using storage = std::remove_cvref_t<decltype(*memory_of(panel(0)))>;
    constexpr streamed<fixed<width>> step{{}, panel_bytes_ahead / index(sizeof(storage))};
    index key = range.first;
    if (rows == 1) {
        constexpr int at_once = one_row_vectors / vectors;
        for (; key + at_once * width <= range.last; key += at_once * width)
            multiply_row_panels<at_once>(
                strips, [&](index p) { return panel(key + p * width); }, dim, to + key,
                lane_maximum, step);
    }
    for (; key < range.last; key += width)
        multiply_rows<tiles.score_rows, vectors>(
            rows, strips, tiles.score_rows * dim, fixed<1>(), fixed<tiles.score_rows>(), panel(key),
            step, dim, [=](index r, const vec<T>* scores) __attribute__((always_inline)) {
                unroll<vectors>([&](int c) __attribute__((always_inline)) {
                    scores[c].store(to + r * score_stride<T> + key + c * vec<T>::size);
                });
                raise_lane_maximum<vectors>(
                    scores, lane_maximum == nullptr ? nullptr : lane_maximum + r * vec<T>::size);
            });
}

/// Values from a row and a column on.
template <class S>
const S* values_from(const S* values, index row, index column, index stride) {
    return values + row * stride + column;
}
inline scaled_rows values_from(const scaled_rows& values, index row, index column, index stride) {
    return {values.data + row * stride + column, values.scale + row};
}

/// sums[r, …] += Σ_j weights[r, j]·v_j over the next keys, for all columns. Rows of values are
/// `stride` apart, those of sums `sums_stride`, those of weights score_stride; the last two may be
/// a few rows too high.
template <class T, class Values>
void multiply_streamed_values(const T* weights, index rows, index keys, const Values& values,
                              index stride, index columns, T* sums, index sums_stride) {
    constexpr index size = vec<T>::size;
    constexpr int vectors = tiles.value_vectors;
    const streamed<index> step{stride, values_ahead * stride};
    const auto multiply = [&]<int Vectors>(index first, index count, index column) {
        multiply_rows<tiles.value_rows, Vectors>(
            rows, weights + first, tiles.value_rows * score_stride<T>, fixed<score_stride<T>>(),
            fixed<1>(), values_from(values, first, column, stride), step, count,
            [=](index r, const vec<T>* sum) __attribute__((always_inline)) {
                unroll<Vectors>([&](int c) __attribute__((always_inline)) {
                    sum[c].store(sums + r * sums_stride + column + c * size);
                });
            },
            [=](index r)
                __attribute__((always_inline)) { return sums + r * sums_stride + column; });
    };
    const index at_once = rows <= tiles.value_rows ? keys : values_at_once;
    for (index first = 0; first < keys; first += at_once) {
        const index count = std::min(at_once, keys - first);
        index column = 0;
        if (rows == 1)
            for (; column + one_row_vectors * size <= columns; column += one_row_vectors * size) {
                T* const to = sums + column;
                multiply_tile<1, one_row_vectors>(
                    weights + first, fixed<0>(), fixed<1>(),
                    values_from(values, first, column, stride), step,
                    count, [=](int) __attribute__((always_inline)) { return to; },
                    [=](int, const vec<T>* sum) __attribute__((always_inline)) {
                        unroll<one_row_vectors>([&](int c) __attribute__((always_inline)) {
                            sum[c].store(to + c * size);
                        });
                    });
            }
        for (; column + vectors * size <= columns; column += vectors * size)
            multiply.template operator()<vectors>(first, count, column);
        for (; column < columns; column += size)
            multiply.template operator()<1>(first, count, column);
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
