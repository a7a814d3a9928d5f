#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/softmax/candidates.hpp>
#include <heed/softmax/row_function.hpp>
#include <heed/softmax/sparse_row.hpp>
#include <heed/softmax/whole_rows.hpp>

/// \file
/// Sparsemax, alone on rows and as the normaliser of attention.

namespace heed::inline HEED_ARCHITECTURE {

namespace role {
struct normaliser;
}

namespace detail {

/// λ with Σ relu(x − λ) = 1, by Newton's method from the left, which for a convex function never
/// passes the root. With s = Σ relu(x − λ) − 1 and k terms that are not zero, each step makes s·k
/// smaller by a factor of four at least; s < k ≤ n at the beginning.
template <class T>
struct sparsemax_solver {
    using statistics = threshold<T>;

    /// More than n = 2³¹ in double can need: log₄(n²·2⁵³) < 58.
    static constexpr int most_steps = 64;

    static constexpr statistics invalid() { return statistics::invalid(); }
    static constexpr statistics empty() { return {}; }
    static constexpr bool is_invalid(const statistics& row) { return std::isnan(row.high); }

    /// λ = max x − reach(max p).
    static constexpr T reach(T largest_p) { return largest_p; }

    static solution<statistics> solve(const T* x, index count, T maximum) {
        using limits = std::numeric_limits<T>;
        const vec<T> zero(T(0)), one(T(1)), top(maximum);
        // Relative to the maximum, until the support no longer shrinks: λ = (Σx − 1)/k.
        T lambda = T(-1), terms = limits::infinity();
        int steps = 0;
        while (steps < most_steps) {
            const vec<T> limit(lambda);
            const auto [sum, in_sum] = sums_over<2>(x, count, [&](vec<T> v, auto& sums) {
                const vec<T> u = v - top;
                const vec_mask<T> out = u <= limit;  // a NaN is not
                sums[0] += select(out, zero, u);
                sums[1] += select(out, zero, one);
            });
            if (std::isnan(sum)) return {invalid(), steps};
            ++steps;
            if (in_sum >= terms) break;
            terms = in_sum;
            lambda = (sum - T(1)) / in_sum;
        }
        // From the scores themselves, in two parts, until Σp = 1 to the last digits.
        auto row = statistics::sum(maximum, lambda);
        for (int correction = 0; correction < 3; ++correction) {
            const auto [sum, in_sum] = sums_over<2>(x, count, [&](vec<T> v, auto& sums) {
                const vec<T> p = max(row.below(v), zero);
                sums[0] += p;
                sums[1] += select(p > zero, one, zero);
            });
            ++steps;
            row = row + (sum - T(1)) / in_sum;
            if (std::abs(sum - T(1)) <= 2 * limits::epsilon()) break;
        }
        return {row, steps};
    }

    [[gnu::always_inline]] static vec<T> probability(const statistics& row, vec<T> x) {
        return max(vec<T>(T(0)), row.below(x));  // of a number and a NaN, the second
    }
    [[gnu::always_inline]] static vec<T> weight(vec<T> p) {
        return select(p > vec<T>(T(0)), vec<T>(T(1)), p);
    }
    static T origin(const T*, const T*, index) { return T(0); }
    static T parameter_gradient(const T*, const T*, index) { return T(0); }
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
class sparsemax_normaliser : public row_function<sparsemax_normaliser> {
  public:
    using role = heed::role::normaliser;

    constexpr sparsemax_normaliser() = default;

    /// For attention: a row as a whole.
    template <class T>
    constexpr auto whole_row(index) const {
        return detail::sparse_row<T, detail::sparsemax_solver<T>>({});
    }

    /// For row_function.
    template <class T>
    auto forward() const {
        return detail::whole_rows(whole_row<T>(0));
    }
    template <class T>
    auto gradient() const {
        return detail::weighted_backward_rows(whole_row<T>(0));
    }
};

/// Sparsemax, in attention and on rows: see sparsemax_normaliser.
inline constexpr sparsemax_normaliser sparsemax{};

}  // namespace heed::inline HEED_ARCHITECTURE
