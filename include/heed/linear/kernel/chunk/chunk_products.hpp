#pragma once

#include <algorithm>

#include <heed/core/architecture.hpp>
#include <heed/core/microkernel.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>
#include <heed/linear/kernel/chunk/rows_ahead.hpp>
#include <heed/linear/kernel/rules/feature_rule.hpp>

/// \file
/// The products of a chunk of tokens: out_i = Σ_{j≤i} (a_i·b_j) c_j, the tokens before the chunk by
/// their sum S = Σ b_j c_jᵀ, those in it one by one.
///
///     1. P = A·Bᵀ, masked                           a key a lane: B transposed
///     2. out = [A | P]·[S ; C]                      one chain a number over both
///     3. S ← S + Bᵀ·C, a compensated addition
///
/// Built for the peak of the multiply-add units; with chunks of 32 the third product is short, and
/// a tenth of its time are the additions to S. The second fetches what the next chunk reads.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Tokens between two lines of the grid that sums are anchored at.
inline constexpr index chunk_length = 32;

/// Rows that a product may compute beyond those that there are: what it reads there must be memory.
inline constexpr index spare_rows = std::max(tiles.score_rows, tiles.value_rows) / 3 + 1;

/// How far apart rows of weights P are.
template <class T>
inline constexpr index weight_stride = chunk_length;

/// A row sees the keys of its chunk up to itself: row r keys 0 … first + r, and none from `keys`
/// on.
struct chunk_sight {
    index first = 0;  ///< place in the chunk of row 0
    index keys = 0;   ///< keys in the chunk so far
    index own = 1;    ///< 0: only those before itself

    index of(index row) const { return std::min(first + row + own, keys); }
};

/// p[r][j] = a_r·b_j where row r sees key j, else 0, for all that rows of one tile of the next
/// product read.
template <class T>
void weigh_chunk(contiguous_rows<T> a, index rows, index depth, const T* b_transposed,
                 chunk_sight sight, T* p) {
    constexpr index size = vec<T>::size, width = panel_width<T>;
    constexpr int height = tiles.score_rows;
    constexpr int half = tiles.score_vectors / 2;
    for (index panel = 0; panel < sight.of(rows - 1); panel += width) {
        const auto weigh = [&]<int Vectors>(index begin, index end) __attribute__((always_inline)) {
            multiply_rows<height, Vectors>(
                end - begin, a[begin], height * a.stride, a.stride, fixed<1>{},
                b_transposed + panel, fixed<chunk_length>{},
                depth, [=](index r, const vec<T>* sums) __attribute__((always_inline)) {
                    if (begin + r >= rows) return;
                    T* to = p + (begin + r) * weight_stride<T> + panel;
                    const index seen = sight.of(begin + r) - panel;
                    unroll<Vectors>([&](int c) __attribute__((always_inline)) {
                        const vec<T> kept =
                            select(vec_mask<T>::first(seen - c * size), sums[c], vec<T>(T(0)));
                        kept.store(to + c * size);
                    });
                });
        };
        // Rows before `begin` see nothing of the panel, those before `middle` its first half, nor
        // does any of their tiles.
        const index begin = std::max<index>(0, panel - sight.first) / height * height;
        const index narrow = panel + half * size;
        const index middle =
            sight.of(rows - 1) <= narrow
                ? rows
                : std::max(begin, (narrow - sight.first - sight.own + 1) / height * height);
        if (begin < middle) weigh.template operator()<half>(begin, middle);
        if (middle < rows) weigh.template operator()<tiles.score_vectors>(middle, rows);
    }
}

/// A factor of a chain of products: rows a, whose numbers are adjacent, and as many rows b.
template <class T>
struct chain_operand {
    const T* a;
    index a_row;
    const T* b;
    index b_row;
    index depth;
};

/// sum[r][c] += Σ_k a[r·a_row + k]·b[k·b_row + c]; every step fetches from `ahead`.
template <int Rows, int Columns, class T, class Sums>
[[gnu::always_inline]] inline void extend_chain(chain_operand<T> by, Sums& sum,
                                                lines_ahead& ahead) {
    const T* a = by.a;
    const T* b = by.b;
    for (index k = 0; k < by.depth; ++k) {
        ahead.fetch();
        add_step(std::make_integer_sequence<int, Rows>(), a, by.a_row, b, sum);
        ++a;
        b += by.b_row;
    }
}
template <int Rows, int Columns, class T, class Sums>
[[gnu::always_inline]] inline void extend_chain(chain_operand<T> by, Sums& sum) {
    lines_ahead none;
    extend_chain<Rows, Columns>(by, sum, none);
}

/// One tile of [a₁ | a₂]·[b₁ ; b₂], of several rows while lines are fetched: finish(row, sums).
template <int Rows, int Columns, class T, class Finish>
[[gnu::always_inline]] inline void multiply_chains(chain_operand<T> first, chain_operand<T> second,
                                                   [[maybe_unused]] lines_ahead& ahead,
                                                   Finish&& finish) {
    array_of<array_of<vec<T>, Columns>, Rows> sum;
    unroll<Rows>([&](int r) __attribute__((always_inline)) { begin_row(sum[r], from_zero{}, r); });
    if constexpr (Rows == 1)  // a token alone, as a rule, which has none behind it
        extend_chain<Rows, Columns>(first, sum);
    else
        extend_chain<Rows, Columns>(first, sum, ahead);
    extend_chain<Rows, Columns>(second, sum);
    unroll<Rows>([&](int r) __attribute__((always_inline)) { finish_row(sum[r], finish, r); });
}

/// Where the rows of a product go: out_r = factor_r·sum_r.
template <class T>
struct chunk_output {
    written_rows<T> rows;
    const T* factor;  ///< one a row; null: 1
};

template <class T>
struct chunk_operands {
    contiguous_rows<T> a;
    contiguous_rows<T> sum;  ///< S: `depth` padded rows
    index depth;
    const T* p = nullptr;  ///< null: the chunk itself is not seen
    contiguous_rows<T> c{};
    chunk_sight sight{};
    bool finite = true;            ///< whether every number of c is
    lines_ahead* ahead = nullptr;  ///< what is fetched meanwhile; null: nothing
};

/// Rows first … first + Rows − 1, of which there are `rows`, in columns column … of Columns
/// vectors.
template <int Rows, int Columns, class T>
void multiply_chunk_tile(const chunk_operands<T>& of, const chunk_output<T>& to, index first,
                         index rows, index column) {
    constexpr index size = vec<T>::size;
    chain_operand<T> before{of.a[first], of.a.stride, of.sum.data + column, of.sum.stride,
                            of.depth};
    chain_operand<T> within{nullptr, weight_stride<T>, nullptr, 0, 0};
    if (of.p != nullptr) {
        within.a = of.p + first * weight_stride<T>;
        within.b = of.c.data + column;
        within.b_row = of.c.stride;
        within.depth = of.sight.of(first + rows - 1);
    }
    T* const out = to.rows[first] + column;
    const index stride = to.rows.stride;
    const T* const factor = to.factor == nullptr ? nullptr : to.factor + first;
    lines_ahead ahead = of.ahead == nullptr ? lines_ahead{} : *of.ahead;
    multiply_chains<Rows, Columns>(
        before, within, ahead, [=](int r, const vec<T>* sums) __attribute__((always_inline)) {
            if (r >= rows) return;
            T* at = out + r * stride;
            const vec<T> f(factor == nullptr ? T(1) : factor[r]);
            unroll<Columns>([&](int c) __attribute__((always_inline)) {
                // −0 of products that underflowed becomes 0, as where zeros follow them.
                ((sums[c] + vec<T>(T(0))) * f).store(at + c * size);
            });
        });
    if (of.ahead != nullptr) *of.ahead = ahead;
}

/// out = [A | P]·[S ; C], for `columns` columns from `column` on: whole vectors.
template <class T>
void multiply_chunk(const chunk_operands<T>& of, const chunk_output<T>& to, index rows,
                    index column, index columns) {
    constexpr index size = vec<T>::size;
    constexpr index full = tiles.value_vectors * size;
    constexpr int height = tiles.value_rows;
    // Beside numbers that are not finite a row goes alone: 0·NaN would be NaN.
    const index most = of.finite ? height : 1;
    for (const index end = column + columns; column < end; column += full) {
        const index width = std::min(full, end - column);
        const auto strip = [&]<int Columns>() __attribute__((always_inline)) {
            for (index first = 0; first < rows; first += most) {
                const index count = std::min(most, rows - first);
                if (count == 1)
                    multiply_chunk_tile<1, Columns>(of, to, first, count, column);
                else if (count <= height / 3)
                    multiply_chunk_tile<height / 3, Columns>(of, to, first, count, column);
                else if (count <= 2 * height / 3)
                    multiply_chunk_tile<2 * height / 3, Columns>(of, to, first, count, column);
                else
                    multiply_chunk_tile<height, Columns>(of, to, first, count, column);
            }
        };
        switch (width / size) {
            case 1:
                strip.template operator()<1>();
                break;
            case 2:
                strip.template operator()<2>();
                break;
            case 3:
                if constexpr (tiles.value_vectors > 2) strip.template operator()<3>();
                break;
            default:
                if constexpr (tiles.value_vectors > 2) strip.template operator()<4>();
        }
    }
}

/// A sum and what its additions have lost to rounding.
template <class T>
struct compensated_rows {
    written_rows<T> sum, lost;
};

/// sum ← old + (addend + lost): Knuth's exact sum, since either may be the larger.
template <class T>
[[gnu::always_inline]] inline void store_compensated(vec<T> old, vec<T> old_lost, vec<T> addend,
                                                     T* sum, T* lost) {
    const vec<T> y = addend + old_lost;
    const vec<T> t = old + y, b = t - old;
    ((old - (t - b)) + (y - b)).store(lost);
    t.store(sum);
}
/// sum ← sum + (addend + lost)
template <class T>
[[gnu::always_inline]] inline void add_compensated(T* sum, T* lost, vec<T> addend) {
    store_compensated(vec<T>::load(sum), vec<T>::load(lost), addend, sum, lost);
}

/// S ← S + Σ_{j < keys} b_j c_jᵀ, in `columns` columns from `column` on.
template <class T>
void add_chunk(const compensated_rows<T>& to, index depth, const T* b_transposed,
               contiguous_rows<T> c, index keys, index column, index columns) {
    constexpr index size = vec<T>::size;
    T* const sums = to.sum.data + column;
    T* const losses = to.lost.data + column;
    const index stride = to.sum.stride;
    multiply_columns(
        depth, b_transposed, fixed<chunk_length>{}, fixed<1>{},
        contiguous_rows<T>{c.data + column, c.stride}, columns, keys,
        [=]<int Vectors>(index r, index at, const vec<T>* sum) __attribute__((always_inline)) {
            if (r >= depth) return;
            T* to_sum = sums + r * stride + at;
            T* to_lost = losses + r * stride + at;
            unroll<Vectors>([&](int i) __attribute__((always_inline)) {
                add_compensated(to_sum + i * size, to_lost + i * size, sum[i]);
            });
        });
}

/// Rows of features become columns `first` … of b_transposed.
template <class T>
void transpose_into_chunk(contiguous_rows<T> rows, index count, index depth, index first,
                          T* b_transposed) {
    if (first == 0 && count == chunk_length) {
        pack_transposed<chunk_length>(rows.data, rows.stride, count, depth, b_transposed);
        return;
    }
    for (index r = 0; r < count; ++r) {
        const T* from = rows[r];
        T* to = b_transposed + first + r;
        for (index f = 0; f < depth; ++f) to[f * chunk_length] = from[f];
    }
}

/// Numbers of a transposed chunk, with what is written or read beyond it.
template <class T>
constexpr index transposed_size(index depth) {
    return (depth + spare_rows) * chunk_length + panel_width<T>;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
