#pragma once

#include <algorithm>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/rules/feature_rule.hpp>

/// \file
/// The delta rule within a chunk. What S_t = α_t S_{t−1}(I − β_t k_t k_tᵀ) + β_t v_t k_tᵀ writes is
/// u_t k_tᵀ, where β_t times what k_t misses of its value
///
///     u_i = β_i w_i        w_i = v_i − e^{G_i} k_iᵀS − Σ_{j<i} e^{G_i−G_j} (k_i·k_j) u_j
///
/// takes v_i's place: for all else the chunk is one without an update. Where an update reads by
/// rows other than k, these stand in k_i's place, and k_j stays. The rows follow from one another
/// by forward substitution; no matrix is inverted. Backward is the same from the last row to the
/// first.
///
/// By an update of low rank, S_t = S_{t−1}(Diag(α_t) + a_t b_tᵀ) + v_t k_tᵀ, a token has two such
/// rows: one that reads by −a_t before its decay, has no value and is written at b_t, and one that
/// reads nothing and writes v_t at k_t.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// What rows by which an update reads see: the keys before them. Where they read S before their own
/// decay they stand, to decays, with the key before.
inline chunk_sight reading_sight(index first, index keys, bool before_decay) {
    return before_decay ? chunk_sight{first - 1, keys, 1} : chunk_sight{first, keys, 0};
}

/// [A | P]·[S ; U] is what rows w = v − [A | P]·[S ; U] lack, β w being rows of U.
template <class T>
struct chunk_update {
    contiguous_rows<T> a;
    contiguous_rows<T> sum;  ///< S: `depth` padded rows
    index depth;
    const T* p;         ///< weights of keys before a row
    const T* beta;      ///< one a row
    written_rows<T> u;  ///< the chunk's: row 0 of a is row `first`, v at first
    index first;
    written_rows<T> w{nullptr, 0};  ///< where w goes, as u; null: nowhere
};

/// Rows row … row + Rows − 1 of a, of which `rows` are there, in columns column … of Columns
/// vectors.
template <int Rows, int Columns, class T>
void solve_chunk_tile(const chunk_update<T>& of, index row, index rows, index column) {
    constexpr index size = vec<T>::size;
    const index place = of.first + row;
    const T* const p = of.p + row * weight_stride<T>;
    array_of<array_of<vec<T>, Columns>, Rows> sum;
    unroll<Rows * Columns>([&](auto i) __attribute__((always_inline)) {
        sum[i / Columns][i % Columns] = vec<T>(T(0));
    });
    extend_chain<Rows, Columns>(
        chain_operand<T>{of.a[row], of.a.stride, of.sum.data + column, of.sum.stride, of.depth},
        sum);
    extend_chain<Rows, Columns>(
        chain_operand<T>{p, weight_stride<T>, of.u.data + column, of.u.stride, place}, sum);
    // What is left of the triangle: rows of U in the places of the sums that they came from.
    unroll<Rows>([&](auto r) __attribute__((always_inline)) {
        if (r >= rows) return;
        unroll<r>([&](auto j) __attribute__((always_inline)) {
            const vec<T> weight(p[r * weight_stride<T> + place + j]);
            unroll<Columns>([&](auto c) __attribute__((always_inline)) {
                sum[r][c] = fma(weight, sum[j][c], sum[r][c]);
            });
        });
        T* const at = of.u[place + r] + column;
        const vec<T> beta(of.beta[row + r]);
        unroll<Columns>([&](auto c) __attribute__((always_inline)) {
            const vec<T> w = vec<T>::load(at + c * size) - sum[r][c];
            if (of.w.data != nullptr) w.store(of.w[place + r] + column + c * size);
            sum[r][c] = w * beta;
            sum[r][c].store(at + c * size);
        });
    });
}

/// `rows` rows of U, in `columns` columns: whole vectors.
template <class T>
void solve_chunk(const chunk_update<T>& of, index rows, index columns) {
    constexpr index size = vec<T>::size;
    constexpr index full = tiles.value_vectors * size;
    constexpr int height = tiles.value_rows;
    for (index row = 0; row < rows; row += height) {
        const index count = std::min<index>(height, rows - row);
        const auto strip = [&]<int Columns>(index column) __attribute__((always_inline)) {
            if (count == 1)
                solve_chunk_tile<1, Columns>(of, row, count, column);
            else if (count <= height / 3)
                solve_chunk_tile<height / 3, Columns>(of, row, count, column);
            else if (count <= 2 * height / 3)
                solve_chunk_tile<2 * height / 3, Columns>(of, row, count, column);
            else
                solve_chunk_tile<height, Columns>(of, row, count, column);
        };
        for (index column = 0; column < columns; column += full) {
            switch (std::min(full, columns - column) / size) {
                case 1:
                    strip.template operator()<1>(column);
                    break;
                case 2:
                    strip.template operator()<2>(column);
                    break;
                case 3:
                    if constexpr (tiles.value_vectors > 2) strip.template operator()<3>(column);
                    break;
                default:
                    if constexpr (tiles.value_vectors > 2) strip.template operator()<4>(column);
            }
        }
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
