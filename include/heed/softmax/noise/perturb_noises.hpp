#pragma once

#include <array>
#include <cmath>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/math.hpp>
#include <heed/core/random.hpp>
#include <heed/core/simd.hpp>

/// \file
/// The noises that may perturb scores before their maximum is taken, for heed::perturb_max:
/// heed::perturb::gumbel, normal, logistic and uniform.
///
/// Of each, with Φ its distribution function and φ its density: log Φ and φ/Φ of a vector; Φ⁻¹; and
/// where an integral of φ/Φ·ΠΦ begins, relative to the largest score, and in what steps it is
/// taken.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

template <class T>
struct noise_terms {
    vec<T> log_probability;  ///< log Φ
    vec<T> hazard;           ///< φ/Φ
};

template <class T>
inline constexpr bool is_double = sizeof(T) == sizeof(double);

/// (1 − Φ(t))/φ(t) of the normal distribution, 0 ≤ t ≤ 40, times 1 + t: a polynomial in
/// (t − 4)/(t + 4), interpolated at Chebyshev's points in 200 bits, within 1.5e-15 (5e-8 in float).
template <class T>
struct mills_coefficients;
template <>
struct mills_coefficients<float> {
    static constexpr std::array value{-0x1.7e9386p-13f, -0x1.4ba52ep-13f, 0x1.c6209cp-10f,
                                      -0x1.8fc946p-11f, -0x1.9b04fep-7f,  0x1.706798p-5f,
                                      -0x1.4a9234p-4f,  0x1.25a39cp-4f,   0x1.1f787ep-5f,
                                      -0x1.f06f38p-3f,  0x1.2eea40p+0f};
};
template <>
struct mills_coefficients<double> {
    static constexpr std::array value{
        0x1.718f9628d79a5p-27,  -0x1.36bc423bd8ef5p-26, -0x1.97e7afa26cdaep-23,
        -0x1.6e2bba0ca0e88p-26, 0x1.544868ccb9ed6p-20,  0x1.10de47caf429cp-20,
        -0x1.b1905abc0f00cp-18, -0x1.206177e1f0102p-17, 0x1.1e2d9252c3544p-15,
        0x1.bec5a86654e0cp-15,  -0x1.cdcc5265f0d52p-13, -0x1.f064fcfa2c795p-13,
        0x1.c89d547724b14p-10,  -0x1.775d5c3bf8976p-11, -0x1.9ae19f6c14606p-7,
        0x1.704e20a690e75p-5,   -0x1.4a947b628e583p-4,  0x1.25a4eb0302f5fp-4,
        0x1.1f7901bedf782p-5,   -0x1.f06f3d0b9e3eap-3,  0x1.2eea40b9abca5p+0};
};

template <class T>
[[gnu::always_inline]] inline vec<T> mills_ratio(vec<T> t) {
    const vec<T> four(T(4)), one(T(1));
    return polynomial((t - four) / (t + four), mills_coefficients<T>::value) / (t + one);
}

}  // namespace detail

namespace perturb {

/// Φ(z) = e^{−e^{−z}}: the perturbed maximum is softmax.
struct gumbel_noise {
    template <class T>
    static detail::noise_terms<T> terms(vec<T> z) {
        const vec<T> e = min(vec<T>(T(1e20)), exp(-z));  // beyond, Φ is 0; NaN stays
        return {-e, e};
    }
    static double quantile(double p) { return -detail::portable_log(-detail::portable_log(p)); }
    template <class T>
    static constexpr double first = -5;
    template <class T>
    static constexpr double step = detail::is_double<T> ? 0.25 : 0.5;
};

/// The standard normal distribution.
struct normal_noise {
    template <class T>
    static detail::noise_terms<T> terms(vec<T> z) {
        const vec<T> one(T(1)), zero(T(0));
        const auto below = z < zero;
        const vec<T> t = min(vec<T>(T(40)), abs(z));  // of a number and a NaN, the second
        const vec<T> ratio = detail::mills_ratio(t);
        const vec<T> half_square = detail::product(t * vec<T>(T(0.5)), t);
        // Below 0, Φ = φ·ratio, else 1 − φ·ratio; 1/√2π and its logarithm.
        const vec<T> density = exp(-half_square) * vec<T>(T(0.39894228040143267794));
        const vec<T> tail = detail::product(density, ratio);
        const vec<T> log_part = log1p(select(below, ratio - one, -tail));
        const vec<T> log_density = -half_square - vec<T>(T(0.91893853320467274178));
        return {select(below, log_part + log_density, log_part),
                select(below, one / ratio, density / (one - tail))};
    }
    static double quantile(double p) { return detail::normal_quantile(p); }
    template <class T>
    static constexpr double first = detail::is_double<T> ? -8.5 : -6;
    template <class T>
    static constexpr double step = detail::is_double<T> ? 0.0625 : 0.125;
};

/// Φ(z) = 1/(1 + e^{−z}).
struct logistic_noise {
    template <class T>
    static detail::noise_terms<T> terms(vec<T> z) {
        const vec<T> one(T(1)), zero(T(0));
        const vec<T> e = exp(-abs(z)), sum = one + e;
        const auto below = z < zero;
        return {select(below, z, zero) - log1p(e), select(below, one, e) / sum};
    }
    static double quantile(double p) {
        return detail::portable_log(p) - detail::portable_log(1 - p);
    }
    template <class T>
    static constexpr double first = detail::is_double<T> ? -38 : -20;
    template <class T>
    static constexpr double step = detail::is_double<T> ? 0.25 : 0.5;
};

/// Even over an interval of length 1; where it lies makes no difference, and beside 0, in [−1, 0],
/// no digits are lost. φ jumps: see perturb_nodes.hpp for how it is integrated.
struct uniform_noise {
    template <class T>
    static detail::noise_terms<T> terms(vec<T> z) {
        const vec<T> one(T(1)), zero(T(0)), log_of_0(T(-1e20));  // its exponential is 0
        const auto below = z <= vec<T>(T(-1));
        const vec<T> inside =
            select(below, zero, min(zero, z));  // of a number and a NaN, the second
        return {select(below, log_of_0, log1p(inside)),
                select((z < zero) & !below, one / (one + inside), zero)};
    }
    static double quantile(double p) { return p - 1; }
};

/// Gumbel noise: perturb-max is softmax.
inline constexpr gumbel_noise gumbel{};
/// Normal noise, of variance 1.
inline constexpr normal_noise normal{};
/// Logistic noise.
inline constexpr logistic_noise logistic{};
/// Uniform noise.
inline constexpr uniform_noise uniform{};

}  // namespace perturb

}  // namespace heed::inline HEED_ARCHITECTURE
