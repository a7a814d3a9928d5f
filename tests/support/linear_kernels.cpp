#include "linear_kernels.hpp"

namespace heed::inline HEED_ARCHITECTURE::detail {

HEED_TEST_LINEAR_KERNELS(, float);
HEED_TEST_LINEAR_KERNELS(, double);

}  // namespace heed::inline HEED_ARCHITECTURE::detail
