#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/rope/detail/stretch.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// The NTK family: fast pairs keep their speed, slow ones are interpolated, by another base.
/// β = b^{2/r} and λ = k^{2/r} are the radices; t = 0 … r/2 − 1 counts pairs.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// b·s^{r/(r−2)}: the base at which the slowest pair is s times slower.
inline double ntk_base(index dim, double base, double slower) {
    require_argument(dim >= 4 && dim % 2 == 0, "dim is ", dim,
                     ", but it must be even and at least 4, for the exponent r/(r - 2)");
    const auto r = static_cast<double>(dim);
    return base * std::pow(slower, r / (r - 2));
}

/// Refuses what the formulas of all variants refuse, before it goes into one.
inline void check_stretched(index dim, double base, double stretch) {
    ladder(dim, base);
    require_stretch(stretch);
}

}  // namespace detail

namespace rope {

/// NTK-aware frequencies, those of the base b·k^{r/(r−2)}: the fastest pair is plain, the slowest
/// interpolated.
///
///     auto rope = heed::rope::ntk_aware({.dim = 64, .stretch = 8});
///
/// Throws argument_error for an odd dim or one below 4, a base that is not above 1, and a stretch
/// below 1. Source: bloc97, 2023 (arXiv 2309.00071, section 3.1); kexue 9675.
[[nodiscard]] inline frequencies ntk_aware(const stretched_options& options) {
    const index dim = options.dim.value;
    const double base = options.base.value, k = options.stretch.value;
    heed::detail::check_stretched(dim, base, k);
    return frequencies(heed::detail::ladder(dim, heed::detail::ntk_base(dim, base, k)),
                       options.layout);
}

/// NTK-RoPE-old, 1/(βλ)^t: the base is b·k, and the slowest pair is short of interpolation by λ.
///
/// Throws argument_error for a dim or base that heed::rope::plain refuses, and a stretch below 1.
/// Source: kexue 9706.
[[nodiscard]] inline frequencies ntk_old(const stretched_options& options) {
    const index dim = options.dim.value;
    const double base = options.base.value, k = options.stretch.value;
    heed::detail::check_stretched(dim, base, k);
    return frequencies(heed::detail::ladder(dim, base * k), options.layout);
}

/// NTK-RoPE-fixed, 1/(λ(βλ)^t): the slowest pair is interpolated, and the fastest slowed by λ.
///
/// Throws argument_error as heed::rope::ntk_old does. Source: kexue 9706.
[[nodiscard]] inline frequencies ntk_fixed(const stretched_options& options) {
    const index dim = options.dim.value;
    const double base = options.base.value, k = options.stretch.value;
    heed::detail::check_stretched(dim, base, k);
    std::vector<double> angular = heed::detail::ladder(dim, base * k);
    const double slower = std::pow(k, 2 / static_cast<double>(dim));
    for (double& angle : angular) angle /= slower;
    return frequencies(std::move(angular), options.layout);
}

/// What heed::rope::ntk_mixed takes.
struct ntk_mixed_options {
    heed::detail::any_integral dim;        ///< r: even, and at least 2
    heed::detail::any_real base = 10000;   ///< b > 1
    heed::detail::any_real stretch;        ///< k ≥ 1
    heed::detail::any_real power = 0.625;  ///< p ≥ 0
    pair_layout layout = pair_layout::halves;
};

/// NTK-RoPE-mixed, 1/(β^t·exp(a·(t+1)^p)), a = log k/(r/2)^p: between interpolation (p = 0) and
/// NTK-RoPE-fixed (p = 1), and interpolated at the slowest pair.
///
///     auto rope = heed::rope::ntk_mixed({.dim = 64, .base = 10000, .stretch = 8});
///
/// Throws argument_error as heed::rope::ntk_old does, and for a power below 0. Source: kexue 9706.
[[nodiscard]] inline frequencies ntk_mixed(const ntk_mixed_options& options) {
    const index dim = options.dim.value;
    const double k = options.stretch.value, p = options.power.value;
    std::vector<double> angular = heed::detail::ladder(dim, options.base.value);
    heed::detail::require_stretch(k);
    heed::detail::require_argument(p >= 0 && std::isfinite(p), "power is ", p,
                                   ", but it must be finite and at least 0");
    const auto pairs = static_cast<double>(dim / 2);
    for (std::size_t t = 0; t < angular.size(); ++t)
        angular[t] /= std::pow(k, std::pow(static_cast<double>(t + 1) / pairs, p));
    return frequencies(std::move(angular), options.layout);
}

/// What heed::rope::dynamic_ntk takes.
struct dynamic_ntk_options {
    heed::detail::any_integral dim;              ///< r: even, and at least 4
    heed::detail::any_real base = 10000;         ///< b > 1
    heed::detail::any_real stretch;              ///< k ≥ 1
    heed::detail::any_integral length;           ///< of the sequence that is rotated
    heed::detail::any_integral original_length;  ///< L ≥ 1, the trained length
    pair_layout layout = pair_layout::halves;
};

/// NTK-aware frequencies as far as the sequence needs them, those of the base
/// b·(k·n/L − (k − 1))^{r/(r−2)}, n = max(length, L): plain up to the trained length.
///
///     auto rope =
///         heed::rope::dynamic_ntk({.dim = 64, .stretch = 2, .length = n, .original_length =
///         4096});
///
/// They depend on the length, so a cache must hold keys that are not rotated yet, or the length
/// stay the same while the cache is used. Throws argument_error as heed::rope::ntk_aware does, for
/// a length below 0 and an original_length below 1. Source: "dynamic" in transformers.
[[nodiscard]] inline frequencies dynamic_ntk(const dynamic_ntk_options& options) {
    const index dim = options.dim.value, length = options.length.value;
    const index original = options.original_length.value;
    const double base = options.base.value, k = options.stretch.value;
    heed::detail::check_stretched(dim, base, k);
    heed::detail::require_argument(length >= 0, "length is ", length,
                                   ", but it must be at least 0");
    heed::detail::require_original_length(original);
    const double beyond = static_cast<double>(std::max(length, original) - original);
    const double slower = 1 + k * (beyond / static_cast<double>(original));
    return frequencies(heed::detail::ladder(dim, heed::detail::ntk_base(dim, base, slower)),
                       options.layout);
}

}  // namespace rope
}  // namespace heed::inline HEED_ARCHITECTURE
