#pragma once

#include <heed/linear/linear_attention.hpp>

/// \file
/// The kernels of linear attention, which know no part, are compiled once for all test programs
/// (linear_kernels.cpp), not in every file that calls linear attention.

namespace heed::inline HEED_ARCHITECTURE::detail {

#define HEED_TEST_LINEAR_KERNELS(external, T)                                                  \
    external template void linear_forward(const linear_program<T>&, const linear_outputs<T>&); \
    external template void linear_backward(const linear_program<T>&, const linear_gradients<T>&)

HEED_TEST_LINEAR_KERNELS(extern, float);
HEED_TEST_LINEAR_KERNELS(extern, double);

}  // namespace heed::inline HEED_ARCHITECTURE::detail
