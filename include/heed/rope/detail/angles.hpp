#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>

/// \file
/// Cosines and sines of angles that have been computed in double.
///
/// A float has lost the angle long before a sequence ends: at position 2²⁴ its last bit is 1 rad.
/// So the angle (position·frequency, rounded to double) is reduced in double, to r in [−π/4, π/4]
/// and a number of quarter turns; only then does a float take over, for the two polynomials.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// cos and sin of as many angles as a vector holds.
template <class T>
struct cosine_sine {
    vec<T> cosine;
    vec<T> sine;
};

/// Up to here angles are reduced in vectors; beyond, and for NaN, by std::cos and std::sin.
inline constexpr double longest_reduced_angle = 16777216;  // 2²⁴

/// 1.5·2⁵²: a sum with it is rounded to a whole number, which is then in its lowest bits.
inline constexpr double quarters_bias = 0x1.8p52;

/// angle = quarters·π/2 + rest.
struct reduced_angle {
    vec<double> biased;  ///< quarters + quarters_bias
    vec<double> quarters;
    vec<double> rest;
};

/// π/2 in four parts, of which the first three have so few bits (29) that their products with a
/// number of quarter turns below 2²⁴ are exact, and so are the differences, with fused
/// multiply-adds or without: the rest is right to its last bits, however small it is.
inline reduced_angle reduce(vec<double> angle) {
    const vec<double> per_radian(0x1.45f306dc9c883p-1);  // 2/π
    const vec<double> first(0x1.921fb54p+0);
    const vec<double> second(0x1.10b4612p-30);
    const vec<double> third(-0x1.676733bp-60);
    const vec<double> fourth(0x1.701b839a25205p-92);
    const vec<double> biased = fma(angle, per_radian, vec<double>(quarters_bias));
    const vec<double> quarters = biased - vec<double>(quarters_bias);
    vec<double> rest = fnma(quarters, first, angle);
    rest = fnma(quarters, second, rest);
    rest = fnma(quarters, third, rest);
    rest = fnma(quarters, fourth, rest);
    return {biased, quarters, rest};
}

/// cos and sin of r in [−π/4, π/4]: minimax polynomials, within 1 ulp. The coefficients are those
/// of Cephes (float) and of fdlibm (double).
template <class T>
cosine_sine<T> of_small_angle(vec<T> r) {
    const vec<T> square = r * r;
    vec<T> sine, cosine;
    if constexpr (std::is_same_v<T, float>) {
        sine = fma(vec<T>(-1.9515295891e-4), square, vec<T>(8.3321608736e-3));
        sine = fma(sine, square, vec<T>(-1.6666654611e-1));
        cosine = fma(vec<T>(2.443315711809948e-5), square, vec<T>(-1.388731625493765e-3));
        cosine = fma(cosine, square, vec<T>(4.166664568298827e-2));
    } else {
        sine = fma(vec<T>(1.58969099521155010221e-10), square, vec<T>(-2.50507602534068634195e-8));
        sine = fma(sine, square, vec<T>(2.75573137070700676789e-6));
        sine = fma(sine, square, vec<T>(-1.98412698298579493134e-4));
        sine = fma(sine, square, vec<T>(8.33333333332248946124e-3));
        sine = fma(sine, square, vec<T>(-1.66666666666666324348e-1));
        cosine =
            fma(vec<T>(-1.13596475577881948265e-11), square, vec<T>(2.08757232129817482790e-9));
        cosine = fma(cosine, square, vec<T>(-2.75573143513906633035e-7));
        cosine = fma(cosine, square, vec<T>(2.48015872894767294178e-5));
        cosine = fma(cosine, square, vec<T>(-1.38888888888741095749e-3));
        cosine = fma(cosine, square, vec<T>(4.16666666666666019037e-2));
    }
    cosine = fma(cosine, square, vec<T>(-0.5));
    return {fma(cosine, square, vec<T>(1)), fma(sine, square * r, r)};
}

/// Turns the point of a small angle on by quarters of a circle; only the lowest two bits count.
template <class T>
cosine_sine<T> turn_by_quarters(cosine_sine<T> point, vec_bits<T> quarters) {
    constexpr int width = 8 * static_cast<int>(sizeof(T));
    const vec_bits<T> sign = to_bits(vec<T>(T(-0.0)));
    // An odd number of quarters exchanges the two: ±1 tells which, by its sign.
    const vec<T> odd = from_bits<T>((quarters << (width - 1)) | to_bits(vec<T>(T(1))));
    const vec_mask<T> exchange = odd < vec<T>(T(0));
    const vec<T> cosine = select(exchange, point.sine, point.cosine);
    const vec<T> sine = select(exchange, point.cosine, point.sine);
    // The sine is negative in the last two quarters, the cosine in the middle two.
    const vec_bits<T> sine_sign = (quarters << (width - 2)) & sign;
    const vec_bits<T> cosine_sign = ((quarters + vec_bits<T>(1)) << (width - 2)) & sign;
    return {from_bits<T>(to_bits(cosine) ^ cosine_sign), from_bits<T>(to_bits(sine) ^ sine_sign)};
}

/// How many vectors of doubles hold the angles of one vector of T.
template <class T>
inline constexpr std::size_t angle_vectors = static_cast<std::size_t>(vec<T>::size /
                                                                      vec<double>::size);

/// cos and sin of angles within ±longest_reduced_angle.
template <class T>
cosine_sine<T> of_reduced_angle(const std::array<vec<double>, angle_vectors<T>>& angle) {
    if constexpr (std::is_same_v<T, double>) {
        const reduced_angle reduced = reduce(angle[0]);
        return turn_by_quarters(of_small_angle(reduced.rest), to_bits(reduced.biased));
    } else {
        const reduced_angle low = reduce(angle[0]), high = reduce(angle[1]);
        const vec_bits<float> quarters = to_integers(narrow(low.quarters, high.quarters));
        return turn_by_quarters(of_small_angle(narrow(low.rest, high.rest)), quarters);
    }
}

/// Overwrites what belongs to the angles that are too long for `reduce`.
template <class T>
void patch_long_angles(const std::array<vec<double>, angle_vectors<T>>& angle,
                       cosine_sine<T>& point) {
    constexpr auto size = static_cast<std::size_t>(vec<T>::size);
    constexpr auto step = static_cast<std::size_t>(vec<double>::size);
    std::array<double, size> angles;
    std::array<T, size> cosine, sine;
    for (std::size_t v = 0; v < angle.size(); ++v) angle[v].store(angles.data() + v * step);
    point.cosine.store(cosine.data());
    point.sine.store(sine.data());
    for (std::size_t l = 0; l < size; ++l) {
        if (std::abs(angles[l]) <= longest_reduced_angle) continue;
        cosine[l] = static_cast<T>(std::cos(angles[l]));
        sine[l] = static_cast<T>(std::sin(angles[l]));
    }
    point = {vec<T>::load(cosine.data()), vec<T>::load(sine.data())};
}

/// cos and sin of any angles, within 2 ulp of what std::cos and std::sin give in double, rounded
/// to T. Each lane's bits depend on its own angle only.
template <class T>
cosine_sine<T> cosine_and_sine(const std::array<vec<double>, angle_vectors<T>>& angle) {
    cosine_sine<T> point = of_reduced_angle<T>(angle);
    vec_mask<double> short_enough(true);
    for (const vec<double>& a : angle)
        short_enough = short_enough & (abs(a) <= vec<double>(longest_reduced_angle));
    if (!all(short_enough)) [[unlikely]]
        patch_long_angles<T>(angle, point);
    return point;
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
