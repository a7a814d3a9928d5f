#pragma once

#include <algorithm>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/unroll.hpp>
#include <heed/core/view.hpp>
#include <heed/nystrom/kernel/segments.hpp>

/// \file
/// A depth-wise convolution along a sequence: one weight a distance, the same for all columns.
///
/// Built for loads: a multiply-add needs one, of a row that a neighbour has just read.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The weights of one head, and how many rows before its own the first of them looks.
template <class T>
struct taps {
    const T* weights;
    index count, before;

    /// Those whose row lies within 0 … rows − 1.
    row_segment of_row(index row, index rows) const {
        return {std::max<index>(0, before - row), std::min(count, rows + before - row)};
    }
};

/// y_n += Σ_t w_t·x_{n+t−before} for n = first … last − 1, the sum from zero and added once; x is
/// zero outside its rows.
template <class T>
void add_convolution(const taps<T>& w, const tensor_view<const T, 2>& x, index first, index last,
                     const tensor_view<T, 2>& y) {
    constexpr index size = vec<T>::size;
    constexpr int at_once = 4;
    const index columns = x.extents[1], stride = x.strides[0];
    const bool is_dense = x.strides[1] == 1 && y.strides[1] == 1;
    for (index n = first; n < last; ++n) {
        const row_segment seen = w.of_row(n, x.extents[0]);
        const auto row = [&](index t) { return x.data + (n + t - w.before) * stride; };
        T* to = y.data + n * y.strides[0];
        index c = 0;
        for (; is_dense && c + at_once * size <= columns; c += at_once * size) {
            array_of<vec<T>, at_once> sum;
            unroll<at_once>([&](auto v) { sum[v] = vec<T>(T(0)); });
            for (index t = seen.first; t < seen.last; ++t) {
                const vec<T> weight(w.weights[t]);
                unroll<at_once>([&](auto v) {
                    sum[v] = fma(weight, vec<T>::load(row(t) + c + v * size), sum[v]);
                });
            }
            unroll<at_once>([&](auto v) {
                T* at = to + c + v * size;
                (vec<T>::load(at) + sum[v]).store(at);
            });
        }
        for (; c < columns; c += size) {
            vec<T> sum(T(0));
            for (index t = seen.first; t < seen.last; ++t)
                sum = fma(vec<T>(w.weights[t]), load_columns(row(t), x.strides[1], c, columns - c),
                          sum);
            const vec<T> before = load_columns<T>(to, y.strides[1], c, columns - c);
            store_columns(before + sum, to, y.strides[1], c, columns - c);
        }
    }
}

/// sums[t] = Σ_n d_n·x_{n+t−before} over n = first … last − 1: the gradients of the weights.
template <class T>
void sum_convolution(const taps<T>& w, const tensor_view<const T, 2>& x,
                     const tensor_view<const T, 2>& d, index first, index last, double* sums) {
    constexpr index size = vec<T>::size;
    const index columns = x.extents[1];
    for (index t = 0; t < w.count; ++t) {
        vec<T> sum(T(0));
        const index shift = t - w.before;
        for (index n = std::max(first, -shift); n < std::min(last, x.extents[0] - shift); ++n) {
            for (index c = 0; c < columns; c += size)
                sum = fma(
                    load_columns(d.data + n * d.strides[0], d.strides[1], c, columns - c),
                    load_columns(x.data + (n + shift) * x.strides[0], x.strides[1], c, columns - c),
                    sum);
        }
        sums[t] = static_cast<double>(reduce_add(sum));
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
