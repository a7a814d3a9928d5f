#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/lanes.hpp>
#include <heed/core/simd.hpp>

/// \file
/// heed::scalar: the mark of a user's function that takes numbers, not vectors of them.

namespace heed::inline HEED_ARCHITECTURE {

/// A function that is called once a lane.
template <class F>
struct scalar_function {
    F f;
};

/// Marks a function that only takes numbers. It works wherever a function on vectors does, one
/// call a score instead of one a vector: five to fifty times slower.
///
///     heed::mask(heed::scalar([](heed::index i, heed::index j) { return allowed[i].count(j); }))
template <class F>
scalar_function<std::decay_t<F>> scalar(F&& f) {
    return {std::forward<F>(f)};
}

namespace detail {

template <class F>
inline constexpr bool is_scalar_function = false;
template <class F>
inline constexpr bool is_scalar_function<scalar_function<F>> = true;

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
        whole[l] = position.base + static_cast<index>(std::floor(offset[l]));
    return whole;
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
