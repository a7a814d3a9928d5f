#pragma once

#include <algorithm>
#include <cstdint>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/view.hpp>
#include <heed/nystrom/kernel/segments.hpp>

/// \file
/// Rows on their way from memory into the cache before their turn.
///
/// Built for the bandwidth of reading memory: with few landmarks a row has little work, and a
/// kernel that waits for it, or reads it from one place at a time, waits for long.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Places that are read side by side.
inline constexpr index fetched_streams = 8;

/// Asks for rows first … last − 1 of x [row, column], to be read or to be written. Where columns
/// are apart it does nothing. Inlined at all costs, as prefetch is.
template <bool ToWrite = false, class T>
[[gnu::always_inline]] inline void fetch_rows(const tensor_view<T, 2>& x, index first, index last) {
    constexpr index line = 64;
    if (x.strides[1] != 1 || first >= last) return;
    const auto bytes = [](index numbers) { return numbers * static_cast<index>(sizeof(T)); };
    // Addresses, since the row behind the last may be none.
    const auto start = reinterpret_cast<std::uintptr_t>(x.data);
    const index rows = (last - first + fetched_streams - 1) / fetched_streams;
    for (index r = first; r < first + rows; ++r)
        for (index of_row = 0; of_row < bytes(x.extents[1]); of_row += line)
            for (index s = 0; s < fetched_streams; ++s) {
                const index at = bytes(std::min(r + s * rows, last - 1) * x.strides[0]) + of_row;
                const auto* address =
                    reinterpret_cast<const void*>(start + static_cast<std::uintptr_t>(at));
                if constexpr (ToWrite)
                    __builtin_prefetch(address, 1);
                else
                    prefetch(address);
            }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
