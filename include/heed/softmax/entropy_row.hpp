#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/softmax/candidates.hpp>

/// \file
/// A row q = e^{γx}/Σe^{γx} whose entropy is given: γ, and the way back.

namespace heed::inline HEED_ARCHITECTURE {

/// What backward needs of a row of given entropy: q = e^{γ(x − maximum)}·inverse_sum. At γ = 0 all
/// that is not left out is alike, at γ = ∞ only what is largest counts.
template <class T>
struct entropy_statistics {
    T maximum = T(0);
    T gamma = T(0);
    T inverse_sum = T(0);
};

namespace detail {

/// γ, and in how many steps it was found: evaluations of the entropy.
struct entropy_solution {
    double gamma;
    int steps;
};

/// γ with H(γ) = target, given lowest < target < highest = H(0), where highest is log s, lowest is
/// log t of t elements that share the maximum, and `variance` is that of x, all alike.
///
/// Newton's method for log(H − lowest), which is nearly a straight line where γ is large; from the
/// γ that is right where γ is small, H ≈ log s − γ²·variance/2. The root stays between bounds, and
/// a step beyond them goes between them. `moments(γ)` returns H(γ) and −H'(γ)/γ.
template <class Moments>
entropy_solution solve_entropy(double target, double lowest, double highest, double variance,
                               double tolerance, Moments&& moments) {
    constexpr int most_steps = 60;
    constexpr double infinity = std::numeric_limits<double>::infinity();
    double low = 0, high = infinity;
    double gamma = std::sqrt(2 * (highest - target) / variance);
    if (!(gamma > 0 && gamma < infinity)) gamma = 1;
    int steps = 1;
    for (;; ++steps) {
        const auto [entropy, spread] = moments(gamma);
        if (std::abs(entropy - target) <= tolerance || steps == most_steps) break;
        (entropy > target ? low : high) = gamma;
        const double above = entropy - lowest;
        double next = gamma + above * std::log(above / (target - lowest)) / (gamma * spread);
        if (!(next > low && next < high))
            next = high == infinity ? 4 * gamma : low > 0 ? std::sqrt(low * high) : high / 4;
        if (next == gamma) break;
        gamma = next;
    }
    return {gamma, steps};
}

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
        const powers e(solved.maximum, solved.gamma);
        const vec<T> inverse(solved.inverse_sum);
        for (index j = 0; j < count; j += vec<T>::size)
            (e(vec<T>::load(row + j)).value * inverse).store(row + j);
    }

    /// dx = γ·q ⊙ (d − (u − ū)·Cov(d, u)/Var u), d = dq − q·dq and u = x − maximum, under q: what
    /// is left of dq after its regression on the scores. dH* = −Cov(d, u)/(γ·Var u).
    T gradient(const statistics& solved, const T* scores, const T* q, T* dq, index count,
               arena&) const {
        constexpr index size = vec<T>::size;
        if (solved.gamma == T(0) || solved.gamma == infinity) {
            // NaN where the row is.
            const vec<T> none(solved.inverse_sum * T(0));
            for (index j = 0; j < count; j += size) none.store(dq + j);
            return T(0);
        }
        const powers e(solved.maximum, solved.gamma);
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
        const vec<T> gamma(solved.gamma), by(slope);
        for (index j = 0; j < count; j += size) {
            const vec<T> u = e.exponent(vec<T>::load(scores + j)) - u_0;
            const vec<T> rest = fnma(u, by, vec<T>::load(dq + j) - dq_0);
            ((gamma * vec<T>::load(q + j)) * rest).store(dq + j);
        }
        return -slope / solved.gamma;
    }

    /// The row's statistics; `steps` is how often its entropy was computed.
    statistics solve(const T* row, index count, int& steps) const {
        const row_summary all = summarise(row, count);
        statistics result = all.statistics_at_bounds(target_);
        if (!all.is_inside(target_)) return result;
        const double tolerance =
            8 * static_cast<double>(std::numeric_limits<T>::epsilon()) * (1 + all.highest());
        double z = 1;
        const entropy_solution solved = solve_entropy(
            target_, all.lowest(), all.highest(), all.variance(), tolerance, [&](double gamma) {
                result.gamma = static_cast<T>(gamma);
                const auto now = moments(row, count, all.maximum, result.gamma);
                z = now.z;
                return std::pair(now.entropy, now.spread);
            });
        steps = solved.steps;
        result.inverse_sum = static_cast<T>(1 / z);
        return result;
    }

    /// The same, for gradient alone, from q as it was computed: log q = γu − log Z, so that
    /// γ = Cov(log q, u)/Var u under q.
    statistics find(const T* row, const T* q, index count) const {
        constexpr index size = vec<T>::size;
        const row_summary all = summarise(row, count);
        statistics result = all.statistics_at_bounds(target_);
        if (!all.is_inside(target_)) return result;
        const powers e(all.maximum, T(0));
        const vec<T> zero(T(0));
        const auto logarithm = [&](vec<T> p) { return select(p > zero, log(p), zero); };
        index at = 0;
        const auto [mean_u, mean_log] = sums_over<2>(q, count, [&](vec<T> p, auto& sums) {
            sums[0] = fma(p, e.exponent(vec<T>::load(row + at)), sums[0]);
            sums[1] = fma(p, logarithm(p), sums[1]);
            at += size;
        });
        const vec<T> u_0(mean_u), log_0(mean_log);
        at = 0;
        const auto [variance, covariance] = sums_over<2>(q, count, [&](vec<T> p, auto& sums) {
            const vec<T> u = e.exponent(vec<T>::load(row + at)) - u_0;
            sums[0] = fma(p * u, u, sums[0]);
            sums[1] = fma(p * u, logarithm(p) - log_0, sums[1]);
            at += size;
        });
        result.gamma = variance == T(0) ? T(0) : covariance / variance;
        return result;
    }

  private:
    static constexpr T infinity = std::numeric_limits<T>::infinity();

    /// e^{γu} and u = x − maximum; 0 and 0 for what is left out.
    class powers {
      public:
        struct power {
            vec<T> value, exponent;
        };

        powers(T maximum, T gamma)
            : maximum_(maximum),
              only_largest_(gamma == infinity),
              coefficient_(only_largest_ ? T(0) : gamma * static_cast<T>(std::numbers::log2e)) {}

        [[gnu::always_inline]] vec<T> exponent(vec<T> x) const {
            return select(x == vec<T>(-infinity), vec<T>(T(0)), x - maximum_);
        }
        [[gnu::always_inline]] power operator()(vec<T> x) const {
            const vec<T> zero(T(0)), one(T(1));
            const vec<T> u = exponent(x);
            if (only_largest_) return {select(x == maximum_, one, zero), u};
            // The sum with 0 keeps compilers from fusing the product with what comes next.
            const vec<T> value = exp2_fast(fma(u, coefficient_, zero));
            return {select(x == vec<T>(-infinity), zero, value), u};
        }

      private:
        vec<T> maximum_;
        bool only_largest_;
        vec<T> coefficient_;
    };

    /// What of a row does not depend on γ.
    struct row_summary {
        T maximum, number, tied, sum, squares;

        double highest() const { return std::log(static_cast<double>(number)); }
        double lowest() const { return std::log(static_cast<double>(tied)); }
        double variance() const {
            const double n = static_cast<double>(number), mean = static_cast<double>(sum) / n;
            return static_cast<double>(squares) / n - mean * mean;
        }
        bool is_valid() const { return !std::isnan(sum) && maximum < infinity; }
        bool is_inside(double entropy) const {
            return is_valid() && number > T(0) && entropy < highest() && entropy > lowest();
        }
        /// Right unless the entropy is inside the range.
        statistics statistics_at_bounds(double entropy) const {
            if (!is_valid()) return {T(0), T(0), std::numeric_limits<T>::quiet_NaN()};
            if (number == T(0)) return {};  // nothing is seen
            if (entropy >= highest()) return {maximum, T(0), T(1) / number};
            return {maximum, infinity, T(1) / tied};
        }
    };

    static row_summary summarise(const T* row, index count) {
        const vec<T> left_out(-infinity), zero(T(0)), one(T(1));
        vec<T> greatest = left_out;
        for (index j = 0; j < count; j += vec<T>::size)
            greatest = max(vec<T>::load(row + j), greatest);  // of a NaN and a number, the second
        const T maximum = reduce_max(greatest);
        const vec<T> top(maximum);
        const auto [number, tied, sum, squares] =
            sums_over<4>(row, count, [&](vec<T> x, auto& sums) {
                const auto out = x == left_out;
                const vec<T> u = select(out, zero, x - top);
                sums[0] += select(out, zero, one);
                sums[1] += select(x == top, one, zero);
                sums[2] += u;
                sums[3] = fma(u, u, sums[3]);
            });
        return {maximum, number, tied, sum, squares};
    }

    struct moments_of_row {
        double z, entropy, spread;
    };

    static moments_of_row moments(const T* row, index count, T maximum, T gamma) {
        const powers e(maximum, gamma);
        const auto [sum, first, second] = sums_over<3>(row, count, [&](vec<T> x, auto& sums) {
            const auto [value, u] = e(x);
            const vec<T> product = fma(value, u, vec<T>(T(0)));
            sums[0] += value;
            sums[1] += product;
            sums[2] = fma(product, u, sums[2]);
        });
        const double z = static_cast<double>(sum), mean = static_cast<double>(first) / z;
        return {z, std::log(z) - static_cast<double>(gamma) * mean,
                static_cast<double>(second) / z - mean * mean};
    }

    double target_;
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
