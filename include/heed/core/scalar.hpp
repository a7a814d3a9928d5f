#pragma once

#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/lane_numbers.hpp>

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

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
