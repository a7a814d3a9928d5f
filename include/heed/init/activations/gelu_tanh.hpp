#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/error_function.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/init/activations/kernel/activation.hpp>

/// \file
/// GELU by the hyperbolic tangent.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::gelu_tanh.
class gelu_tanh_function : public detail::activation<gelu_tanh_function> {
  public:
    constexpr gelu_tanh_function() = default;
    using detail::activation<gelu_tanh_function>::operator();

    /// ½x·(1 + tanh u) = x·σ(2u) of a vector, within 6·(1 + |u|) ulp where x < 0, else
    /// within 6.
    template <class T>
    [[gnu::always_inline]] vec<T> operator()(vec<T> x) const {
        const vec<T> z = detail::bounded_magnitude(x, most<T>);
        const auto [whole, power, larger] = detail::logistic_at(twice_u(z));
        const vec<T> left = detail::scale(-z * (power * larger), whole);
        return select(x >= vec<T>(T(0)), x * larger, left);
    }

    /// σ(2u) + x·σ(2u)·(1 − σ(2u))·2u'.
    template <class T>
    [[gnu::always_inline]] vec<T> derivative(vec<T> x) const {
        const vec<T> one(T(1));
        const vec<T> z = detail::bounded_magnitude(x, most<T>);
        const vec<T> slope = fma(z * z, vec<T>(T(3) * cubic<T>), vec<T>(linear<T>));
        const auto [whole, power, larger] = detail::logistic_at(twice_u(z));
        const vec<T> left =  // of −z
            detail::scale((power * larger) * fnma(z * slope, larger, one), whole);
        return select(x >= vec<T>(T(0)), one - left, left);
    }

  private:
    // 2u = linear·x + cubic·x³: 2√(2/π), and 0.044715 of it.
    template <class T>
    static constexpr T linear = T(1.59576912160573071176);
    template <class T>
    static constexpr T cubic = T(0.07135481627260024878);
    /// Beyond it σ(−2u) is 0.
    template <class T>
    static constexpr T most = sizeof(T) == sizeof(float) ? T(11) : T(22);

    template <class T>
    [[gnu::always_inline]] static vec<T> twice_u(vec<T> z) {
        return z * fma(z * z, vec<T>(cubic<T>), vec<T>(linear<T>));
    }
};

/// GELU as GPT-2 computes it ("gelu_new", "gelu_pytorch_tanh"), of every element:
/// y = ½x·(1 + tanh u), u = √(2/π)·(x + 0.044715x³) (arXiv 1606.08415), within 5e-4 of heed::gelu;
/// with σ = σ(2u), dx = dy·(σ + x·σ(1 − σ)·2u'). Of a heed::vec too, in a mask or modifier of your
/// own.
///
///     auto y  = heed::gelu_tanh(x);
///     auto dx = heed::gelu_tanh.backward(x, dy);
///
/// See detail::activation for shapes, errors and cost.
inline constexpr gelu_tanh_function gelu_tanh{};

}  // namespace heed::inline HEED_ARCHITECTURE
