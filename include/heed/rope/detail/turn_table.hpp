#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/simd.hpp>
#include <heed/rope/detail/angles.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// Tables of cosines and sines: a row a position, computed once for all heads.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// Frequencies as the tables' kernels read them: in scratch, padded to whole vectors. A position
/// has a number for each axis, and a pair turns by the sum of what it turns along each.
template <class T>
struct padded_frequencies {
    const double* angular;  ///< [axes, padded]
    index axes;
    index pairs;
    index padded;  ///< pairs rounded up to vectors of T; those beyond turn by 0
    T factor;

    template <class Frequencies>
    padded_frequencies(arena& scratch, const Frequencies& rope)
        : axes(rope.axes()),
          pairs(rope.pairs()),
          padded(round_up(pairs, vec<T>::size)),
          factor(static_cast<T>(rope.attention_factor())) {
        double* copy = scratch.take<double>(axes * padded);
        angular = copy;
        const double* from = rope.angular().data();
        for (index a = 0; a < axes; ++a, copy += padded, from += pairs) {
            std::copy(from, from + pairs, copy);
            std::fill(copy + pairs, copy + padded, 0.0);
        }
    }

    /// How many numbers a position takes in a table: cosines, then sines, times the factor.
    index row_size() const { return 2 * padded; }

    /// Writes the row of a position along the only axis.
    void fill_row(double position, T* row) const { fill_row(&position, 0, row); }

    /// Writes the row of a position: position[a·step] along axis a.
    void fill_row(const double* position, index step, T* row) const {
        constexpr index lanes = vec<double>::size;
        for (index t = 0; t < padded; t += vec<T>::size) {
            std::array<vec<double>, angle_vectors<T>> angle;
            for (std::size_t v = 0; v < angle.size(); ++v) {
                const double* of = angular + t + static_cast<index>(v) * lanes;
                angle[v] = vec<double>(*position) * vec<double>::load(of);
                for (index a = 1; a < axes; ++a)
                    angle[v] = fma(vec<double>(position[a * step]),
                                   vec<double>::load(of + a * padded), angle[v]);
            }
            const cosine_sine<T> point = cosine_and_sine<T>(angle);
            (point.cosine * vec<T>(factor)).store_aligned(row + t);
            (point.sine * vec<T>(factor)).store_aligned(row + padded + t);
        }
    }

    /// The cosines and sines of one pair at many positions along the only axis, `count` of them,
    /// padded with readable numbers to whole vectors.
    void fill_column(index pair, const double* positions, index count, T* cosine, T* sine) const {
        fill_column(pair, positions, 0, count, cosine, sine);
    }

    /// The same where position i is positions[a·step + i] along axis a.
    void fill_column(index pair, const double* positions, index step, index count, T* cosine,
                     T* sine) const {
        constexpr index lanes = vec<double>::size;
        for (index i = 0; i < count; i += vec<T>::size) {
            std::array<vec<double>, angle_vectors<T>> angle;
            for (std::size_t v = 0; v < angle.size(); ++v) {
                const double* of = positions + i + static_cast<index>(v) * lanes;
                angle[v] = vec<double>::load(of) * vec<double>(angular[pair]);
                for (index a = 1; a < axes; ++a)
                    angle[v] = fma(vec<double>::load(of + a * step),
                                   vec<double>(angular[a * padded + pair]), angle[v]);
            }
            const cosine_sine<T> point = cosine_and_sine<T>(angle);
            (point.cosine * vec<T>(factor)).store_aligned(cosine + i);
            (point.sine * vec<T>(factor)).store_aligned(sine + i);
        }
    }
};

/// Which way a pair (x, y) is turned: to (x·c − y·s, x·s + y·c), or by the transposed matrix, which
/// at an attention factor of 1 undoes it.
enum class turn { forth, back };

template <turn Way, class T>
void turn_pair(vec<T>& x, vec<T>& y, vec<T> cosine, vec<T> sine) {
    const vec<T> first = x, second = y;
    if constexpr (Way == turn::forth) {
        x = fnma(second, sine, first * cosine);
        y = fma(first, sine, second * cosine);
    } else {
        x = fma(second, sine, first * cosine);
        y = fnma(first, sine, second * cosine);
    }
}

/// Turns the pairs of one row by a row of the table: `to` may be `from`. Dimensions beyond the
/// pairs are not touched.
template <turn Way, rope::pair_layout Layout, class T>
void turn_row(const T* from, T* to, const T* table, index pairs, index padded) {
    constexpr index size = vec<T>::size;
    const T* sines = table + padded;
    if constexpr (Layout == rope::halves) {
        index t = 0;
        for (; t + size <= pairs; t += size) {
            vec<T> x = vec<T>::load(from + t), y = vec<T>::load(from + pairs + t);
            turn_pair<Way>(x, y, vec<T>::load_aligned(table + t), vec<T>::load_aligned(sines + t));
            x.store(to + t);
            y.store(to + pairs + t);
        }
        if (t < pairs) {
            const index left = pairs - t;
            vec<T> x = vec<T>::load_partial(from + t, left);
            vec<T> y = vec<T>::load_partial(from + pairs + t, left);
            turn_pair<Way>(x, y, vec<T>::load_aligned(table + t), vec<T>::load_aligned(sines + t));
            x.store_partial(to + t, left);
            y.store_partial(to + pairs + t, left);
        }
    } else {
        for (index t = 0; t < pairs; t += size) {
            const index left = 2 * (pairs - t);
            const vec<T> low = vec<T>::load_partial(from + 2 * t, left);
            const vec<T> high = vec<T>::load_partial(from + 2 * t + size, left - size);
            vec<T> x = unzip<0>(low, high), y = unzip<1>(low, high);
            turn_pair<Way>(x, y, vec<T>::load_aligned(table + t), vec<T>::load_aligned(sines + t));
            zip_low(x, y).store_partial(to + 2 * t, left);
            zip_high(x, y).store_partial(to + 2 * t + size, left - size);
        }
    }
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
