#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/softmax/candidates.hpp>
#include <heed/softmax/entmax15.hpp>
#include <heed/softmax/entmax_gradient.hpp>
#include <heed/softmax/sparse_row.hpp>
#include <heed/softmax/sparsemax.hpp>

/// \file
/// The threshold of entmax for any α ≥ 1.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// λ of p = relu((α−1)x − λ)^{1/(α−1)}, Σp = 1. With a = α − 1:
///
/// - near 1 (a < 1/4): p = exp(log1p(a(x − θ))/a), θ = (λ + 1)/a, which at a = 0 is softmax;
/// - otherwise: p = (a·relu(x − θ))^{1/a}, θ = λ/a, so that p is exact near the threshold.
///
/// Up to α = 2 the norm (Σp)^a is convex in θ, and Newton's method on it comes from the left.
/// Beyond, p has an infinite slope at θ: first the least score above θ is found, then Newton's
/// method finds its probability v, in which Σp is convex, from the right.
template <class T>
class entmax_solver {
  public:
    struct statistics {
        threshold<T> at;
        T scale = T(1);  ///< takes away what rounding left of Σp − 1 where p is an exponential
    };

    static constexpr int most_steps = 200;

    explicit entmax_solver(double alpha)
        : alpha_(alpha),
          slope_(static_cast<T>(alpha - 1)),
          power_(static_cast<T>(1 / (alpha - 1))),
          form_(alpha == 1     ? form::softmax
                : alpha == 1.5 ? form::square
                : alpha == 2   ? form::linear
                : alpha < 1.25 ? form::exponential
                : alpha < 2    ? form::convex
                               : form::steep) {}

    static statistics invalid() { return {threshold<T>::invalid(), T(1)}; }
    static statistics empty() { return {}; }
    static bool is_invalid(const statistics& row) { return std::isnan(row.at.high); }

    /// θ = max x − reach(max p).
    T reach(T largest_p) const { return power_ * std::pow(largest_p, slope_); }

    solution<statistics> solve(const T* x, index count, T maximum) const {
        if (form_ == form::linear) {
            const auto [row, steps] = sparsemax_solver<T>::solve(x, count, maximum);
            return {{row, T(1)}, steps};
        }
        if (form_ == form::square) {
            const auto [row, steps] = entmax15_solver<T>::solve(x, count, maximum);
            return {{{2 * row.high, 2 * row.low}, T(1)}, steps};
        }
        return form_ == form::steep ? solve_steep(x, count, maximum)
                                    : solve_convex(x, count, maximum);
    }

    [[gnu::always_inline]] vec<T> probability(const statistics& row, vec<T> x) const {
        const vec<T> zero(T(0)), distance = row.at.below(x);
        if (form_ == form::softmax) return exp(distance) * vec<T>(row.scale);
        if (form_ == form::exponential) {
            if (all(distance <= vec<T>(-power_))) return zero;
            const vec<T> logarithm = log1p(max(vec<T>(T(-1)), scaled(distance)));
            return exp(logarithm / vec<T>(slope_)) * vec<T>(row.scale);
        }
        if (all(distance <= zero)) return zero;      // most vectors of most rows
        return raised(scaled(max(zero, distance)));  // NaN if there is one
    }

    /// p^{2−α}, 0 where p is; in the range of T even where p is tiny and α > 2.
    [[gnu::always_inline]] vec<T> weight(vec<T> p) const {
        const vec<T> zero(T(0));
        if (form_ == form::softmax) return p;
        if (form_ == form::square) return sqrt(p);
        if (form_ == form::linear) return select(p > zero, vec<T>(T(1)), p);
        constexpr T largest = std::is_same_v<T, float> ? T(60) : T(600);
        if (all(p <= zero)) return p;
        const vec<T> logarithm = log(p) * vec<T>(static_cast<T>(2 - alpha_));
        return select(p > zero, exp(min(vec<T>(largest), logarithm)), p);
    }

    /// What weighted_gradient takes from dp first. Where α > 2 the least p may have a weight so
    /// much larger than all others that dp − Σg·dp/Σg would be nothing but rounding there.
    T origin(const T* p, const T* dp, index count) const {
        T least = std::numeric_limits<T>::infinity(), result = T(0);
        if (form_ != form::steep) return result;
        for (index j = 0; j < count; ++j) {
            if (!(p[j] > T(0) && p[j] < least)) continue;
            least = p[j];
            result = dp[j];
        }
        return result;
    }

    /// Σ dp·∂p/∂α
    T parameter_gradient(const T* p, const T* dp, index count) const {
        return entmax_alpha_gradient(p, dp, count, slope_);
    }

  private:
    enum class form { softmax, exponential, convex, square, linear, steep };

    /// a·x, kept from becoming one with the addition that comes next.
    [[gnu::always_inline]] vec<T> scaled(vec<T> x) const {
        return fma(vec<T>(slope_), x, vec<T>(T(0)));
    }
    /// y^{1/a}
    [[gnu::always_inline]] vec<T> raised(vec<T> y) const {
        if (form_ == form::linear) return y;
        if (form_ == form::square) return y * y;
        return exp(log(y) / vec<T>(slope_));
    }

    /// Newton's method on (Σp)^a.
    solution<statistics> solve_convex(const T* x, index count, T maximum) const {
        const bool is_exponential = form_ != form::convex;
        statistics row;
        row.at = threshold<T>::sum(maximum, is_exponential ? T(0) : -power_);
        T before = std::numeric_limits<T>::infinity();
        for (int steps = 1;; ++steps) {
            // Σp, and −dΣp/dθ = Σp^{2−α} = Σp/(a(x − θ)), or with a(x − θ) + 1.
            const auto [sum, slope] = sums_over<2>(x, count, [&](vec<T> v, auto& sums) {
                const vec<T> p = probability(row, v);
                const vec<T> y = scaled(row.at.below(v)) + vec<T>(is_exponential ? T(1) : T(0));
                sums[0] += p;
                sums[1] += select(p > vec<T>(T(0)), p / y, vec<T>(T(0)));
            });
            if (std::isnan(sum)) return {invalid(), steps};
            const T excess = std::abs(sum - T(1));
            // Rounding of the exponentials may keep the sum from coming nearer to 1.
            const bool done = excess <= 4 * std::numeric_limits<T>::epsilon() ||
                              (excess < T(1e-3) && excess > before / 2) || steps == most_steps;
            before = excess;
            if (done && is_exponential) {
                row.scale = T(1) / sum;
                return {row, steps};
            }
            row.at = row.at + step(sum, slope);
            if (done) return {row, steps};
        }
    }

    /// (S − S^{1−a})/(a·G)
    T step(T sum, T slope) const {
        const T logarithm = std::log(sum);
        const T relative =
            form_ == form::softmax ? logarithm : -std::expm1(-slope_ * logarithm) / slope_;
        return sum * relative / slope;
    }

    /// The least score in the support, then its probability.
    solution<statistics> solve_steep(const T* x, index count, T maximum) const {
        int steps = 0;
        const T least = least_in_support(x, count, maximum, steps);
        if (std::isnan(least)) return {invalid(), steps};
        const vec<T> zero(T(0)), last(least);
        const T members = sums_over<1>(x, count, [&](vec<T> v, auto& sums) {
            sums[0] += select(v >= last, vec<T>(T(1)), zero);
        })[0];
        // As the least of so many probabilities, v is at most their mean.
        T v = T(1) / members, before = std::numeric_limits<T>::infinity();
        for (; steps < most_steps; ++steps) {
            const T y = std::pow(v, slope_);
            const auto [sum, slope] = sums_over<2>(x, count, [&](vec<T> score, auto& sums) {
                const vec<T> distance =
                    select(score >= last, fma(vec<T>(slope_), score - last, vec<T>(y)), zero);
                const vec<T> p = raised(distance);
                sums[0] += p;
                sums[1] += select(p > zero, p / distance, zero);
            });
            const T excess = sum - T(1);
            if (std::isnan(sum)) return {invalid(), steps};
            if (sum <= T(0) || y <= T(0)) break;  // v is too small for T, and so is its share
            v = std::max(v - excess / (slope * std::pow(v, slope_ - T(1))), T(0));
            if (std::abs(excess) <= 4 * std::numeric_limits<T>::epsilon() ||
                (excess < T(1e-3) && excess > before / 2))
                break;
            before = excess;
        }
        return {{threshold<T>::sum(least, -std::pow(v, slope_) * power_), T(1)}, steps};
    }

    /// The least score at which, as the threshold, Σp < 1. Both ends of the interval are scores (or
    /// below them all); by turns its middle and where the norm seems to be 1 say which score is
    /// tried next.
    T least_in_support(const T* x, index count, T maximum, int& steps) const {
        T low = maximum - power_ * (T(1) + 4 * std::numeric_limits<T>::epsilon()), high = maximum;
        T low_norm = T(2), high_norm = T(0);
        for (; steps < most_steps; ++steps) {
            const T share = steps % 2 == 0 ? (low_norm - T(1)) / (low_norm - high_norm) : T(0.5);
            const T pivot = score_between(x, count, low, high, fma(high - low, share, low));
            if (std::isnan(pivot)) return pivot;
            if (!(pivot < high)) break;
            const threshold<T> at{pivot, T(0)};
            const T sum = sums_over<1>(x, count, [&](vec<T> v, auto& sums) {
                sums[0] += raised(scaled(max(vec<T>(T(0)), at.below(v))));
            })[0];
            if (std::isnan(sum)) return sum;
            (sum < T(1) ? high : low) = pivot;
            (sum < T(1) ? high_norm : low_norm) = std::pow(sum, slope_);
        }
        return high;
    }

    /// A score in (low, high) next to `middle`, or `high` if there is none; NaN if there is one.
    static T score_between(const T* x, index count, T low, T high, T middle) {
        const vec<T> least(low), greatest(high), border(middle),
            lowest(-std::numeric_limits<T>::infinity());
        vec<T> above(high), below = lowest, all(T(0));
        for (index j = 0; j < count; j += vec<T>::size) {
            const vec<T> v = vec<T>::load(x + j);
            all = select(is_nan(v), v, all);
            above = select((v >= border) & (v < greatest), min(above, v), above);
            below = select((v < border) & (v > least), max(below, v), below);
        }
        if (any(is_nan(all))) return std::numeric_limits<T>::quiet_NaN();
        const T next = reduce_min(above), previous = reduce_max(below);
        if (next > low && next < high) return next;
        return previous > low ? previous : high;
    }

    double alpha_;
    T slope_, power_;
    form form_;
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
