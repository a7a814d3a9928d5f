#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <heed/core/architecture.hpp>
#include <heed/core/simd/portable.hpp>
#include <heed/core/simd/x86_reductions.hpp>

/// \file
/// AVX2: 256 bits. An AVX without AVX2, or without FMA, has the portable forms of what it lacks.

#if defined(__AVX__) && !defined(__AVX512F__)

namespace heed::inline HEED_ARCHITECTURE::detail {

#if defined(__AVX2__)
/// Lane n of entry b is the place of the n-th bit of b that is set.
inline constexpr auto places_of_bits = [] {
    std::array<std::array<std::uint8_t, 8>, 256> places{};
    for (unsigned bits = 0; bits < 256; ++bits) {
        std::size_t n = 0;
        for (std::uint8_t place = 0; place < 8; ++place)
            if ((bits >> place & 1) != 0) places[bits][n++] = place;
    }
    return places;
}();
/// Lanes of a vector of eight, first those whose bits are set.
inline __m256i compressed_lanes(std::uint64_t bits) {
    return _mm256_cvtepu8_epi32(
        _mm_loadl_epi64(reinterpret_cast<const __m128i*>(places_of_bits[bits].data())));
}
#endif

template <>
struct instructions<float> : portable_instructions<float> {
#if defined(__FMA__)
    static numbers fma(numbers a, numbers b, numbers c) { return _mm256_fmadd_ps(a, b, c); }
#else
    static constexpr bool has_fma = false;
#endif
    static numbers min(numbers a, numbers b) { return _mm256_min_ps(a, b); }
    static numbers max(numbers a, numbers b) { return _mm256_max_ps(a, b); }

    static float reduce_add(__m256 a) { return sum_of_lanes(a); }
    static float reduce_max(__m256 a) { return greatest_of_lanes(a); }

    // Not xsimd's zip: whether it stays within 128 bits depends on its version.
    static numbers zip_low(numbers a, numbers b) {
        return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x20);
    }
    static numbers zip_high(numbers a, numbers b) {
        return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x31);
    }
    template <int First>
    static numbers unzip(numbers a, numbers b) {
        const __m256 low = _mm256_permute2f128_ps(a, b, 0x20);
        const __m256 high = _mm256_permute2f128_ps(a, b, 0x31);
        return _mm256_shuffle_ps(low, high, First == 0 ? 0x88 : 0xdd);
    }

    static std::uint64_t mask_bits(truths mask) {
        return static_cast<unsigned>(_mm256_movemask_ps(mask.data));
    }

#if defined(__AVX2__)
    static void compress(numbers a, truths mask, float* to) {
        _mm256_storeu_ps(to, _mm256_permutevar8x32_ps(a, compressed_lanes(mask_bits(mask))));
    }
    static void compress_positions(truths mask, const std::int32_t* from, std::int32_t* to) {
        const __m256i lanes = compressed_lanes(mask_bits(mask));
        const __m256i positions = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                            _mm256_permutevar8x32_epi32(positions, lanes));
    }
    static void compress_positions(truths mask, std::int32_t first, std::int32_t* to) {
        _mm256_storeu_si256(
            reinterpret_cast<__m256i*>(to),
            _mm256_add_epi32(compressed_lanes(mask_bits(mask)), _mm256_set1_epi32(first)));
    }
#endif

    static void stream(numbers a, float* to) { _mm256_stream_ps(to, a); }
};

template <>
struct instructions<double> : portable_instructions<double> {
#if defined(__FMA__)
    static numbers fma(numbers a, numbers b, numbers c) { return _mm256_fmadd_pd(a, b, c); }
#else
    static constexpr bool has_fma = false;
#endif
    static numbers min(numbers a, numbers b) { return _mm256_min_pd(a, b); }
    static numbers max(numbers a, numbers b) { return _mm256_max_pd(a, b); }

    static double reduce_add(__m256d a) { return sum_of_lanes(a); }
    static double reduce_max(__m256d a) { return greatest_of_lanes(a); }

    static numbers zip_low(numbers a, numbers b) {
        return _mm256_permute2f128_pd(_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b), 0x20);
    }
    static numbers zip_high(numbers a, numbers b) {
        return _mm256_permute2f128_pd(_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b), 0x31);
    }
    template <int First>
    static numbers unzip(numbers a, numbers b) {
        const __m256d low = _mm256_permute2f128_pd(a, b, 0x20);
        const __m256d high = _mm256_permute2f128_pd(a, b, 0x31);
        return _mm256_shuffle_pd(low, high, First == 0 ? 0x0 : 0xf);
    }
    static batch<float> narrow(numbers low, numbers high) {
        const __m256 lower = _mm256_castps128_ps256(_mm256_cvtpd_ps(low));
        return _mm256_insertf128_ps(lower, _mm256_cvtpd_ps(high), 1);
    }

    static std::uint64_t mask_bits(truths mask) {
        return static_cast<unsigned>(_mm256_movemask_pd(mask.data));
    }

#if defined(__AVX2__)
    static void compress(numbers a, truths mask, double* to) {
        // A double is two floats, and so are the bits of its lane.
        const __m256 twice = _mm256_castpd_ps(mask.data);
        const __m256i lanes = compressed_lanes(static_cast<unsigned>(_mm256_movemask_ps(twice)));
        _mm256_storeu_pd(to,
                         _mm256_castps_pd(_mm256_permutevar8x32_ps(_mm256_castpd_ps(a), lanes)));
    }
    static void compress_positions(truths mask, const std::int32_t* from, std::int32_t* to) {
        const __m256i lanes = compressed_lanes(mask_bits(mask));
        const __m128i positions = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
        const __m256i moved = _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(positions), lanes);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(moved));
    }
    static void compress_positions(truths mask, std::int32_t first, std::int32_t* to) {
        const __m256i positions =
            _mm256_add_epi32(compressed_lanes(mask_bits(mask)), _mm256_set1_epi32(first));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(positions));
    }
#endif

    static void stream(numbers a, double* to) { _mm256_stream_pd(to, a); }
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail

#endif
