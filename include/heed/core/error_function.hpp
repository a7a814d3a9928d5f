#pragma once

#include <array>

#include <heed/core/architecture.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>

/// \file
/// The normal distribution and the logistic function of vectors, each by what decays in it: a
/// factor of ordinary size and a power of two apart, so that whoever multiplies them rounds last
/// and keeps all digits, where the result is denormal too.
///
/// Coefficients are minimax fits (Remez exchange in 200 bits), rounded, highest power first.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

template <class T>
struct error_function_coefficients;

template <>
struct error_function_coefficients<float> {
    // (z + 4)·e^{z²/2}·Φ(−z) in (z − 4)/(z + 4), 0 ≤ z ≤ 15
    static constexpr std::array tail{-0x1.79fdeep-15f, -0x1.cbde4ap-13f, 0x1.686a96p-13f,
                                     0x1.acbb88p-10f,  -0x1.c9bb7ap-9f,  -0x1.ee500cp-8f,
                                     0x1.eec888p-5f,   -0x1.7dff06p-3f,  0x1.8c6db8p-2f,
                                     -0x1.373e3ap-1f,  0x1.82b4bcp-1f};
    // erf(x)/x − 1 in x², |x| ≤ 1
    static constexpr std::array erf{0x1.496a30p-14f, -0x1.a3f700p-11f, 0x1.5405b2p-8f,
                                    -0x1.b7f90ep-6f, 0x1.ce2cf8p-4f,   -0x1.81273ep-2f,
                                    0x1.06eba8p-3f};
};

template <>
struct error_function_coefficients<double> {
    // the same for 0 ≤ z ≤ 39
    static constexpr std::array tail{
        -0x1.48ea049a4ddabp-30, -0x1.74d5fba5c30bbp-32, 0x1.f64fdc1459c5dp-27,
        0x1.14121f18d10b0p-26,  -0x1.4b9e202ef00b6p-24, -0x1.50479532d50adp-23,
        0x1.1ba25a5500e8fp-22,  0x1.124d82b728e43p-20,  -0x1.4faac7045030bp-21,
        -0x1.8d49058324519p-18, 0x1.7fd981005ead9p-21,  0x1.26d063875e18cp-15,
        -0x1.0011055fcc07cp-19, -0x1.e4a421b880678p-13, 0x1.17a4a5f833209p-13,
        0x1.ab825fb0b2213p-10,  -0x1.c81719c957781p-9,  -0x1.ee276104394bbp-8,
        0x1.eec4cc3e44361p-5,   -0x1.7dff2bff6848ep-3,  0x1.8c6dbf2cfc308p-2,
        -0x1.373e3a893c28ap-1,  0x1.82b4bb8c94dcep-1};
    static constexpr std::array erf{
        0x1.0579b4df66246p-34,  -0x1.386ac4ca4337ap-30, 0x1.f7a41391f2137p-27,
        -0x1.5f1d36e57e9d3p-23, 0x1.b9def1a25d43cp-20,  -0x1.f4d1df39a88e3p-17,
        0x1.f9a321a122eaep-14,  -0x1.c02db3d8ed52fp-11, 0x1.565bcd0db02f5p-8,
        -0x1.b82ce3128499dp-6,  0x1.ce2f21a042b20p-4,   -0x1.812746b0379e6p-2,
        0x1.06eba8214db69p-3};
};

/// e^{−factor·z²}, factor ½ or 1, all its digits however large z² is: what rounding takes from z²
/// is given back. z has half of its digits in `upper`, whose square is exact:
/// z² = upper² + (z − upper)(z + upper).
template <class T>
[[gnu::always_inline]] inline reduced_exponential<T> reduce_gaussian(vec<T> z, T factor) {
    using c = coefficients<T>;
    constexpr auto upper_bits = ~((bits_of<T>(1) << ((mantissa_bits<T> + 2) / 2)) - 1);
    const vec<T> upper = from_bits<T>(to_bits<T>(z) & vec_bits<T>(upper_bits));
    const vec<T> high = (upper * upper) * vec<T>(-factor);
    const vec<T> low = ((z - upper) * (z + upper)) * vec<T>(-factor);
    const vec<T> whole = round((high + low) * vec<T>(T(1.44269504088896340736)));
    const vec<T> exact = fnma(whole, vec<T>(c::log2_high), high);
    const vec<T> shift = fnma(whole, vec<T>(c::log2_low), low);
    const vec<T> r = exact + shift;
    return {whole, r + fma(r * r, polynomial(r, c::exp), shift - (r - exact))};
}

/// Of the standard normal distribution at z ≥ 0: e^{−z²/2} = power·2^whole, and the share
/// Φ(−z) = ratio·power·2^whole.
template <class T>
struct normal_parts {
    vec<T> whole, power, ratio;

    vec<T> tail() const { return scale(ratio * power, whole); }
};

/// Beyond it, Φ(−z) and z·Φ(−z) are 0.
template <class T>
inline constexpr T largest_deviate = sizeof(T) == sizeof(float) ? T(15) : T(39);

/// 0 ≤ z ≤ largest_deviate, or NaN.
template <class T>
[[gnu::always_inline]] inline normal_parts<T> normal_at(vec<T> z) {
    const vec<T> one(T(1)), four(T(4));
    const auto [whole, fraction_minus_1] = reduce_gaussian(z, T(0.5));
    const vec<T> inverse = one / (z + four);
    const vec<T> ratio =
        polynomial((z - four) * inverse, error_function_coefficients<T>::tail) * inverse;
    return {whole, one + fraction_minus_1, ratio};
}

/// Of the logistic function at z ≥ 0: e^{−z} = power·2^whole, σ(z) = larger, and
/// σ(−z) = larger·power·2^whole.
template <class T>
struct logistic_parts {
    vec<T> whole, power, larger;
};

/// Beyond it, σ(−z) and z·σ(−z) are 0.
template <class T>
inline constexpr T largest_logit = sizeof(T) == sizeof(float) ? T(120) : T(760);

/// 0 ≤ z ≤ largest_logit, or NaN.
template <class T>
[[gnu::always_inline]] inline logistic_parts<T> logistic_at(vec<T> z) {
    const vec<T> one(T(1));
    const auto [whole, fraction_minus_1] = reduce_exponential(-z);
    const vec<T> power = one + fraction_minus_1;
    return {whole, power, one / (one + scale(power, whole))};
}

/// |x|, at most `most`, or NaN.
template <class T>
[[gnu::always_inline]] inline vec<T> bounded_magnitude(vec<T> x, T most) {
    return min(vec<T>(most), abs(x));
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
