#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <heed/core/architecture.hpp>
#include <heed/core/simd/instructions.hpp>
#include <heed/core/simd/vec.hpp>

/// \file
/// Pairs of integers of 16 bits, a pair where a float would be, and sums of their products, 32 bits
/// where a float would be.
///
/// Integers are exact: whatever the instruction set, these have the same bits.

namespace heed::inline HEED_ARCHITECTURE::detail {

#if defined(__AVX512BW__)

inline __m512i integers_of(vec<float> x) { return _mm512_castps_si512(x.value); }
inline vec<float> as_vector(__m512i integers) {
    return batch<float>(_mm512_castsi512_ps(integers));
}

/// a₀·b₀ + a₁·b₁ + sum of the pairs a and b in each lane.
[[gnu::always_inline]] inline vec<float> multiply_integers(vec<float> a, vec<float> b,
                                                           vec<float> sum) {
// Whoever has one of these has the other; alone, VNNI would give functions of one name other code.
#if defined(__AVX512VNNI__) && defined(__AVX512BF16__)
    // By name, since g++ 12 moves sums to and fro that are floats here and integers there.
    __m512 total = sum.value;
    const __m512 left = a.value, right = b.value;
    asm("{vpdpwssd %2, %1, %0|vpdpwssd %0, %1, %2}" : "+v"(total) : "v"(left), "v"(right));
    return batch<float>(total);
#else
    return as_vector(
        _mm512_add_epi32(integers_of(sum), _mm512_madd_epi16(integers_of(a), integers_of(b))));
#endif
}

/// Pairs of the numbers of two rows, one above the other: of those in the first, or with `second`
/// the second, vector's worth of each. Both must be there.
[[gnu::always_inline]] inline vec<float> join_integer_rows(const std::int8_t* above,
                                                           const std::int8_t* below, bool second) {
    // Unpacking goes lane by lane of 128 bits: the quarters that meet there are moved before.
    const auto quarters = [](const std::int8_t* row) __attribute__((always_inline)) {
        return _mm256_permute4x64_epi64(
            _mm256_loadu_si256(static_cast<const __m256i*>(static_cast<const void*>(row))),
            0b11'01'10'00);
    };
    const __m256i a = quarters(above), b = quarters(below);
    const __m256i bytes = second ? _mm256_unpackhi_epi8(a, b) : _mm256_unpacklo_epi8(a, b);
    return as_vector(_mm512_maskz_cvtepi8_epi16(0xffffffff, bytes));
}

/// Neighbours as pairs, rounded to the nearest integers: those of `first`, then those of `second`.
inline vec<float> join_integers(vec<float> first, vec<float> second) {
    const auto nearest = [](vec<float> x) {
        return _mm512_maskz_cvtsepi32_epi16(0xffff, _mm512_maskz_cvtps_epi32(0xffff, x.value));
    };
    const __m512i lower = _mm512_maskz_inserti64x4(0xff, _mm512_setzero_si512(), nearest(first), 0);
    return as_vector(_mm512_maskz_inserti64x4(0xff, lower, nearest(second), 1));
}

/// Sums of integers as floats, rounded once.
inline vec<float> floats_of_integers(vec<float> sums) {
    return batch<float>(_mm512_maskz_cvtepi32_ps(0xffff, integers_of(sums)));
}

#elif defined(__AVX2__) && !defined(__AVX512F__)

inline __m256i integers_of(vec<float> x) { return _mm256_castps_si256(x.value); }
inline vec<float> as_vector(__m256i integers) {
    return batch<float>(_mm256_castsi256_ps(integers));
}

[[gnu::always_inline]] inline vec<float> multiply_integers(vec<float> a, vec<float> b,
                                                           vec<float> sum) {
    return as_vector(
        _mm256_add_epi32(integers_of(sum), _mm256_madd_epi16(integers_of(a), integers_of(b))));
}

[[gnu::always_inline]] inline vec<float> join_integer_rows(const std::int8_t* above,
                                                           const std::int8_t* below, bool second) {
    const auto load = [](const std::int8_t* row) __attribute__((always_inline)) {
        return _mm_loadu_si128(static_cast<const __m128i*>(static_cast<const void*>(row)));
    };
    const __m128i a = load(above), b = load(below);
    const __m128i bytes = second ? _mm_unpackhi_epi8(a, b) : _mm_unpacklo_epi8(a, b);
    return as_vector(_mm256_cvtepi8_epi16(bytes));
}

inline vec<float> join_integers(vec<float> first, vec<float> second) {
    // Packing goes block by block: the middle two quarters change places.
    const __m256i packed =
        _mm256_packs_epi32(_mm256_cvtps_epi32(first.value), _mm256_cvtps_epi32(second.value));
    return as_vector(_mm256_permute4x64_epi64(packed, 0b11'01'10'00));
}

inline vec<float> floats_of_integers(vec<float> sums) {
    return batch<float>(_mm256_cvtepi32_ps(integers_of(sums)));
}

#elif defined(__SSE2__) && !defined(__AVX__)

inline __m128i integers_of(vec<float> x) { return _mm_castps_si128(x.value); }
inline vec<float> as_vector(__m128i integers) { return batch<float>(_mm_castsi128_ps(integers)); }

[[gnu::always_inline]] inline vec<float> multiply_integers(vec<float> a, vec<float> b,
                                                           vec<float> sum) {
    return as_vector(
        _mm_add_epi32(integers_of(sum), _mm_madd_epi16(integers_of(a), integers_of(b))));
}

[[gnu::always_inline]] inline vec<float> join_integer_rows(const std::int8_t* above,
                                                           const std::int8_t* below, bool second) {
    const auto load = [](const std::int8_t* row) __attribute__((always_inline)) {
        return _mm_loadl_epi64(static_cast<const __m128i*>(static_cast<const void*>(row)));
    };
    const __m128i bytes = _mm_unpacklo_epi8(load(above), load(below));
    const __m128i twice =  // each byte, so that shifting extends its sign
        second ? _mm_unpackhi_epi8(bytes, bytes) : _mm_unpacklo_epi8(bytes, bytes);
    return as_vector(_mm_srai_epi16(twice, 8));
}

inline vec<float> join_integers(vec<float> first, vec<float> second) {
    return as_vector(_mm_packs_epi32(_mm_cvtps_epi32(first.value), _mm_cvtps_epi32(second.value)));
}

inline vec<float> floats_of_integers(vec<float> sums) {
    return batch<float>(_mm_cvtepi32_ps(integers_of(sums)));
}

#else

/// A vector's lanes as integers.
template <class Integer>
auto integers_of(vec<float> x) {
    alignas(64) std::array<float, static_cast<std::size_t>(vec<float>::size)> lanes;
    x.store_aligned(lanes.data());
    std::array<Integer, sizeof lanes / sizeof(Integer)> integers;
    std::memcpy(integers.data(), lanes.data(), sizeof lanes);
    return integers;
}
template <class Integers>
vec<float> as_vector(const Integers& integers) {
    alignas(64) std::array<float, static_cast<std::size_t>(vec<float>::size)> lanes;
    std::memcpy(lanes.data(), integers.data(), sizeof lanes);
    return vec<float>::load_aligned(lanes.data());
}

inline vec<float> multiply_integers(vec<float> a, vec<float> b, vec<float> sum) {
    const auto left = integers_of<std::int16_t>(a), right = integers_of<std::int16_t>(b);
    auto sums = integers_of<std::int32_t>(sum);
    for (std::size_t l = 0; l < sums.size(); ++l)
        sums[l] += left[2 * l] * right[2 * l] + left[2 * l + 1] * right[2 * l + 1];
    return as_vector(sums);
}

inline vec<float> join_integer_rows(const std::int8_t* above, const std::int8_t* below,
                                    bool second) {
    constexpr auto size = static_cast<std::size_t>(vec<float>::size);
    std::array<std::int16_t, 2 * size> pairs;
    for (std::size_t l = 0; l < size; ++l) {
        pairs[2 * l] = above[l + (second ? size : 0)];
        pairs[2 * l + 1] = below[l + (second ? size : 0)];
    }
    return as_vector(pairs);
}

inline vec<float> join_integers(vec<float> first, vec<float> second) {
    constexpr auto size = static_cast<std::size_t>(vec<float>::size);
    std::array<float, 2 * size> numbers;
    std::array<std::int16_t, 2 * size> pairs;
    first.store(numbers.data());
    second.store(numbers.data() + size);
    for (std::size_t l = 0; l < 2 * size; ++l)
        pairs[l] = static_cast<std::int16_t>(std::nearbyint(numbers[l]));
    return as_vector(pairs);
}

inline vec<float> floats_of_integers(vec<float> sums) {
    const auto integers = integers_of<std::int32_t>(sums);
    alignas(64) std::array<float, static_cast<std::size_t>(vec<float>::size)> floats;
    for (std::size_t l = 0; l < floats.size(); ++l) floats[l] = static_cast<float>(integers[l]);
    return vec<float>::load_aligned(floats.data());
}

#endif

}  // namespace heed::inline HEED_ARCHITECTURE::detail
