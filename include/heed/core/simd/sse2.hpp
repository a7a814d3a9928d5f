#pragma once

#include <cstdint>

#include <heed/core/architecture.hpp>
#include <heed/core/simd/portable.hpp>

/// \file
/// SSE2: 128 bits, no fused multiply-add.

#if defined(__SSE2__) && !defined(__AVX__)

namespace heed::inline HEED_ARCHITECTURE::detail {

template <>
struct instructions<float> : portable_instructions<float> {
    static constexpr bool has_fma = false;

    static numbers min(numbers a, numbers b) { return _mm_min_ps(a, b); }
    static numbers max(numbers a, numbers b) { return _mm_max_ps(a, b); }

    template <int First>
    static numbers unzip(numbers a, numbers b) {
        return _mm_shuffle_ps(a, b, First == 0 ? 0x88 : 0xdd);
    }

    static std::uint64_t mask_bits(truths mask) {
        return static_cast<unsigned>(_mm_movemask_ps(mask.data));
    }
};

template <>
struct instructions<double> : portable_instructions<double> {
    static constexpr bool has_fma = false;

    static numbers min(numbers a, numbers b) { return _mm_min_pd(a, b); }
    static numbers max(numbers a, numbers b) { return _mm_max_pd(a, b); }

    template <int First>
    static numbers unzip(numbers a, numbers b) {
        return _mm_shuffle_pd(a, b, First == 0 ? 0x0 : 0x3);
    }
    static batch<float> narrow(numbers low, numbers high) {
        return _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high));
    }

    static std::uint64_t mask_bits(truths mask) {
        return static_cast<unsigned>(_mm_movemask_pd(mask.data));
    }
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail

#endif
