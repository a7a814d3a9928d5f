#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/simd/halves.hpp>

/// \file
/// Numbers kept in 16 or 8 bits, in which nothing is computed: rounded when they are stored, exact
/// when they are read.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

template <class Storage>
struct stored_as {
    static constexpr bool can_store = false;
};
template <class T>
struct stored_exactly {
    static constexpr bool can_store = true;
    static constexpr bool has_scales = false;
    using computed = T;
};
template <>
struct stored_as<float> : stored_exactly<float> {};
template <>
struct stored_as<double> : stored_exactly<double> {};
template <>
struct stored_as<Eigen::bfloat16> : stored_exactly<float> {};
template <>
struct stored_as<Eigen::half> : stored_exactly<float> {};
/// Integers from −127 to 127 times a scale.
template <>
struct stored_as<std::int8_t> : stored_exactly<float> {
    static constexpr bool has_scales = true;
};

}  // namespace detail

/// What numbers may be stored as: float, double, Eigen::bfloat16, Eigen::half, std::int8_t.
template <class Storage>
concept storage_type = detail::stored_as<Storage>::can_store;

/// What numbers stored so are computed in: double for double, else float.
template <storage_type Storage>
using computed_scalar = typename detail::stored_as<Storage>::computed;

namespace detail {

/// Whether stored numbers are what is computed with, so that they can be read where they lie.
template <class Storage>
inline constexpr bool is_read_in_place = std::is_same_v<Storage, computed_scalar<Storage>>;

/// The stored number that is nearest, to even; NaN stays NaN.
template <class Storage, class T>
Storage narrow(T number) {
    return static_cast<Storage>(number);
}

/// to[i] = from[i], exactly. What bfloat16 is to float is a shift, which compilers make vectors of.
inline void widen(const Eigen::bfloat16* from, index count, float* to) {
    for (index i = 0; i < count; ++i)
        to[i] = std::bit_cast<float>(static_cast<std::uint32_t>(from[i].value) << 16);
}
inline void widen(const Eigen::half* from, index count, float* to) {
    for (index i = widen_halves(from, count, to); i < count; ++i)
        to[i] = static_cast<float>(from[i]);
}

/// to[i] = scale[i mod period]·from[i], rounded once; `period` divides the count.
inline void widen_scaled(const std::int8_t* from, index count, const float* scale, index period,
                         float* to) {
    for (index first = 0; first < count; first += period)
        for (index i = 0; i < period; ++i)
            to[first + i] = scale[i] * static_cast<float>(from[first + i]);
}
/// to[i] = scale·from[i], rounded once.
inline void widen_scaled(const std::int8_t* from, index count, float scale, float* to) {
    for (index i = 0; i < count; ++i) to[i] = scale * static_cast<float>(from[i]);
}

/// The scale of numbers whose largest magnitude this is: they become integers up to ±127.
inline float integer_scale(float largest) { return largest / 127; }
/// A finite number as an integer of this scale.
inline std::int8_t narrow_scaled(float number, float scale) {
    if (scale == 0) return 0;
    const float nearest = std::nearbyint(number / scale);
    return static_cast<std::int8_t>(std::fmin(std::fmax(nearest, -127.0F), 127.0F));
}

}  // namespace detail

}  // namespace heed::inline HEED_ARCHITECTURE
