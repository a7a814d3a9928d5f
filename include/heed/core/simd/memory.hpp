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

/// Brings the cache line of an address nearer; never faults. Inlined at all costs: GCC takes a call
/// that does nothing but prefetch for one without effect, and drops it.
[[gnu::always_inline]] inline void prefetch(const void* address) { __builtin_prefetch(address); }
/// The same, to the second cache: what is needed so late that it would be in the first one's way.
[[gnu::always_inline]] inline void prefetch_to_l2(const void* address) {
    __builtin_prefetch(address, 0, 2);
}

/// The same for memory that is read once: it pushes nothing out of the outer caches.
[[gnu::always_inline]] inline void prefetch_once(const void* address) {
    __builtin_prefetch(address, 0, 0);
}

}  // namespace heed::inline HEED_ARCHITECTURE
