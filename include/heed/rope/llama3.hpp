#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/rope/by_parts.hpp>
#include <heed/rope/detail/stretch.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// The frequencies of Llama 3.1 and its successors.

namespace heed::inline HEED_ARCHITECTURE {
namespace rope {

/// What heed::rope::llama3 takes.
struct llama3_options {
    heed::detail::any_integral dim;              ///< r: even, and at least 2
    heed::detail::any_real base = 10000;         ///< b > 1; Llama 3 has 500000
    heed::detail::any_real stretch;              ///< k ≥ 1, "factor"
    heed::detail::any_integral original_length;  ///< L ≥ 1, the trained length
    heed::detail::any_real low_freq_factor = 1;
    heed::detail::any_real high_freq_factor = 4;
    pair_layout layout = pair_layout::halves;
};

/// Bands of wavelength w = 2π/θ: θ/k where w > L/low, θ where w < L/high, and between the two
/// (s + (1 − s)/k)θ with s = (L/w − low)/(high − low):
///
///     auto rope = heed::rope::llama3(
///         {.dim = 128, .base = 500000, .stretch = 8, .original_length = 8192});
///
/// That is heed::rope::by_parts with other names for its bounds. Throws argument_error for a dim or
/// base that heed::rope::plain refuses, a stretch or an original_length below 1, and unless
/// 0 < low_freq_factor ≤ high_freq_factor; equal ones, as Llama 4 has, make a step. Source:
/// "llama3" in transformers.
[[nodiscard]] inline frequencies llama3(const llama3_options& options) {
    std::vector<double> angular = heed::detail::ladder(options.dim.value, options.base.value);
    const double low = options.low_freq_factor.value, high = options.high_freq_factor.value;
    heed::detail::require_stretch(options.stretch.value);
    heed::detail::require_original_length(options.original_length.value);
    heed::detail::require_argument(low > 0 && std::isfinite(low), "low_freq_factor is ", low,
                                   ", but it must be finite and above 0");
    heed::detail::require_not_below("high_freq_factor", high, "low_freq_factor", low);
    heed::detail::interpolate_by_turns(angular, options.stretch.value,
                                       options.original_length.value, low, high);
    return frequencies(std::move(angular), options.layout);
}

}  // namespace rope
}  // namespace heed::inline HEED_ARCHITECTURE
