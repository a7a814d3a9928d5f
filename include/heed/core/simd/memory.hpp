#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/simd/portable.hpp>

/// \file
/// The order in which memory is written, and what is fetched ahead of its use.

namespace heed::inline HEED_ARCHITECTURE {

/// After `stream`: other threads see what was streamed before what is written from here on.
inline void stream_fence() {
#if defined(__x86_64__)
    _mm_sfence();
#endif
}

/// Brings the cache line of an address into the second cache; never faults. Not into the first: so
/// many lines as memory needs time for are more than it can wait for, 30 % of the bandwidth of one
/// core of a Zen 4. Inlined at all costs: GCC takes a call that does nothing but prefetch for one
/// without effect, and drops it.
[[gnu::always_inline]] inline void prefetch(const void* address) {
    __builtin_prefetch(address, 0, 2);
}

}  // namespace heed::inline HEED_ARCHITECTURE
