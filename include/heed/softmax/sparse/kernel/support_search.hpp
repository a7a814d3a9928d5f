#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/softmax/kernel/candidates.hpp>

/// \file
/// The least score of a sparse row's support, found by looking at numbers: a score t is in the
/// support if Σ p < 1 were t the threshold.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// The place of a number in the order of all: that of the next larger one is greater by one.
template <class T>
bits_of<T> ordinal(T x) {
    const auto bits = std::bit_cast<bits_of<T>>(x);
    return bits < 0 ? std::numeric_limits<bits_of<T>>::min() - bits : bits;
}
template <class T>
T number_at(bits_of<T> place) {
    return std::bit_cast<T>(place < 0 ? std::numeric_limits<bits_of<T>>::min() - place : place);
}
/// As many numbers lie below it, down to `low`, as above it; `low` if there is none between.
template <class T>
T middle_number(T low, T high) {
    return number_at<T>(std::midpoint(ordinal(low), ordinal(high)));
}

/// So few that a pass over them costs little beside what comes after it.
template <class T>
inline constexpr index few_candidates = 16 * vec<T>::size;

/// Sums over the scores above a threshold, and the scores next to it.
template <class T>
struct support_sums {
    T terms, sum, squares;  ///< of distance(x); squares are 0 unless asked for
    T least, next;          ///< the least score above, the greatest one that is not, or infinities
};
template <bool HasSquares, class T, class Distance>
support_sums<T> sums_of_support(const T* x, index count, Distance&& distance) {
    const vec<T> zero(T(0)), one(T(1)), infinity(std::numeric_limits<T>::infinity());
    vec<T> least = infinity, next = -infinity;
    const auto sums = sums_over<2 + HasSquares>(x, count, [&](vec<T> v, auto& sums_of_chain) {
        const vec<T> y = max(zero, distance(v));
        const vec_mask<T> out = y <= zero;
        sums_of_chain[0] += select(out, zero, one);
        sums_of_chain[1] += y;
        if constexpr (HasSquares) sums_of_chain[2] = fma(y, y, sums_of_chain[2]);
        least = min(select(out, infinity, v), least);
        next = max(select(out, v, -infinity), next);
    });
    return {sums[0], sums[1], HasSquares ? sums.back() : T(0), reduce_min(least), reduce_max(next)};
}

/// What a look at t has found.
template <class T>
struct support_look {
    bool is_in;      ///< whether Σ p < 1 with the threshold t
    bool is_score;   ///< whether there is a score t
    T above, below;  ///< the scores next to t, or infinities
    T estimate;      ///< where the threshold seems to be
};

/// The least score in the support, where those up to `low` are not and `high` is, in how many
/// looks. Each look goes to the last one's estimate, or to the score next to it if there is none
/// between. From the fourth on, every other one halves the floating-point numbers that are left,
/// which can be done digits + exponent bits times: 32 in float, 64 in double. So it ends.
template <class T, class Look>
solution<T> find_least_in_support(T low, T high, T first, Look&& look) {
    T least = high, next = first;
    for (int looks = 0;; ++looks) {
        const T middle = middle_number(low, high);
        if (middle == low) return {least, looks};
        const bool halves = looks >= 3 && looks % 2 == 1;
        const T pivot = !halves && next > low && next < high ? next : middle;
        const support_look<T> seen = look(pivot);
        if (seen.is_in) {
            high = pivot;
            least = seen.is_score ? pivot : seen.above;
            if (seen.below <= low) return {least, looks + 1};
            next = std::min(seen.estimate, seen.below);
        } else {
            low = pivot;
            if (seen.above >= least) return {least, looks + 1};
            next = std::max(seen.estimate, seen.above);
        }
    }
}

/// Σf(x − t) − 1 over the scores above t, in numbers of twice the digits of double, for where one
/// of T leaves it open which side of 1 the sum is on. `add(d, total)` adds f of a difference.
///
/// With k terms its error is below k²·2⁻¹⁰⁴: a sum that is that near to 1 counts as 1.
template <class T>
struct exact_excess {
    template <class Add>
    exact_excess(const T* x, index count, T t, Add&& add) {
        exact_sum<double> total;
        total.add(-1);
        for (index j = 0; j < count; ++j) {
            if (x[j] > t) {
                above = std::min(above, x[j]);
                terms += 1;
                const auto d = threshold<double>::sum(x[j], -t);
                add(d, total);
                distances += d.high;
            } else if (x[j] < t) {
                below = std::max(below, x[j]);
            } else {
                ties += 1;
            }
        }
        value = total.value();
        is_in = value < -0x1p-100 * (terms + 1) * (terms + 1);
    }

    double value;
    bool is_in;
    double terms = 0, ties = 0;
    double distances = 0;  ///< Σ(x − t)
    T above = std::numeric_limits<T>::infinity(), below = -above;
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
