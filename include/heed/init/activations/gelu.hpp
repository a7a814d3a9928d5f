#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/error_function.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/init/activations/kernel/activation.hpp>

/// \file
/// GELU by the normal distribution.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::gelu.
class gelu_function : public detail::activation<gelu_function> {
  public:
    constexpr gelu_function() = default;
    using detail::activation<gelu_function>::operator();

    /// x·Φ(x) of a vector, within 6 ulp.
    template <class T>
    [[gnu::always_inline]] vec<T> operator()(vec<T> x) const {
        const vec<T> one(T(1));
        const vec<T> z = detail::bounded_magnitude(x, detail::largest_deviate<T>);
        const auto [whole, power, ratio] = detail::normal_at(z);
        const vec<T> tail = ratio * power;
        const auto positive = x >= vec<T>(T(0));
        // Φ(−z), or −z·Φ(−z), rounded once however small it is.
        const vec<T> scaled = detail::scale(select(positive, tail, -z * tail), whole);
        return select(positive, x * (one - scaled), scaled);
    }

    /// Φ(x) + x·φ(x), φ the normal density.
    template <class T>
    [[gnu::always_inline]] vec<T> derivative(vec<T> x) const {
        const vec<T> one(T(1)), density(T(0.39894228040143267794));  // 1/√(2π)
        const vec<T> z = detail::bounded_magnitude(x, detail::largest_deviate<T>);
        const auto [whole, power, ratio] = detail::normal_at(z);
        const vec<T> left = detail::scale(fnma(z, density, ratio) * power, whole);  // of −z
        return select(x >= vec<T>(T(0)), one - left, left);
    }
};

/// GELU, y = x·Φ(x) = x·(1 + erf(x/√2))/2 of every element (arXiv 1606.08415);
/// dx = dy·(Φ(x) + x·φ(x)). Of a heed::vec too, in a mask or modifier of your own.
///
///     auto y  = heed::gelu(x);
///     auto dx = heed::gelu.backward(x, dy);
///
/// See detail::activation for shapes, errors and cost; heed::gelu_tanh is what GPT-2 takes.
inline constexpr gelu_function gelu{};

}  // namespace heed::inline HEED_ARCHITECTURE
