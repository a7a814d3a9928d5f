#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>

/// \file
/// Lengths of rows of any size: sums of squares that a scalar cannot hold are formed again, of the
/// row times a power of two.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A sum of squares between these is off by rounding alone: squares that underflowed, if fewer than
/// 1/ε, do not count beside it, and none has overflowed.
template <class T>
inline constexpr T least_square_sum = std::numeric_limits<T>::min() /
                                      (std::numeric_limits<T>::epsilon() *
                                       std::numeric_limits<T>::epsilon());
template <class T>
inline constexpr T greatest_square_sum = std::numeric_limits<T>::max();

/// Whether a sum of squares of T's can be trusted; NaN cannot.
template <class T, class Number>
bool is_exact_square_sum(Number sum) {
    return sum >= least_square_sum<T> && sum <= greatest_square_sum<T>;
}
template <class T>
vec_mask<T> are_exact_square_sums(vec<T> sums) {
    return (sums >= vec<T>(least_square_sum<T>)) & (sums <= vec<T>(greatest_square_sum<T>));
}

/// The power of two that brings each `greatest` into [1, 2), as far as a normal number can.
template <class T>
vec<T> unit_scale(vec<T> greatest) {
    constexpr int mantissa = std::numeric_limits<T>::digits - 1;
    constexpr bits_of<T> bias = std::numeric_limits<T>::max_exponent - 1;
    // Both ends have an inverse among the normal numbers.
    constexpr T least = std::numeric_limits<T>::min();
    const vec<T> inside = max(vec<T>(least), min(vec<T>(1 / least), greatest));
    const auto exponents = (to_bits(inside) >> mantissa) << mantissa;
    return from_bits<T>(vec_bits<T>((2 * bias) << mantissa) - exponents);
}

/// A length in two factors: ‖x‖ = length/scale, where either quotient may be no number of T's.
template <class T>
struct scaled_length {
    T scale, length;
};

/// ‖x‖ of numbers of any size, x times a power of two. Not for the ordinary row: two passes.
template <class T>
[[gnu::noinline]] scaled_length<T> scaled_length_of(const T* x, index count) {
    constexpr index size = vec<T>::size;
    vec<T> greatest(T(0));
    for (index c = 0; c < count; c += size)
        greatest = max(abs(vec<T>::load_partial(x + c, count - c)), greatest);
    const vec<T> scale = unit_scale(vec<T>(reduce_max(greatest)));
    vec<T> sum(T(0));
    for (index c = 0; c < count; c += size) {
        const vec<T> u = vec<T>::load_partial(x + c, count - c) * scale;
        sum = fma(u, u, sum);
    }
    return {reduce_max(scale), std::sqrt(reduce_add(sum))};
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
