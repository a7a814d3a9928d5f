#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/simd/pairs.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>

/// \file
/// The inner product of attention: a small tile of a matrix product, held in registers.
///
/// Built for the peak of the multiply-add units. A tile of Rows × Columns vectors takes, a step of
/// the depth, Columns loads and Rows broadcasts for Rows·Columns multiply-adds; on a machine with
/// two of either a cycle the loads hide behind the arithmetic.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A stride that the compiler knows.
template <index Stride>
using fixed = std::integral_constant<index, Stride>;

/// The stride of rows that come from memory: the lines of one that lies `ahead`, in numbers, are
/// fetched meanwhile, so that the arithmetic goes on while memory answers.
template <class Step>
struct streamed {
    Step step;
    index ahead;

    constexpr operator index() const { return step; }
};

/// Rows that are read from caches are not fetched.
template <int Columns, class Row, class Step>
[[gnu::always_inline]] inline void fetch_ahead(const Row&, const Step&) {}
template <int Columns, class Row, class Step>
[[gnu::always_inline]] inline void fetch_ahead(const Row& row, const streamed<Step>& by) {
    const auto* const numbers = memory_of(row);
    using storage = std::remove_cvref_t<decltype(*numbers)>;
    constexpr index size = vec<computed_scalar<storage>>::size;
    constexpr int a_line = std::max(1, 64 / static_cast<int>(sizeof(storage) * size));
    unroll<(Columns + a_line - 1) / a_line>([&](int l) __attribute__((always_inline)) {
        prefetch(numbers + by.ahead + l * a_line * size);
    });
}

/// Where sums begin: at zero.
struct from_zero {};

/// A step of a sum of products with the vectors of `Right`: a multiply-add, of pairs two, of quads
/// two in each half, or what the rows bring with them.
template <class Right, class T>
[[gnu::always_inline]] inline vec<T> multiply_add(vec<T> left, vec<T> right, vec<T> sum) {
    if constexpr (std::is_same_v<Right, rows_of_pairs>)
        return multiply_pairs(left, right, sum);
    else if constexpr (std::is_same_v<Right, rows_of_quads>)
        return multiply_quads(left, right, sum);
    else if constexpr (requires { Right::multiply_add(left, right, sum); })
        return Right::multiply_add(left, right, sum);
    else
        return fma(left, right, sum);
}

// What happens to one row of a tile. Of no tile's type, so that tiles of all heights share it: the
// compiler meets a row's number as a constant only once all of this is inlined.

/// The vectors from which a row's sums go on.
template <class T, std::size_t Columns, class Begin>
[[gnu::always_inline]] inline void begin_row(vec<T> (&sum)[Columns], const Begin& begin, int row) {
    if constexpr (std::is_same_v<Begin, from_zero>) {
        unroll<Columns>([&](int c) __attribute__((always_inline)) { sum[c] = vec<T>(T(0)); });
    } else {
        const T* from = begin(row);
        unroll<Columns>([&](int c) __attribute__((always_inline)) {
            sum[c] = vec<T>::load(from + c * vec<T>::size);
        });
    }
}

/// The vectors of b for one step of the depth.
template <class T, std::size_t Columns, class Right>
[[gnu::always_inline]] inline void read_row(const Right& b, vec<T> (&right)[Columns]) {
    unroll<Columns>([&](int c) __attribute__((always_inline)) { right[c] = read_vector(b, c); });
}

/// What is read through `a` from here on is read behind the products of the row above, so that no
/// registers are taken too early.
template <class T, std::size_t Columns>
[[gnu::always_inline]] inline void read_after_row(const T*& a, const vec<T> (&above)[Columns]) {
    unroll<Columns>([&](int c) __attribute__((always_inline)) { read_after(a, above[c]); });
}

/// One step of a row's sums.
template <class Right, class T, std::size_t Columns>
[[gnu::always_inline]] inline void add_products(T number, const vec<T> (&right)[Columns],
                                                vec<T> (&sum)[Columns]) {
    const vec<T> left(number);
    unroll<Columns>([&](int c) __attribute__((always_inline)) {
        sum[c] = multiply_add<Right>(left, right[c], sum[c]);
    });
}

/// One step of the depth for all rows of a tile: sum[r] += a[r·a_row]·b. Each row's number is read
/// behind the products of the row above.
template <int... R, class T, class RowStride, class Right, std::size_t Columns>
[[gnu::always_inline]] inline void add_step(std::integer_sequence<int, R...>, const T*& a,
                                            RowStride a_row, const Right& b,
                                            vec<T> (&sum)[sizeof...(R)][Columns]) {
    vec<T> right[Columns];
    read_row(b, right);
    ((R > 0 ? read_after_row(a, sum[R > 0 ? R - 1 : 0]) : void(),
      add_products<Right>(a[R * a_row], right, sum[R])),
     ...);
}

/// finish(row, its sums).
template <class T, std::size_t Columns, class Finish>
[[gnu::always_inline]] inline void finish_row(const vec<T> (&sum)[Columns], const Finish& finish,
                                              int row) {
    // A copy, because sums whose address is passed on would live in memory, not in registers.
    vec<T> sums[Columns];
    unroll<Columns>([&](int c) __attribute__((always_inline)) { sums[c] = sum[c]; });
    finish(row, sums);
}

/// multiply_tile, whose rows are 0 … sizeof...(R) − 1.
template <int Columns, int... R, class T, class RowStride, class Step, class Right, class OtherStep,
          class Begin, class Finish>
[[gnu::always_inline]] inline void multiply_tile_rows(std::integer_sequence<int, R...> rows,
                                                      const T* a, RowStride a_row, Step a_step,
                                                      Right b, OtherStep b_step, index depth,
                                                      const Begin& begin, const Finish& finish) {
    array_of<array_of<vec<T>, Columns>, sizeof...(R)> sum;
    (begin_row(sum[R], begin, R), ...);
    for (index k = 0; k < depth; ++k) {
        fetch_ahead<Columns>(b, b_step);
        add_step(rows, a, a_row, b, sum);
        a += a_step;
        b += b_step;
    }
    (finish_row(sum[R], finish, R), ...);
}

/// sum[r][c] = Σ_k a[r·a_row + k·a_step]·b[k·b_step + c], each a single chain of multiply-adds from
/// zero in the order of k; then `finish(row, sums)` for each row, sums being Columns vectors. If
/// `begin` is not from_zero{}, chains go on from the vectors at begin(row). b is a pointer to
/// numbers as they are stored, scaled_columns, scaled_rows or, as a is then, rows_of_pairs or
/// rows_of_quads.
template <int Rows, int Columns, class T, class RowStride, class Step, class Right, class OtherStep,
          class Begin, class Finish>
[[gnu::always_inline]] inline void multiply_tile(const T* a, RowStride a_row, Step a_step, Right b,
                                                 OtherStep b_step, index depth, const Begin& begin,
                                                 const Finish& finish) {
    multiply_tile_rows<Columns>(std::make_integer_sequence<int, Rows>(), a, a_row, a_step, b,
                                b_step, depth, begin, finish);
}
template <int Rows, int Columns, class T, class RowStride, class Step, class Right, class OtherStep,
          class Finish>
[[gnu::always_inline]] inline void multiply_tile(const T* a, RowStride a_row, Step a_step, Right b,
                                                 OtherStep b_step, index depth,
                                                 const Finish& finish) {
    multiply_tile<Rows, Columns>(a, a_row, a_step, b, b_step, depth, from_zero{}, finish);
}

/// multiply_tile over as many rows as there are, MaxRows at a time; `finish(row, sums)` gets the
/// row's index. The last tile may be up to MaxRows/3 rows too high: there must be memory below `a`,
/// and finish must bear those rows.
///
/// `a_tile` is the distance from one tile of MaxRows rows to the next. The other strides are
/// indices or, where the kernel is to be built for one, fixed<…>.
///
/// `finish` must become part of the tile, or its sums go through memory: it, and all lambdas here,
/// are to be inlined always, since g++ inlines those of the deepest loops last. It holds what it
/// needs by value: what it referred to would be read again after every store.
template <int MaxRows, int Columns, class T, class RowStride, class Step, class Right,
          class OtherStep, class Finish, class Begin = from_zero>
void multiply_rows(index rows, const T* a, index a_tile, RowStride a_row, Step a_step, Right b,
                   OtherStep b_step, index depth, Finish finish,
                   [[maybe_unused]] Begin begin = {}) {
    index first = 0;
    const auto begin_tile = [&] {
        if constexpr (std::is_same_v<Begin, from_zero>)
            return begin;
        else
            return [&](int r) __attribute__((always_inline)) { return begin(first + r); };
    };
    const auto tile = [&]<int Rows>() __attribute__((always_inline)) {
        multiply_tile<Rows, Columns>(
            a, a_row, a_step, b, b_step, depth,
            begin_tile(), [&](int r, const vec<T>* sums) __attribute__((always_inline)) {
                finish(first + r, sums);
            });
    };
    // One text for all tiles of full height, that of the last rows too, which is the longest.
    for (; rows - first > 2 * MaxRows / 3; first += MaxRows, a += a_tile)
        tile.template operator()<MaxRows>();
    const index rest = rows - first;
    if (rest <= 0) return;
    if (rest == 1) return tile.template operator()<1>();
    if (rest <= MaxRows / 3) return tile.template operator()<MaxRows / 3>();
    tile.template operator()<2 * MaxRows / 3>();
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
