#pragma once

/// \file
/// The name of the instruction set that this translation unit is compiled for.
///
/// All of heed sits in an inline namespace of that name, so that translation units built with
/// different flags never share one of heed's functions: the linker would otherwise keep whichever
/// copy it saw first, and call AVX-512 code on a machine that has none.

// What heed cannot do without is asked for before any other header can fail for want of it. An
// #error does not end a compilation; a file that is not there does, and what would follow is not
// heard.
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error \
    "heed needs NaN, infinities and exact rounding: compile without -ffast-math and -ffinite-math-only (-O3 -march=native is enough)"
#include "heed stops here, see the error above"
#endif

#if !defined(__cpp_exceptions)
#error "heed needs exceptions, by which it reports wrong arguments: compile without -fno-exceptions"
#include "heed stops here, see the error above"
#endif

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && \
    defined(__AVX512VL__) && defined(__AVX512BF16__) && defined(__FMA__)
#define HEED_ARCHITECTURE avx512_bf16
#elif defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && \
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
#elif defined(__SSE2__)
#define HEED_ARCHITECTURE sse2
#elif defined(__ARM_FEATURE_SVE)
#define HEED_ARCHITECTURE sve
#elif defined(__ARM_NEON)
#define HEED_ARCHITECTURE neon
#else
#define HEED_ARCHITECTURE generic
#include <xsimd/config/xsimd_config.hpp>  // which sets what xsimd knows beside these
#endif

#if defined(XSIMD_NO_SUPPORTED_ARCHITECTURE)
#error \
    "heed needs SSE2 or another instruction set that xsimd knows, on a 64-bit target: on x86 compile without -m32 and -mno-sse2; elsewhere take the emulated batches of xsimd 14 or newer: -DXSIMD_WITH_EMULATED=1 '-DXSIMD_DEFAULT_ARCH=emulated<128>'"
#include "heed stops here, see the error above"
#endif

#if !defined(__SIZEOF_INT128__) || __SIZEOF_POINTER__ < 8
#error "heed needs a 64-bit target: compile without -m32 and -mx32, for x86-64 or aarch64"
#include "heed stops here, see the error above"
#endif

#include <cstddef>

namespace heed::inline HEED_ARCHITECTURE {

/// Extents, strides and positions: 64 bits wherever pointers are.
using index = std::ptrdiff_t;

}  // namespace heed::inline HEED_ARCHITECTURE
