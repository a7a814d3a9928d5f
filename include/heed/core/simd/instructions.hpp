#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/simd/portable.hpp>
// Each of these is empty but on its own machines.
#include <heed/core/simd/avx2.hpp>
#include <heed/core/simd/avx512.hpp>
#include <heed/core/simd/neon.hpp>
#include <heed/core/simd/sse2.hpp>

/// \file
/// `instructions<float>` and `instructions<double>`: what the machine computes, a function an
/// operation.

namespace heed::inline HEED_ARCHITECTURE::detail {

inline constexpr bool has_avx512 = instructions<float>::has_avx512;
inline constexpr bool has_fma = instructions<float>::has_fma;

}  // namespace heed::inline HEED_ARCHITECTURE::detail
