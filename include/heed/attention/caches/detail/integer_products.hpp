#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <heed/attention/kernel/products/paired_products.hpp>
#include <heed/attention/kernel/products/streamed_products.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/microkernel.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/simd/integers.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>

/// \file
/// The two products of attention as exact sums of integers: of 8 bits, as a page holds keys and
/// values, with numbers of q and weights rounded to 16.
///
/// Sums of integers depend on no order, so that any way through a page has the same bits; they
/// become floats once, times what the integers stand for.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Two rows of each of some panels of keys, that lie one below the other: pairs, a key a lane.
struct integer_panels {
    const std::int8_t* data;
    index next;  ///< panel from panel

    static constexpr index width = panel_width<float>;
    integer_panels& operator+=(index numbers) {
        data += numbers;
        return *this;
    }
    [[gnu::always_inline]] static vec<float> multiply_add(vec<float> left, vec<float> right,
                                                          vec<float> sum) {
        return multiply_integers(left, right, sum);
    }
};
/// Two rows of values, one below the other: pairs, a column a lane.
struct integer_rows {
    const std::int8_t* data;
    index below;  ///< row from row

    integer_rows& operator+=(index numbers) {
        data += numbers;
        return *this;
    }
    [[gnu::always_inline]] static vec<float> multiply_add(vec<float> left, vec<float> right,
                                                          vec<float> sum) {
        return multiply_integers(left, right, sum);
    }
};

[[gnu::always_inline]] inline vec<float> read_vector(const integer_panels& panels, int v) {
    constexpr int vectors = tiles.score_vectors;
    static_assert(vectors % 2 == 0);
    const std::int8_t* const row =
        panels.data + v / vectors * panels.next + v % vectors / 2 * 2 * vec<float>::size;
    return join_integer_rows(row, row + integer_panels::width, v % 2 != 0);
}
[[gnu::always_inline]] inline vec<float> read_vector(const integer_rows& rows, int v) {
    const std::int8_t* const row = rows.data + v / 2 * 2 * vec<float>::size;
    return join_integer_rows(row, row + rows.below, v % 2 != 0);
}

template <int Columns, class Step>
[[gnu::always_inline]] inline void fetch_ahead(const integer_panels& panels,
                                               const streamed<Step>& by) {
    unroll<Columns / tiles.score_vectors>([&](int p) __attribute__((always_inline)) {
        prefetch(panels.data + p * panels.next + by.ahead);
    });
}
template <int Columns, class Step>
[[gnu::always_inline]] inline void fetch_ahead(const integer_rows& rows, const streamed<Step>& by) {
    constexpr int a_line = 64 / static_cast<int>(vec<float>::size);
    unroll<(Columns + a_line - 1) / a_line>([&](int l) __attribute__((always_inline)) {
        prefetch(rows.data + by.ahead + l * 64);
        prefetch(rows.data + rows.below + by.ahead + l * 64);
    });
}

/// The vector at `c` of a row of `count` floats, 0 behind its end.
[[gnu::always_inline]] inline vec<float> load_of_row(const float* row, index c, index count) {
    if (c + vec<float>::size <= count) return vec<float>::load(row + c);
    return c < count ? vec<float>::load_partial(row + c, count - c) : vec<float>(0.0F);
}

/// A row of floats as pairs of neighbours, rounded to integers up to ±`most`, of which a last one
/// without a partner has 0; returns what 1 stands for, NaN if a number is not finite. read(c) is
/// the vector at c, 0 behind the row's end; `to` may be where it reads.
template <class Read>
float join_integer_row(index count, float most, const Read& read, float* to) {
    constexpr index size = vec<float>::size;
    vec<float> largest(0.0F), zero(0.0F);  // what is not finite, less itself, is NaN
    for (index c = 0; c < count; c += 2 * size) {
        const vec<float> first = read(c), second = read(c + size);
        largest = max(largest, max(abs(first), abs(second)));
        zero = zero + ((first - first) + (second - second));
    }
    if (!all(zero == vec<float>(0.0F))) {
        std::fill_n(to, static_cast<std::size_t>(pairs_of(count)), 0.0F);
        return std::numeric_limits<float>::quiet_NaN();
    }
    const float unit = std::max(reduce_max(largest) / most, std::numeric_limits<float>::min());
    const vec<float> inverse(1 / unit);
    for (index c = 0; c < count; c += 2 * size) {
        const vec<float> pairs = join_integers(read(c) * inverse, read(c + size) * inverse);
        if (c + 2 * size <= count)
            pairs.store(to + c / 2);
        else
            pairs.store_partial(to + c / 2, pairs_of(count - c));
    }
    return unit;
}

/// The largest integers of 16 bits whose products with `count` integers of 8 have a sum of 32.
inline float largest_factor(index count) {
    constexpr index sum = std::numeric_limits<std::int32_t>::max();
    return static_cast<float>(std::min<index>(32767, sum / (127 * count)));
}

/// key_blocks::join_queries.
inline void join_integer_queries(float* rows, index count, index dim, float* factor) {
    for (index r = 0; r < count; ++r) {
        float* const row = rows + r * dim;
        const auto read = [=](index c) { return load_of_row(row, c, dim); };
        factor[r] = join_integer_row(dim, largest_factor(dim), read, row);
    }
}

/// to[r, key] = factor[r]·scale[key]·(sum of the products of packed pairs with a key), for the keys
/// of a range of panels, rows score_stride apart; the largest of each lane so far unless null.
inline void multiply_integer_keys(const float* strips, index rows, const float* factor,
                                  const std::int8_t* panels, const float* scale, key_interval range,
                                  index dim, float* to, float* lane_maximum) {
    constexpr int vectors = tiles.score_vectors;
    constexpr index width = panel_width<float>, size = vec<float>::size;
    constexpr streamed<fixed<2 * width>> step{{}, panel_bytes_ahead};
    const index pairs = pairs_of(dim);
    const auto multiply = [=]<int Columns>(index key) __attribute__((always_inline)) {
        const integer_panels from{panels + key * dim, width * dim};
        const auto finish = [=](index r, const vec<float>* sums) __attribute__((always_inline)) {
            const vec<float> by(factor[r]);
            array_of<vec<float>, Columns> scores;
            unroll<Columns>([&](int c) __attribute__((always_inline)) {
                const vec<float> unit = vec<float>::load(scale + key + c * size) * by;
                scores[c] = floats_of_integers(sums[c]) * unit;
                scores[c].store(to + r * score_stride<float> + key + c * size);
            });
            raise_lane_maximum<Columns>(
                scores, lane_maximum == nullptr ? nullptr : lane_maximum + r * size);
        };
        if constexpr (Columns > vectors)
            multiply_tile<1, Columns>(strips, fixed<0>(), fixed<tiles.score_rows>(), from, step,
                                      pairs, finish);
        else
            multiply_rows<tiles.score_rows, Columns>(rows, strips, tiles.score_rows * pairs,
                                                     fixed<1>(), fixed<tiles.score_rows>(), from,
                                                     step, pairs, finish);
    };
    index key = range.first;
    if (rows == 1) {
        constexpr index at_once = one_row_vectors / vectors * width;
        for (; key + at_once <= range.last; key += at_once)
            multiply.template operator()<one_row_vectors>(key);
    }
    for (; key < range.last; key += width) multiply.template operator()<vectors>(key);
}

/// sums[r, …] = Σ_j weights[r, j]·scale[j]·v_j over the next keys, for all columns, where weights
/// times scales are rounded. Strides are those of multiply_streamed_values.
inline void multiply_integer_values(const float* weights, index rows, index keys,
                                    const std::int8_t* values, const float* scale, index stride,
                                    index columns, float* sums, index sums_stride) {
    constexpr index size = vec<float>::size;
    constexpr int tile = tiles.value_rows, vectors = tiles.value_vectors;
    constexpr index pair_stride = key_block<float> / 2 + size;
    const streamed<index> step{2 * stride, values_ahead * stride};
    alignas(64) array_of<float, tile * pair_stride> pairs;
    for (index first = 0; first < rows; first += tile) {
        const index count = std::min<index>(tile, rows - first);
        array_of<float, tile> unit = {};
        for (index r = 0; r < count; ++r) {
            const float* const row = weights + (first + r) * score_stride<float>;
            const auto read = [=](index j) {
                return load_of_row(row, j, keys) * load_of_row(scale, j, keys);
            };
            unit[r] = join_integer_row(keys, largest_factor(key_block<float>), read,
                                       pairs + r * pair_stride);
        }
        // A tile may be a row too high.
        if (count < tile) std::fill_n(pairs + count * pair_stride, pair_stride, 0.0F);
        const float *const left = pairs, *const of_row = unit;
        const auto multiply = [=]<int Columns>(index column) __attribute__((always_inline)) {
            const integer_rows from{values + column, stride};
            float* const to = sums + first * sums_stride + column;
            const auto finish = [=](index r, const vec<float>* sum) __attribute__((always_inline)) {
                const vec<float> by(of_row[r]);
                unroll<Columns>([&](int c) __attribute__((always_inline)) {
                    (floats_of_integers(sum[c]) * by).store(to + r * sums_stride + c * size);
                });
            };
            if constexpr (Columns > vectors)
                multiply_tile<1, Columns>(left, fixed<0>(), fixed<1>(), from, step, pairs_of(keys),
                                          finish);
            else
                multiply_rows<tile, Columns>(count, left, tile * pair_stride, fixed<pair_stride>(),
                                             fixed<1>(), from, step, pairs_of(keys), finish);
        };
        index column = 0;
        if (count == 1)
            for (; column + one_row_vectors * size <= columns; column += one_row_vectors * size)
                multiply.template operator()<one_row_vectors>(column);
        for (; column + vectors * size <= columns; column += vectors * size)
            multiply.template operator()<vectors>(column);
        for (; column < columns; column += size) multiply.template operator()<1>(column);
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
