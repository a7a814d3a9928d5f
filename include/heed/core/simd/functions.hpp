#pragma once

#include <cmath>
#include <concepts>
#include <type_traits>

#include <heed/core/architecture.hpp>
#include <heed/core/simd/instructions.hpp>
#include <heed/core/simd/vec.hpp>

/// \file
/// What is computed of vectors, and across their lanes.

namespace heed::inline HEED_ARCHITECTURE {

/// a·b + c, rounded once; twice on SSE2 and AVX without FMA, which have no such instruction.
template <class T>
vec<T> fma(vec<T> a, vec<T> b, vec<T> c) {
    return detail::instructions<T>::fma(a.value, b.value, c.value);
}

/// c − a·b, rounded as fma is.
template <class T>
vec<T> fnma(vec<T> a, vec<T> b, vec<T> c) {
    return fma(-a, b, c);
}

namespace detail {

/// a·b, kept from becoming one with an addition that comes next: compilers fuse the two.
template <class T>
vec<T> product(vec<T> a, vec<T> b) {
    return fma(a, b, vec<T>(T(0)));
}

}  // namespace detail

/// a·b + c of plain numbers, rounded exactly as a lane of the vectors' fma is.
template <class T>
requires std::is_floating_point_v<T> T fma(T a, T b, T c) {
    if constexpr (detail::has_fma) {
        return std::fma(a, b, c);
    } else {
        return a * b + c;
    }
}

// If a or b is NaN, the result is b, as x86's instructions have it. Not xsimd's min and max: which
// operand they return depends on its version.
template <class T>
vec<T> min(vec<T> a, vec<T> b) {
    return detail::instructions<T>::min(a.value, b.value);
}
template <class T>
vec<T> max(vec<T> a, vec<T> b) {
    return detail::instructions<T>::max(a.value, b.value);
}
template <class T>
vec<T> abs(vec<T> a) {
    return detail::instructions<T>::abs(a.value);
}
template <class T>
vec<T> sqrt(vec<T> a) {
    return detail::instructions<T>::sqrt(a.value);
}
/// To the nearest integer, ties to even.
template <class T>
vec<T> round(vec<T> a) {
    return detail::instructions<T>::round(a.value);
}
template <class T>
vec<T> floor(vec<T> a) {
    return detail::instructions<T>::floor(a.value);
}
/// mask ? a : b, lane by lane.
template <class T>
vec<T> select(vec_mask<T> mask, vec<T> a, vec<T> b) {
    return detail::instructions<T>::select(mask.value, a.value, b.value);
}
template <class T>
[[nodiscard]] vec_mask<T> is_nan(vec<T> a) {
    return !(a == a);
}

/// The sum of the lanes, always in the same order: half with half.
template <class T>
T reduce_add(vec<T> a) {
    return detail::instructions<T>::reduce_add(a.value);
}
template <class T>
T reduce_max(vec<T> a) {
    return detail::instructions<T>::reduce_max(a.value);
}
template <class T>
T reduce_min(vec<T> a) {
    return -reduce_max(-a);
}

namespace detail {

template <class T>
vec_bits<T> to_bits(vec<T> a) {
    return instructions<T>::to_bits(a.value);
}
template <class T>
vec<T> from_bits(vec_bits<T> bits) {
    return instructions<T>::from_bits(bits);
}

/// Whole floats below 2³¹ as integers.
template <std::same_as<float> T>
vec_bits<T> to_integers(vec<T> whole) {
    return instructions<T>::to_integers(whole.value);
}

/// Doubles rounded to floats: the lanes of `low`, then those of `high`.
template <std::same_as<double> T>
vec<float> narrow(vec<T> low, vec<T> high) {
    return instructions<T>::narrow(low.value, high.value);
}

/// {a₀, b₀, a₁, b₁, …}: the first half of the lanes of a and b, interleaved.
template <class T>
vec<T> zip_low(vec<T> a, vec<T> b) {
    return instructions<T>::zip_low(a.value, b.value);
}
/// The same of the second half of the lanes.
template <class T>
vec<T> zip_high(vec<T> a, vec<T> b) {
    return instructions<T>::zip_high(a.value, b.value);
}
/// The lanes of a, then those of b, at even places {a₀, a₂, …, b₀, b₂, …} or at odd ones.
template <int First, class T>
vec<T> unzip(vec<T> a, vec<T> b) {
    static_assert(First == 0 || First == 1);
    return instructions<T>::template unzip<First>(a.value, b.value);
}

/// Nothing for the machine: an order for the compiler, which reads through `from` only when `known`
/// is known. Does nothing but where an instruction set asks for it.
template <class T>
[[gnu::always_inline]] inline void read_after(const T*& from, vec<T> known) {
    instructions<T>::read_after(from, known.value);
}

// ---- AVX-512 alone -------------------------------------------------------------------------

/// a·2^n, n whole; 0 at n = −∞ and ∞ at n = ∞, even if a is NaN.
template <class T>
vec<T> scale_by_power(vec<T> a, vec<T> n) {
    return instructions<T>::scale_by_power(a.value, n.value);
}
/// The same, and 0 where x < least; NaN is not less.
template <class T>
vec<T> scale_unless_below(vec<T> least, vec<T> x, vec<T> a, vec<T> n) {
    return instructions<T>::scale_unless_below(least.value, x.value, a.value, n.value);
}

/// For each block of four lanes {a₀, b₀, a₁, b₁}, or {a₂, b₂, a₃, b₃}: cheaper than across blocks.
template <class T>
vec<T> zip_low_in_blocks(vec<T> a, vec<T> b) {
    return instructions<T>::zip_low_in_blocks(a.value, b.value);
}
template <class T>
vec<T> zip_high_in_blocks(vec<T> a, vec<T> b) {
    return instructions<T>::zip_high_in_blocks(a.value, b.value);
}
/// The same of pairs of lanes: {a₀, a₁, b₀, b₁}, or {a₂, a₃, b₂, b₃}.
template <class T>
vec<T> zip_low_pairs_in_blocks(vec<T> a, vec<T> b) {
    return instructions<T>::zip_low_pairs_in_blocks(a.value, b.value);
}
template <class T>
vec<T> zip_high_pairs_in_blocks(vec<T> a, vec<T> b) {
    return instructions<T>::zip_high_pairs_in_blocks(a.value, b.value);
}
/// Blocks First and Second of a, then the same blocks of b.
template <int First, int Second, class T>
vec<T> take_blocks(vec<T> a, vec<T> b) {
    return instructions<T>::template take_blocks<First, Second>(a.value, b.value);
}

}  // namespace detail

}  // namespace heed::inline HEED_ARCHITECTURE
