#pragma once

#include <concepts>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>

/// \file
/// Positions in a vector: what masks and score modifiers are given as `i` and `j`.

namespace heed::inline HEED_ARCHITECTURE {

/// Positions, one a lane: an absolute base that is exact at any length, and a small offset a lane.
///
/// A float holds integers only up to 2²⁴; so positions are subtracted and compared base with base,
/// in 64-bit integers, and only what is left goes through the lanes. A difference of positions is
/// a `lanes` too. Where a number is wanted (slope * abs(i - j)) it converts to `vec<T>`, rounded
/// as any integer that becomes a T.
template <class T>
struct lanes {
    index base = 0;
    vec<T> offset = vec<T>(T(0));

    /// first, first + 1, first + 2, …
    static lanes consecutive(index first) { return {first, vec<T>::iota()}; }
    /// The same position in every lane.
    static lanes all(index position, T fraction = T(0)) { return {position, vec<T>(fraction)}; }

    operator vec<T>() const {  // NOLINT: a position is a number wherever one is wanted
        return vec<T>(static_cast<T>(base)) + offset;
    }

    friend lanes operator-(lanes a, lanes b) { return {a.base - b.base, a.offset - b.offset}; }
    friend lanes operator+(lanes a, lanes b) { return {a.base + b.base, a.offset + b.offset}; }
    friend lanes operator-(lanes a) { return {-a.base, -a.offset}; }

    friend vec_mask<T> operator<(lanes a, lanes b) { return a.offset < b.from(a); }
    friend vec_mask<T> operator<=(lanes a, lanes b) { return a.offset <= b.from(a); }
    friend vec_mask<T> operator>(lanes a, lanes b) { return a.offset > b.from(a); }
    friend vec_mask<T> operator>=(lanes a, lanes b) { return a.offset >= b.from(a); }
    friend vec_mask<T> operator==(lanes a, lanes b) { return a.offset == b.from(a); }
    friend vec_mask<T> operator!=(lanes a, lanes b) { return !(a == b); }

    template <std::integral Integer>
    friend lanes operator+(lanes a, Integer b) {
        return {a.base + static_cast<index>(b), a.offset};
    }
    template <std::integral Integer>
    friend lanes operator-(lanes a, Integer b) {
        return {a.base - static_cast<index>(b), a.offset};
    }
    template <std::integral Integer>
    friend vec_mask<T> operator<(lanes a, Integer b) {
        return a < all(static_cast<index>(b));
    }
    template <std::integral Integer>
    friend vec_mask<T> operator<=(lanes a, Integer b) {
        return a <= all(static_cast<index>(b));
    }
    template <std::integral Integer>
    friend vec_mask<T> operator>(lanes a, Integer b) {
        return a > all(static_cast<index>(b));
    }
    template <std::integral Integer>
    friend vec_mask<T> operator>=(lanes a, Integer b) {
        return a >= all(static_cast<index>(b));
    }
    template <std::integral Integer>
    friend vec_mask<T> operator==(lanes a, Integer b) {
        return a == all(static_cast<index>(b));
    }
    template <std::integral Integer>
    friend vec_mask<T> operator!=(lanes a, Integer b) {
        return a != all(static_cast<index>(b));
    }

    /// ⌊a / b⌋ of whole positions, b > 0.
    template <std::integral Integer>
    friend lanes operator/(lanes a, Integer b) {
        return a.divide(static_cast<index>(b)).quotient;
    }
    /// a − b·⌊a / b⌋ of whole positions, b > 0: never negative.
    template <std::integral Integer>
    friend lanes operator%(lanes a, Integer b) {
        return a.divide(static_cast<index>(b)).remainder;
    }

    /// |a|, as a number.
    friend vec<T> abs(lanes a) { return abs(static_cast<vec<T>>(a)); }

  private:
    struct division;

    /// This position as an offset from another's base. Rounding is monotone and offsets are small,
    /// so that a comparison with it is exact however far apart the bases are.
    vec<T> from(lanes other) const { return vec<T>(static_cast<T>(base - other.base)) + offset; }
    division divide(index divisor) const;
};

template <class T>
struct lanes<T>::division {
    lanes quotient, remainder;
};

template <class T>
auto lanes<T>::divide(index divisor) const -> division {
    index whole = base / divisor;
    if (whole * divisor > base) --whole;
    const vec<T> rest = vec<T>(static_cast<T>(base - whole * divisor)) + offset;
    vec<T> steps = floor(rest / vec<T>(static_cast<T>(divisor)));
    vec<T> left = fnma(steps, vec<T>(static_cast<T>(divisor)), rest);
    // The rounded quotient may have reached the next integer.
    const vec_mask<T> over = left < vec<T>(T(0));
    steps = select(over, steps - vec<T>(T(1)), steps);
    left = select(over, left + vec<T>(static_cast<T>(divisor)), left);
    return {{whole, steps}, {0, left}};
}

}  // namespace heed::inline HEED_ARCHITECTURE
