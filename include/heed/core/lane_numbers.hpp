#pragma once

#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/simd.hpp>

/// \file
/// What positions are computed with: integers that stay at the end of 64 bits instead of
/// overflowing, single lanes, and the errors of both.

namespace heed::inline HEED_ARCHITECTURE {

template <class T>
struct lanes;

namespace detail {

inline constexpr index least_index = std::numeric_limits<index>::min();
inline constexpr index largest_index = std::numeric_limits<index>::max();

/// The integer, or the end of the 64 bits that it is beyond.
template <std::integral Integer>
constexpr index saturated(Integer x) {
    if constexpr (std::unsigned_integral<Integer> && sizeof(Integer) >= sizeof(index)) {
        if (x > static_cast<Integer>(largest_index)) return largest_index;
    }
    return static_cast<index>(x);
}
/// The same of a number without a fraction; 0 of NaN.
template <std::floating_point Number>
constexpr index saturated(Number x) {
    constexpr auto beyond = static_cast<Number>(least_index);  // −2⁶³, exact in every type
    if (x >= -beyond) return largest_index;
    if (x < beyond) return least_index;
    return x == x ? static_cast<index>(x) : 0;
}

inline index sum(index a, index b) {
    index result;
    if (!__builtin_add_overflow(a, b, &result)) [[likely]]
        return result;
    return b < 0 ? least_index : largest_index;
}
inline index difference(index a, index b) {
    index result;
    if (!__builtin_sub_overflow(a, b, &result)) [[likely]]
        return result;
    return b < 0 ? largest_index : least_index;
}
inline index product(index a, index b) {
    index result;
    if (!__builtin_mul_overflow(a, b, &result)) [[likely]]
        return result;
    return (a < 0) == (b < 0) ? largest_index : least_index;
}

[[noreturn, gnu::cold, gnu::noinline]] inline void fail_wide_lanes(index widest) {
    fail<argument_error>(
        "heed::lanes: within one vector positions would differ by more than ", widest,
        ", beyond which its numbers do not count exactly; heed::scalar(f) computes in 64 bits");
}
[[noreturn, gnu::cold, gnu::noinline]] inline void fail_wide_modulus(index divisor, index widest) {
    fail<argument_error>("heed::lanes: a position is taken modulo ", divisor,
                         ", but vectors of this scalar count exactly to ", widest,
                         "; heed::scalar(f) computes in 64 bits");
}
[[noreturn, gnu::cold, gnu::noinline]] inline void fail_divisor(index divisor) {
    fail<argument_error>("heed::lanes: a position is divided by ", divisor,
                         ", but must be by at least 1");
}

/// 2ⁿ, for a shift by n.
inline index shift_factor(index n) {
    require_argument(0 <= n && n <= 62, "heed::lanes: a position is shifted by ", n,
                     " bits, but must be by 0 to 62");
    return index(1) << n;
}

template <class T>
using lane_array = std::array<T, static_cast<std::size_t>(vec<T>::size)>;

template <class T>
lane_array<T> to_array(vec<T> v) {
    alignas(64) lane_array<T> numbers;
    v.store_aligned(numbers.data());
    return numbers;
}

/// The whole positions of the lanes, rounded down.
template <class T>
auto whole_positions(const lanes<T>& position) {
    const auto offset = to_array(position.offset);
    std::array<index, static_cast<std::size_t>(vec<T>::size)> whole;
    for (std::size_t l = 0; l < whole.size(); ++l)
        whole[l] = sum(position.base, saturated(std::floor(offset[l])));
    return whole;
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
