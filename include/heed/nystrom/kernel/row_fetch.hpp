#pragma once

#include <cstdint>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>

/// \file
/// Rows on their way from memory into the cache before their turn.
///
/// With few landmarks a row has little work: a kernel that waits for it waits for long, and one
/// that asks for many at once waits until the first of them are there.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Asks for the number `offset` numbers behind `from`, to be read or to be written. There may be
/// none, so it is no pointer. Inlined at all costs, as prefetch is.
template <bool ToWrite = false, class T>
[[gnu::always_inline]] inline void fetch_number(const T* from, index offset) {
    const auto address =
        reinterpret_cast<std::uintptr_t>(from) + static_cast<std::uintptr_t>(offset) * sizeof(T);
    if constexpr (ToWrite)
        __builtin_prefetch(reinterpret_cast<const void*>(address), 1);
    else
        prefetch(reinterpret_cast<const void*>(address));
}

/// Asks for the `row`-th of rows `stride` apart, each of numbers next to one another.
template <bool ToWrite = false, class T>
[[gnu::always_inline]] inline void fetch_row(const T* rows, index row, index stride,
                                             index columns) {
    constexpr index numbers_a_line = 64 / static_cast<index>(sizeof(T));
    for (index c = 0; c < columns; c += numbers_a_line)
        fetch_number<ToWrite>(rows, row * stride + c);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
