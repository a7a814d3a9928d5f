#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <optional>
#include <utility>
#include <vector>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/rope/detail/stretch.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// YaRN as checkpoints have it: a ramp over the pairs, and an attention factor.

namespace heed::inline HEED_ARCHITECTURE {
namespace rope {

/// What heed::rope::yarn takes.
struct yarn_options {
    heed::detail::any_integral dim;              ///< r: even, and at least 2
    heed::detail::any_real base = 10000;         ///< b > 1
    heed::detail::any_real stretch;              ///< k ≥ 1
    heed::detail::any_integral original_length;  ///< L ≥ 1, the trained length
    heed::detail::any_real beta_fast = 32;       ///< turns within L: from here on plain
    heed::detail::any_real beta_slow = 1;        ///< turns within L: up to here interpolated
    bool truncate = true;                        ///< round the ramp's ends to whole pairs, outwards
    std::optional<heed::detail::any_real> attention_factor = std::nullopt;  ///< instead of m(k)
    std::optional<heed::detail::any_real> mscale = std::nullopt;            ///< with the next one
    std::optional<heed::detail::any_real> mscale_all_dim = std::nullopt;
    pair_layout layout = pair_layout::halves;
};

}  // namespace rope

namespace detail {

/// m(k) = 0.1·scale·log k + 1, or the ratio of two of them, or what was given.
inline double yarn_attention_factor(const rope::yarn_options& options) {
    const auto &given = options.attention_factor, &scale = options.mscale,
               &all = options.mscale_all_dim;
    require_argument(scale.has_value() == all.has_value(), scale ? "mscale" : "mscale_all_dim",
                     " is given without ", scale ? "mscale_all_dim" : "mscale",
                     ", but the attention factor is the ratio of both");
    require_argument(!(given && scale),
                     "attention_factor is given, but also mscale, which stands for another one");
    const double log_k = std::log(options.stretch.value);
    if (given) {
        require_attention_factor(given->value);
        return given->value;
    }
    if (!scale) return 0.1 * log_k + 1;
    require_argument(scale->value > 0 && std::isfinite(scale->value), "mscale is ", scale->value,
                     ", but it must be finite and above 0");
    require_argument(all->value > 0 && std::isfinite(all->value), "mscale_all_dim is ", all->value,
                     ", but it must be finite and above 0");
    return (0.1 * scale->value * log_k + 1) / (0.1 * all->value * log_k + 1);
}

}  // namespace detail

namespace rope {

/// YaRN: pair t is plain up to D(β_fast), interpolated from D(β_slow) on, and blended linearly in t
/// between, where D(x) = r·log(L/2πx)/(2·log b) is the pair that turns x times within the trained
/// length; `truncate` takes the floor of the one and the ceiling of the other. Equal β make a step.
/// What is rotated is multiplied by the attention factor 0.1·log k + 1, or by (0.1·mscale·log k +
/// 1)/(0.1·mscale_all_dim·log k + 1) where both are given:
///
///     auto rope = heed::rope::yarn({.dim = 64, .stretch = 8, .original_length = 4096});
///
/// This ramp is not that of heed::rope::by_parts, which is linear in the number of turns: the two
/// are up to 2.3 times apart. Throws argument_error for a dim or base that heed::rope::plain
/// refuses, a stretch or an original_length below 1, unless 0 < beta_slow ≤ beta_fast, for an
/// attention_factor or mscale not above 0, and for a mscale without the other, or beside
/// attention_factor. Source: arXiv 2309.00071; "yarn" in transformers.
[[nodiscard]] inline frequencies yarn(const yarn_options& options) {
    const index dim = options.dim.value, length = options.original_length.value;
    const double base = options.base.value, k = options.stretch.value;
    const double slow = options.beta_slow.value, fast = options.beta_fast.value;
    std::vector<double> angular = heed::detail::ladder(dim, base);
    heed::detail::require_stretch(k);
    heed::detail::require_original_length(length);
    heed::detail::require_argument(slow > 0 && std::isfinite(slow), "beta_slow is ", slow,
                                   ", but it must be finite and above 0");
    heed::detail::require_not_below("beta_fast", fast, "beta_slow", slow);

    const auto r = static_cast<double>(dim);
    const auto pair_of = [&](double turns) {
        const double wavelength = static_cast<double>(length) / (2 * std::numbers::pi * turns);
        return r * std::log(wavelength) / (2 * std::log(base));
    };
    double first = pair_of(fast), last = pair_of(slow);
    if (options.truncate) first = std::floor(first), last = std::ceil(last);
    first = std::max(first, 0.0);
    last = std::min(last, r - 1);
    if (first == last) last += 0.001;  // as in transformers: a step
    for (std::size_t t = 0; t < angular.size(); ++t) {
        const double ramp = (static_cast<double>(t) - first) / (last - first);
        angular[t] *= std::lerp(1, 1 / k, std::clamp(ramp, 0.0, 1.0));
    }
    return frequencies(std::move(angular), options.layout,
                       heed::detail::yarn_attention_factor(options));
}

}  // namespace rope
}  // namespace heed::inline HEED_ARCHITECTURE
