#pragma once

#include <cstddef>
#include <utility>

#include <heed/core/architecture.hpp>

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Count objects side by side, for a Count with a sign, which compilers warn of as an array's
/// bound.
template <class T, auto Count>
using array_of = T[static_cast<std::size_t>(Count)];

/// Calls f(integral_constant<int, 0>) … f(integral_constant<int, Count − 1>), in the code itself.
///
/// A loop over an array of accumulators stays in registers only if every index is a constant, and
/// compilers unroll such loops at -O3 but not at -O2; this does not depend on their mood.
template <int Count, class F>
[[gnu::always_inline]] inline void unroll(F&& f) {
    [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
        (f(std::integral_constant<int, I>{}), ...);
    }
    (std::make_integer_sequence<int, Count>{});
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
