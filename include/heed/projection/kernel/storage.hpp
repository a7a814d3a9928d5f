#pragma once

#include <array>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/storage.hpp>

/// \file
/// Vectors of the numbers that weights are stored in.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A vector's worth of stored numbers, exactly; integers without their scale.
template <class S>
[[gnu::always_inline]] inline vec<computed_scalar<S>> load_stored(const S* from) {
    if constexpr (is_read_in_place<S>)
        return vec<S>::load(from);
    else
        return load_widened(from);
}

/// The first `count` of them, zeros in the other lanes; reads no more. Lane l is from[l·stride].
template <class S>
vec<computed_scalar<S>> load_stored(const S* from, index stride, index count) {
    constexpr index size = vec<computed_scalar<S>>::size;
    alignas(64) std::array<computed_scalar<S>, static_cast<std::size_t>(size)> lane{};
    for (index l = 0; l < size && l < count; ++l)
        lane[static_cast<std::size_t>(l)] = static_cast<computed_scalar<S>>(from[l * stride]);
    return vec<computed_scalar<S>>::load_aligned(lane.data());
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
