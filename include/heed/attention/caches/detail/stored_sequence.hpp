#pragma once

#include <vector>

#include <heed/attention/caches/detail/page_pool.hpp>
#include <heed/core/architecture.hpp>

/// \file
/// One sequence of a cache.

namespace heed::inline HEED_ARCHITECTURE::detail {

struct stored_sequence {
    index length = 0;
    index first_kept = 0;            ///< keys before it, but for the first ones, are forgotten
    std::vector<cache_page*> pages;  ///< [block, kv_head]; null where all keys are forgotten
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
