#pragma once

#include <heed/latent/latent_attention.hpp>

/// \file
/// Latent attention forward and backward is compiled once for all test programs
/// (latent_kernels.cpp).

namespace heed::inline HEED_ARCHITECTURE::detail {

#define HEED_TEST_LATENT_KERNELS(external, T)                                                      \
    external template void latent_forward(const latent_model<T>&, const tensor_view<const T, 3>&,  \
                                          const tensor_view<T, 3>&, latent_saved<T>&,              \
                                          const latent_resources&);                                \
    external template void latent_backward(const latent_model<T>&, const tensor_view<const T, 3>&, \
                                           const tensor_view<const T, 3>&, const latent_saved<T>&, \
                                           const tensor_view<T, 3>&, latent_weight_gradients<T>&,  \
                                           const latent_resources&)

HEED_TEST_LATENT_KERNELS(extern, float);
HEED_TEST_LATENT_KERNELS(extern, double);

}  // namespace heed::inline HEED_ARCHITECTURE::detail
