#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/simd/instructions.hpp>
#include <heed/core/simd/vec.hpp>

/// \file
/// Floats as numbers of 16 bits: the nearest, ties to even; what is beyond them is infinite, and
/// NaN stays NaN.
///
/// Each writes as many numbers as a vector of floats has lanes, to memory of any alignment.

namespace heed::inline HEED_ARCHITECTURE::detail {

template <class S>
void narrow_lanes(vec<float> x, void* to) {
    constexpr auto size = static_cast<std::size_t>(vec<float>::size);
    alignas(64) std::array<float, size> numbers;
    std::array<S, size> stored;
    x.store_aligned(numbers.data());
    for (std::size_t l = 0; l < size; ++l) stored[l] = static_cast<S>(numbers[l]);
    std::memcpy(to, static_cast<const void*>(stored.data()), sizeof stored);
}

#if defined(__AVX512F__)

inline void store_bfloat16(vec<float> x, void* to) {
    const __m512 numbers = x.value;
    const __m512i bits = _mm512_castps_si512(numbers);
    const __m512i upper = _mm512_maskz_srli_epi32(0xffff, bits, 16);
    const __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
    const __m512i half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
    const __m512i nearest = _mm512_maskz_srli_epi32(0xffff, _mm512_add_epi32(bits, half), 16);
    const __mmask16 is_nan = _mm512_cmp_ps_mask(numbers, numbers, _CMP_UNORD_Q);
    const __m512i quiet = _mm512_or_si512(upper, _mm512_set1_epi32(0x40));
    _mm256_storeu_si256(
        static_cast<__m256i*>(to),
        _mm512_maskz_cvtepi32_epi16(0xffff, _mm512_mask_blend_epi32(is_nan, nearest, quiet)));
}
inline void store_half(vec<float> x, void* to) {
    _mm256_storeu_si256(static_cast<__m256i*>(to),
                        _mm512_maskz_cvtps_ph(0xffff, x.value, _MM_FROUND_TO_NEAREST_INT));
}

#elif defined(__AVX2__)

inline void store_bfloat16(vec<float> x, void* to) {
    const __m256 numbers = x.value;
    const __m256i bits = _mm256_castps_si256(numbers);
    const __m256i upper = _mm256_srli_epi32(bits, 16);
    const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
    const __m256i half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
    const __m256i nearest = _mm256_srli_epi32(_mm256_add_epi32(bits, half), 16);
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(numbers, numbers, _CMP_UNORD_Q));
    const __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
    const __m256i chosen = _mm256_blendv_epi8(nearest, quiet, is_nan);
    // Packing goes block by block: the halves that are wanted are the first and the third.
    const __m256i packed =
        _mm256_permute4x64_epi64(_mm256_packus_epi32(chosen, chosen), 0b00'00'10'00);
    _mm_storeu_si128(static_cast<__m128i*>(to), _mm256_castsi256_si128(packed));
}
inline void store_half(vec<float> x, void* to) {
#if defined(__F16C__)
    _mm_storeu_si128(static_cast<__m128i*>(to),
                     _mm256_cvtps_ph(x.value, _MM_FROUND_TO_NEAREST_INT));
#else
    narrow_lanes<Eigen::half>(x, to);
#endif
}

#elif defined(__aarch64__) && !(defined(__ARM_FEATURE_SVE_BITS) && __ARM_FEATURE_SVE_BITS)

inline void store_bfloat16(vec<float> x, void* to) { narrow_lanes<Eigen::bfloat16>(x, to); }
inline void store_half(vec<float> x, void* to) {
    const float32x4_t numbers = x.value;
    vst1_u16(static_cast<std::uint16_t*>(to), vreinterpret_u16_f16(vcvt_f16_f32(numbers)));
}

#else

inline void store_bfloat16(vec<float> x, void* to) { narrow_lanes<Eigen::bfloat16>(x, to); }
inline void store_half(vec<float> x, void* to) { narrow_lanes<Eigen::half>(x, to); }

#endif

}  // namespace heed::inline HEED_ARCHITECTURE::detail
