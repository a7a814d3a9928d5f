#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <heed/core/architecture.hpp>
#include <heed/core/simd/instructions.hpp>
#include <heed/core/simd/vec.hpp>

/// \file
/// Numbers that are stored in 16 or 8 bits as floats, a lane each; none is rounded.
///
/// Each reads as many numbers as a vector of floats has lanes, from memory of any alignment.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A bfloat16 is the upper half of a float.
inline float widen_bfloat16(std::uint16_t bits) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// An IEEE half, by its bits.
inline float widen_half(std::uint16_t bits) {
    const std::uint32_t sign = (bits & 0x8000U) << 16;
    const std::uint32_t magnitude = (bits & 0x7fffU) << 13;
    constexpr std::uint32_t infinity = 0x7c00U << 13, to_float_infinity = 0x70000000U;
    if (magnitude >= infinity) return std::bit_cast<float>(sign | (magnitude + to_float_infinity));
    if (magnitude < 0x400U << 13) {  // zero and what is below the least normal number: k·2⁻²⁴
        const float number = static_cast<float>(bits & 0x3ffU) * 0x1p-24F;
        return sign != 0 ? -number : number;
    }
    return std::bit_cast<float>(sign | (magnitude + 0x38000000U));  // exponents 15 → 127
}

/// Lane l is widen(number l), the numbers being Bits at `from`.
template <class Bits, class Widen>
vec<float> widen_lanes(const void* from, Widen widen) {
    constexpr auto size = static_cast<std::size_t>(vec<float>::size);
    std::array<Bits, size> bits;
    alignas(64) std::array<float, size> numbers;
    std::memcpy(bits.data(), from, sizeof bits);
    for (std::size_t l = 0; l < size; ++l) numbers[l] = widen(bits[l]);
    return vec<float>::load_aligned(numbers.data());
}

#if defined(__AVX512F__)

inline vec<float> widen_bfloat16(const void* from) {
    const __m256i bits = _mm256_loadu_si256(static_cast<const __m256i*>(from));
#if defined(__AVX512BW__)
    // To the upper halves in one step, where widening and shifting are two.
    alignas(64) static constexpr auto places = [] {
        std::array<std::uint16_t, 32> all{};
        for (unsigned l = 0; l < 16; ++l) all[2 * l + 1] = static_cast<std::uint16_t>(l);
        return all;
    }();
    return batch<float>(_mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(
        0xaaaaaaaa, _mm512_load_si512(places.data()), _mm512_castsi256_si512(bits))));
#else
    const __m512i wide = _mm512_maskz_cvtepu16_epi32(0xffff, bits);
    return batch<float>(_mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xffff, wide, 16)));
#endif
}
inline vec<float> widen_half(const void* from) {
    const __m256i bits = _mm256_loadu_si256(static_cast<const __m256i*>(from));
    return batch<float>(_mm512_maskz_cvtph_ps(0xffff, bits));
}
inline vec<float> widen_int8(const void* from) {
    const __m128i bytes = _mm_loadu_si128(static_cast<const __m128i*>(from));
    return batch<float>(
        _mm512_maskz_cvtepi32_ps(0xffff, _mm512_maskz_cvtepi8_epi32(0xffff, bytes)));
}

#elif defined(__AVX2__)

inline vec<float> widen_bfloat16(const void* from) {
    const __m128i bits = _mm_loadu_si128(static_cast<const __m128i*>(from));
    return batch<float>(_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16)));
}
inline vec<float> widen_half(const void* from) {
#if defined(__F16C__)
    return batch<float>(_mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(from))));
#else
    return widen_lanes<std::uint16_t>(from, [](std::uint16_t x) { return widen_half(x); });
#endif
}
inline vec<float> widen_int8(const void* from) {
    const __m128i bytes = _mm_loadl_epi64(static_cast<const __m128i*>(from));
    return batch<float>(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)));
}

#elif defined(__SSE2__) && !defined(__AVX__)

inline vec<float> widen_bfloat16(const void* from) {
    const __m128i bits = _mm_loadl_epi64(static_cast<const __m128i*>(from));
    return batch<float>(_mm_castsi128_ps(_mm_unpacklo_epi16(_mm_setzero_si128(), bits)));
}
inline vec<float> widen_half(const void* from) {
    return widen_lanes<std::uint16_t>(from, [](std::uint16_t x) { return widen_half(x); });
}
inline vec<float> widen_int8(const void* from) {
    std::int32_t four;
    std::memcpy(&four, from, sizeof four);
    const __m128i bytes = _mm_cvtsi32_si128(four);
    const __m128i pairs = _mm_unpacklo_epi8(bytes, bytes);
    const __m128i upper = _mm_unpacklo_epi16(pairs, pairs);  // each byte four times over
    return batch<float>(_mm_cvtepi32_ps(_mm_srai_epi32(upper, 24)));
}

#elif defined(__aarch64__) && !(defined(__ARM_FEATURE_SVE_BITS) && __ARM_FEATURE_SVE_BITS)

inline vec<float> widen_bfloat16(const void* from) {
    const uint16x4_t bits = vld1_u16(static_cast<const std::uint16_t*>(from));
    return batch<float>(vreinterpretq_f32_u32(vshll_n_u16(bits, 16)));
}
inline vec<float> widen_half(const void* from) {
    const uint16x4_t bits = vld1_u16(static_cast<const std::uint16_t*>(from));
    return batch<float>(vcvt_f32_f16(vreinterpret_f16_u16(bits)));
}
inline vec<float> widen_int8(const void* from) {
    std::uint32_t four;
    std::memcpy(&four, from, sizeof four);
    const int16x8_t halves = vmovl_s8(vcreate_s8(four));
    return batch<float>(vcvtq_f32_s32(vmovl_s16(vget_low_s16(halves))));
}

#else

inline vec<float> widen_bfloat16(const void* from) {
    return widen_lanes<std::uint16_t>(from, [](std::uint16_t x) { return widen_bfloat16(x); });
}
inline vec<float> widen_half(const void* from) {
    return widen_lanes<std::uint16_t>(from, [](std::uint16_t x) { return widen_half(x); });
}
inline vec<float> widen_int8(const void* from) {
    return widen_lanes<std::int8_t>(from, [](std::int8_t x) { return static_cast<float>(x); });
}

#endif

}  // namespace heed::inline HEED_ARCHITECTURE::detail
