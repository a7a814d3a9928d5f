#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"        // GCC 12 warns of its own
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // AVX-512 headers
#endif
#include <xsimd/xsimd.hpp>
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#define HEED_X86
#endif
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include <heed/core/architecture.hpp>

/// \file
/// heed's vectors: the one file that names xsimd or an intrinsic.
///
/// `vec<T>` holds as many numbers as the instruction set computes at once. What xsimd offers on
/// every machine is taken from it; what it lacks, or computes by other instructions than one would
/// expect (fused multiply-adds above all), is written here once per instruction set.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

template <class T>
using batch = xsimd::batch<T>;
template <class T>
using batch_bool = typename xsimd::batch<T>::batch_bool_type;

template <class X>
concept number = std::is_arithmetic_v<X>;

#if defined(__AVX512F__)
inline constexpr bool has_avx512 = true;
#else
inline constexpr bool has_avx512 = false;
#endif
#if defined(HEED_X86) && !defined(__FMA__)
inline constexpr bool has_fma = false;
#else
inline constexpr bool has_fma = true;
#endif

}  // namespace detail

template <class T>
struct vec;

/// A truth value a lane. A bool beside it counts for every lane: head % 2 == 0 && j <= i.
template <class T>
struct vec_mask {
    detail::batch_bool<T> value;

    vec_mask(detail::batch_bool<T> native) : value(native) {}  // NOLINT: a wrapper, no more
    /// The same truth in every lane.
    explicit vec_mask(bool all) : value(all) {}

    /// The first `count` lanes; all of them from `count` ≥ size on, none for count ≤ 0.
    static vec_mask first(index count);
    /// Lane l is bit l.
    static vec_mask from_bits(std::uint64_t bits);
    /// Lane l is from[l] for l < count, false beyond; reads `count` bytes, no more.
    static vec_mask load(const bool* from, index count);
    /// first + l for every true lane l, one after the other, as compress does it.
    void compress_positions(index first, std::int32_t* to) const;
    /// from[l] for every true lane l, one after the other; reads a whole vector's worth first, so
    /// that `to` may be at `from` or before it.
    void compress_positions(const std::int32_t* from, std::int32_t* to) const;
    /// Bit l is lane l.
    std::uint64_t bits() const;
    /// How many lanes are true.
    index count() const;

    friend vec_mask operator&(vec_mask a, vec_mask b) { return a.value & b.value; }
    friend vec_mask operator|(vec_mask a, vec_mask b) { return a.value | b.value; }
    friend vec_mask operator&&(vec_mask a, vec_mask b) { return a.value & b.value; }
    friend vec_mask operator||(vec_mask a, vec_mask b) { return a.value | b.value; }
    friend vec_mask operator!(vec_mask a) { return ~a.value; }
    friend vec_mask operator~(vec_mask a) { return ~a.value; }
    friend vec_mask operator^(vec_mask a, vec_mask b) { return (a & ~b) | (~a & b); }
    friend vec_mask operator==(vec_mask a, vec_mask b) { return !(a ^ b); }
    friend vec_mask operator!=(vec_mask a, vec_mask b) { return a ^ b; }

    friend vec_mask operator&&(vec_mask a, std::integral auto b) { return a & vec_mask(b != 0); }
    friend vec_mask operator&&(std::integral auto a, vec_mask b) { return vec_mask(a != 0) & b; }
    friend vec_mask operator||(vec_mask a, std::integral auto b) { return a | vec_mask(b != 0); }
    friend vec_mask operator||(std::integral auto a, vec_mask b) { return vec_mask(a != 0) | b; }
    friend vec_mask operator&(vec_mask a, std::same_as<bool> auto b) { return a & vec_mask(b); }
    friend vec_mask operator&(std::same_as<bool> auto a, vec_mask b) { return vec_mask(a) & b; }
    friend vec_mask operator|(vec_mask a, std::same_as<bool> auto b) { return a | vec_mask(b); }
    friend vec_mask operator|(std::same_as<bool> auto a, vec_mask b) { return vec_mask(a) | b; }
    friend vec_mask operator^(vec_mask a, std::same_as<bool> auto b) { return a ^ vec_mask(b); }
    friend vec_mask operator^(std::same_as<bool> auto a, vec_mask b) { return vec_mask(a) ^ b; }
    friend vec_mask operator==(vec_mask a, std::same_as<bool> auto b) { return a == vec_mask(b); }
    friend vec_mask operator==(std::same_as<bool> auto a, vec_mask b) { return vec_mask(a) == b; }
    friend vec_mask operator!=(vec_mask a, std::same_as<bool> auto b) { return a != vec_mask(b); }
    friend vec_mask operator!=(std::same_as<bool> auto a, vec_mask b) { return vec_mask(a) != b; }

    /// There is none: this says so where a bool is wanted.
    operator bool() const {  // NOLINT: implicit, so that every such place finds it
        static_assert(sizeof(T) == 0,
                      "heed: a comparison of scores or positions is a truth a lane, no bool: "
                      "instead of if, ?: and std::min say select(j > i, a, b) and min(a, b), "
                      "without std::, or mark the function heed::scalar(f)");
        return false;
    }
};

template <class T>
bool any(vec_mask<T> mask) {
    return xsimd::any(mask.value);
}
template <class T>
bool all(vec_mask<T> mask) {
    return xsimd::all(mask.value);
}

/// As many numbers of type T (float or double) as one instruction computes.
template <class T>
struct vec {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>,
                  "heed computes in float and double; other types are storage only");

    using scalar = T;
    using mask = vec_mask<T>;
    static constexpr index size = static_cast<index>(detail::batch<T>::size);

    detail::batch<T> value;

    vec() = default;
    vec(detail::batch<T> native) : value(native) {}  // NOLINT: a wrapper, no more
    /// The same number in every lane.
    template <class Number>
    requires std::is_arithmetic_v<Number> vec(Number number)
        : value(static_cast<T>(number)) {}  // NOLINT: a number is a vector of it

    static vec load(const T* from) { return detail::batch<T>::load_unaligned(from); }
    static vec load_aligned(const T* from) { return detail::batch<T>::load_aligned(from); }
    /// The first `count` lanes from memory, `fill` in the others; reads `count` numbers, no more.
    static vec load_partial(const T* from, index count, T fill = T(0));
    /// Lane l is from[l·stride].
    static vec load_strided(const T* from, index stride, index count = size, T fill = T(0));
    /// 0, 1, 2, …
    static vec iota();

    void store(T* to) const { value.store_unaligned(to); }
    void store_aligned(T* to) const { value.store_aligned(to); }
    /// Past the caches, for results larger than they are; `to` is aligned to the vector's size.
    void stream(T* to) const;
    /// Writes the first `count` lanes, no more.
    void store_partial(T* to, index count) const;
    /// Lane l goes to to[l·stride].
    void store_strided(T* to, index stride, index count = size) const;
    /// The lanes of the mask one after the other, to[0], to[1], …. What is behind them, up to a
    /// whole vector, is overwritten by anything.
    void compress(mask lanes, T* to) const;

    friend vec operator+(vec a, vec b) { return a.value + b.value; }
    friend vec operator-(vec a, vec b) { return a.value - b.value; }
    friend vec operator*(vec a, vec b) { return a.value * b.value; }
    friend vec operator/(vec a, vec b) { return a.value / b.value; }
    friend vec operator-(vec a) { return -a.value; }
    vec& operator+=(vec b) { return *this = *this + b; }
    vec& operator-=(vec b) { return *this = *this - b; }
    vec& operator*=(vec b) { return *this = *this * b; }
    vec& operator/=(vec b) { return *this = *this / b; }

    friend mask operator<(vec a, vec b) { return a.value < b.value; }
    friend mask operator<=(vec a, vec b) { return a.value <= b.value; }
    friend mask operator>(vec a, vec b) { return a.value > b.value; }
    friend mask operator>=(vec a, vec b) { return a.value >= b.value; }
    friend mask operator==(vec a, vec b) { return a.value == b.value; }
    friend mask operator!=(vec a, vec b) { return ~(a.value == b.value); }

    // A number beside a vector, exactly matched: the conversion below is then no candidate.
    friend vec operator+(vec a, detail::number auto b) { return a + vec(b); }
    friend vec operator+(detail::number auto a, vec b) { return vec(a) + b; }
    friend vec operator-(vec a, detail::number auto b) { return a - vec(b); }
    friend vec operator-(detail::number auto a, vec b) { return vec(a) - b; }
    friend vec operator*(vec a, detail::number auto b) { return a * vec(b); }
    friend vec operator*(detail::number auto a, vec b) { return vec(a) * b; }
    friend vec operator/(vec a, detail::number auto b) { return a / vec(b); }
    friend vec operator/(detail::number auto a, vec b) { return vec(a) / b; }
    friend mask operator<(vec a, detail::number auto b) { return a < vec(b); }
    friend mask operator<(detail::number auto a, vec b) { return vec(a) < b; }
    friend mask operator<=(vec a, detail::number auto b) { return a <= vec(b); }
    friend mask operator<=(detail::number auto a, vec b) { return vec(a) <= b; }
    friend mask operator>(vec a, detail::number auto b) { return a > vec(b); }
    friend mask operator>(detail::number auto a, vec b) { return vec(a) > b; }
    friend mask operator>=(vec a, detail::number auto b) { return a >= vec(b); }
    friend mask operator>=(detail::number auto a, vec b) { return vec(a) >= b; }
    friend mask operator==(vec a, detail::number auto b) { return a == vec(b); }
    friend mask operator==(detail::number auto a, vec b) { return vec(a) == b; }
    friend mask operator!=(vec a, detail::number auto b) { return a != vec(b); }
    friend mask operator!=(detail::number auto a, vec b) { return vec(a) != b; }

    /// There is none: this says so where one number is wanted. long double alone is implicit, the
    /// one type of which every function of <cmath> has an overload and which nobody computes in.
    template <detail::number Number>
    explicit(!std::is_same_v<Number, long double>) operator Number() const {
        static_assert(sizeof(Number) == 0,
                      "heed: a vector of scores is not one number: heed's functions are written "
                      "without std::, as exp(s), abs(s), max(s, 0), and a function of one number "
                      "is marked heed::scalar(f)");
        return Number();
    }
};

/// a·b + c, rounded once; twice on SSE2 and AVX without FMA, which have no such instruction.
template <class T>
vec<T> fma(vec<T> a, vec<T> b, vec<T> c) {
#if defined(__AVX512F__)
    if constexpr (std::is_same_v<T, float>) {
        return detail::batch<T>(_mm512_fmadd_ps(a.value, b.value, c.value));
    } else {
        return detail::batch<T>(_mm512_fmadd_pd(a.value, b.value, c.value));
    }
#elif defined(__AVX__) && defined(__FMA__)
    if constexpr (std::is_same_v<T, float>) {
        return detail::batch<T>(_mm256_fmadd_ps(a.value, b.value, c.value));
    } else {
        return detail::batch<T>(_mm256_fmadd_pd(a.value, b.value, c.value));
    }
#else
    return xsimd::fma(a.value, b.value, c.value);
#endif
}

/// c − a·b, rounded as fma is.
template <class T>
vec<T> fnma(vec<T> a, vec<T> b, vec<T> c) {
    return fma(-a, b, c);
}

/// a·b + c of plain numbers, rounded exactly as a lane of the vectors' fma is.
template <class T>
requires std::is_floating_point_v<T> T fma(T a, T b, T c) {
#if defined(HEED_X86) && !defined(__FMA__)
    return a * b + c;
#else
    return std::fma(a, b, c);
#endif
}

template <class T>
vec<T> select(vec_mask<T> mask, vec<T> a, vec<T> b);

// If a or b is NaN, the result is b, as x86's instructions have it. Not xsimd's min and max: which
// operand they return depends on its version.
template <class T>
vec<T> min(vec<T> a, vec<T> b) {
#if defined(__AVX512F__)
    if constexpr (std::is_same_v<T, float>) {
        return detail::batch<T>(_mm512_maskz_min_ps(0xffff, a.value, b.value));
    } else {
        return detail::batch<T>(_mm512_maskz_min_pd(0xff, a.value, b.value));
    }
#elif defined(__AVX__)
    if constexpr (std::is_same_v<T, float>) {
        return detail::batch<T>(_mm256_min_ps(a.value, b.value));
    } else {
        return detail::batch<T>(_mm256_min_pd(a.value, b.value));
    }
#elif defined(HEED_X86)
    if constexpr (std::is_same_v<T, float>) {
        return detail::batch<T>(_mm_min_ps(a.value, b.value));
    } else {
        return detail::batch<T>(_mm_min_pd(a.value, b.value));
    }
#else
    return select(a < b, a, b);
#endif
}
template <class T>
vec<T> max(vec<T> a, vec<T> b) {
#if defined(__AVX512F__)
    if constexpr (std::is_same_v<T, float>) {
        return detail::batch<T>(_mm512_maskz_max_ps(0xffff, a.value, b.value));
    } else {
        return detail::batch<T>(_mm512_maskz_max_pd(0xff, a.value, b.value));
    }
#elif defined(__AVX__)
    if constexpr (std::is_same_v<T, float>) {
        return detail::batch<T>(_mm256_max_ps(a.value, b.value));
    } else {
        return detail::batch<T>(_mm256_max_pd(a.value, b.value));
    }
#elif defined(HEED_X86)
    if constexpr (std::is_same_v<T, float>) {
        return detail::batch<T>(_mm_max_ps(a.value, b.value));
    } else {
        return detail::batch<T>(_mm_max_pd(a.value, b.value));
    }
#else
    return select(a > b, a, b);
#endif
}
template <class T>
vec<T> abs(vec<T> a) {
    return xsimd::abs(a.value);
}
template <class T>
vec<T> sqrt(vec<T> a) {
    return xsimd::sqrt(a.value);
}
/// To the nearest integer, ties to even.
template <class T>
vec<T> round(vec<T> a) {
    return xsimd::nearbyint(a.value);
}
template <class T>
vec<T> floor(vec<T> a) {
    return xsimd::floor(a.value);
}
/// mask ? a : b, lane by lane.
template <class T>
vec<T> select(vec_mask<T> mask, vec<T> a, vec<T> b) {
    return xsimd::select(mask.value, a.value, b.value);
}
template <class T>
[[nodiscard]] vec_mask<T> is_nan(vec<T> a) {
    return !(a == a);
}

namespace detail {

#if defined(__AVX__)
// Lanes are combined half with half. The compiler's own reductions of 512 bits do the same, but
// GCC 12 warns of them.
#if defined(__AVX512F__)
inline __m256 upper_half(__m512 a) {
    return _mm256_castpd_ps(_mm512_maskz_extractf64x4_pd(0xff, _mm512_castps_pd(a), 1));
}
inline __m256 lower_half(__m512 a) {
    return _mm256_castpd_ps(_mm512_maskz_extractf64x4_pd(0xff, _mm512_castps_pd(a), 0));
}
inline __m256d upper_half(__m512d a) { return _mm512_maskz_extractf64x4_pd(0xff, a, 1); }
inline __m256d lower_half(__m512d a) { return _mm512_maskz_extractf64x4_pd(0xff, a, 0); }
#endif
inline __m128 upper_half(__m256 a) { return _mm256_extractf128_ps(a, 1); }
inline __m128 lower_half(__m256 a) { return _mm256_castps256_ps128(a); }
inline __m128d upper_half(__m256d a) { return _mm256_extractf128_pd(a, 1); }
inline __m128d lower_half(__m256d a) { return _mm256_castpd256_pd128(a); }

struct sum_of {
    __m256 operator()(__m256 a, __m256 b) const { return _mm256_add_ps(a, b); }
    __m128 operator()(__m128 a, __m128 b) const { return _mm_add_ps(a, b); }
    __m256d operator()(__m256d a, __m256d b) const { return _mm256_add_pd(a, b); }
    __m128d operator()(__m128d a, __m128d b) const { return _mm_add_pd(a, b); }
};
struct larger_of {
    __m256 operator()(__m256 a, __m256 b) const { return _mm256_max_ps(a, b); }
    __m128 operator()(__m128 a, __m128 b) const { return _mm_max_ps(a, b); }
    __m256d operator()(__m256d a, __m256d b) const { return _mm256_max_pd(a, b); }
    __m128d operator()(__m128d a, __m128d b) const { return _mm_max_pd(a, b); }
};

template <class Combine>
float combine_lanes(__m128 a, Combine combine) {
    a = combine(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(combine(a, _mm_shuffle_ps(a, a, 1)));
}
template <class Combine>
double combine_lanes(__m128d a, Combine combine) {
    return _mm_cvtsd_f64(combine(a, _mm_unpackhi_pd(a, a)));
}
template <class Register, class Combine>
auto combine_lanes(Register a, Combine combine) {
    return combine_lanes(combine(lower_half(a), upper_half(a)), combine);
}
template <class T, class Combine>
T reduce(vec<T> a, Combine combine) {
    return combine_lanes(static_cast<typename batch<T>::register_type>(a.value), combine);
}
#else
struct sum_of {
    template <class T>
    T operator()(T a, T b) const {
        return a + b;
    }
};
struct larger_of {
    template <class T>
    T operator()(T a, T b) const {
        return a > b ? a : b;
    }
};
template <class T, class Combine>
T reduce(vec<T> a, Combine combine) {
    alignas(64) std::array<T, static_cast<std::size_t>(vec<T>::size)> lane;
    a.store_aligned(lane.data());
    for (std::size_t half = lane.size() / 2; half > 0; half /= 2) {
        for (std::size_t l = 0; l < half; ++l) lane[l] = combine(lane[l], lane[l + half]);
    }
    return lane[0];
}
#endif

}  // namespace detail

/// The sum of the lanes, always in the same order.
template <class T>
T reduce_add(vec<T> a) {
    return detail::reduce(a, detail::sum_of{});
}

template <class T>
T reduce_max(vec<T> a) {
    return detail::reduce(a, detail::larger_of{});
}

template <class T>
T reduce_min(vec<T> a) {
    return -reduce_max(-a);
}

namespace detail {

#if defined(__AVX512F__)
/// For each block of four lanes {a₀, b₀, a₁, b₁}, or {a₂, b₂, a₃, b₃}: cheaper than across blocks.
inline vec<float> zip_low_in_blocks(vec<float> a, vec<float> b) {
    return batch<float>(_mm512_maskz_unpacklo_ps(0xffff, a.value, b.value));
}
inline vec<float> zip_high_in_blocks(vec<float> a, vec<float> b) {
    return batch<float>(_mm512_maskz_unpackhi_ps(0xffff, a.value, b.value));
}
/// The same of pairs of lanes: {a₀, a₁, b₀, b₁}, or {a₂, a₃, b₂, b₃}.
inline vec<float> zip_low_pairs_in_blocks(vec<float> a, vec<float> b) {
    return batch<float>(_mm512_castpd_ps(
        _mm512_maskz_unpacklo_pd(0xff, _mm512_castps_pd(a.value), _mm512_castps_pd(b.value))));
}
inline vec<float> zip_high_pairs_in_blocks(vec<float> a, vec<float> b) {
    return batch<float>(_mm512_castpd_ps(
        _mm512_maskz_unpackhi_pd(0xff, _mm512_castps_pd(a.value), _mm512_castps_pd(b.value))));
}
/// Blocks First and Second of a, then the same blocks of b.
template <int First, int Second>
vec<float> take_blocks(vec<float> a, vec<float> b) {
    constexpr int from = First | Second << 2 | First << 4 | Second << 6;
    return batch<float>(_mm512_maskz_shuffle_f32x4(0xffff, a.value, b.value, from));
}
#endif

/// {a₀, b₀, a₁, b₁, …}: the first half of the lanes of a and b, interleaved.
template <class T>
vec<T> zip_low(vec<T> a, vec<T> b) {
#if defined(__AVX512F__)
    if constexpr (std::is_same_v<T, float>) {
        const __m512i from =
            _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        return batch<T>(_mm512_permutex2var_ps(a.value, from, b.value));
    } else {
        const __m512i from = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
        return batch<T>(_mm512_permutex2var_pd(a.value, from, b.value));
    }
#elif defined(__AVX__)
    // Not xsimd's zip: whether it stays within 128 bits depends on its version.
    if constexpr (std::is_same_v<T, float>) {
        return batch<T>(_mm256_permute2f128_ps(_mm256_unpacklo_ps(a.value, b.value),
                                               _mm256_unpackhi_ps(a.value, b.value), 0x20));
    } else {
        return batch<T>(_mm256_permute2f128_pd(_mm256_unpacklo_pd(a.value, b.value),
                                               _mm256_unpackhi_pd(a.value, b.value), 0x20));
    }
#else
    return xsimd::zip_lo(a.value, b.value);
#endif
}

/// The same of the second half of the lanes.
template <class T>
vec<T> zip_high(vec<T> a, vec<T> b) {
#if defined(__AVX512F__)
    if constexpr (std::is_same_v<T, float>) {
        const __m512i from =
            _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        return batch<T>(_mm512_permutex2var_ps(a.value, from, b.value));
    } else {
        const __m512i from = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
        return batch<T>(_mm512_permutex2var_pd(a.value, from, b.value));
    }
#elif defined(__AVX__)
    // Not xsimd's zip: whether it stays within 128 bits depends on its version.
    if constexpr (std::is_same_v<T, float>) {
        return batch<T>(_mm256_permute2f128_ps(_mm256_unpacklo_ps(a.value, b.value),
                                               _mm256_unpackhi_ps(a.value, b.value), 0x31));
    } else {
        return batch<T>(_mm256_permute2f128_pd(_mm256_unpacklo_pd(a.value, b.value),
                                               _mm256_unpackhi_pd(a.value, b.value), 0x31));
    }
#else
    return xsimd::zip_hi(a.value, b.value);
#endif
}

}  // namespace detail

namespace detail {

/// The lanes of a, then those of b, at even places {a₀, a₂, …, b₀, b₂, …} or at odd ones.
template <int First, class T>
vec<T> unzip(vec<T> a, vec<T> b) {
    static_assert(First == 0 || First == 1);
#if defined(__AVX512F__)
    if constexpr (std::is_same_v<T, float>) {
        const __m512i even =
            _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        const __m512i from = _mm512_add_epi32(even, _mm512_set1_epi32(First));
        return batch<T>(_mm512_permutex2var_ps(a.value, from, b.value));
    } else {
        const __m512i even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
        const __m512i from = _mm512_add_epi64(even, _mm512_set1_epi64(First));
        return batch<T>(_mm512_permutex2var_pd(a.value, from, b.value));
    }
#elif defined(__AVX__)
    if constexpr (std::is_same_v<T, float>) {
        const __m256 low = _mm256_permute2f128_ps(a.value, b.value, 0x20);
        const __m256 high = _mm256_permute2f128_ps(a.value, b.value, 0x31);
        return batch<T>(_mm256_shuffle_ps(low, high, First == 0 ? 0x88 : 0xdd));
    } else {
        const __m256d low = _mm256_permute2f128_pd(a.value, b.value, 0x20);
        const __m256d high = _mm256_permute2f128_pd(a.value, b.value, 0x31);
        return batch<T>(_mm256_shuffle_pd(low, high, First == 0 ? 0x0 : 0xf));
    }
#elif defined(__SSE2__)
    if constexpr (std::is_same_v<T, float>) {
        return batch<T>(_mm_shuffle_ps(a.value, b.value, First == 0 ? 0x88 : 0xdd));
    } else {
        return batch<T>(_mm_shuffle_pd(a.value, b.value, First == 0 ? 0x0 : 0x3));
    }
#else
    std::array<T, 2 * static_cast<std::size_t>(vec<T>::size)> lane;
    a.store(lane.data());
    b.store(lane.data() + vec<T>::size);
    return vec<T>::load_strided(lane.data() + First, 2);
#endif
}

/// Doubles rounded to floats: the lanes of `low`, then those of `high`.
inline vec<float> narrow(vec<double> low, vec<double> high) {
#if defined(__AVX512F__)
    // With a mask, though of all lanes: GCC 12 takes the plain form for use of what is not set.
    const __m256 lower = _mm512_maskz_cvtpd_ps(0xff, low.value);
    const __m512d bits = _mm512_castps_pd(_mm512_castps256_ps512(lower));
    const __m256d upper = _mm256_castps_pd(_mm512_maskz_cvtpd_ps(0xff, high.value));
    return batch<float>(_mm512_castpd_ps(_mm512_maskz_insertf64x4(0xff, bits, upper, 1)));
#elif defined(__AVX__)
    const __m256 lower = _mm256_castps128_ps256(_mm256_cvtpd_ps(low.value));
    return batch<float>(_mm256_insertf128_ps(lower, _mm256_cvtpd_ps(high.value), 1));
#elif defined(__SSE2__)
    return batch<float>(_mm_movelh_ps(_mm_cvtpd_ps(low.value), _mm_cvtpd_ps(high.value)));
#else
    constexpr auto half = static_cast<std::size_t>(vec<double>::size);
    std::array<double, 2 * half> from;
    std::array<float, 2 * half> to;
    low.store(from.data());
    high.store(from.data() + half);
    for (std::size_t l = 0; l < 2 * half; ++l) to[l] = static_cast<float>(from[l]);
    return vec<float>::load(to.data());
#endif
}

}  // namespace detail

/// After `stream`: other threads see what was streamed before what is written from here on.
inline void stream_fence() {
#if defined(HEED_X86)
    _mm_sfence();
#endif
}

/// Brings the cache line of an address nearer; never faults. Inlined at all costs: GCC takes a call
/// that does nothing but prefetch for one without effect, and drops it.
[[gnu::always_inline]] inline void prefetch(const void* address) {
#if defined(HEED_X86)
    _mm_prefetch(static_cast<const char*>(address), _MM_HINT_T0);
#else
    __builtin_prefetch(address);
#endif
}

/// The same for memory that is read once: it pushes nothing out of the outer caches.
[[gnu::always_inline]] inline void prefetch_once(const void* address) {
#if defined(HEED_X86)
    _mm_prefetch(static_cast<const char*>(address), _MM_HINT_NTA);
#else
    __builtin_prefetch(address, 0, 0);
#endif
}

namespace detail {

/// The integers of T's width, a lane each: for work on the bits of a number.
template <class T>
using bits_of = std::conditional_t<std::is_same_v<T, float>, std::int32_t, std::int64_t>;
template <class T>
using vec_bits = xsimd::batch<bits_of<T>>;

template <class T>
vec_bits<T> to_bits(vec<T> a) {
#if XSIMD_VERSION_MAJOR >= 10
    return xsimd::bitwise_cast<bits_of<T>>(a.value);
#else
    return xsimd::bitwise_cast<vec_bits<T>>(a.value);
#endif
}
template <class T>
vec<T> from_bits(vec_bits<T> bits) {
#if XSIMD_VERSION_MAJOR >= 10
    return xsimd::bitwise_cast<T>(bits);
#else
    return xsimd::bitwise_cast<batch<T>>(bits);
#endif
}

/// Whole floats below 2³¹ as integers.
inline vec_bits<float> to_integers(vec<float> whole) { return xsimd::to_int(whole.value); }

#if defined(__AVX512F__)
/// a·2^n, n whole; 0 at n = −∞ and ∞ at n = ∞, even if a is NaN.
template <class T>
vec<T> scale_by_power(vec<T> a, vec<T> n) {
    if constexpr (std::is_same_v<T, float>) {
        return batch<T>(_mm512_maskz_scalef_ps(0xffff, a.value, n.value));
    } else {
        return batch<T>(_mm512_maskz_scalef_pd(0xff, a.value, n.value));
    }
}
#endif

/// What decides the treatment of denormals and of rounding in this thread.
inline unsigned float_mode() {
#if defined(HEED_X86)
    return _mm_getcsr();
#else
    return 0;
#endif
}
inline void set_float_mode(unsigned mode) {
#if defined(HEED_X86)
    _mm_setcsr(mode);
#else
    static_cast<void>(mode);
#endif
}

}  // namespace detail

// ---- what xsimd 8 lacks --------------------------------------------------------------------

template <class T>
vec<T> vec<T>::iota() {
    alignas(64) static constexpr auto lanes = [] {
        std::array<T, static_cast<std::size_t>(size)> number{};
        for (std::size_t l = 0; l < number.size(); ++l) number[l] = static_cast<T>(l);
        return number;
    }();
    return load_aligned(lanes.data());
}

template <class T>
vec_mask<T> vec_mask<T>::first(index count) {
    return vec<T>::iota() < vec<T>(static_cast<T>(count));
}

template <class T>
vec_mask<T> vec_mask<T>::from_bits(std::uint64_t bits) {
#if defined(__AVX512F__)
    return detail::batch_bool<T>(static_cast<typename detail::batch_bool<T>::register_type>(bits));
#else
    alignas(64) std::array<T, static_cast<std::size_t>(vec<T>::size)> lane;
    for (std::size_t l = 0; l < lane.size(); ++l) lane[l] = static_cast<T>((bits >> l) & 1);
    return vec<T>::load_aligned(lane.data()) != vec<T>(T(0));
#endif
}

template <class T>
std::uint64_t vec_mask<T>::bits() const {
#if defined(__AVX512F__)
    return static_cast<std::uint64_t>(value.data);
#elif defined(__AVX__)
    if constexpr (std::is_same_v<T, float>) {
        return static_cast<unsigned>(_mm256_movemask_ps(value.data));
    } else {
        return static_cast<unsigned>(_mm256_movemask_pd(value.data));
    }
#elif defined(__SSE2__)
    if constexpr (std::is_same_v<T, float>) {
        return static_cast<unsigned>(_mm_movemask_ps(value.data));
    } else {
        return static_cast<unsigned>(_mm_movemask_pd(value.data));
    }
#else
    alignas(64) std::array<T, static_cast<std::size_t>(vec<T>::size)> lane;
    select(*this, vec<T>(T(1)), vec<T>(T(0))).store_aligned(lane.data());
    std::uint64_t bits = 0;
    for (std::size_t l = 0; l < lane.size(); ++l) bits |= std::uint64_t(lane[l] != T(0)) << l;
    return bits;
#endif
}

template <class T>
index vec_mask<T>::count() const {
    return std::popcount(bits());
}

namespace detail {

#if defined(__AVX2__) && !defined(__AVX512F__)
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

}  // namespace detail

template <class T>
void vec<T>::compress(mask lanes, T* to) const {
    // To a register and then to memory: the instruction that stores as it compresses is slow.
#if defined(__AVX512F__)
    if constexpr (std::is_same_v<T, float>) {
        _mm512_storeu_ps(to, _mm512_maskz_compress_ps(lanes.value.data, value));
    } else {
        _mm512_storeu_pd(to, _mm512_maskz_compress_pd(lanes.value.data, value));
    }
#elif defined(__AVX2__)
    if constexpr (std::is_same_v<T, float>) {
        const __m256i from = detail::compressed_lanes(lanes.bits());
        _mm256_storeu_ps(to, _mm256_permutevar8x32_ps(value, from));
    } else {
        // A double is two floats, and so are the bits of its lane.
        const __m256 twice = _mm256_castpd_ps(lanes.value.data);
        const __m256i from =
            detail::compressed_lanes(static_cast<unsigned>(_mm256_movemask_ps(twice)));
        _mm256_storeu_pd(to,
                         _mm256_castps_pd(_mm256_permutevar8x32_ps(_mm256_castpd_ps(value), from)));
    }
#else
    alignas(64) std::array<T, static_cast<std::size_t>(size)> lane;
    store_aligned(lane.data());
    const std::uint64_t bits = lanes.bits();
    index n = 0;
    for (std::size_t l = 0; l < lane.size(); ++l) {
        to[n] = lane[l];
        n += static_cast<index>(bits >> l & 1);
    }
#endif
}

template <class T>
void vec_mask<T>::compress_positions(const std::int32_t* from, std::int32_t* to) const {
#if defined(__AVX512F__)
    const auto lanes = static_cast<__mmask16>(value.data);
    if constexpr (std::is_same_v<T, float>) {
        _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(lanes, _mm512_loadu_si512(from)));
    } else {
        const __m512i numbers = _mm512_maskz_loadu_epi32(0xff, from);
        _mm512_mask_storeu_epi32(to, 0xff, _mm512_maskz_compress_epi32(lanes, numbers));
    }
#elif defined(__AVX2__)
    const __m256i lanes = detail::compressed_lanes(bits());
    if constexpr (std::is_same_v<T, float>) {
        const __m256i numbers = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                            _mm256_permutevar8x32_epi32(numbers, lanes));
    } else {
        const __m128i numbers = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
        const __m256i moved = _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(numbers), lanes);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(moved));
    }
#else
    std::array<std::int32_t, static_cast<std::size_t>(vec<T>::size)> lane;
    std::memcpy(lane.data(), from, sizeof lane);
    const std::uint64_t set = bits();
    index n = 0;
    for (std::size_t l = 0; l < lane.size(); ++l) {
        to[n] = lane[l];
        n += static_cast<index>(set >> l & 1);
    }
#endif
}

template <class T>
void vec_mask<T>::compress_positions(index first, std::int32_t* to) const {
    const auto start = static_cast<std::int32_t>(first);
#if defined(__AVX512F__)
    const __m512i iota = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i positions = _mm512_maskz_compress_epi32(
        static_cast<__mmask16>(value.data), _mm512_add_epi32(iota, _mm512_set1_epi32(start)));
    if constexpr (std::is_same_v<T, float>) {
        _mm512_storeu_si512(to, positions);
    } else {
        _mm512_mask_storeu_epi32(to, 0xff, positions);
    }
#elif defined(__AVX2__)
    const __m256i positions =
        _mm256_add_epi32(detail::compressed_lanes(bits()), _mm256_set1_epi32(start));
    if constexpr (std::is_same_v<T, float>) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), positions);
    } else {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(positions));
    }
#else
    const std::uint64_t set = bits();
    index n = 0;
    for (std::int32_t l = 0; l < static_cast<std::int32_t>(vec<T>::size); ++l) {
        to[n] = start + l;
        n += static_cast<index>(set >> l & 1);
    }
#endif
}

template <class T>
vec_mask<T> vec_mask<T>::load(const bool* from, index count) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    if constexpr (std::is_same_v<T, float>) {
        const auto lanes = static_cast<__mmask16>(count >= 16 ? 0xffffu : (1u << count) - 1u);
        const __m128i bytes = _mm_maskz_loadu_epi8(lanes, from);
        return from_bits(_mm_test_epi8_mask(bytes, bytes));
    }
#endif
    std::uint64_t bits = 0;
    for (index l = 0; l < count && l < vec<T>::size; ++l) bits |= std::uint64_t(from[l]) << l;
    return from_bits(bits);
}

template <class T>
vec<T> vec<T>::load_partial(const T* from, index count, T fill) {
    if (count >= size) return load(from);
#if defined(__AVX512F__)
    const std::uint32_t lanes = (1u << (count > 0 ? count : 0)) - 1u;
    if constexpr (std::is_same_v<T, float>) {
        return detail::batch<T>(
            _mm512_mask_loadu_ps(_mm512_set1_ps(fill), static_cast<__mmask16>(lanes), from));
    } else {
        return detail::batch<T>(
            _mm512_mask_loadu_pd(_mm512_set1_pd(fill), static_cast<__mmask8>(lanes), from));
    }
#else
    return load_strided(from, 1, count, fill);
#endif
}

template <class T>
vec<T> vec<T>::load_strided(const T* from, index stride, index count, T fill) {
    alignas(64) std::array<T, static_cast<std::size_t>(size)> lane;
    for (index l = 0; l < size; ++l) {
        lane[static_cast<std::size_t>(l)] = l < count ? from[l * stride] : fill;
    }
    return load_aligned(lane.data());
}

template <class T>
void vec<T>::store_partial(T* to, index count) const {
    if (count >= size) return store(to);
#if defined(__AVX512F__)
    const std::uint32_t lanes = (1u << (count > 0 ? count : 0)) - 1u;
    if constexpr (std::is_same_v<T, float>) {
        _mm512_mask_storeu_ps(to, static_cast<__mmask16>(lanes), value);
    } else {
        _mm512_mask_storeu_pd(to, static_cast<__mmask8>(lanes), value);
    }
#else
    store_strided(to, 1, count);
#endif
}

template <class T>
void vec<T>::store_strided(T* to, index stride, index count) const {
    alignas(64) std::array<T, static_cast<std::size_t>(size)> lane;
    store_aligned(lane.data());
    for (index l = 0; l < size && l < count; ++l)
        to[l * stride] = lane[static_cast<std::size_t>(l)];
}

template <class T>
void vec<T>::stream(T* to) const {
#if defined(__AVX512F__)
    if constexpr (std::is_same_v<T, float>) {
        _mm512_stream_ps(to, value);
    } else {
        _mm512_stream_pd(to, value);
    }
#elif defined(__AVX__)
    if constexpr (std::is_same_v<T, float>) {
        _mm256_stream_ps(to, value);
    } else {
        _mm256_stream_pd(to, value);
    }
#else
    store_aligned(to);
#endif
}

}  // namespace heed::inline HEED_ARCHITECTURE

#undef HEED_X86
