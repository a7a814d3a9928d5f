#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/simd/portable.hpp>

/// \file
/// The sum and the greatest of the lanes of x86's registers, half with half.

#if defined(__AVX__)

namespace heed::inline HEED_ARCHITECTURE::detail {

inline float sum_of_lanes(__m128 a) {
    a = _mm_add_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_add_ps(a, _mm_shuffle_ps(a, a, 1)));
}
inline double sum_of_lanes(__m128d a) {
    return _mm_cvtsd_f64(_mm_add_pd(a, _mm_unpackhi_pd(a, a)));
}
inline float sum_of_lanes(__m256 a) {
    return sum_of_lanes(_mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1)));
}
inline double sum_of_lanes(__m256d a) {
    return sum_of_lanes(_mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1)));
}

inline float greatest_of_lanes(__m128 a) {
    a = _mm_max_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_max_ps(a, _mm_shuffle_ps(a, a, 1)));
}
inline double greatest_of_lanes(__m128d a) {
    return _mm_cvtsd_f64(_mm_max_pd(a, _mm_unpackhi_pd(a, a)));
}
inline float greatest_of_lanes(__m256 a) {
    return greatest_of_lanes(_mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1)));
}
inline double greatest_of_lanes(__m256d a) {
    return greatest_of_lanes(_mm_max_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1)));
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail

#endif
