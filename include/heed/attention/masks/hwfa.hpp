#pragma once

#include <cmath>
#include <concepts>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>

/// \file
/// Hybrid window and full attention: how wide the windows are.

namespace heed::inline HEED_ARCHITECTURE {

/// HWFA (kexue 9603): of L layers one is full, with heed::log_n_scale and without rotary positions,
/// the others have windows of
///
///     w = ⌊(αN − 1)/(L − 1)⌋ + 1
///
/// keys, the query itself counted, so that L − 1 of them reach over αN tokens of the N in training.
///
///     auto window = heed::sliding_window(heed::hwfa_window(512, 24) - 1, 0);
///
/// argument_error if there are not at least two layers, or α is not in (0, 1], or αN is below 1, or
/// N beyond 2⁵³.
template <std::integral Length, std::integral Layers>
index hwfa_window(Length training_length, Layers layers, double alpha = 0.75) {
    detail::require_argument(std::cmp_greater_equal(layers, 2),
                             "heed::hwfa_window: the number of layers is ", layers,
                             ", but must be at least 2");
    detail::require_argument(alpha > 0 && alpha <= 1, "heed::hwfa_window: alpha is ", alpha,
                             ", but must be above 0 and at most 1");
    const double reach = alpha * static_cast<double>(training_length);
    detail::require_argument(reach >= 1 && std::cmp_less_equal(training_length, index(1) << 53),
                             "heed::hwfa_window: the length of training is ", training_length,
                             ", but must be at least ", 1 / alpha, " and at most 2^53");
    return static_cast<index>(std::floor((reach - 1) / static_cast<double>(layers - 1))) + 1;
}

}  // namespace heed::inline HEED_ARCHITECTURE
