#pragma once

#include <concepts>
#include <limits>
#include <type_traits>

#include <heed/core/architecture.hpp>
#include <heed/core/lane_numbers.hpp>
#include <heed/core/lanes.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>

/// \file
/// Functions of vectors, positions and plain numbers beside one another, as users' functions mix
/// them: min(s, 0), max(0, i - j), select(j > i, 0, s), s * (j <= i), log(i + 1), abs(i - j) % 4.

namespace heed::inline HEED_ARCHITECTURE {

template <class T>
vec<T> min(vec<T> a, detail::number auto b) {
    return min(a, vec<T>(b));
}
template <class T>
vec<T> min(detail::number auto a, vec<T> b) {
    return min(vec<T>(a), b);
}
template <class T>
vec<T> max(vec<T> a, detail::number auto b) {
    return max(a, vec<T>(b));
}
template <class T>
vec<T> max(detail::number auto a, vec<T> b) {
    return max(vec<T>(a), b);
}

template <class T>
vec<T> min(lanes<T> a, vec<T> b) {
    return min(a.number(), b);
}
template <class T>
vec<T> min(vec<T> a, lanes<T> b) {
    return min(a, b.number());
}
template <class T>
vec<T> max(lanes<T> a, vec<T> b) {
    return max(a.number(), b);
}
template <class T>
vec<T> max(vec<T> a, lanes<T> b) {
    return max(a, b.number());
}

namespace detail {

/// What stands beside positions: as positions if it is an integer, else as a number.
template <class T>
lanes<T> beside_positions(lanes<T>, std::integral auto b) {
    return lanes<T>::at(b);
}
template <class T>
vec<T> beside_positions(lanes<T>, std::floating_point auto b) {
    return vec<T>(b);
}

}  // namespace detail

template <class T>
[[nodiscard]] auto min(lanes<T> a, detail::number auto b) {
    return min(a, detail::beside_positions(a, b));
}
template <class T>
[[nodiscard]] auto min(detail::number auto a, lanes<T> b) {
    return min(detail::beside_positions(b, a), b);
}
template <class T>
[[nodiscard]] auto max(lanes<T> a, detail::number auto b) {
    return max(a, detail::beside_positions(a, b));
}
template <class T>
[[nodiscard]] auto max(detail::number auto a, lanes<T> b) {
    return max(detail::beside_positions(b, a), b);
}

namespace detail {

template <class X, class T>
concept vector_of = std::same_as<X, vec<T>> || std::same_as<X, lanes<T>>;
/// What select chooses between, other than two vectors or two of positions.
template <class A, class B, class T>
concept mixed_choice = (vector_of<A, T> ||
                        number<A>)&&(vector_of<B, T> ||
                                     number<B>)&&!(vector_of<A, T> && std::same_as<A, B>);

}  // namespace detail

/// mask ? a : b, of vectors, positions and numbers; positions if one is and the other is an
/// integer.
template <class T, class A, class B>
requires detail::mixed_choice<A, B, T>
[[nodiscard]] auto select(vec_mask<T> mask, A a, B b) {
    if constexpr (std::same_as<A, lanes<T>> && std::integral<B>)
        return select(mask, a, lanes<T>::at(b));
    else if constexpr (std::integral<A> && std::same_as<B, lanes<T>>)
        return select(mask, lanes<T>::at(a), b);
    else
        return select(mask, vec<T>(a), vec<T>(b));
}

// A condition beside numbers is 1 or 0; what it multiplies by 0 is left out, an infinity too.
template <class T>
vec<T> operator*(vec_mask<T> a, detail::number auto b) {
    return select(a, b, 0);
}
template <class T>
vec<T> operator*(detail::number auto a, vec_mask<T> b) {
    return select(b, a, 0);
}
template <class T>
vec<T> operator*(vec_mask<T> a, vec<T> b) {
    return select(a, b, 0);
}
template <class T>
vec<T> operator*(vec<T> a, vec_mask<T> b) {
    return select(b, a, 0);
}
template <class T>
vec<T> operator+(vec<T> a, vec_mask<T> b) {
    return a + b * T(1);
}
template <class T>
vec<T> operator-(vec<T> a, vec_mask<T> b) {
    return a - b * T(1);
}

// Of positions as numbers.
template <class T>
vec<T> sqrt(lanes<T> a) {
    return sqrt(a.number());
}
template <class T>
vec<T> exp(lanes<T> a) {
    return exp(a.number());
}
template <class T>
vec<T> exp2(lanes<T> a) {
    return exp2(a.number());
}
template <class T>
vec<T> expm1(lanes<T> a) {
    return expm1(a.number());
}
template <class T>
vec<T> log(lanes<T> a) {
    return log(a.number());
}
template <class T>
vec<T> log1p(lanes<T> a) {
    return log1p(a.number());
}
template <class T>
vec<T> tanh(lanes<T> a) {
    return tanh(a.number());
}

/// a − b·⌊a/b⌋ of whole numbers, as abs(i - j) has them: never negative, and exact as long as T
/// counts, to 2²⁴ in float and 2⁵³ in double. 1 ≤ b ≤ 2²³, or 2⁵².
template <class T>
vec<T> operator%(vec<T> a, std::integral auto b) {
    return (lanes<T>{0, a} % b).number();
}

// What has no meaning lane by lane, in one sentence.
template <class T>
vec<T> operator&(vec<T> a, std::integral auto) {
    static_assert(sizeof(T) == 0,
                  "heed: bits are those of a position, (i - j) & 1, not of a number, as abs(i - j) "
                  "is one; of it say abs(i - j) % 2");
    return a;
}
template <class T>
vec<T> operator>>(vec<T> a, std::integral auto) {
    static_assert(sizeof(T) == 0,
                  "heed: bits are those of a position, (i - j) >> 1, not of a number, as abs(i - "
                  "j) is one; of it say floor(abs(i - j) / 2)");
    return a;
}
namespace detail {
template <class A, class B>
constexpr void refuse_division_by_positions() {
    static_assert(sizeof(A) == 0,
                  "heed: positions are divided by integers; by one another say "
                  "heed::scalar(f), or as numbers 1.0f * i / j");
}
}  // namespace detail
template <class T>
lanes<T> operator/(lanes<T> a, lanes<T>) {
    detail::refuse_division_by_positions<T, T>();
    return a;
}
template <class T>
lanes<T> operator%(lanes<T> a, lanes<T>) {
    detail::refuse_division_by_positions<T, T>();
    return a;
}
template <class T>
lanes<T> operator/(std::integral auto, lanes<T> b) {
    detail::refuse_division_by_positions<T, T>();
    return b;
}
template <class T>
lanes<T> operator%(std::integral auto, lanes<T> b) {
    detail::refuse_division_by_positions<T, T>();
    return b;
}

}  // namespace heed::inline HEED_ARCHITECTURE
