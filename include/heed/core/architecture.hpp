#pragma once

#include <cstddef>

/// \file
/// The name of the instruction set that this translation unit is compiled for.
///
/// All of heed sits in an inline namespace of that name, so that translation units built with
/// different flags never share one of heed's functions: the linker would otherwise keep whichever
/// copy it saw first, and call AVX-512 code on a machine that has none.

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error \
    "heed needs NaN, infinities and exact rounding: compile without -ffast-math and -ffinite-math-only (-O3 -march=native is enough)"
#endif

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && \
    defined(__AVX512VL__) && defined(__FMA__)
#define HEED_ARCHITECTURE avx512
#elif defined(__AVX512F__) && defined(__FMA__)
#define HEED_ARCHITECTURE avx512f
#elif defined(__AVX2__) && defined(__FMA__)
#define HEED_ARCHITECTURE avx2_fma
#elif defined(__AVX2__)
#define HEED_ARCHITECTURE avx2
#elif defined(__AVX__) && defined(__FMA__)
#define HEED_ARCHITECTURE avx_fma
#elif defined(__AVX__)
#define HEED_ARCHITECTURE avx
#elif defined(__SSE4_1__)
#define HEED_ARCHITECTURE sse4
#elif defined(__SSE2__) || defined(__x86_64__)
#define HEED_ARCHITECTURE sse2
#elif defined(__ARM_FEATURE_SVE)
#define HEED_ARCHITECTURE sve
#elif defined(__ARM_NEON)
#define HEED_ARCHITECTURE neon
#else
#define HEED_ARCHITECTURE generic
#endif

namespace heed::inline HEED_ARCHITECTURE {

/// Extents, strides and positions: 64 bits wherever pointers are.
using index = std::ptrdiff_t;

}  // namespace heed::inline HEED_ARCHITECTURE
