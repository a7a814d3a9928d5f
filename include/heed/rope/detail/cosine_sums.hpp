#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <type_traits>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/microkernel.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/rope/detail/angles.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// The sums Σ_i cos(mθ_i) at all positions m below a length: is one of them negative?
///
/// By cos((s + j)θ) = cos sθ·cos jθ − sin sθ·sin jθ the sums are a product of two matrices, cosines
/// and sines of every stride-th position s by those of the steps j between: 2·dim operations a sum
/// at the speed of attention's scores, and hardly a cosine. It runs in float, with a bound on its
/// error; a sum nearer to zero than that is computed again, cosine by cosine in double.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Σ_i cos(m·θ_i) in double, in the order of i: what a sum is, where rounding matters.
inline double cosine_sum(const rope::frequencies& rope, index m) {
    double sum = 0;
    for (const double theta : rope.angular()) sum += std::cos(static_cast<double>(m) * theta);
    return sum;
}

/// The sums of one base, in vectors of T, which is float. T is a parameter, here and in what
/// searches for a base, so that a program compiles the product of matrices where it searches for
/// one.
template <class T>
class cosine_sums {
    static_assert(std::is_same_v<T, float>);

  public:
    /// Of plain frequencies; takes memory from `scratch`, which must outlive this.
    cosine_sums(arena& scratch, index dim, double base, index length)
        : scratch_(scratch),
          rope_(rope::plain({.dim = dim, .base = base})),
          pairs_(rope_.pairs()),
          padded_(round_up(pairs_, vec<T>::size)),
          length_(length),
          error_(error_bound()) {
        double* padded = scratch.take<double>(padded_);
        std::copy(rope_.angular().begin(), rope_.angular().end(), padded);
        std::fill(padded + pairs_, padded + padded_, 0.0);
        angular_ = padded;
    }

    bool is_negative(index m) const {
        const arena::scope scope(scratch_);
        T* row = scratch_.take<T>(2 * padded_);
        fill_row(m, row);
        return is_negative(m, std::accumulate(row, row + pairs_, T(0)));
    }

    /// A position below the length whose sum is negative, or −1. From the end: sums of distant
    /// positions are the smaller ones.
    index find_negative() const {
        const arena::scope scope(scratch_);
        const index depth = 2 * padded_;
        const T* steps = fill_steps();
        T* strides = scratch_.take<T>(rows * depth);
        constexpr index tile = rows * stride;
        for (index first = (length_ - 1) / tile * tile; first >= 0; first -= tile) {
            for (index r = 0; r < rows; ++r) fill_row(first + r * stride, strides + r * depth);
            for (index at = 0; at < stride; at += width) {
                index found = -1;
                multiply_tile<rows, tiles.score_vectors>(
                    strides, depth, 1, steps + at * depth, width,
                    depth, [&](int r, const vec<T>* sums) __attribute__((always_inline)) {
                        vec<T> least = sums[0];
                        for (int v = 1; v < tiles.score_vectors; ++v) least = min(least, sums[v]);
                        if (any(least < vec<T>(error_))) [[unlikely]]
                            found = std::max(found, look_at(first + r * stride + at, sums));
                    });
                if (found >= 0) return found;
            }
        }
        return -1;
    }

  private:
    static constexpr int rows = tiles.score_rows;
    static constexpr index width = panel_width<T>;
    static constexpr index stride = 128;
    static_assert(stride % width == 0);

    /// With p pairs and u = 2⁻²⁴. Cosines and sines are within 2 ulp of the rounded ones, 3u; so a
    /// pair's cosine is within 9u. No partial sum exceeds p, and each of the 2p additions rounds,
    /// without fused multiply-adds the products too: 2p·(p + 1)·u. The angles, here and in what
    /// cosine_sum computes, are rounded to double: 2⁻⁵² of the longest. The rest is reserve.
    T error_bound() const {
        const auto p = static_cast<double>(pairs_);
        const double turns = std::accumulate(rope_.angular().begin(), rope_.angular().end(), 0.0);
        return static_cast<T>(0x1p-24 * 2 * p * (p + 8) +
                              0x1p-51 * static_cast<double>(length_) * turns);
    }

    bool is_negative(index m, T sum) const {
        return sum < -error_ || (sum <= error_ && cosine_sum(rope_, m) < 0);
    }

    static void write_points(const std::array<vec<double>, angle_vectors<T>>& angle, T* cosine,
                             T* sine) {
        const cosine_sine<T> point = cosine_and_sine<T>(angle);
        point.cosine.store_aligned(cosine);
        point.sine.store_aligned(sine);
    }

    /// Cosines, then sines, of all pairs at position m.
    void fill_row(index m, T* row) const {
        std::array<vec<double>, angle_vectors<T>> angle;
        for (index t = 0; t < padded_; t += vec<T>::size) {
            for (std::size_t v = 0; v < angle.size(); ++v)
                angle[v] = vec<double>(m) * vec<double>::load(angular_ + t + lanes(v));
            write_points(angle, row + t, row + padded_ + t);
        }
    }

    /// Cosines and sines of −j for the steps j, in panels as the microkernel reads them.
    const T* fill_steps() const {
        const index depth = 2 * padded_;
        T* steps = scratch_.take<T>(stride * depth);
        std::fill(steps, steps + stride * depth, T(0));  // the padding's cosines are no terms
        std::array<vec<double>, angle_vectors<T>> angle;
        for (index at = 0; at < stride; at += width) {
            T* panel = steps + at * depth;
            for (index t = 0; t < pairs_; ++t) {
                for (index j = 0; j < width; j += vec<T>::size) {
                    for (std::size_t v = 0; v < angle.size(); ++v)
                        angle[v] = vec<double>(-angular_[t]) *
                                   (vec<double>(at + j + lanes(v)) + vec<double>::iota());
                    write_points(angle, panel + t * width + j, panel + (padded_ + t) * width + j);
                }
            }
        }
        return steps;
    }

    static index lanes(std::size_t vectors) {
        return static_cast<index>(vectors) * vec<double>::size;
    }

    /// One of the positions from `first` on, whose sums are given, that is negative, or −1.
    [[gnu::noinline]] index look_at(index first, const vec<T>* sums) const {
        std::array<T, static_cast<std::size_t>(width)> lane;
        for (int v = 0; v < tiles.score_vectors; ++v) sums[v].store(lane.data() + v * vec<T>::size);
        const index count = std::min(width, length_ - first);
        for (index j = 0; j < count; ++j)
            if (is_negative(first + j, lane[static_cast<std::size_t>(j)])) return first + j;
        return -1;
    }

    arena& scratch_;
    rope::frequencies rope_;
    index pairs_, padded_, length_;
    T error_;
    const double* angular_;  // padded to whole vectors of float
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
