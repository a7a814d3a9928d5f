#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/lane_numbers.hpp>
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
///
/// Arithmetic with integers and other positions is exact. Bases that leave 64 bits stay at their
/// end. Products, shifts and bits whose lanes would differ by more than T counts exactly, 2²³ in
/// float and 2⁵² in double, throw argument_error, as does division by less than 1.
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
    /// There is none: this says so where one number is wanted, as an index or by std::abs.
    operator long double() const {  // NOLINT: implicit, so that every such place finds it
        static_assert(sizeof(T) == 0,
                      "heed: a position is one a lane, not one number: take i and j as auto, write "
                      "abs(i - j) and min(i, j) without std::, and mark a function that reads a "
                      "table or takes integers heed::scalar(f)");
        return 0;
    }

    friend lanes operator-(lanes a, lanes b) {
        return {detail::difference(a.base, b.base), a.offset - b.offset};
    }
    friend lanes operator+(lanes a, lanes b) {
        return {detail::sum(a.base, b.base), a.offset + b.offset};
    }
    friend lanes operator-(lanes a) { return {detail::difference(0, a.base), -a.offset}; }
    friend lanes operator+(lanes a) { return a; }
    friend lanes operator*(lanes a, lanes b) { return a.multiply(b); }

    friend vec_mask<T> operator<(lanes a, lanes b) { return a.offset < b.from(a); }
    friend vec_mask<T> operator<=(lanes a, lanes b) { return a.offset <= b.from(a); }
    friend vec_mask<T> operator>(lanes a, lanes b) { return a.offset > b.from(a); }
    friend vec_mask<T> operator>=(lanes a, lanes b) { return a.offset >= b.from(a); }
    friend vec_mask<T> operator==(lanes a, lanes b) { return a.offset == b.from(a); }
    friend vec_mask<T> operator!=(lanes a, lanes b) { return !(a == b); }

    // Beside an integer positions stay positions.
    friend lanes operator+(lanes a, std::integral auto b) {
        return {detail::sum(a.base, detail::saturated(b)), a.offset};
    }
    friend lanes operator+(std::integral auto a, lanes b) { return b + a; }
    friend lanes operator-(lanes a, std::integral auto b) {
        return {detail::difference(a.base, detail::saturated(b)), a.offset};
    }
    friend lanes operator-(std::integral auto a, lanes b) { return at(a) - b; }
    friend lanes operator*(lanes a, std::integral auto b) {
        return a.multiply(detail::saturated(b));
    }
    friend lanes operator*(std::integral auto a, lanes b) { return b * a; }
    lanes& operator+=(auto b) requires std::same_as<decltype(*this + b), lanes> {
        return *this = *this + b;
    }
    lanes& operator-=(auto b) requires std::same_as<decltype(*this - b), lanes> {
        return *this = *this - b;
    }
    lanes& operator*=(auto b) requires std::same_as<decltype(*this * b), lanes> {
        return *this = *this * b;
    }

    // Beside a fraction they are numbers.
    friend vec<T> operator+(lanes a, std::floating_point auto b) { return a.number() + b; }
    friend vec<T> operator+(std::floating_point auto a, lanes b) { return a + b.number(); }
    friend vec<T> operator-(lanes a, std::floating_point auto b) { return a.number() - b; }
    friend vec<T> operator-(std::floating_point auto a, lanes b) { return a - b.number(); }
    friend vec<T> operator*(lanes a, std::floating_point auto b) { return a.number() * b; }
    friend vec<T> operator*(std::floating_point auto a, lanes b) { return a * b.number(); }
    friend vec<T> operator/(lanes a, std::floating_point auto b) { return a.number() / b; }
    friend vec<T> operator/(std::floating_point auto a, lanes b) { return a / b.number(); }

    // Compared they are exact beside either.
    friend vec_mask<T> operator<(lanes a, detail::number auto b) { return a < at(b); }
    friend vec_mask<T> operator<(detail::number auto a, lanes b) { return at(a) < b; }
    friend vec_mask<T> operator<=(lanes a, detail::number auto b) { return a <= at(b); }
    friend vec_mask<T> operator<=(detail::number auto a, lanes b) { return at(a) <= b; }
    friend vec_mask<T> operator>(lanes a, detail::number auto b) { return a > at(b); }
    friend vec_mask<T> operator>(detail::number auto a, lanes b) { return at(a) > b; }
    friend vec_mask<T> operator>=(lanes a, detail::number auto b) { return a >= at(b); }
    friend vec_mask<T> operator>=(detail::number auto a, lanes b) { return at(a) >= b; }
    friend vec_mask<T> operator==(lanes a, detail::number auto b) { return a == at(b); }
    friend vec_mask<T> operator==(detail::number auto a, lanes b) { return at(a) == b; }
    friend vec_mask<T> operator!=(lanes a, detail::number auto b) { return a != at(b); }
    friend vec_mask<T> operator!=(detail::number auto a, lanes b) { return at(a) != b; }

    /// ⌊a / b⌋ of whole positions, b ≥ 1.
    friend lanes operator/(lanes a, std::integral auto b) {
        return a.divide(detail::saturated(b)).quotient;
    }
    /// a − b·⌊a / b⌋ of whole positions: never negative; 1 ≤ b ≤ 2²³ in float, 2⁵² in double.
    friend lanes operator%(lanes a, std::integral auto b) { return a.modulo(detail::saturated(b)); }
    /// ⌊a / 2ᵇ⌋ and a·2ᵇ, 0 ≤ b ≤ 62.
    friend lanes operator>>(lanes a, std::integral auto b) {
        return a / detail::shift_factor(detail::saturated(b));
    }
    friend lanes operator<<(lanes a, std::integral auto b) {
        return a * detail::shift_factor(detail::saturated(b));
    }

    // The bits of whole positions as 64-bit integers, two's complement. a & (2ᵏ − 1) and a & −2ᵏ
    // are as fast as a % 2ᵏ; others are taken lane by lane.
    friend lanes operator&(lanes a, std::integral auto b) {
        return a.keep_bits(static_cast<index>(b));
    }
    friend lanes operator&(std::integral auto a, lanes b) { return b & a; }
    friend lanes operator&(lanes a, lanes b) {
        return each(a, b, [](index x, index y) { return x & y; });
    }
    friend lanes operator|(lanes a, lanes b) {
        return each(a, b, [](index x, index y) { return x | y; });
    }
    friend lanes operator|(lanes a, std::integral auto b) { return a | all(static_cast<index>(b)); }
    friend lanes operator|(std::integral auto a, lanes b) { return b | a; }
    friend lanes operator^(lanes a, lanes b) {
        return each(a, b, [](index x, index y) { return x ^ y; });
    }
    friend lanes operator^(lanes a, std::integral auto b) { return a ^ all(static_cast<index>(b)); }
    friend lanes operator^(std::integral auto a, lanes b) { return b ^ a; }
    friend lanes operator~(lanes a) { return -1 - a; }

    /// |a|, as a number.
    friend vec<T> abs(lanes a) { return abs(a.number()); }
    friend lanes min(lanes a, lanes b) { return choose(a <= b, a, b); }
    friend lanes max(lanes a, lanes b) { return choose(a >= b, a, b); }
    /// mask ? a : b, lane by lane.
    friend lanes select(vec_mask<T> mask, lanes a, lanes b) { return choose(mask, a, b); }

    /// The positions as numbers.
    vec<T> number() const { return *this; }
    /// An integer, or a fraction, in every lane.
    static lanes at(std::integral auto x) { return all(detail::saturated(x)); }
    static lanes at(std::floating_point auto x) {
        if (!std::isfinite(x)) return all(0, static_cast<T>(x));
        const auto whole = std::floor(x);
        return all(detail::saturated(whole), static_cast<T>(x - whole));
    }

  private:
    struct division;

    /// By how much lanes may differ after a product: the sum of two such is still exact.
    static constexpr index widest = index(1) << (std::numeric_limits<T>::digits - 1);

    /// This position as an offset from another's base. Rounding is monotone and offsets are small,
    /// so that a comparison with it is exact however far apart the bases are.
    vec<T> from(lanes other) const {
        return vec<T>(static_cast<T>(detail::difference(base, other.base))) + offset;
    }

    lanes multiply(index factor) const;
    lanes multiply(lanes factor) const;
    division divide(index divisor) const;
    lanes modulo(index divisor) const;
    lanes keep_bits(index bits) const;
    static lanes choose(vec_mask<T> mask, lanes a, lanes b);
    template <class F>
    static lanes each(lanes a, lanes b, F f);
    /// Refuses offsets that T does not count exactly.
    static void require_narrow(vec<T> magnitude) {
        if (!heed::all(magnitude <= vec<T>(static_cast<T>(widest)))) [[unlikely]]
            detail::fail_wide_lanes(widest);
    }
};

template <class T>
struct lanes<T>::division {
    lanes quotient, remainder;
};

template <class T>
auto lanes<T>::multiply(index factor) const -> lanes {
    const vec<T> product = offset * vec<T>(static_cast<T>(factor));
    require_narrow(abs(product));
    return {detail::product(base, factor), product};
}

template <class T>
auto lanes<T>::multiply(lanes factor) const -> lanes {
    // (b + o)·(c + p) = bc + bp + co + op
    const vec<T> bp = vec<T>(static_cast<T>(base)) * factor.offset;
    const vec<T> co = vec<T>(static_cast<T>(factor.base)) * offset;
    const vec<T> op = offset * factor.offset;
    require_narrow(abs(bp) + abs(co) + abs(op));
    return {detail::product(base, factor.base), bp + co + op};
}

template <class T>
auto lanes<T>::divide(index divisor) const -> division {
    if (divisor < 1) [[unlikely]]
        detail::fail_divisor(divisor);
    index whole = base / divisor, left_over = base % divisor;
    if (left_over < 0) {
        --whole;
        left_over += divisor;
    }
    const vec<T> divisors(static_cast<T>(divisor));
    const vec<T> rest = vec<T>(static_cast<T>(left_over)) + offset;
    if (divisor > widest && heed::all(abs(offset) <= vec<T>(static_cast<T>(widest)))) {
        // Lanes reach no further than into the next quotient on either side. The ends of this one
        // seen from the base are rounded, but stay beyond what they are beyond.
        const vec<T> one(T(1)), zero(T(0));
        const vec<T> above =
            select(offset >= vec<T>(static_cast<T>(divisor - left_over)), one, zero);
        const vec<T> below = select(offset < vec<T>(static_cast<T>(-left_over)), one, zero);
        return {{whole, above - below}, {0, rest}};
    }
    vec<T> steps = floor(rest / divisors);
    vec<T> left = fnma(steps, divisors, rest);
    // The rounded quotient may have reached the next integer.
    const vec_mask<T> over = left < vec<T>(T(0));
    steps = select(over, steps - vec<T>(T(1)), steps);
    left = select(over, left + divisors, left);
    return {{whole, steps}, {0, left}};
}

template <class T>
auto lanes<T>::modulo(index divisor) const -> lanes {
    if (divisor > widest) [[unlikely]]
        detail::fail_wide_modulus(divisor, widest);
    return divide(divisor).remainder;
}

template <class T>
auto lanes<T>::keep_bits(index bits) const -> lanes {
    const auto is_low = [](index ones) { return (ones & (ones + 1)) == 0; };  // 0…01…1
    if (0 <= bits && bits < widest && is_low(bits)) return modulo(bits + 1);
    if (-widest <= bits && bits < 0 && is_low(~bits)) return *this - modulo(~bits + 1);
    return *this & all(bits);
}

template <class T>
auto lanes<T>::choose(vec_mask<T> mask, lanes a, lanes b) -> lanes {
    if (heed::all(mask)) return a;
    if (!any(mask)) return b;
    const vec<T> offset = select(mask, a.offset, b.from(a));
    require_narrow(abs(offset));
    return {a.base, offset};
}

template <class T>
template <class F>
auto lanes<T>::each(lanes a, lanes b, F f) -> lanes {
    const auto of_a = detail::whole_positions(a), of_b = detail::whole_positions(b);
    const index first = f(of_a[0], of_b[0]);
    alignas(64) detail::lane_array<T> offset;
    for (std::size_t l = 0; l < offset.size(); ++l)
        offset[l] = static_cast<T>(detail::difference(f(of_a[l], of_b[l]), first));
    const auto offsets = vec<T>::load_aligned(offset.data());
    require_narrow(abs(offsets));
    return {first, offsets};
}

}  // namespace heed::inline HEED_ARCHITECTURE
