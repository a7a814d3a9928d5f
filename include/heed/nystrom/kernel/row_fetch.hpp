#pragma once

#include <algorithm>
#include <cstdint>

#include <heed/core/architecture.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/view.hpp>

/// \file
/// Rows on their way from memory into the cache before their turn.
///
/// Built for the bandwidth of reading memory: with few landmarks a row has little work, and a
/// kernel that waits for it, or reads it from one place at a time, waits for long.

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

/// Places that are read side by side.
inline constexpr index fetched_streams = 8;

/// Asks for rows first … last − 1 of x [row, column]. Where columns are apart it does nothing.
template <bool ToWrite = false, class T>
[[gnu::always_inline]] inline void fetch_rows(const tensor_view<T, 2>& x, index first, index last) {
    constexpr index numbers_a_line = 64 / static_cast<index>(sizeof(T));
    if (x.strides[1] != 1) return;
    const index rows = count_blocks(last - first, fetched_streams);
    for (index r = first; r < first + rows; ++r)
        for (index c = 0; c < x.extents[1]; c += numbers_a_line)
            for (index s = 0; s < fetched_streams; ++s)
                fetch_number<ToWrite>(x.data, std::min(r + s * rows, last - 1) * x.strides[0] + c);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
