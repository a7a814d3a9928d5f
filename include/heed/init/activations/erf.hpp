#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/error_function.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/init/activations/kernel/activation.hpp>

/// \file
/// The error function.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::erf.
class erf_function : public detail::activation<erf_function> {
  public:
    constexpr erf_function() = default;
    using detail::activation<erf_function>::operator();

    /// erf x of a vector, within 2 ulp.
    template <class T>
    [[gnu::always_inline]] vec<T> operator()(vec<T> x) const {
        const vec<T> one(T(1));
        const vec<T> near =
            fma(x, detail::polynomial(x * x, detail::error_function_coefficients<T>::erf), x);
        // erf x = 1 − 2·Φ(−√2·x)
        const vec<T> z = detail::bounded_magnitude(x * vec<T>(T(1.41421356237309504880)),
                                                   detail::largest_deviate<T>);
        const vec<T> tail = detail::normal_at(z).tail();
        const vec<T> far = one - (tail + tail);
        return select(abs(x) < one, near, select(x < vec<T>(T(0)), -far, far));
    }

    /// 2/√π·e^{−x²}, within 3 ulp.
    template <class T>
    [[gnu::always_inline]] vec<T> derivative(vec<T> x) const {
        // Beyond `most` it is 0.
        constexpr T most = sizeof(T) == sizeof(float) ? T(11) : T(28);
        const auto [whole, fraction_minus_1] =
            detail::reduce_gaussian(detail::bounded_magnitude(x, most), T(1));
        const vec<T> factor(T(1.12837916709551257390));
        return detail::scale(fma(factor, fraction_minus_1, factor), whole);
    }
};

/// erf x = 2/√π·∫₀ˣ e^{−t²} dt, of every element; dx = dy·2/√π·e^{−x²}. Of a heed::vec too, in a
/// mask or modifier of your own.
///
///     auto y  = heed::erf(x);
///     auto dx = heed::erf.backward(x, dy);
///
/// See detail::activation for shapes, errors and cost.
inline constexpr erf_function erf{};

}  // namespace heed::inline HEED_ARCHITECTURE
