#include "latent_kernels.hpp"

#include "support/attention_kernels.hpp"

namespace heed::inline HEED_ARCHITECTURE::detail {

HEED_TEST_LATENT_KERNELS(, float);
HEED_TEST_LATENT_KERNELS(, double);

}  // namespace heed::inline HEED_ARCHITECTURE::detail
