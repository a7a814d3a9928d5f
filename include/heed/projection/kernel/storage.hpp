#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/simd/widen.hpp>

/// \file
/// The numbers that weights are stored in, and the vectors that are computed of them.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// What weights may be stored in.
template <class S>
concept weight_storage =
    std::is_same_v<S, float> || std::is_same_v<S, double> || std::is_same_v<S, Eigen::bfloat16> ||
    std::is_same_v<S, Eigen::half> || std::is_same_v<S, std::int8_t>;

/// What is computed in: double for doubles, float for all others, each of which is a float.
template <class S>
using computed_in = std::conditional_t<std::is_same_v<S, double>, double, float>;

/// Stored numbers that are multiples of a scale, one a row.
template <class S>
inline constexpr bool has_scales = std::is_same_v<S, std::int8_t>;

/// A vector's worth of stored numbers, exactly; has_scales: without their scale.
template <class S>
[[gnu::always_inline]] inline vec<computed_in<S>> load_stored(const S* from) {
    if constexpr (std::is_same_v<S, Eigen::bfloat16>)
        return widen_bfloat16(from);
    else if constexpr (std::is_same_v<S, Eigen::half>)
        return widen_half(from);
    else if constexpr (std::is_same_v<S, std::int8_t>)
        return widen_int8(from);
    else
        return vec<S>::load(from);
}

/// The first `count` of them, zeros in the other lanes; reads no more. Lane l is from[l·stride].
template <class S>
vec<computed_in<S>> load_stored(const S* from, index stride, index count) {
    constexpr index size = vec<computed_in<S>>::size;
    alignas(64) std::array<computed_in<S>, static_cast<std::size_t>(size)> lane{};
    for (index l = 0; l < size && l < count; ++l)
        lane[static_cast<std::size_t>(l)] = static_cast<computed_in<S>>(from[l * stride]);
    return vec<computed_in<S>>::load_aligned(lane.data());
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
