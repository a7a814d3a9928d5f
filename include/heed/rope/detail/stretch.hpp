#pragma once

#include <cmath>
#include <string_view>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// What the variants that stretch a trained length k times share: options and their checks.

namespace heed::inline HEED_ARCHITECTURE {
namespace rope {

/// What heed::rope::interpolation, ntk_aware, ntk_old and ntk_fixed take.
struct stretched_options {
    heed::detail::any_integral dim;       ///< r: even, and at least 2
    heed::detail::any_real base = 10000;  ///< b > 1
    heed::detail::any_real stretch;       ///< k, the length wanted over the trained one
    pair_layout layout = pair_layout::halves;
};

}  // namespace rope

namespace detail {

inline void require_stretch(double stretch) {
    require_argument(stretch >= 1 && std::isfinite(stretch), "stretch is ", stretch,
                     ", but it must be finite and at least 1");
}

inline void require_original_length(index length, index least = 1) {
    require_argument(length >= least, "original_length is ", length, ", but it must be at least ",
                     least);
}

/// The upper end of a ramp between `lower_name` and `name`.
inline void require_not_below(std::string_view name, double value, std::string_view lower_name,
                              double lower) {
    require_argument(value >= lower && std::isfinite(value), name, " is ", value,
                     ", but it must be finite and at least ", lower_name, ", ", lower);
}

inline void require_attention_factor(double factor) {
    require_argument(factor > 0 && std::isfinite(factor), "attention_factor is ", factor,
                     ", but it must be finite and above 0");
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
