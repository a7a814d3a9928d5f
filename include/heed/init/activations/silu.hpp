#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/error_function.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/init/activations/kernel/activation.hpp>

/// \file
/// SiLU, also called swish.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::silu.
class silu_function : public detail::activation<silu_function> {
  public:
    constexpr silu_function() = default;
    using detail::activation<silu_function>::operator();

    /// x·σ(x) of a vector, within 4 ulp.
    template <class T>
    [[gnu::always_inline]] vec<T> operator()(vec<T> x) const {
        const vec<T> z = detail::bounded_magnitude(x, detail::largest_logit<T>);
        const auto [whole, power, larger] = detail::logistic_at(z);
        const vec<T> left = detail::scale(-z * (power * larger), whole);
        return select(x >= vec<T>(T(0)), x * larger, left);
    }

    /// σ(x)·(1 + x·(1 − σ(x))).
    template <class T>
    [[gnu::always_inline]] vec<T> derivative(vec<T> x) const {
        const vec<T> one(T(1));
        const vec<T> z = detail::bounded_magnitude(x, detail::largest_logit<T>);
        const auto [whole, power, larger] = detail::logistic_at(z);
        const vec<T> left = detail::scale((power * larger) * fnma(z, larger, one), whole);  // of −z
        return select(x >= vec<T>(T(0)), one - left, left);
    }
};

/// SiLU, or swish, y = x·σ(x) of every element (arXiv 1606.08415, 1702.03118, 1710.05941);
/// dx = dy·σ(x)(1 + x(1 − σ(x))). Of a heed::vec too, in a mask or modifier of your own.
///
///     auto y  = heed::silu(x);
///     auto dx = heed::silu.backward(x, dy);
///
/// See detail::activation for shapes, errors and cost.
inline constexpr silu_function silu{};

}  // namespace heed::inline HEED_ARCHITECTURE
