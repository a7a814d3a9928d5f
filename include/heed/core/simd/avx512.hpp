#pragma once

#include <cstdint>

#include <heed/core/architecture.hpp>
#include <heed/core/simd/portable.hpp>
#include <heed/core/simd/x86_reductions.hpp>

/// \file
/// AVX-512: 512 bits, and masks in registers of their own.
///
/// Many intrinsics stand here in their masked form with a mask of all lanes, which is the same
/// instruction: GCC 12 takes the plain form for use of what is not set.

#if defined(__AVX512F__)

namespace heed::inline HEED_ARCHITECTURE::detail {

inline __m256d lower_half(__m512d a) { return _mm512_maskz_extractf64x4_pd(0xff, a, 0); }
inline __m256d upper_half(__m512d a) { return _mm512_maskz_extractf64x4_pd(0xff, a, 1); }
inline __m256 lower_half(__m512 a) { return _mm256_castpd_ps(lower_half(_mm512_castps_pd(a))); }
inline __m256 upper_half(__m512 a) { return _mm256_castpd_ps(upper_half(_mm512_castps_pd(a))); }

/// The first `count` lanes, count < 32.
inline std::uint32_t first_lanes(index count) { return (1u << (count > 0 ? count : 0)) - 1u; }

/// 0, 1, 2, …
inline __m512i iota_of_positions() {
    return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

template <>
struct instructions<float> : portable_instructions<float> {
    static constexpr bool has_avx512 = true;

    static numbers fma(numbers a, numbers b, numbers c) { return _mm512_fmadd_ps(a, b, c); }
    static numbers min(numbers a, numbers b) { return _mm512_maskz_min_ps(0xffff, a, b); }
    static numbers max(numbers a, numbers b) { return _mm512_maskz_max_ps(0xffff, a, b); }
    static numbers scale_by_power(numbers a, numbers n) {
        return _mm512_maskz_scalef_ps(0xffff, a, n);
    }
    static numbers scale_unless_below(numbers least, numbers x, numbers a, numbers n) {
        return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(x, least, _CMP_NLT_UQ), a, n);
    }

    // The compiler's own reductions do the same, but GCC 12 warns of them.
    static float reduce_add(__m512 a) {
        return sum_of_lanes(_mm256_add_ps(lower_half(a), upper_half(a)));
    }
    static float reduce_max(__m512 a) {
        return greatest_of_lanes(_mm256_max_ps(lower_half(a), upper_half(a)));
    }

    static numbers zip_low(numbers a, numbers b) {
        const __m512i from =
            _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        return _mm512_permutex2var_ps(a, from, b);
    }
    static numbers zip_high(numbers a, numbers b) {
        const __m512i from =
            _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        return _mm512_permutex2var_ps(a, from, b);
    }
    template <int First>
    static numbers unzip(numbers a, numbers b) {
        const __m512i even =
            _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        return _mm512_permutex2var_ps(a, _mm512_add_epi32(even, _mm512_set1_epi32(First)), b);
    }

    static numbers zip_low_in_blocks(numbers a, numbers b) {
        return _mm512_maskz_unpacklo_ps(0xffff, a, b);
    }
    static numbers zip_high_in_blocks(numbers a, numbers b) {
        return _mm512_maskz_unpackhi_ps(0xffff, a, b);
    }
    static numbers zip_low_pairs_in_blocks(numbers a, numbers b) {
        return _mm512_castpd_ps(
            _mm512_maskz_unpacklo_pd(0xff, _mm512_castps_pd(a), _mm512_castps_pd(b)));
    }
    static numbers zip_high_pairs_in_blocks(numbers a, numbers b) {
        return _mm512_castpd_ps(
            _mm512_maskz_unpackhi_pd(0xff, _mm512_castps_pd(a), _mm512_castps_pd(b)));
    }
    template <int First, int Second>
    static numbers take_blocks(numbers a, numbers b) {
        constexpr int from = First | Second << 2 | First << 4 | Second << 6;
        return _mm512_maskz_shuffle_f32x4(0xffff, a, b, from);
    }

    static truths mask_from_bits(std::uint64_t bits) { return static_cast<__mmask16>(bits); }
    static std::uint64_t mask_bits(truths mask) { return mask.data; }
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    static truths load_mask(const bool* from, index count) {
        const auto lanes = static_cast<__mmask16>(count >= 16 ? 0xffffu : (1u << count) - 1u);
        const __m128i bytes = _mm_maskz_loadu_epi8(lanes, from);
        return mask_from_bits(_mm_test_epi8_mask(bytes, bytes));
    }
#endif

    // To a register and then to memory: the instruction that stores as it compresses is slow.
    static void compress(numbers a, truths mask, float* to) {
        _mm512_storeu_ps(to, _mm512_maskz_compress_ps(mask.data, a));
    }
    static void compress_positions(truths mask, const std::int32_t* from, std::int32_t* to) {
        _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(mask.data, _mm512_loadu_si512(from)));
    }
    static void compress_positions(truths mask, std::int32_t first, std::int32_t* to) {
        const __m512i positions = _mm512_add_epi32(iota_of_positions(), _mm512_set1_epi32(first));
        _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(mask.data, positions));
    }

    static numbers load_partial(const float* from, index count, float fill) {
        return _mm512_mask_loadu_ps(_mm512_set1_ps(fill),
                                    static_cast<__mmask16>(first_lanes(count)), from);
    }
    static void store_partial(numbers a, float* to, index count) {
        _mm512_mask_storeu_ps(to, static_cast<__mmask16>(first_lanes(count)), a);
    }
    static void stream(numbers a, float* to) { _mm512_stream_ps(to, a); }
};

template <>
struct instructions<double> : portable_instructions<double> {
    static constexpr bool has_avx512 = true;

    static numbers fma(numbers a, numbers b, numbers c) { return _mm512_fmadd_pd(a, b, c); }
    static numbers min(numbers a, numbers b) { return _mm512_maskz_min_pd(0xff, a, b); }
    static numbers max(numbers a, numbers b) { return _mm512_maskz_max_pd(0xff, a, b); }
    static numbers scale_by_power(numbers a, numbers n) {
        return _mm512_maskz_scalef_pd(0xff, a, n);
    }
    static numbers scale_unless_below(numbers least, numbers x, numbers a, numbers n) {
        return _mm512_maskz_scalef_pd(_mm512_cmp_pd_mask(x, least, _CMP_NLT_UQ), a, n);
    }

    static double reduce_add(__m512d a) {
        return sum_of_lanes(_mm256_add_pd(lower_half(a), upper_half(a)));
    }
    static double reduce_max(__m512d a) {
        return greatest_of_lanes(_mm256_max_pd(lower_half(a), upper_half(a)));
    }

    static numbers zip_low(numbers a, numbers b) {
        return _mm512_permutex2var_pd(a, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), b);
    }
    static numbers zip_high(numbers a, numbers b) {
        return _mm512_permutex2var_pd(a, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), b);
    }
    template <int First>
    static numbers unzip(numbers a, numbers b) {
        const __m512i even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
        return _mm512_permutex2var_pd(a, _mm512_add_epi64(even, _mm512_set1_epi64(First)), b);
    }
    static batch<float> narrow(numbers low, numbers high) {
        const __m256 lower = _mm512_maskz_cvtpd_ps(0xff, low);
        const __m512d bits = _mm512_castps_pd(_mm512_castps256_ps512(lower));
        const __m256d upper = _mm256_castps_pd(_mm512_maskz_cvtpd_ps(0xff, high));
        return _mm512_castpd_ps(_mm512_maskz_insertf64x4(0xff, bits, upper, 1));
    }

    static truths mask_from_bits(std::uint64_t bits) { return static_cast<__mmask8>(bits); }
    static std::uint64_t mask_bits(truths mask) { return mask.data; }

    static void compress(numbers a, truths mask, double* to) {
        _mm512_storeu_pd(to, _mm512_maskz_compress_pd(mask.data, a));
    }
    static void compress_positions(truths mask, const std::int32_t* from, std::int32_t* to) {
        const __m512i positions = _mm512_maskz_loadu_epi32(0xff, from);
        _mm512_mask_storeu_epi32(to, 0xff, _mm512_maskz_compress_epi32(mask.data, positions));
    }
    static void compress_positions(truths mask, std::int32_t first, std::int32_t* to) {
        const __m512i positions = _mm512_add_epi32(iota_of_positions(), _mm512_set1_epi32(first));
        _mm512_mask_storeu_epi32(to, 0xff, _mm512_maskz_compress_epi32(mask.data, positions));
    }

    static numbers load_partial(const double* from, index count, double fill) {
        return _mm512_mask_loadu_pd(_mm512_set1_pd(fill), static_cast<__mmask8>(first_lanes(count)),
                                    from);
    }
    static void store_partial(numbers a, double* to, index count) {
        _mm512_mask_storeu_pd(to, static_cast<__mmask8>(first_lanes(count)), a);
    }
    static void stream(numbers a, double* to) { _mm512_stream_pd(to, a); }
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail

#endif
