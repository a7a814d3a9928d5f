#pragma once

#include <heed/core/architecture.hpp>

/// \file
/// How many blocks hold so many.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Blocks that hold `number`, the last of which may be shorter.
constexpr index count_blocks(index number, index block) { return (number + block - 1) / block; }

/// The least multiple that is no less than `number`.
constexpr index round_up(index number, index multiple) {
    return count_blocks(number, multiple) * multiple;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
