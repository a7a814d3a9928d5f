#pragma once

#include <bit>
#include <cstdint>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/simd/vec.hpp>

/// \file
/// Vectors of float from numbers of 16 and 8 bits, exactly.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A vector of float whose lane l is widened(from[l]).
template <class Storage, class Widened>
vec<float> load_lane_by_lane(const Storage* from, Widened&& widened) {
    alignas(64) float lanes[vec<float>::size];
    for (index l = 0; l < vec<float>::size; ++l) lanes[l] = widened(from[l]);
    return vec<float>::load_aligned(lanes);
}

inline vec<float> load_widened(const float* from) { return vec<float>::load(from); }

/// bfloat16 is the upper half of a float.
inline vec<float> load_widened(const Eigen::bfloat16* from) {
#if defined(__AVX512F__)
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    const __m512i wide = _mm512_maskz_cvtepu16_epi32(0xffff, halves);
    return batch<float>(_mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xffff, wide, 16)));
#elif defined(__AVX2__)
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return batch<float>(_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16)));
#else
    return load_lane_by_lane(from, [](Eigen::bfloat16 x) {
        return std::bit_cast<float>(static_cast<std::uint32_t>(x.value) << 16);
    });
#endif
}

inline vec<float> load_widened(const Eigen::half* from) {
#if defined(__AVX512F__)
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return batch<float>(_mm512_maskz_cvtph_ps(0xffff, halves));
#elif defined(__AVX2__) && defined(__F16C__)
    return batch<float>(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
#elif defined(__aarch64__)
    return batch<float>(vcvt_f32_f16(vld1_f16(reinterpret_cast<const __fp16*>(from))));
#else
    return load_lane_by_lane(from, [](Eigen::half x) { return static_cast<float>(x); });
#endif
}

inline vec<float> load_widened(const std::int8_t* from) {
#if defined(__AVX512F__)
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return batch<float>(
        _mm512_maskz_cvtepi32_ps(0xffff, _mm512_maskz_cvtepi8_epi32(0xffff, bytes)));
#elif defined(__AVX2__)
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return batch<float>(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)));
#else
    return load_lane_by_lane(from, [](std::int8_t x) { return static_cast<float>(x); });
#endif
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
