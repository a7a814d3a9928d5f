#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <type_traits>

#include <heed/core/architecture.hpp>
#include <heed/core/simd/instructions.hpp>

/// \file
/// A vector of numbers, and a truth value for each of its lanes.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

template <class X>
concept number = std::is_arithmetic_v<X>;

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
    static vec_mask first(index count) { return vec<T>::iota() < vec<T>(static_cast<T>(count)); }
    /// Lane l is bit l.
    static vec_mask from_bits(std::uint64_t bits) { return own::mask_from_bits(bits); }
    /// Lane l is from[l] for l < count, false beyond; reads `count` bytes, no more.
    static vec_mask load(const bool* from, index count) { return own::load_mask(from, count); }
    /// first + l for every true lane l, one after the other, as compress does it.
    void compress_positions(index first, std::int32_t* to) const {
        own::compress_positions(value, static_cast<std::int32_t>(first), to);
    }
    /// from[l] for every true lane l, one after the other; reads a whole vector's worth first, so
    /// that `to` may be at `from` or before it.
    void compress_positions(const std::int32_t* from, std::int32_t* to) const {
        own::compress_positions(value, from, to);
    }
    /// Bit l is lane l.
    std::uint64_t bits() const { return own::mask_bits(value); }
    /// How many lanes are true.
    index count() const { return std::popcount(bits()); }

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

  private:
    using own = detail::instructions<T>;
};

template <class T>
bool any(vec_mask<T> mask) {
    return detail::instructions<T>::any(mask.value);
}
template <class T>
bool all(vec_mask<T> mask) {
    return detail::instructions<T>::all(mask.value);
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
    static vec iota() { return own::iota(); }

    void store(T* to) const { value.store_unaligned(to); }
    void store_aligned(T* to) const { value.store_aligned(to); }
    /// Past the caches, for results larger than they are; `to` is aligned to the vector's size.
    void stream(T* to) const { own::stream(value, to); }
    /// Writes the first `count` lanes, no more.
    void store_partial(T* to, index count) const;
    /// Lane l goes to to[l·stride].
    void store_strided(T* to, index stride, index count = size) const;
    /// The lanes of the mask one after the other, to[0], to[1], …. What is behind them, up to a
    /// whole vector, is overwritten by anything.
    void compress(mask lanes, T* to) const { own::compress(value, lanes.value, to); }

    friend vec operator+(vec a, vec b) { return a.value + b.value; }
    friend vec operator-(vec a, vec b) { return a.value - b.value; }
    friend vec operator*(vec a, vec b) { return a.value * b.value; }
    friend vec operator/(vec a, vec b) { return own::divide(a.value, b.value); }
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

  private:
    using own = detail::instructions<T>;
};

// Not inline by themselves: they would make loops longer that seldom need them.

template <class T>
vec<T> vec<T>::load_partial(const T* from, index count, T fill) {
    return count >= size ? load(from) : vec(own::load_partial(from, count, fill));
}

template <class T>
vec<T> vec<T>::load_strided(const T* from, index stride, index count, T fill) {
    return own::load_strided(from, stride, count, fill);
}

template <class T>
void vec<T>::store_partial(T* to, index count) const {
    if (count >= size) return store(to);
    own::store_partial(value, to, count);
}

template <class T>
void vec<T>::store_strided(T* to, index stride, index count) const {
    own::store_strided(value, to, stride, count);
}

}  // namespace heed::inline HEED_ARCHITECTURE
