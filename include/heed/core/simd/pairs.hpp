#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include <heed/core/architecture.hpp>
#include <heed/core/simd/instructions.hpp>
#include <heed/core/simd/vec.hpp>

/// \file
/// Pairs of bfloat16, a pair where a float would be, on machines that multiply them as such
/// (AVX512-BF16): two products a lane and instruction.
///
/// Whatever the caller's mode, these instructions round to nearest, ties to even, and take and give
/// 0 for what is smaller than 2^−126.

namespace heed::inline HEED_ARCHITECTURE::detail {

#if defined(__AVX512BF16__) && defined(__AVX512BW__)

inline constexpr bool has_pairs = true;

inline __m512bh as_pairs(vec<float> x) {
    const __m512 bits = x.value;
    return std::bit_cast<__m512bh>(bits);
}
inline vec<float> from_bits(__m512i bits) { return batch<float>(_mm512_castsi512_ps(bits)); }

/// a₀·b₀ + a₁·b₁ + sum of the pairs a and b in each lane.
[[gnu::always_inline]] inline vec<float> multiply_pairs(vec<float> a, vec<float> b,
                                                        vec<float> sum) {
    return batch<float>(_mm512_dpbf16_ps(sum.value, as_pairs(a), as_pairs(b)));
}

/// Neighbours as pairs, rounded: those of `first`, then those of `second`.
[[gnu::always_inline]] inline vec<float> join_neighbours(vec<float> first, vec<float> second) {
    const __m512bh pairs = _mm512_cvtne2ps_pbh(second.value, first.value);
    return from_bits(std::bit_cast<__m512i>(pairs));
}

/// A pair of the numbers in each lane, which are bfloat16s.
[[gnu::always_inline]] inline vec<float> join_lanes(vec<float> first, vec<float> second) {
    const __m512i low = _mm512_maskz_srli_epi32(0xffff, _mm512_castps_si512(first.value), 16);
    return from_bits(_mm512_mask_mov_epi16(low, 0xaaaaaaaa, _mm512_castps_si512(second.value)));
}

/// What stands in two rows at these places, one above the other: pairs of as many numbers as two
/// vectors hold.
inline void join_stored(const void* first, const void* second, float* to) {
    alignas(64) static constexpr auto from = [] {
        std::array<std::uint16_t, 64> result{};
        for (std::size_t i = 0; i < 32; ++i) {
            result[2 * i] = static_cast<std::uint16_t>(i);
            result[2 * i + 1] = static_cast<std::uint16_t>(32 + i);
        }
        return result;
    }();
    const __m512i a = _mm512_loadu_si512(first), b = _mm512_loadu_si512(second);
    const auto store = [&](index half) {
        const __m512i lanes = _mm512_load_si512(from.data() + 32 * half);
        _mm512_storeu_si512(to + 16 * half, _mm512_permutex2var_epi16(a, lanes, b));
    };
    store(0);
    store(1);
}

/// The same of quads, two pairs where a double would be: a₀·b₀ + a₁·b₁ + sum of the first pairs in
/// the lower half of each lane, that of the second pairs in the upper half.
[[gnu::always_inline]] inline vec<double> multiply_quads(vec<double> a, vec<double> b,
                                                         vec<double> sum) {
    const auto pairs = [](vec<double> quads) __attribute__((always_inline)) {
        return vec<float>(batch<float>(_mm512_castpd_ps(quads.value)));
    };
    const __m512 sums = multiply_pairs(pairs(a), pairs(b), pairs(sum)).value;
    return batch<double>(_mm512_castps_pd(sums));
}

/// Pairs of which those numbers that are not kept become 0.
inline vec<float> keep_of_pairs(vec<float> pairs, bool first, bool second) {
    const int kept = (first ? 0xffff : 0) | (second ? ~0xffff : 0);
    return from_bits(_mm512_and_si512(_mm512_castps_si512(pairs.value), _mm512_set1_epi32(kept)));
}

#else

inline constexpr bool has_pairs = false;

#endif

/// Rows of pairs in memory.
struct rows_of_pairs {
    const float* data;

    rows_of_pairs& operator+=(index pairs) {
        data += pairs;
        return *this;
    }
    friend rows_of_pairs operator+(rows_of_pairs rows, index pairs) { return rows += pairs; }
};

/// Rows of quads in memory.
struct rows_of_quads {
    const double* data;

    rows_of_quads& operator+=(index quads) {
        data += quads;
        return *this;
    }
    friend rows_of_quads operator+(rows_of_quads rows, index quads) { return rows += quads; }
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
