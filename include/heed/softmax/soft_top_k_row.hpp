#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/softmax/candidates.hpp>
#include <heed/softmax/sparse_row.hpp>

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
/// the scores: far from the root both are nearly straight. An interval that holds the root is kept,
/// and halved where a step would leave it.
template <class T>
class soft_top_k_row {
  public:
    using statistics = threshold<T>;
    static constexpr bool is_sparse = false;
    static constexpr int most_steps = 100;

    soft_top_k_row(double k, soft_top_k_shape f) : k_(static_cast<T>(k)), shape_(f) {}

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

    T gradient(const statistics&, const T*, const T* p, T* dp, index count, arena& scratch) const {
        weighted_gradient(
            p, dp, count, T(0), [&](vec<T> v) { return weight(v); }, scratch);
        return T(0);
    }

    solution<statistics> solve(const T* row, index count) const {
        const auto [least, greatest, scores] = survey(row, count);
        if (greatest == infinity || has_nan(row, count)) return {statistics::invalid(), 0};
        if (scores == T(0)) return {{}, 0};
        if (scores <= k_) return {{-infinity, T(0)}, 0};

        // f(y) ≤ e^y and 1 − f(y) ≤ e^{−y}, so that the root lies between.
        const T rest = scores - k_;
        T low = least - std::log(scores / rest) - T(1);
        T high = greatest + std::log(scores / k_) + T(1);
        const bool by_rest = k_ > rest;
        statistics at = statistics::sum(by_rest ? low : high, T(0));
        T before = infinity;
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
            const T excess = (near - k_) + (below - above), size = std::abs(excess);
            const T enough = 2 * std::numeric_limits<T>::epsilon() * std::max(T(1), below + above);
            if (size <= enough || (size <= 32 * enough && size > before / 2) || steps == most_steps)
                return {at, steps};
            before = size;
            (excess > T(0) ? low : high) = at.high;
            T change = excess / slope;
            if (size > std::min(k_, rest) / 8) {  // far from the root
                const T sum = (near - above) + below, missing = (scores - near) - below + above;
                change = by_rest ? -std::log(missing / rest) * missing / slope
                                 : std::log(sum / k_) * sum / slope;
            }
            const statistics next = at + change;
            const bool inside = next.high >= low && next.high <= high;
            at = inside ? next : statistics::sum(low / 2 + high / 2, T(0));
        }
    }

  private:
    static constexpr T infinity = std::numeric_limits<T>::infinity();

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

    /// a·b, kept from becoming one with the addition that comes next.
    [[gnu::always_inline]] static vec<T> product(vec<T> a, vec<T> b) {
        return fma(a, b, vec<T>(T(0)));
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
    soft_top_k_shape shape_;
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
