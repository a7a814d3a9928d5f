#pragma once

#include <cstddef>

/// \file
/// Counts what the program allocates, by whatever means, in all threads.

namespace heed_test {

/// How often memory has been allocated since the program began.
std::size_t allocations();

}  // namespace heed_test
