#pragma once

#include <cmath>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/rope/detail/stretch.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// LongRoPE: factors that were searched for, one a pair, for short and for long sequences.

namespace heed::inline HEED_ARCHITECTURE {
namespace rope {

/// What heed::rope::longrope takes.
struct longrope_options {
    heed::detail::any_integral dim;              ///< r: even, and at least 2
    heed::detail::any_real base = 10000;         ///< b > 1
    heed::detail::any_real stretch;              ///< k ≥ 1
    heed::detail::any_integral length;           ///< of the sequence that is rotated
    heed::detail::any_integral original_length;  ///< L ≥ 2, the trained length
    std::vector<double> short_factor;            ///< one a pair, for length ≤ L
    std::vector<double> long_factor;             ///< one a pair, for length > L
    std::optional<heed::detail::any_real> attention_factor = std::nullopt;  ///< instead of its own
    pair_layout layout = pair_layout::halves;
};

}  // namespace rope

namespace detail {

inline void check_pair_factors(std::string_view name, const std::vector<double>& factors,
                               std::size_t pairs) {
    require_shape(factors.size() == pairs, name, " has length ", factors.size(), ", but must have ",
                  pairs, ", one for each pair");
    for (std::size_t t = 0; t < pairs; ++t)
        require_argument(factors[t] > 0 && std::isfinite(factors[t]), name, " of pair ", t, " is ",
                         factors[t], ", but it must be finite and above 0");
}

}  // namespace detail

namespace rope {

/// LongRoPE: b^{−2t/r}/factor_t, by `long_factor` for a length above L and by `short_factor` up to
/// it, and the attention factor √(1 + log k/log L) on what is rotated, unless another one is given:
///
///     auto rope = heed::rope::longrope({.dim = 96, .stretch = 32, .length = n,
///         .original_length = 4096, .short_factor = small, .long_factor = large});
///
/// Throws shape_error unless each list has r/2 factors; argument_error for a factor that is not
/// above 0, a dim or base that heed::rope::plain refuses, a stretch below 1, a length below 0 and
/// an original_length below 2. Source: arXiv 2402.13753; "longrope" in transformers.
[[nodiscard]] inline frequencies longrope(const longrope_options& options) {
    std::vector<double> angular = heed::detail::ladder(options.dim.value, options.base.value);
    const index length = options.length.value, original = options.original_length.value;
    const double k = options.stretch.value;
    heed::detail::require_stretch(k);
    heed::detail::require_argument(length >= 0, "length is ", length,
                                   ", but it must be at least 0");
    heed::detail::require_original_length(original, 2);
    heed::detail::check_pair_factors("short_factor", options.short_factor, angular.size());
    heed::detail::check_pair_factors("long_factor", options.long_factor, angular.size());

    const auto& factors = length > original ? options.long_factor : options.short_factor;
    for (std::size_t t = 0; t < angular.size(); ++t) angular[t] /= factors[t];
    double factor = std::sqrt(1 + std::log(k) / std::log(static_cast<double>(original)));
    if (options.attention_factor) {
        factor = options.attention_factor->value;
        heed::detail::require_attention_factor(factor);
    }
    return frequencies(std::move(angular), options.layout, factor);
}

}  // namespace rope
}  // namespace heed::inline HEED_ARCHITECTURE
