#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/softmax/kernel/candidates.hpp>
#include <heed/softmax/sparse/entmax15.hpp>
#include <heed/softmax/sparse/kernel/entmax_gradient.hpp>
#include <heed/softmax/sparse/kernel/sparse_row.hpp>
#include <heed/softmax/sparse/kernel/support_search.hpp>
#include <heed/softmax/sparse/sparsemax.hpp>

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
/// Beyond, p has an infinite slope at θ: first the least score above θ is found, c, then Newton's
/// method finds its probability v, in which Σp is convex, from the right; p = (a(x − c) +
/// v^a)^{1/a}.
template <class T>
class entmax_solver {
  public:
    struct statistics {
        threshold<T> at;  ///< beyond α = 2 {c, −v^a/a}
        /// Takes away what rounding left of Σp − 1 where p is an exponential; beyond α = 2 it is v,
        /// whose power may be too small for T.
        T scale = T(1);
    };

    /// More than n = 2³¹ can need: see solve_convex, solve_steep and least_in_support.
    static constexpr int most_steps = 400;

    explicit entmax_solver(double alpha)
        : alpha_(alpha),
          slope_(static_cast<T>(std::min(alpha - 1, most))),
          power_(static_cast<T>(1 / (alpha - 1))),
          whole_power_(whole_number(1 / (alpha - 1))),
          quarters_(whole_number(4 * (2 - alpha))),
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
        // Most vectors of most rows are zero; NaN comes through if there is one.
        const vec<T> least(row.at.high);
        const bool is_steep = form_ == form::steep;
        if (is_steep ? all(x < least) : all(distance <= zero)) return zero;
        const vec<T> p = raised(scaled(max(zero, distance)));
        if (!is_steep) return p;
        return select(x < least, zero, select(x == least, vec<T>(row.scale), p));
    }

    /// p^{2−α}, 0 where p is; in the range of T even where p is tiny and α > 2. By square roots
    /// where they do.
    [[gnu::always_inline]] vec<T> weight(vec<T> p) const {
        const vec<T> zero(T(0));
        if (form_ == form::softmax) return p;
        if (form_ == form::linear) return select(p > zero, vec<T>(T(1)), p);
        if (quarters_ == 1) return sqrt(sqrt(p));
        if (quarters_ == 2) return sqrt(p);
        if (quarters_ == 3) return product(sqrt(p), sqrt(sqrt(p)));
        constexpr T largest = std::is_same_v<T, float> ? T(60) : T(600);
        if (all(p <= zero)) return p;
        const vec<T> logarithm = log(p) * vec<T>(static_cast<T>(std::max(2 - alpha_, -most)));
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
    static constexpr double most = std::numeric_limits<T>::max();
    /// A sum of probabilities that is so near to 1 is not improved further.
    static constexpr T enough = 4 * std::numeric_limits<T>::epsilon();

    enum class form { softmax, exponential, convex, square, linear, steep };

    /// x, if it is a whole number from 1 to 4 but for rounding, as 1/(4/3 − 1) is; otherwise 0.
    static int whole_number(double x) {
        const double whole = std::round(x);
        const bool is_whole = whole >= 1 && whole <= 4 &&
                              std::abs(x - whole) <= 4 * std::numeric_limits<double>::epsilon();
        return is_whole ? static_cast<int>(whole) : 0;
    }

    [[gnu::always_inline]] vec<T> scaled(vec<T> x) const { return product(vec<T>(slope_), x); }
    /// y^{1/a}, by products where they do: a logarithm and an exponential take many times as long.
    [[gnu::always_inline]] vec<T> raised(vec<T> y) const {
        if (whole_power_ == 0) return exp(log(y) / vec<T>(slope_));
        if (whole_power_ == 1) return y;
        const vec<T> square = product(y, y);
        if (whole_power_ == 2) return square;
        return product(square, whole_power_ == 3 ? y : square);
    }

    /// Newton's method on (Σp)^a. It ends: a step makes (Σp)^a − 1 times its slope, at most n² at
    /// the beginning, smaller by a factor of four. Below |Σp − 1| = 1e-3, where rounding may keep
    /// it from doing so, and may lead beyond the root, one that does not make |Σp − 1| times the
    /// slope less than half of what it last was on that side is the last.
    solution<statistics> solve_convex(const T* x, index count, T maximum) const {
        constexpr T infinity = std::numeric_limits<T>::infinity();
        const bool is_exponential = form_ != form::convex;
        statistics row;
        row.at = threshold<T>::sum(maximum, is_exponential ? T(0) : -fma(power_, enough, power_));
        T above = infinity, below = infinity;  // the root
        for (int steps = 1;; ++steps) {
            // Σp, and −dΣp/dθ = Σp^{2−α} = Σp/(a(x − θ)), or with a(x − θ) + 1.
            const auto [sum, slope] = sums_over<2>(
                x, count, [&](vec<T> v, auto& sums) __attribute__((always_inline)) {
                    const vec<T> p = probability(row, v);
                    const vec<T> y = scaled(row.at.below(v)) + vec<T>(is_exponential ? T(1) : T(0));
                    sums[0] += p;
                    sums[1] += select(p > vec<T>(T(0)), p / y, vec<T>(T(0)));
                });
            if (std::isnan(sum)) return {invalid(), steps};
            const T excess = std::abs(sum - T(1)), distance = excess * slope;
            const T before = std::exchange(sum > T(1) ? below : above, distance);
            const bool done = excess <= enough || (excess < T(1e-3) && distance > before / 2);
            if (done && is_exponential) {
                row.scale = T(1) / sum;
                return {row, steps};
            }
            // Not back at the end: there may be scores that are not in Σp yet.
            const threshold<T> last = row.at;
            if (!done || (excess <= enough && sum > T(1))) row.at = last + step(sum, slope);
            if (done || row.at == last) return {row, steps};
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
        if (maximum == std::numeric_limits<T>::infinity() || has_nan(x, count))
            return {invalid(), 0};
        const auto [least, looks] = least_in_support(x, count, maximum);
        const vec<T> zero(T(0)), one(T(1)), last(least);
        const auto [rest, ties, others] = sums_over<3>(x, count, [&](vec<T> score, auto& sums) {
            sums[0] += raised(scaled(max(zero, score - last)));
            sums[1] += select(score == last, one, zero);
            sums[2] += select(score > last, one, zero);
        });
        // With the others' least probabilities, v is the most that it can be.
        T v = (T(1) - rest) / ties;
        int steps = looks + 1;
        for (T before = std::numeric_limits<T>::infinity(); others > T(0);) {
            const T y = std::pow(v, slope_);
            const auto [sum, slope] = sums_over<2>(x, count, [&](vec<T> score, auto& sums) {
                const vec_mask<T> in = score > last;
                const vec<T> distance =
                    select(in, fma(vec<T>(slope_), score - last, vec<T>(y)), one);
                const vec<T> p = raised(distance);
                sums[0] += select(in, p, zero);
                sums[1] += select(in, p * (vec<T>(y) / distance), zero);
            });
            ++steps;
            // It ends for the reasons of solve_convex.
            const T excess = fma(ties, v, sum - T(1)), all = ties + slope / v;
            const T next = v - excess / all, distance = excess * all;
            if (!(next > T(0))) break;
            v = next;
            if (excess <= enough || (excess < T(1e-3) && distance > before / 2)) break;
            before = excess < T(1e-3) ? distance : before;
        }
        return {{{least, -std::pow(v, slope_) * power_}, v}, steps};
    }

    /// The least score at which, as the threshold, Σp is less than 1 by more than what rounding may
    /// have made of it: an ulp or two of each logarithm and exponential. By turns where the norm,
    /// which is nearly straight, seems to be 1, and the middle of the interval say which score is
    /// tried next. It ends: from the sixteenth step on the middle is that of all floating-point
    /// numbers, so that two of these steps halve the numbers that may be scores.
    solution<T> least_in_support(const T* x, index count, T maximum) const {
        const T below_one = fma(-enough, T(2) + std::log(static_cast<T>(count)) / 2, T(1));
        const T reach = fma(power_, enough, power_);
        T low = std::nextafter(maximum - reach, -std::numeric_limits<T>::infinity());
        T high = maximum, low_norm = T(2), high_norm = T(0);
        for (int steps = 0;; ++steps) {
            const T share = steps % 2 == 0 ? (low_norm - T(1)) / (low_norm - high_norm) : T(0.5);
            T middle = fma(high - low, share, low);
            if ((steps >= 16 && steps % 2 != 0) || !(middle > low && middle < high))
                middle = middle_number(low, high);
            const T pivot = score_between(x, count, low, high, middle);
            if (!(pivot < high)) return {high, steps};
            const vec<T> zero(T(0)), at(pivot);
            const T sum = sums_over<1>(x, count, [&](vec<T> v, auto& sums) {
                sums[0] += raised(scaled(max(zero, v - at)));
            })[0];
            const bool is_in = sum < below_one;
            (is_in ? high : low) = pivot;
            (is_in ? high_norm : low_norm) = std::pow(sum, slope_);
        }
    }

    /// A score in (low, high) next to `middle`, or `high` if there is none.
    static T score_between(const T* x, index count, T low, T high, T middle) {
        const vec<T> least(low), greatest(high), border(middle),
            lowest(-std::numeric_limits<T>::infinity());
        vec<T> above(high), below = lowest;
        for (index j = 0; j < count; j += vec<T>::size) {
            const vec<T> v = vec<T>::load(x + j);
            above = select((v >= border) & (v < greatest), min(above, v), above);
            below = select((v < border) & (v > least), max(below, v), below);
        }
        const T next = reduce_min(above), previous = reduce_max(below);
        if (next > low && next < high) return next;
        return previous > low ? previous : high;
    }

    double alpha_;
    T slope_, power_;
    int whole_power_, quarters_;  ///< 1/a and 4(2 − α), or 0: see whole_number
    form form_;
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
