#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/measure/detail/row_measure.hpp>
#include <heed/rows/lines.hpp>

/// \file
/// Entropies of distributions.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// An order as T has it: one beyond T's numbers acts as the greatest of them does.
template <class T>
vec<T> order_as(double order) {
    constexpr double most = std::numeric_limits<T>::max();
    return vec<T>(static_cast<T>(std::clamp(order, -most, most)));
}

/// Σp^q − 1 where Σp = 1, without cancellation near q = 1: p^q − p = p·(e^{(q−1)·log p} − 1), and
/// where that exponential is large, or too large for T, e^{q·log p} − p.
template <class T, class Line>
vec<T> power_sum_less_one(const Line& p, double order) {
    const vec<T> zero(T(0)), one(T(1)), whole = order_as<T>(order),
                                        exponent = order_as<T>(order - 1);
    // Only below q = 1 is it above 1.
    const bool may_grow = order < 1;
    return sum_over(
        p, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
            const vec<T> v = p.load(at), log_v = log(v), growth = exponent * log_v;
            vec<T> sum = fma(v, expm1(growth), so_far);
            if (may_grow) sum = select(growth > one, so_far + (exp(whole * log_v) - v), sum);
            return select(v == zero, so_far, sum);
        });
}

}  // namespace detail

namespace measure {

/// Of the rows p of a matrix or tensor, H = −Σ p·log p, natural, 0·log 0 = 0 (Shannon, 1948; kexue
/// 9595). Between 0 and log n for a distribution; 0 for a row of zeros. See row_measure.
class shannon_entropy_measure : public row_measure<shannon_entropy_measure> {
  public:
    template <class T, class Line>
    vec<T> of(const Line& p, arena&) const {
        const vec<T> zero(T(0));
        return detail::sum_over(
            p, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
                const vec<T> v = p.load(at);
                return select(v == zero, so_far, fnma(v, log(v), so_far));
            });
    }
};

/// Shannon's entropy of rows: see shannon_entropy_measure.
inline constexpr shannon_entropy_measure shannon_entropy{};

/// Of the rows p, a distribution each, Rényi's entropy log Σp^q/(1 − q) of order q ≥ 0: log of the
/// support's size at 0, Shannon's at 1, −log max p at ∞ (Rényi, 1961; kexue 9595). See row_measure.
class renyi_entropy : public row_measure<renyi_entropy> {
  public:
    /// Throws argument_error unless q ≥ 0.
    explicit renyi_entropy(double order) : order_(order) {
        detail::require_argument(order >= 0, "heed::measure::renyi_entropy: the order is ", order,
                                 ", but must be at least 0");
    }

    template <class T, class Line>
    vec<T> of(const Line& p, arena& scratch) const {
        if (order_ == 1) return shannon_entropy.of<T>(p, scratch);
        const vec<T> zero(T(0)), rest = detail::order_as<T>(1 - order_);
        if (std::abs(order_ - 1) < 0.5)
            return log1p(detail::power_sum_less_one<T>(p, order_)) / rest;
        // Relative to the greatest: a power of a small p would be 0. By logarithms, since a
        // quotient of denormal numbers has few digits.
        const vec<T> greatest = detail::maximum_over(p), exponent = detail::order_as<T>(order_);
        const vec<T> top = log(greatest);
        const vec<T> sum = detail::sum_over(
            p, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
                const vec<T> v = p.load(at);
                const vec<T> power = exp(exponent * (log(v) - top));
                return select(v == zero, so_far, so_far + power);
            });
        const double share = std::isinf(order_) ? -1 : order_ / (1 - order_);
        const vec<T> entropy = fma(vec<T>(share), top, log(sum) / rest);
        return select(greatest > zero, entropy, sum);  // a row of zeros has none
    }

  private:
    double order_;
};

/// Of the rows p, a distribution each, Tsallis' entropy (1 − Σp^q)/(q − 1) of order q ≥ 0:
/// Shannon's at 1 (Tsallis, 1988; kexue 10145, 9595). See row_measure.
class tsallis_entropy : public row_measure<tsallis_entropy> {
  public:
    /// Throws argument_error unless q ≥ 0 and finite.
    explicit tsallis_entropy(double order) : order_(order) {
        detail::require_argument(order >= 0 && std::isfinite(order),
                                 "heed::measure::tsallis_entropy: the order is ", order,
                                 ", but must be at least 0 and finite");
    }

    template <class T, class Line>
    vec<T> of(const Line& p, arena& scratch) const {
        if (order_ == 1) return shannon_entropy.of<T>(p, scratch);
        return detail::power_sum_less_one<T>(p, order_) / detail::order_as<T>(1 - order_);
    }

  private:
    double order_;
};

}  // namespace measure
}  // namespace heed::inline HEED_ARCHITECTURE
