#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/softmax/dense/kernel/entropy_solver.hpp>
#include <heed/softmax/kernel/candidates.hpp>

/// \file
/// A row q = e^{γx}/Σe^{γx} whose entropy is given: γ, and the way back.

namespace heed::inline HEED_ARCHITECTURE {

/// What backward needs of a row of given entropy: q = 2^{coefficient·scale·(x − maximum)} ·
/// inverse_sum, so that γ = log 2·coefficient·scale, where scale is a power of two near γ: scores
/// of any size are made ordinary by it. At γ = 0 (both are 0) all that is not left out is alike, at
/// γ = ∞ (the coefficient is) only what is largest counts.
template <class T>
struct entropy_statistics {
    T maximum = T(0);
    T scale = T(0);
    T coefficient = T(0);
    T inverse_sum = T(0);
};

namespace detail {

/// The row normaliser of heed::entropy_normalised; see attention/part.hpp for what it must do.
template <class T>
class entropy_row {
  public:
    using statistics = entropy_statistics<T>;
    static constexpr bool is_sparse = false;

    explicit entropy_row(double entropy) : target_(entropy) {}

    statistics normalise(T* row, index count, arena&) const {
        int steps = 0;
        const statistics solved = solve(row, count, steps);
        recompute(solved, row, count);
        return solved;
    }

    void recompute(const statistics& solved, T* row, index count) const {
        const powers e(solved);
        const vec<T> inverse(solved.inverse_sum);
        for (index j = 0; j < count; j += vec<T>::size)
            (e(vec<T>::load(row + j)).value * inverse).store(row + j);
    }

    /// dx = γ·q ⊙ (d − (u − ū)·Cov(d, u)/Var u), d = dq − q·dq and u = coefficient·scale·(x −
    /// maximum), under q: what is left of dq after its regression on the scores.
    /// dH* = −Cov(d, u)/(log 2·Var u).
    void gradient(const statistics& solved, const T* scores, const T* q, T* dq, index count,
                  T* of_entropy, arena&) const {
        if (of_entropy != nullptr) *of_entropy = T(0);
        constexpr index size = vec<T>::size;
        if (solved.coefficient == T(0) || solved.coefficient == infinity) {
            // NaN where the row is.
            const vec<T> none(solved.inverse_sum * T(0));
            for (index j = 0; j < count; j += size) none.store(dq + j);
            return;
        }
        const powers e(solved);
        index at = 0;
        const auto [mean_u, mean_dq] = sums_over<2>(q, count, [&](vec<T> p, auto& sums) {
            sums[0] = fma(p, e.exponent(vec<T>::load(scores + at)), sums[0]);
            sums[1] = fma(p, vec<T>::load(dq + at), sums[1]);
            at += size;
        });
        const vec<T> u_0(mean_u), dq_0(mean_dq);
        at = 0;
        const auto [variance, covariance] = sums_over<2>(q, count, [&](vec<T> p, auto& sums) {
            const vec<T> u = e.exponent(vec<T>::load(scores + at)) - u_0;
            sums[0] = fma(p * u, u, sums[0]);
            sums[1] = fma(p * u, vec<T>::load(dq + at) - dq_0, sums[1]);
            at += size;
        });
        const T slope = variance == T(0) ? T(0) : covariance / variance;
        const vec<T> gamma(solved.coefficient * log_2), scale(solved.scale), by(slope);
        for (index j = 0; j < count; j += size) {
            const vec<T> u = e.exponent(vec<T>::load(scores + j)) - u_0;
            const vec<T> rest = fnma(u, by, vec<T>::load(dq + j) - dq_0);
            ((gamma * vec<T>::load(q + j)) * rest * scale).store(dq + j);
        }
        if (of_entropy != nullptr) *of_entropy = -slope / log_2;
    }

    /// The row's statistics; `steps` is how often its entropy was computed.
    statistics solve(const T* row, index count, int& steps) const {
        const row_summary all = summarise(row, count);
        statistics result = all.statistics_at_bounds(target_);
        if (!all.is_inside(target_)) return result;
        constexpr auto unit = static_cast<double>(std::numeric_limits<T>::epsilon());
        double z = 1;
        // Right where γ is small, H ≈ log s − γ²·variance/2. Where the differences that matter are
        // far below the largest, γ is as much larger: a double has room for 2¹⁹⁷³ times as much.
        constexpr int room = 950;
        const double first = std::sqrt(2 * (all.highest() - target_) / all.variance());
        const entropy_solution solved =
            solve_entropy(target_, all.lowest(), std::ldexp(first, -room),
                          6 * unit * (1 + all.highest()), unit / 2, [&](double gamma) {
                              set_gamma(result, gamma, all.exponent + room);
                              const auto now = moments(row, count, result);
                              z = now.z;
                              return std::pair(now.entropy, now.spread);
                          });
        steps = solved.steps;
        result.inverse_sum = static_cast<T>(1 / z);
        return result;
    }

    /// The same, for gradient alone, from q as it was computed: log q = γx − log Z, so that
    /// γ = Cov(log q, x)/Var x under q.
    statistics find(const T* row, const T* q, index count) const {
        constexpr index size = vec<T>::size;
        const row_summary all = summarise(row, count);
        statistics result = all.statistics_at_bounds(target_);
        if (!all.is_inside(target_)) return result;
        const vec<T> zero(T(0));
        const auto logarithm = [&](vec<T> p) { return select(p > zero, log(p), zero); };
        // Differences that have left any q are of one size, which may be far below the largest.
        const differences wide(all.maximum, all.exponent);
        vec<T> farthest = zero;
        for (index j = 0; j < count; j += size) {
            const vec<T> seen =
                select(vec<T>::load(q + j) > zero, wide(vec<T>::load(row + j)), zero);
            farthest = min(farthest, seen);
        }
        const T largest = -reduce_min(farthest);
        if (!(largest > T(0))) return result;
        const int exponent = within_range(all.exponent - std::ilogb(largest));
        const differences u(all.maximum, exponent);
        index at = 0;
        const auto [mean_u, mean_log] = sums_over<2>(q, count, [&](vec<T> p, auto& sums) {
            sums[0] = fma(p, u(vec<T>::load(row + at)), sums[0]);
            sums[1] = fma(p, logarithm(p), sums[1]);
            at += size;
        });
        const vec<T> u_0(mean_u), log_0(mean_log);
        at = 0;
        const auto [variance, covariance] = sums_over<2>(q, count, [&](vec<T> p, auto& sums) {
            const vec<T> d = u(vec<T>::load(row + at)) - u_0;
            sums[0] = fma(p * d, d, sums[0]);
            sums[1] = fma(p * d, logarithm(p) - log_0, sums[1]);
            at += size;
        });
        const T gamma = covariance / variance;
        if (gamma > T(0)) set_gamma(result, static_cast<double>(gamma), exponent);
        return result;
    }

  private:
    static constexpr T infinity = std::numeric_limits<T>::infinity();

    static constexpr T log_2 = static_cast<T>(std::numbers::ln2);

    /// 2^exponent, as far as T has it without losing digits, and its inverse too.
    static int within_range(int exponent) {
        constexpr int largest = std::numeric_limits<T>::max_exponent - 3;
        return std::clamp(exponent, -largest, largest);
    }
    static T power_of_two(int exponent) { return std::ldexp(T(1), within_range(exponent)); }

    /// The statistics' γ: that of scores times 2^exponent.
    static void set_gamma(statistics& row, double gamma, int exponent) {
        const int scale = within_range(std::ilogb(gamma) + exponent);
        row.scale = power_of_two(scale);
        row.coefficient = static_cast<T>(std::ldexp(gamma, exponent - scale) * std::numbers::log2e);
        // Only equal scores are so near to each other that this is not far beyond all exponents.
        if (!std::isfinite(row.maximum * row.scale)) row.coefficient = infinity;
    }

    /// 2^exponent·(x − maximum), not below what can be squared; 0 for what is left out.
    class differences {
      public:
        differences(T maximum, int exponent)
            : scale_(power_of_two(exponent)), top_(-maximum * power_of_two(exponent)) {}

        [[gnu::always_inline]] vec<T> operator()(vec<T> x) const {
            constexpr T least = std::is_same_v<T, float> ? T(-1e15) : T(-1e150);
            const vec<T> u = max(vec<T>(least), fma(x, scale_, top_));
            return select(x == vec<T>(-infinity), vec<T>(T(0)), u);
        }

      private:
        vec<T> scale_, top_;
    };

    /// 2^u and u.
    class powers {
      public:
        struct power {
            vec<T> value, exponent;
        };

        explicit powers(const statistics& row)
            : maximum_(row.maximum),
              only_largest_(row.coefficient == infinity),
              scale_(only_largest_ ? T(0) : row.scale),
              top_(only_largest_ ? T(0) : -row.maximum * row.scale),
              coefficient_(only_largest_ ? T(0) : row.coefficient) {}

        /// u, not below where 2^u is 0, also for what is left out.
        [[gnu::always_inline]] vec<T> exponent(vec<T> x) const {
            // The sum with 0 keeps compilers from fusing the product with what comes next. −∞ times
            // a scale of 0 is NaN, of which and a number max takes the second.
            const vec<T> u = product(fma(x, scale_, top_), coefficient_);
            return max(u, vec<T>(T(-16384)));
        }
        [[gnu::always_inline]] power operator()(vec<T> x) const {
            const vec<T> zero(T(0)), one(T(1));
            if (only_largest_) return {select(x == maximum_, one, zero), zero};
            const vec<T> u = exponent(x);
            return {exp2_fast(u), u};
        }

      private:
        vec<T> maximum_;
        bool only_largest_;
        vec<T> scale_, top_, coefficient_;
    };

    /// What of a row does not depend on γ.
    struct row_summary {
        T maximum, number, tied, sum, squares;  ///< of differences to the maximum
        int exponent;                           ///< they were made smaller than 2 by 2^exponent

        double highest() const { return std::log(static_cast<double>(number)); }
        double lowest() const { return std::log(static_cast<double>(tied)); }
        double variance() const {
            const double n = static_cast<double>(number), mean = static_cast<double>(sum) / n;
            return fma(-mean, mean, static_cast<double>(squares) / n);
        }
        bool is_valid() const { return !std::isnan(sum) && maximum < infinity; }
        bool is_inside(double entropy) const {
            return is_valid() && number > T(0) && entropy < highest() && entropy > lowest();
        }
        /// Right unless the entropy is inside the range.
        statistics statistics_at_bounds(double entropy) const {
            if (!is_valid()) return {T(0), T(0), T(0), std::numeric_limits<T>::quiet_NaN()};
            if (number == T(0)) return {};  // nothing is seen
            if (entropy >= highest()) return {maximum, T(0), T(0), T(1) / number};
            return {maximum, T(0), infinity, T(1) / tied};
        }
    };

    static row_summary summarise(const T* row, index count) {
        const vec<T> left_out(-infinity), zero(T(0)), one(T(1));
        vec<T> greatest = left_out, lowest = -left_out;
        for (index j = 0; j < count; j += vec<T>::size) {
            const vec<T> x = vec<T>::load(row + j);
            greatest = max(x, greatest);  // of a NaN and a number, the second
            lowest = min(select(x == left_out, -left_out, x), lowest);
        }
        const T maximum = reduce_max(greatest), range = maximum / 2 - reduce_min(lowest) / 2;
        const int exponent = range > T(0) ? within_range(-1 - std::ilogb(range)) : 0;
        const vec<T> top(maximum);
        const differences difference(maximum, exponent);
        const auto [number, tied, sum, squares] =
            sums_over<4>(row, count, [&](vec<T> x, auto& sums) {
                const vec<T> u = difference(x);
                sums[0] += select(x == left_out, zero, one);
                sums[1] += select(x == top, one, zero);
                sums[2] += u;
                sums[3] = fma(u, u, sums[3]);
            });
        return {maximum, number, tied, sum, squares, exponent};
    }

    struct moments_of_row {
        double z, entropy, spread;
    };

    static moments_of_row moments(const T* row, index count, const statistics& at) {
        const powers e(at);
        const auto [sum, first, second] = sums_over<3>(row, count, [&](vec<T> x, auto& sums) {
            const auto [value, u] = e(x);
            const vec<T> weighted = product(value, u);
            sums[0] += value;
            sums[1] += weighted;
            sums[2] = fma(weighted, u, sums[2]);
        });
        // u is an exponent of 2.
        constexpr double unit = std::numbers::ln2;
        const double z = static_cast<double>(sum), mean = static_cast<double>(first) / z;
        return {z, fma(-unit, mean, std::log(z)),
                unit * unit * fma(-mean, mean, static_cast<double>(second) / z)};
    }

    double target_;
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
