#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <limits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>

/// \file
/// Exponentials, logarithms and the hyperbolic tangent of vectors.
///
/// Each reduces its argument to a short interval and evaluates one polynomial there. The
/// coefficients are minimax fits (Remez exchange in 200 bits), rounded. docs/core/math.md has the
/// measured accuracy. NaN stays NaN, infinities and denormals are right; a denormal is zero if the
/// caller's mode says so. A lane's result depends on that lane alone.
///
/// All are inlined always: a call would keep the caller's vectors on the stack, and its loop from
/// overlapping one vector's chain of operations with the next one's.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

template <class T>
inline constexpr int mantissa_bits = std::numeric_limits<T>::digits - 1;
template <class T>
inline constexpr int exponent_bias = std::numeric_limits<T>::max_exponent - 1;

/// Adding it rounds to a whole number, which then stands in the lowest bits: 1.5·2^mantissa_bits.
template <class T>
inline constexpr T rounder = T(3) * T(bits_of<T>(1) << (mantissa_bits<T> - 1));

/// c[0]·xᴺ⁻¹ + … + c[N−1], by Horner's rule.
template <class T, std::size_t N>
[[gnu::always_inline]] inline vec<T> polynomial(vec<T> x, const std::array<T, N>& c) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) __attribute__((always_inline)) {
        vec<T> sum(c[0]);
        ((sum = fma(sum, x, vec<T>(c[I + 1]))), ...);
        return sum;
    }
    (std::make_index_sequence<N - 1>{});
}

/// Coefficients by the highest power first.
template <class T>
struct coefficients;

template <>
struct coefficients<float> {
    // 2^f, |f| ≤ 1/2. Fast: of degree 5, its last bits searched to make the largest error small,
    // rounding included. Exact at 0, both.
    static constexpr std::array exp2_fast{0x1.5ab2f0p-10f, 0x1.3cecd4p-7f, 0x1.c6ba92p-5f,
                                          0x1.ebf9b0p-3f,  0x1.62e424p-1f, 1.0f};
    static constexpr std::array exp2{0x1.447150p-13f,
                                     0x1.5f8ac4p-10f,
                                     0x1.3b29e0p-7f,
                                     0x1.c6ae16p-5f,
                                     0x1.ebfbe4p-3f,
                                     0x1.62e432p-1f,
                                     1.0f};
    // (e^r − 1 − r)/r², |r| ≤ log 2/2
    static constexpr std::array exp{0x1.6a23acp-10f, 0x1.123a1ep-7f, 0x1.5558f4p-5f, 0x1.555492p-3f,
                                    0x1.fffffcp-2f};
    // (log((1+s)/(1−s))/s − 2)/s² in s², |s| ≤ (√2 − 1)/(√2 + 1)
    static constexpr std::array log{0x1.e3b624p-3f, 0x1.243560p-2f, 0x1.999a7ep-2f, 0x1.555556p-1f};
    // (tanh(x)/x − 1)/x² in x², |x| ≤ 5/8
    static constexpr std::array tanh{-0x1.733f28p-8f, 0x1.51c5c2p-6f, -0x1.b83a10p-5f,
                                     0x1.1107acp-3f, -0x1.55553ap-2f};
    // log 2 in two parts; the higher has so few bits that its product with an exponent is exact.
    static constexpr float log2_high = 0.693359375f;
    static constexpr float log2_low = -2.12194440e-4f;
};

template <>
struct coefficients<double> {
    static constexpr std::array exp2_fast{
        0x1.e79b60d800482p-32, 0x1.e61b4f02cdac0p-28, 0x1.b5267d193464ap-24, 0x1.62bfc79d9efaep-20,
        0x1.ffcbfba964f4fp-17, 0x1.4309130ed8acbp-13, 0x1.5d87fe78cd730p-10, 0x1.3b2ab6fba011ap-7,
        0x1.c6b08d7049fe8p-5,  0x1.ebfbdff82c5a4p-3,  0x1.62e42fefa39efp-1,  1.0};
    static constexpr auto exp2 = exp2_fast;
    static constexpr std::array exp{
        0x1.af635f16ead2dp-26, 0x1.28b43b4f111dbp-22, 0x1.71ddf69834cdap-19, 0x1.a019938664e2bp-16,
        0x1.a01a01b015fc1p-13, 0x1.6c16c18611db9p-10, 0x1.111111110f7efp-7,  0x1.55555555503a0p-5,
        0x1.5555555555558p-3,  0x1.0000000000009p-1};
    static constexpr std::array log{
        0x1.2f59344ba4e55p-3, 0x1.399c613192185p-3, 0x1.74664f27996c3p-3, 0x1.c71c529dde8e9p-3,
        0x1.2492493fd0d45p-2, 0x1.99999999845d8p-2, 0x1.555555555557cp-1};
    static constexpr std::array tanh{
        -0x1.0cd2bbfc01bb8p-16, 0x1.43565513a4dc1p-14,  -0x1.df565bd74adbcp-13,
        0x1.336a407c45781p-11,  -0x1.7d6a0bf1c9896p-10, 0x1.d6cf634d0a9f4p-9,
        -0x1.226e18f458cdfp-7,  0x1.664f47a1e4979p-6,   -0x1.ba1ba1b63658fp-5,
        0x1.111111110d0b4p-3,   -0x1.555555555552ep-2};
    static constexpr double log2_high = 6.93147180369123816490e-01;
    static constexpr double log2_low = 1.90821492927058770002e-10;
};

/// low ≤ x ≤ high, or NaN: the instructions of x86 return their second operand if one is NaN.
template <class T>
[[gnu::always_inline]] inline vec<T> clamp(vec<T> x, T low, T high) {
    return min(vec<T>(high), max(vec<T>(low), x));
}

/// 2^n, n whole, from its bits; 0 at the exponent below the least normal one, ∞ at the one above
/// the greatest.
template <class T>
[[gnu::always_inline]] inline vec<T> power_of_two(vec<T> n) {
    const vec<T> shifted = n + vec<T>(rounder<T> + T(exponent_bias<T>));
    return from_bits<T>(to_bits<T>(shifted) << mantissa_bits<T>);
}

/// a·2^n, n whole, rounded once more where the result is denormal.
template <class T>
[[gnu::always_inline]] inline vec<T> scale(vec<T> a, vec<T> n) {
    if constexpr (has_avx512) {
        return scale_by_power(a, n);
    } else {
        const vec<T> half = round(n * vec<T>(T(0.5)));  // 2^n itself may be no normal number
        return (a * power_of_two(half)) * power_of_two(n - half);
    }
}

/// Without fused multiply-adds the fast polynomial's error would be 2.03 ulp.
template <class T>
constexpr const auto& exp2_fast_coefficients() {
    if constexpr (has_fma) {
        return coefficients<T>::exp2_fast;
    } else {
        return coefficients<T>::exp2;
    }
}

/// 2^x of a clamped x, where the instruction set cannot scale by a power of two.
template <class T>
[[gnu::always_inline]] inline vec<T> exp2_by_bits(vec<T> x) {
    constexpr T shift = rounder<T> + T(exponent_bias<T>);
    const vec<T> shifted = x + vec<T>(shift);  // rounds, and leaves the bits of 2^whole
    const vec<T> fraction = x - (shifted - vec<T>(shift));
    return polynomial(fraction, exp2_fast_coefficients<T>()) *
           from_bits<T>(to_bits<T>(shifted) << mantissa_bits<T>);
}

/// 2^x as the kernels need it, in as few cycles as possible: within 2 ulp, 1 at 0, 0 at −∞, NaN at
/// NaN. Results in the denormal range are flushed to zero: as weights they would cost Intel's
/// processors some 150 cycles a multiply-add. But for AVX-512, results of 2^127.5 (2^1023.5) and
/// more are ∞.
template <class T>
[[gnu::always_inline]] inline vec<T> exp2_fast(vec<T> x) {
    if constexpr (has_avx512) {
        constexpr T least = 1 - T(exponent_bias<T>);
        const vec<T> whole = round(x);
        return scale_unless_below(vec<T>(least), x,
                                  polynomial(x - whole, exp2_fast_coefficients<T>()), whole);
    } else {
        return exp2_by_bits(clamp(x, -T(exponent_bias<T>), T(exponent_bias<T> + 1)));
    }
}

/// The same for x ≤ 0, a little above 0, or NaN.
template <class T>
[[gnu::always_inline]] inline vec<T> exp2_nonpositive(vec<T> x) {
    if constexpr (has_avx512) {
        return exp2_fast(x);
    } else {
        return exp2_by_bits(max(vec<T>(-T(exponent_bias<T>)), x));
    }
}

/// x = whole·log 2 + fraction, and e^fraction − 1.
template <class T>
struct reduced_exponential {
    vec<T> whole;
    vec<T> fraction_minus_1;
};

template <class T>
[[gnu::always_inline]] inline reduced_exponential<T> reduce_exponential(vec<T> x) {
    using c = coefficients<T>;
    const vec<T> whole = round(x * vec<T>(T(1.44269504088896340736)));
    const vec<T> exact = fnma(whole, vec<T>(c::log2_high), x);
    const vec<T> r = fnma(whole, vec<T>(c::log2_low), exact);
    // What r lost to rounding is worth a quarter of an ulp of the result.
    const vec<T> lost = fnma(whole, vec<T>(c::log2_low), exact - r);
    return {whole, r + fma(r * r, polynomial(r, c::exp), lost)};
}

/// log u + correction, for u of any kind. The method is that of FreeBSD's e_log.c: u = 2ᵏ(1 + f),
/// √½ ≤ 1 + f < √2, s = f/(2 + f), log(1 + f) = f − f²/2 + s·(f²/2 + R(s²)).
template <class T>
[[gnu::always_inline]] inline vec<T> log_of(vec<T> u, vec<T> correction) {
    using c = coefficients<T>;
    using bits = vec_bits<T>;
    constexpr T infinity = std::numeric_limits<T>::infinity();
    constexpr auto one_bit = bits_of<T>(1) << mantissa_bits<T>;
    constexpr auto sqrt_half = std::bit_cast<bits_of<T>>(T(0.70710678118654752440));
    constexpr T denormal_scale = T(bits_of<T>(1) << (mantissa_bits<T> + 1));

    const auto denormal = u < vec<T>(std::numeric_limits<T>::min());
    const vec<T> normal = select(denormal, u * vec<T>(denormal_scale), u);
    const bits offset = to_bits(normal) - bits(sqrt_half);
    const bits fraction_bits = (offset & bits(one_bit - 1)) + bits(sqrt_half);
    const bits exponent_bits = (offset - fraction_bits + bits(sqrt_half)) >> mantissa_bits<T>;
    // The exponent as a number: as the lowest bits of a number whose ulp is 1.
    constexpr auto rounder_bits = std::bit_cast<bits_of<T>>(rounder<T>);
    const vec<T> k = from_bits<T>(exponent_bits + bits(rounder_bits)) - vec<T>(rounder<T>) -
                     select(denormal, vec<T>(T(mantissa_bits<T> + 1)), vec<T>(T(0)));
    const vec<T> f = from_bits<T>(fraction_bits) - vec<T>(T(1));

    const vec<T> s = f / (vec<T>(T(2)) + f);
    const vec<T> z = s * s;
    const vec<T> half_f = f * vec<T>(T(0.5));
    const vec<T> tail =
        fma(s, fma(half_f, f, z * polynomial(z, c::log)), fma(k, vec<T>(c::log2_low), correction));
    const vec<T> finite = fma(k, vec<T>(c::log2_high), f - fma(half_f, f, -tail));

    const vec<T> otherwise =
        select(u == vec<T>(T(0)), vec<T>(-infinity),
               select(u == vec<T>(infinity), u, vec<T>(std::numeric_limits<T>::quiet_NaN())));
    return select((u > vec<T>(T(0))) & (u < vec<T>(infinity)), finite, otherwise);
}

}  // namespace detail

/// 2^x, within 1 ulp; within 1.25 where there is no fused multiply-add.
template <class T>
[[gnu::always_inline]] inline vec<T> exp2(vec<T> x) {
    using limits = std::numeric_limits<T>;
    x = detail::clamp(x, T(limits::min_exponent - limits::digits - 2), T(limits::max_exponent + 1));
    const vec<T> whole = round(x);
    return detail::scale(detail::polynomial(x - whole, detail::coefficients<T>::exp2), whole);
}

/// e^x, within 1 ulp.
template <class T>
[[gnu::always_inline]] inline vec<T> exp(vec<T> x) {
    using limits = std::numeric_limits<T>;
    // Just beyond where the result is 0 or ∞.
    constexpr T log2 = T(0.6931471805599453);
    x = detail::clamp(x, log2 * T(limits::min_exponent - limits::digits - 2),
                      log2 * T(limits::max_exponent + 1));
    const auto [whole, fraction_minus_1] = detail::reduce_exponential(x);
    return detail::scale(fraction_minus_1 + vec<T>(T(1)), whole);
}

/// e^x − 1, within 2 ulp, near 0 too.
template <class T>
[[gnu::always_inline]] inline vec<T> expm1(vec<T> x) {
    using limits = std::numeric_limits<T>;
    constexpr T log2 = T(0.6931471805599453);
    constexpr T too_large = log2 * T(limits::max_exponent);
    // Where the clamp acts, the result is −1 or ∞.
    const vec<T> inside = detail::clamp(x, -log2 * T(limits::digits + 2), too_large);
    const auto [whole, fraction_minus_1] = detail::reduce_exponential(inside);
    // 2ⁿ(1 + s) − 1 = 2·(2ⁿ⁻¹·s + (2ⁿ⁻¹ − ½)): 2ⁿ may be too large where the result is not.
    const vec<T> half_power = detail::power_of_two(whole - vec<T>(T(1)));
    const vec<T> half = fma(half_power, fraction_minus_1, half_power - vec<T>(T(0.5)));
    const vec<T> far = select(x > vec<T>(too_large), vec<T>(limits::infinity()), half + half);
    return select(whole == vec<T>(T(0)), fraction_minus_1, far);
}

/// a − b·e^x. Where a is b, it is −b·(e^x − 1) to the last digits, near 0 too.
template <class T>
[[gnu::always_inline]] inline vec<T> minus_exp(vec<T> a, vec<T> b, vec<T> x) {
    using limits = std::numeric_limits<T>;
    constexpr T log2 = T(0.6931471805599453);
    x = detail::clamp(x, log2 * T(limits::min_exponent - limits::digits - 2),
                      log2 * T(limits::max_exponent + 1));
    const auto [whole, fraction_minus_1] = detail::reduce_exponential(x);
    const vec<T> scaled = detail::scale(b, whole);  // b·2ⁿ
    return fnma(fraction_minus_1, scaled, a - scaled);
}

/// The natural logarithm, within 2 ulp: −∞ at 0, NaN below.
template <class T>
[[gnu::always_inline]] inline vec<T> log(vec<T> x) {
    return detail::log_of(x, vec<T>(T(0)));
}

/// log(1 + x), within 2 ulp, near 0 too.
template <class T>
[[gnu::always_inline]] inline vec<T> log1p(vec<T> x) {
    const vec<T> one(T(1));
    const vec<T> u = one + x;
    // What u lost of x, over u: log(1 + x) = log u + lost/u.
    const vec<T> lost = select(x < one, x - (u - one), one - (u - x));
    return detail::log_of(u, lost / u);
}

/// The hyperbolic tangent, within 2 ulp.
template <class T>
[[gnu::always_inline]] inline vec<T> tanh(vec<T> x) {
    const vec<T> one(T(1)), two(T(2));
    const vec<T> square = x * x;
    const vec<T> near =
        fma(x * square, detail::polynomial(square, detail::coefficients<T>::tanh), x);
    const vec<T> magnitude = abs(x);
    const vec<T> far = one - two / (exp(magnitude * two) + one);
    return select(magnitude < vec<T>(T(0.625)), near, select(x < vec<T>(T(0)), -far, far));
}

}  // namespace heed::inline HEED_ARCHITECTURE
