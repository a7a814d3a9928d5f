#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/softmax/kernel/candidates.hpp>
#include <heed/softmax/sparse/kernel/sparse_normaliser.hpp>
#include <heed/softmax/sparse/kernel/sparse_row.hpp>
#include <heed/softmax/sparse/kernel/support_search.hpp>

/// \file
/// Sparsemax, alone on rows and as the normaliser of attention.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// λ with Σ relu(x − λ) = 1. Newton's method comes from the left, which for a convex function never
/// passes the root, and takes scores out of the support. Where it seems to be done, λ = c − v is
/// found from the least score c that is left: v is the probability of c, a small difference that is
/// hardly rounded. That c belongs to the support, and the next score below does not, must be
/// certain; otherwise the two are sought with numbers of twice the digits.
///
/// It ends: with s = Σ relu(x − λ) − 1 and k terms, a step makes s·k smaller by a factor of four,
/// or of two at least with what is rounded, since one of no more than `rounding` is the last; s·k
/// is at most n² at the beginning. The search ends as find_least_in_support does.
template <class T>
class sparsemax_solver {
  public:
    using statistics = threshold<T>;

    /// More than log₂(n²/rounding), n = 2³¹, and a search after it.
    static constexpr int most_steps = 256;

    static constexpr statistics invalid() { return statistics::invalid(); }
    static constexpr statistics empty() { return {}; }
    static constexpr bool is_invalid(const statistics& row) { return std::isnan(row.high); }

    /// λ = max x − reach(max p).
    static constexpr T reach(T largest_p) { return largest_p; }

    static solution<statistics> solve(const T* x, index count, T maximum) {
        const bool is_long = count > few_candidates<T>;
        T lambda = T(-1);  // relative to the maximum
        // Where all candidates may be the support, but for those that fill up the last vector.
        T before = static_cast<T>(count - vec<T>::size);
        for (int steps = 1;; ++steps) {
            if (is_long) {
                const auto [sum, terms] = sums_above(x, count, maximum, lambda);
                if (std::isnan(sum)) return {invalid(), steps};
                const T next = (sum - T(1)) / terms, excess = (next - lambda) * terms;
                lambda = next;
                if (excess > T(0.125) && terms < std::exchange(before, terms)) continue;
                ++steps;
            }
            const auto row = statistics::sum(maximum, lambda);
            const auto in = sums_of_support<false>(
                x, count, [&](vec<T> v) __attribute__((always_inline)) { return row.below(v); });
            if (std::isnan(in.sum)) return {invalid(), steps};
            const T step = (in.sum - T(1)) / in.terms;
            const T v = ((in.least - row.high) - row.low) - step, gap = in.least - in.next;
            if (in.terms * v > rounding && in.terms * (gap - v) > rounding)
                return {threshold_below(x, count, in), steps + 1};
            if (!(step > rounding)) return search(x, count, maximum, in.least, steps);
            lambda += step;
            before = in.terms;
        }
    }

    [[gnu::always_inline]] static vec<T> probability(const statistics& row, vec<T> x) {
        return max(vec<T>(T(0)), row.below(x));  // of a number and a NaN, the second
    }
    [[gnu::always_inline]] static vec<T> weight(vec<T> p) {
        return select(p > vec<T>(T(0)), vec<T>(T(1)), p);
    }
    static T origin(const T*, const T*, index) { return T(0); }
    static T parameter_gradient(const T*, const T*, index) { return T(0); }

  private:
    using limits = std::numeric_limits<T>;

    /// More than the additions of sums_over can lose of Σ ≤ 2.
    static constexpr T rounding = 32 * limits::epsilon();

    /// The sum of the differences to the maximum that are greater than λ, and their number.
    static std::array<T, 2> sums_above(const T* x, index count, T maximum, T lambda) {
        const vec<T> zero(T(0)), one(T(1)), top(maximum), limit(lambda);
        return sums_over<2>(x, count, [&](vec<T> v, auto& sums) {
            const vec<T> u = v - top;
            const vec_mask<T> out = u <= limit;  // a NaN is not
            sums[0] += select(out, zero, u);
            sums[1] += select(out, zero, one);
        });
    }

    /// λ = c − v, from differences to c, the least score of the support.
    static statistics threshold_below(const T* x, index count, const support_sums<T>& in) {
        const vec<T> zero(T(0)), least(in.least);
        const T sum = sums_over<1>(
            x, count, [&](vec<T> v, auto& sums) { sums[0] += max(zero, v - least); })[0];
        return {in.least, (sum - T(1)) / in.terms};
    }

    /// For scores within rounding of the threshold.
    [[gnu::noinline]] static solution<statistics> search(const T* x, index count, T maximum,
                                                         T guess, int steps) {
        const auto excess = [&](T t) {
            return exact_excess<T>(x, count, t, [](const auto& d, auto& total) {
                total.add(d.high);
                total.add(d.low);
            });
        };
        // Rounded down once more, nothing of the support lies at `low`.
        const T low = std::nextafter(maximum - T(1), -limits::infinity());
        const auto [least, looks] = find_least_in_support(low, maximum, guess, [&](T t) {
            const exact_excess<T> at = excess(t);
            const double step = at.terms > 0 ? at.value / at.terms : at.value;
            return support_look<T>{at.is_in, at.ties > 0, at.above, at.below,
                                   static_cast<T>(static_cast<double>(t) + step)};
        });
        const exact_excess<T> at = excess(least);
        const T v = static_cast<T>(-at.value / (at.terms + at.ties));
        return {{least, -std::min(v, least - at.below)}, steps + looks + 1};
    }
};

}  // namespace detail

/// Sparsemax: p = relu(x − λ) with λ such that Σp = 1, the point of the simplex that is nearest to
/// x (arXiv 1602.02068, kexue 10145). Where p > 0, dx = dp − the mean of dp there; elsewhere 0.
///
///     auto p  = heed::sparsemax(x);                     // the rows of x, whatever x is
///     auto dx = heed::sparsemax.backward(x, p, dp);
///     auto o  = heed::attention(q, k, v, heed::sparsemax);
///
/// λ and the support are exact. A row of −∞ gives zeros; a NaN, or +∞, makes its own row NaN. See
/// row_function for shapes, errors and cost.
class sparsemax_normaliser : public detail::sparse_normaliser<sparsemax_normaliser> {
  public:
    constexpr sparsemax_normaliser() = default;

    /// For attention: a row as a whole.
    template <class T>
    constexpr auto whole_row(index) const {
        return detail::sparse_row<T, detail::sparsemax_solver<T>>({});
    }
};

/// Sparsemax, in attention and on rows: see sparsemax_normaliser.
inline constexpr sparsemax_normaliser sparsemax{};

}  // namespace heed::inline HEED_ARCHITECTURE
