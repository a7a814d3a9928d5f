#pragma once

#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// Free mixed radices: every pair's radix is stretched by a factor of its own.

namespace heed::inline HEED_ARCHITECTURE {
namespace rope {

/// What heed::rope::mixed_radix takes.
struct mixed_radix_options {
    heed::detail::any_integral dim;       ///< r: even, and at least 2
    heed::detail::any_real base = 10000;  ///< b > 1
    std::vector<double> factors;  ///< λ₁ ≥ λ₂ ≥ … ≥ 1, one a pair; their product is k
    pair_layout layout = pair_layout::halves;
};

/// 1/(β^{t−1}·λ₁λ₂…λ_t), t = 1 … r/2, β = b^{2/r}: positions are read as digits of the radices
/// βλ_t. λ₁ = k and all others 1 is interpolation; all λ = k^{2/r} is heed::rope::ntk_fixed.
///
///     auto rope = heed::rope::mixed_radix({.dim = 4, .factors = {4, 2}});  // k = 8
///
/// Throws shape_error unless there are r/2 factors; argument_error unless they fall and stay at 1
/// or above, and for a dim or base that heed::rope::plain refuses. Source: kexue 9706.
[[nodiscard]] inline frequencies mixed_radix(const mixed_radix_options& options) {
    std::vector<double> angular = heed::detail::ladder(options.dim.value, options.base.value);
    const std::vector<double>& factors = options.factors;
    heed::detail::require_shape(factors.size() == angular.size(), "factors has length ",
                                factors.size(), ", but must have ", angular.size(),
                                ", one for each pair");
    double product = 1, before = std::numeric_limits<double>::max();
    for (std::size_t t = 0; t < factors.size(); ++t) {
        heed::detail::require_argument(
            factors[t] >= 1 && factors[t] <= before, "the factor of pair ", t, " is ", factors[t],
            ", but it must be at least 1 and at most ", before, ", the one before it");
        before = factors[t];
        product *= before;
        angular[t] /= product;
    }
    return frequencies(std::move(angular), options.layout);
}

}  // namespace rope
}  // namespace heed::inline HEED_ARCHITECTURE
