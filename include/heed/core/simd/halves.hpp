#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/simd/portable.hpp>

/// \file
/// Numbers of 16 bits by IEEE 754, as many at once as the machine converts.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// to[i] = the half-precision number at from + i, for as many of `count` as there are whole vectors
/// of; returns how many. Where the machine has no instruction for it, 0.
#if defined(__AVX512F__)
inline index widen_halves(const void* from, index count, float* to) {
    const auto* at = static_cast<const char*>(from);
    index i = 0;
    for (; i + 16 <= count; i += 16) {
        const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + 2 * i));
        _mm512_storeu_ps(to + i, _mm512_maskz_cvtph_ps(0xffff, halves));
    }
    return i;
}
#elif defined(__AVX2__)
// Every machine with AVX2 has the instruction, whether or not the compiler was told of it.
[[gnu::target("f16c")]] inline index widen_halves(const void* from, index count, float* to) {
    const auto* at = static_cast<const char*>(from);
    index i = 0;
    for (; i + 8 <= count; i += 8) {
        const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 2 * i));
        _mm256_storeu_ps(to + i, _mm256_cvtph_ps(halves));
    }
    return i;
}
#elif defined(__aarch64__)
inline index widen_halves(const void* from, index count, float* to) {
    const auto* at = static_cast<const __fp16*>(from);
    index i = 0;
    for (; i + 4 <= count; i += 4) vst1q_f32(to + i, vcvt_f32_f16(vld1_f16(at + i)));
    return i;
}
#else
inline index widen_halves(const void*, index, float*) { return 0; }
#endif

}  // namespace heed::inline HEED_ARCHITECTURE::detail
