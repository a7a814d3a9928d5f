#pragma once

#include <cstddef>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <heed/core/architecture.hpp>

/// \file
/// Large scratch memory on huge pages, where the system offers them: an address in a small page
/// that was not met of late costs a kernel whose operands span megabytes more than the number
/// there.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A huge page of x86-64, and of aarch64 with small pages of 4 KiB.
inline constexpr std::size_t huge_page = std::size_t(2) << 20;

/// Asks for huge pages in these bytes, which begin at a multiple of huge_page. Elsewhere than on
/// Linux, or where the system has none to give, memory is as it was.
inline void advise_huge_pages([[maybe_unused]] void* data,
                              [[maybe_unused]] std::size_t bytes) noexcept {
#if defined(MADV_HUGEPAGE)
    static_cast<void>(::madvise(data, bytes, MADV_HUGEPAGE));
#endif
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
