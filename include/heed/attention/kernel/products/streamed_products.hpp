#pragma once

#include <algorithm>

#include <heed/core/architecture.hpp>
#include <heed/core/microkernel.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>

/// \file
/// The two products for few rows, whose keys and values come from memory and serve but once.
///
/// Built for the bandwidth of reading memory: every line is read once, in the order in which it
/// lies, and fetched while others are multiplied. Each number is the same chain of multiply-adds as
/// in the products of many rows.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Bytes between what is multiplied and what is fetched of a panel.
inline constexpr index bytes_ahead = 4096;
/// Values that are multiplied for all columns before the next ones: so many lie in L1 together.
inline constexpr index values_at_once = 16;

/// to[r, …] = the products of packed rows with one panel of keys, rows score_stride apart; the
/// largest of each lane so far, a vector a row, unless null.
template <class T>
void multiply_streamed_panel(const T* strips, index rows, const T* panel, index dim, T* to,
                             T* lane_maximum) {
    constexpr int vectors = tiles.score_vectors;
    constexpr streamed<fixed<panel_width<T>>> step{{}, bytes_ahead / index(sizeof(T))};
    multiply_rows<tiles.score_rows, vectors>(
        rows, strips, tiles.score_rows * dim, fixed<1>(), fixed<tiles.score_rows>(), panel, step,
        dim, [=](index r, const vec<T>* scores) __attribute__((always_inline)) {
            unroll<vectors>([&](auto c) __attribute__((always_inline)) {
                scores[c].store(to + r * score_stride<T> + c * vec<T>::size);
            });
            if (lane_maximum == nullptr) return;
            vec<T> maximum = vec<T>::load_aligned(lane_maximum + r * vec<T>::size);
            unroll<vectors>([&](auto c) __attribute__((always_inline)) {
                maximum = max(maximum, scores[c]);
            });
            maximum.store_aligned(lane_maximum + r * vec<T>::size);
        });
}

/// sums[r, …] += Σ_j weights[r, j]·v_j over the next keys, for all columns. Rows of sums are
/// `stride` apart, those of weights score_stride; both may be a few rows too high.
template <class T>
void multiply_streamed_values(const T* weights, index rows, index keys,
                              const contiguous_rows<T>& values, index columns, T* sums,
                              index stride) {
    constexpr index size = vec<T>::size;
    constexpr int vectors = tiles.score_vectors;
    const streamed<index> step{values.stride, values_at_once * values.stride};
    const auto multiply = [&]<int Vectors>(index first, index count, index column) {
        multiply_rows<tiles.score_rows, Vectors>(
            rows, weights + first, tiles.score_rows * score_stride<T>, fixed<score_stride<T>>(),
            fixed<1>(), values[first] + column, step, count,
            [=](index r, const vec<T>* sum) __attribute__((always_inline)) {
                unroll<Vectors>([&](auto c) __attribute__((always_inline)) {
                    sum[c].store(sums + r * stride + column + c * size);
                });
            },
            [=](index r) __attribute__((always_inline)) { return sums + r * stride + column; });
    };
    for (index first = 0; first < keys; first += values_at_once) {
        const index count = std::min(values_at_once, keys - first);
        index column = 0;
        for (; column + vectors * size <= columns; column += vectors * size)
            multiply.template operator()<vectors>(first, count, column);
        for (; column < columns; column += size)
            multiply.template operator()<1>(first, count, column);
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
