#pragma once

#include <algorithm>

#include <heed/core/architecture.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/microkernel.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>
#include <heed/core/view.hpp>

/// \file
/// Small matrices, and their products on attention's microkernel.
///
/// Built for the peak of the multiply-add units, for matrices that the caches hold: both operands
/// are read where they lie.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// How a matrix lies in scratch memory: rows of whole vectors, and one vector more between them,
/// since rows a power of two apart fall on a few sets of the cache. Below the last row there is
/// room for what the microkernel reads too far. All that is not the matrix is zero.
template <class T>
struct padded_matrix {
    index rows, columns;

    index stride() const { return padded<T>(columns) + vec<T>::size; }
    index size() const { return (round_up(rows, vec<T>::size) + tiles.value_rows) * stride(); }

    tensor_view<T, 2> view(T* data) const { return {data, {rows, columns}, {stride(), 1}}; }

    /// What is not the matrix becomes zero.
    void clear_padding(T* data) const {
        for (index r = 0; r < rows; ++r)
            std::fill(data + r * stride() + columns, data + (r + 1) * stride(), T(0));
        std::fill(data + rows * stride(), data + size(), T(0));
    }
    void clear(T* data) const { std::fill_n(data, size(), T(0)); }
};

/// Rows of a product that are one task's: whole tiles of the microkernel.
inline constexpr index product_rows = 8 * tiles.value_rows;

/// What is made of a product: factor·(a·b) + add_factor·add + diagonal·I.
template <class T>
struct product_terms {
    T factor = 1;
    const T* add = nullptr;  ///< lies as the result does
    T add_factor = 1;
    T diagonal = 0;
};

/// A matrix in padded memory.
template <class T>
struct operand {
    T* data;
    index stride;

    operator operand<const T>() const { return {data, stride}; }
};

/// Rows first … last − 1 of `out`, which is made of a·b, or of aᵀ·b; `first` is a multiple of
/// product_rows. Each number is one chain over the depth, whatever rows are asked for.
template <bool Transposed, class T>
[[gnu::noinline]] void multiply_padded(index first, index last, const operand<const T>& a,
                                       const operand<const T>& b, const operand<T>& out,
                                       index columns, index depth,
                                       const product_terms<T>& terms = {}) {
    const auto finish = [=]<int Vectors>(index r, index column, const vec<T>* sums)
        __attribute__((always_inline)) {
        const index row = first + r;
        if (row >= last) return;
        const index at = row * out.stride + column;
        unroll<Vectors>([&](int v) __attribute__((always_inline)) {
            vec<T> x = product(sums[v], vec<T>(terms.factor));
            if (terms.add != nullptr)
                x = fma(vec<T>::load(terms.add + at + v * vec<T>::size), vec<T>(terms.add_factor),
                        x);
            x.store(out.data + at + v * vec<T>::size);
        });
        if (row >= column && row < column + Vectors * vec<T>::size)
            out.data[at + row - column] += terms.diagonal;
    };
    const contiguous_rows<T> right{b.data, b.stride};
    if constexpr (Transposed)
        multiply_columns(last - first, a.data + first, fixed<1>(), a.stride, right, columns, depth,
                         finish);
    else
        multiply_columns(last - first, a.data + first * a.stride, a.stride, fixed<1>(), right,
                         columns, depth, finish);
}

/// Rows first … last − 1 of the transpose of `from` [columns, rows]; `first` is a multiple of the
/// vector's size, or of product_rows. Padding goes with it.
template <class T>
void transpose_padded(index first, index last, const operand<const T>& from, index columns,
                      const operand<T>& to) {
    constexpr int size = static_cast<int>(vec<T>::size);
    for (index r = first; r < last; r += size) {
        const index rows = std::min<index>(size, last - r);
        for (index c = 0; c < columns; c += size) {
            array_of<vec<T>, size> block;
            unroll<size>([&](int l) __attribute__((always_inline)) {
                block[l] = vec<T>::load(from.data + (c + l) * from.stride + r);
            });
            transpose(block);
            for (index l = 0; l < rows; ++l) block[l].store(to.data + (r + l) * to.stride + c);
        }
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
