#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/math.hpp>
#include <heed/core/scalar.hpp>
#include <heed/core/simd.hpp>
#include <heed/measure/detail/row_measure.hpp>
#include <heed/rows/line_parts.hpp>
#include <heed/rows/lines.hpp>

/// \file
/// How few elements of a row matter.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// A sum of numbers not below 0 whose error does not grow with their count (Kahan, 1965).
class kahan_sum {
  public:
    void add(double x) {
        const double term = x - lost_, sum = sum_ + term;
        lost_ = (sum - sum_) - term;
        sum_ = sum;
    }
    double value() const { return sum_; }

  private:
    double sum_ = 0, lost_ = 0;
};

/// The mean of u = |x|/unit.
template <class T, class Line>
vec<T> relative_mean(const Line& x, vec<T> unit) {
    const vec<T> sum = sum_over(
        x, [&](auto at, vec<T> so_far)
               __attribute__((always_inline)) { return so_far + abs(x.load(at)) / unit; });
    return sum / vec<T>(static_cast<T>(x.length));
}

/// The root of the mean of u², u = |x|/unit.
template <class T, class Line>
vec<T> relative_root_mean_square(const Line& x, vec<T> unit) {
    const vec<T> sum = sum_over(
        x, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
            const vec<T> u = abs(x.load(at)) / unit;
            return fma(u, u, so_far);
        });
    return sqrt(sum / vec<T>(static_cast<T>(x.length)));
}

/// log(mean u^q)/q, u = |x|/unit. At small q the mean is near 1 while its root is not: it is
/// formed less 1 there.
template <class T, class Line>
vec<T> log_relative_mean(const Line& x, vec<T> unit, double order) {
    using limits = std::numeric_limits<T>;
    const vec<T> zero(T(0)), one(T(1)), count(static_cast<T>(x.length));
    const vec<T> exponent(static_cast<T>(
        std::clamp<double>(order, limits::min(), static_cast<double>(limits::max()))));
    const vec<T> power = sum_over(
        x, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
            const vec<T> u = abs(x.load(at)) / unit;
            return so_far + select(u == zero, zero, exp(exponent * log(u)));
        });
    const vec<T> plain = log(power / count) / exponent;
    if (order >= 1) return plain;
    const vec<T> less_one = sum_over(
        x, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
            const vec<T> u = abs(x.load(at)) / unit;
            vec<T> term = select(u == zero, -one, expm1(exponent * log(u)));
            if constexpr (std::is_same_v<decltype(at), part_vector>)
                term = select(vec_mask<T>::first(at.count), term, zero);
            return so_far + term;
        });
    return select(power > count * vec<T>(T(0.5)), log1p(less_one / count) / exponent, plain);
}

}  // namespace detail

namespace measure {

/// Of the rows x, S*_{q,p} = n^{1/p − 1/q}·l_q/l_p with p > q > 0, q = 1 and p = 2 unless given
/// (kexue 9595): 1 if all |x| are equal, n^{1/p − 1/q} if one is not 0; small is sparse. NaN for a
/// row of zeros. See row_measure.
class sparsity_measure : public row_measure<sparsity_measure> {
  public:
    constexpr sparsity_measure() = default;

    /// The same of other orders. Throws argument_error unless 0 < q < p and p is finite.
    sparsity_measure orders(double q, double p) const {
        detail::require_argument(q > 0 && q < p && std::isfinite(p),
                                 "heed::measure::sparsity: q is ", q, " and p is ", p,
                                 ", but 0 < q < p must hold, and p be finite");
        sparsity_measure other;
        other.q_ = q;
        other.p_ = p;
        return other;
    }

    template <class T, class Line>
    vec<T> of(const Line& x, arena&) const {
        const vec<T> unit = detail::greatest_magnitude(x);
        if (q_ == 1 && p_ == 2)
            return detail::relative_mean(x, unit) / detail::relative_root_mean_square(x, unit);
        return exp(detail::log_relative_mean(x, unit, q_) - detail::log_relative_mean(x, unit, p_));
    }

  private:
    double q_ = 1, p_ = 2;
};

/// S*_{q,p} of rows: see sparsity_measure.
inline constexpr sparsity_measure sparsity{};

/// Of the rows x, S_0 = mean|x|/max|x| (kexue 9595): between 1/n and 1, small is sparse. NaN for a
/// row of zeros. See row_measure.
class mean_over_max_measure : public row_measure<mean_over_max_measure> {
  public:
    template <class T, class Line>
    vec<T> of(const Line& x, arena&) const {
        return detail::relative_mean(x, detail::greatest_magnitude(x));
    }
};

/// S_0 of rows: see mean_over_max_measure.
inline constexpr mean_over_max_measure mean_over_max{};

/// Of the rows x, Hoyer's sparsity (√n − l_1/l_2)/(√n − 1): 0 if all |x| are equal, 1 if one is not
/// 0; large is sparse (Hoyer, JMLR 5, 2004). NaN for a row of zeros, or of one. See row_measure.
class hoyer_measure : public row_measure<hoyer_measure> {
  public:
    template <class T, class Line>
    vec<T> of(const Line& x, arena&) const {
        const vec<T> unit = detail::greatest_magnitude(x), one(T(1));
        const vec<T> root(std::sqrt(static_cast<double>(x.length)));
        const vec<T> ratio =
            detail::relative_mean(x, unit) / detail::relative_root_mean_square(x, unit);
        return root * (one - ratio) / (root - one);
    }
};

/// Hoyer's sparsity of rows: see hoyer_measure.
inline constexpr hoyer_measure hoyer{};

/// Of the rows x, the Gini index 1 − 2·Σ_i |x|_(i)/l_1·(n − i + ½)/n, |x|_(1) ≤ … ≤ |x|_(n): 0 if
/// all are equal, 1 − 1/n if one is not 0; large is sparse (arXiv 0811.4706). NaN for a row of
/// zeros. O(n log n) a row. See row_measure.
class gini_measure : public row_measure<gini_measure> {
  public:
    template <class T, class Line>
    vec<T> of(const Line& x, arena& scratch) const {
        const arena::scope mark(scratch);
        T* const sorted = scratch.take<T>(x.length);
        detail::lane_array<T> result{};
        constexpr bool is_lanes = detail::is_lane_line<Line>;
        index rows = 1;
        if constexpr (is_lanes) rows = x.rows;
        for (index r = 0; r < rows; ++r)
            result[static_cast<std::size_t>(r)] = of_row<T>(x, r, sorted);
        return is_lanes ? vec<T>::load(result.data()) : vec<T>(result[0]);
    }

  private:
    template <class T, class Line>
    static T of_row(const Line& x, index r, T* sorted) {
        for (index j = 0; j < x.length; ++j) {
            sorted[j] = std::abs(detail::element_of(x, j, r));
            // NaNs have no order.
            if (std::isnan(sorted[j])) return std::numeric_limits<T>::quiet_NaN();
        }
        if (x.length == 0) return std::numeric_limits<T>::quiet_NaN();
        std::sort(sorted, sorted + x.length);
        // Weights come in pairs of opposite sign: what is equal cancels before it is summed.
        const auto unit = static_cast<double>(sorted[x.length - 1]);
        const auto at = [&](index j) { return static_cast<double>(sorted[j]); };
        detail::kahan_sum sum, differences;
        for (index j = 0; j < x.length; ++j) sum.add(at(j) / unit);
        for (index j = 0, last = x.length - 1; j < last; ++j, --last)
            differences.add((at(last) - at(j)) / unit * static_cast<double>(last - j));
        return static_cast<T>(differences.value() / (static_cast<double>(x.length) * sum.value()));
    }
};

/// The Gini index of rows: see gini_measure.
inline constexpr gini_measure gini{};

/// Of the rows x, the fraction of elements with |x| ≤ ε; NaN counts as none. See row_measure.
class fraction_below : public row_measure<fraction_below> {
  public:
    /// Throws argument_error unless ε ≥ 0.
    explicit fraction_below(double epsilon) : epsilon_(epsilon) {
        detail::require_argument(epsilon >= 0, "heed::measure::fraction_below: epsilon is ",
                                 epsilon, ", but must be at least 0");
    }

    template <class T, class Line>
    vec<T> of(const Line& x, arena&) const {
        constexpr double beyond = std::numeric_limits<double>::quiet_NaN();
        const vec<T> one(T(1)), epsilon(static_cast<T>(epsilon_));
        const vec<T> count = detail::sum_over(
            x, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
                return select(abs(x.load(at, beyond)) <= epsilon, so_far + one, so_far);
            });
        return count / vec<T>(static_cast<T>(x.length));
    }

  private:
    double epsilon_;
};

}  // namespace measure
}  // namespace heed::inline HEED_ARCHITECTURE
