#include "support/attention_kernels.hpp"

namespace heed::inline HEED_ARCHITECTURE::detail {

HEED_TEST_KERNELS(, float);
HEED_TEST_KERNELS(, double);

}  // namespace heed::inline HEED_ARCHITECTURE::detail
