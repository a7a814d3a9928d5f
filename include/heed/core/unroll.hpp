#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Count objects side by side, for a Count with a sign, which compilers warn of as an array's
/// bound.
template <class T, auto Count>
using array_of = T[static_cast<std::size_t>(Count)];

template <int... I, class F>
[[gnu::always_inline]] inline void unroll_over(std::integer_sequence<int, I...>, const F& f) {
    (f(std::integral_constant<int, I>{}), ...);
}

/// Calls f(integral_constant<int, 0>) … f(integral_constant<int, Count − 1>), in the code itself.
///
/// A loop over an array of accumulators stays in registers only if every index is a constant, and
/// compilers unroll such loops at -O3 but not at -O2; this does not depend on their mood. An f that
/// takes an int is one function for all indices, constants once it is inlined; one that takes auto
/// is a function for each, which is dear to compile: for those who need the index as a type.
template <int Count, class F>
[[gnu::always_inline]] inline void unroll(F&& f) {
    unroll_over(std::make_integer_sequence<int, Count>(), f);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
