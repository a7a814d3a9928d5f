#pragma once

#include <cstddef>

#include <heed/attention/attention.hpp>
#include <heed/attention/kernel/online/dealt_pages.hpp>
#include <heed/attention/kernel/products/row_keys.hpp>

/// \file
/// The kernels of attention, which know no part, are compiled once for all test programs
/// (attention_kernels.cpp), not in every file that calls attention.

namespace heed::inline HEED_ARCHITECTURE::detail {

#define HEED_TEST_KERNELS(external, T)                                                          \
    external template void forward(const attention_program<T>&, const weight_rule<T>&,          \
                                   const tensor_view<T, 4>&, std::byte*);                       \
    external template void forward_whole_rows(const attention_program<T>&, const row_rule<T>&,  \
                                              const tensor_view<T, 4>&, const kept_rows<T>&);   \
    external template void backward(const backward_call<T>&, const gradient_rule<T>&,           \
                                    const tensor_view<const T, 4>&);                            \
    external template void multiply_row_keys(const T*, index, const row_keys<T>&, key_interval, \
                                             T*, T*);                                           \
    external template bool deals_pages(const attention_program<T>&, index);                     \
    external template void deal_pages(const head_group<T>&, index, key_interval, index);        \
    external template void backward_whole_rows(                                                 \
        const backward_call<T>&, const row_gradient_rule<T>&, const support_store<T>*)

HEED_TEST_KERNELS(extern, float);
HEED_TEST_KERNELS(extern, double);

}  // namespace heed::inline HEED_ARCHITECTURE::detail
