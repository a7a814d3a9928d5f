#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/error_function.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/init/activations/kernel/activation.hpp>

/// \file
/// Softplus.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::softplus.
class softplus_function : public detail::activation<softplus_function> {
  public:
    constexpr softplus_function() = default;
    using detail::activation<softplus_function>::operator();

    /// log(1 + eˣ) = max(x, 0) + log(1 + e^{−|x|}) of a vector, within 4 ulp; nothing overflows.
    template <class T>
    [[gnu::always_inline]] vec<T> operator()(vec<T> x) const {
        return max(vec<T>(T(0)), x) + log1p(exp(-abs(x)));
    }

    /// σ(x), within 4 ulp.
    template <class T>
    [[gnu::always_inline]] vec<T> derivative(vec<T> x) const {
        const vec<T> z = detail::bounded_magnitude(x, detail::largest_logit<T>);
        const auto [whole, power, larger] = detail::logistic_at(z);
        return select(x >= vec<T>(T(0)), larger, detail::scale(power * larger, whole));
    }
};

/// Softplus, y = log(1 + eˣ) of every element; dx = dy·σ(x). Of a heed::vec too, in a mask or
/// modifier of your own.
///
///     auto y  = heed::softplus(x);
///     auto dx = heed::softplus.backward(x, dy);
///
/// See detail::activation for shapes, errors and cost.
inline constexpr softplus_function softplus{};

}  // namespace heed::inline HEED_ARCHITECTURE
