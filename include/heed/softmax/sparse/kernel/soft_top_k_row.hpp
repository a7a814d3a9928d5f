#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/softmax/kernel/candidates.hpp>
#include <heed/softmax/sparse/kernel/sparse_row.hpp>
#include <heed/softmax/sparse/kernel/support_search.hpp>

/// \file
/// A row of soft top-k: its λ, and its probabilities.

namespace heed::inline HEED_ARCHITECTURE {

/// The function that soft_top_k lays over x − λ.
enum class soft_top_k_shape {
    clipped_exponential,   ///< f(y) = min(1, e^y)
    logistic,              ///< f(y) = 1/(1 + e^{−y})
    two_sided_exponential  ///< f(y) = e^y/2 for y ≤ 0, 1 − e^{−y}/2 for y > 0
};

namespace detail {

/// p = f(x − λ), Σp = k. Newton's method on log Σp, or on log Σ(1 − p) if k is more than half of
/// the scores: far from the root both are nearly straight. An interval that holds the root is kept.
/// Where a step would leave it, or after two that did not halve Σp − k, the interval is halved.
///
/// It ends: from the sixteenth on, every other step halves, and halfway(low, high) can be called 75
/// times in float, 140 in double, until nothing that is left makes a difference.
template <class T>
class soft_top_k_row {
  public:
    using statistics = threshold<T>;
    static constexpr bool is_sparse = false;
    static constexpr int most_steps = std::is_same_v<T, float> ? 170 : 300;

    soft_top_k_row(double k, soft_top_k_shape f)
        : k_(static_cast<T>(k)),
          whole_(static_cast<T>(std::floor(k))),
          fraction_(static_cast<T>(k - std::floor(k))),
          shape_(f) {}

    statistics normalise(T* row, index count, arena&) const {
        const statistics solved = solve(row, count).row;
        recompute(solved, row, count);
        return solved;
    }

    void recompute(const statistics& solved, T* row, index count) const {
        for (index j = 0; j < count; j += vec<T>::size) {
            const vec<T> x = vec<T>::load_aligned(row + j);
            // −∞ − (−∞) where all scores have a probability of 1
            const vec<T> p =
                select(x == vec<T>(-infinity), vec<T>(std::isnan(solved.high) ? solved.high : T(0)),
                       step(solved.below(x)));
            p.store_aligned(row + j);
        }
    }

    /// f′(x − λ) by p; 0 where p is.
    [[gnu::always_inline]] vec<T> weight(vec<T> p) const {
        const vec<T> rest = vec<T>(T(1)) - p;
        if (shape_ == soft_top_k_shape::logistic) return product(p, rest);
        if (shape_ == soft_top_k_shape::two_sided_exponential) return min(rest, p);
        return select(p >= vec<T>(T(1)), vec<T>(T(0)), p);
    }

    void gradient(const statistics&, const T*, const T* p, T* dp, index count, T*,
                  arena& scratch) const {
        weighted_gradient(
            p, dp, count, T(0), [&](vec<T> v) { return weight(v); }, scratch);
    }

    solution<statistics> solve(const T* row, index count) const {
        const auto [least, greatest, scores] = survey(row, count);
        if (greatest == infinity || has_nan(row, count)) return {statistics::invalid(), 0};
        if (scores == T(0)) return {{}, 0};
        const T rest = (scores - whole_) - fraction_;
        if (rest <= T(0)) return {{-infinity, T(0)}, 0};

        // f(y) ≤ e^y and 1 − f(y) ≤ e^{−y}, so that the root lies between.
        statistics low = statistics::sum(least, -std::log(scores / rest) - T(1));
        statistics high = statistics::sum(greatest, std::log(scores / k_) + T(1));
        const bool by_rest = k_ > rest;
        statistics at = by_rest ? low : high;
        T before = infinity;
        int slow = 0;
        for (int steps = 1;; ++steps) {
            // Σp − k as (terms above ½ − k) + Σ of p below − Σ of 1 − p above: where most are near
            // 0 or 1, Σp alone would have lost the digits that matter.
            const auto [near, below, above, slope] =
                sums_over<4>(row, count, [&](vec<T> x, auto& sums) {
                    const vec<T> y = at.below(x), p = step(y), missing = step_down(y);
                    const vec<T> zero(T(0)), one(T(1));
                    const vec_mask<T> is_near = y > zero;
                    sums[0] += select(is_near, one, zero);
                    sums[1] += select(is_near, zero, p);
                    sums[2] += select(is_near, missing, zero);
                    sums[3] += slope_of(y, p, missing);
                });
            const T excess = ((near - whole_) - fraction_) + (below - above);
            const T size = std::abs(excess);
            const T enough = 3 * std::numeric_limits<T>::epsilon() * std::max(T(1), below + above);
            slow = size > before / 2 ? slow + 1 : 0;
            if (size <= enough || (slow > 0 && size <= 2 * enough)) return {at, steps};
            (excess > T(0) ? low : high) = at;
            if (difference(high, low) <= resolution) return {at, steps};
            T change = excess / slope;
            if (size > std::min(k_, rest) / 8) {  // far from the root
                const T sum = (near - above) + below, missing = (scores - near) - below + above;
                change = by_rest ? -std::log(missing / rest) * missing / slope
                                 : std::log(sum / k_) * sum / slope;
            }
            at = at + change;
            const bool is_inside = difference(at, low) > T(0) && difference(high, at) > T(0);
            before = size;
            if (slow < 2 && is_inside && (steps < 16 || steps % 2 != 0)) continue;
            at = halfway(low, high);
            before = infinity;
        }
    }

  private:
    static constexpr T infinity = std::numeric_limits<T>::infinity();
    /// No p changes by more where λ does.
    static constexpr T resolution = std::numeric_limits<T>::epsilon() / 8;

    static T difference(const statistics& a, const statistics& b) {
        return (a.high - b.high) + (a.low - b.low);
    }

    /// Halves the distance between the two, or, where that is large, how many numbers are between.
    static statistics halfway(const statistics& low, const statistics& high) {
        constexpr T far = T(4096), flat = T(1024);
        const T distance = difference(high, low);
        if (distance <= far) return low + distance / 2;
        if (low.high < T(0) && high.high > T(0)) return {T(0), T(0)};
        const T from = low.high < T(0) ? low.high : std::max(low.high, T(1));
        const T to = low.high < T(0) ? std::min(high.high, T(-1)) : high.high;
        const T middle = middle_number(from, to);
        if (middle > from) return {middle, T(0)};
        // Two numbers without one between, so that all p are 0 or 1 but near them.
        return low.low < flat ? statistics::sum(low.high, flat) : statistics::sum(high.high, -flat);
    }

    struct summary {
        T least, greatest, scores;
    };
    static summary survey(const T* row, index count) {
        const vec<T> top(infinity), bottom(-infinity);
        vec<T> least = top, greatest = bottom;
        index scores = 0;
        for (index j = 0; j < count; j += vec<T>::size) {
            const vec<T> x = vec<T>::load_aligned(row + j);
            const vec_mask<T> in = x > bottom;
            least = min(select(in, x, top), least);
            greatest = max(x, greatest);
            scores += in.count();
        }
        return {reduce_min(least), reduce_max(greatest), static_cast<T>(scores)};
    }

    /// f(y)
    [[gnu::always_inline]] vec<T> step(vec<T> y) const {
        const vec<T> zero(T(0)), one(T(1));
        if (shape_ == soft_top_k_shape::logistic) return one / (one + exp(-y));
        if (shape_ == soft_top_k_shape::two_sided_exponential) {
            const vec<T> half = exp(-abs(y)) * vec<T>(T(0.5));
            return select(y > zero, one - half, half);
        }
        return exp(min(zero, y));
    }
    /// 1 − f(y)
    [[gnu::always_inline]] vec<T> step_down(vec<T> y) const {
        if (shape_ != soft_top_k_shape::clipped_exponential) return step(-y);
        return -expm1(min(vec<T>(T(0)), y));
    }
    /// f′(y)
    [[gnu::always_inline]] vec<T> slope_of(vec<T> y, vec<T> p, vec<T> missing) const {
        if (shape_ == soft_top_k_shape::logistic) return product(p, missing);
        if (shape_ == soft_top_k_shape::two_sided_exponential) return min(p, missing);
        return select(y < vec<T>(T(0)), p, vec<T>(T(0)));
    }

    T k_;
    T whole_, fraction_;  ///< k in two parts: it may have more digits than T
    soft_top_k_shape shape_;
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
