#pragma once

#include <cmath>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>

/// \file
/// How concentrated a softmax of cosines can be.

namespace heed::inline HEED_ARCHITECTURE {
namespace measure {

/// The least entropy that softmax(cos/τ) over n keys can have, in the limit of large n: with a
/// fraction f of the cosines 1 and the others −1 (kexue 9593),
///
///     log n + min_f log Z − (1/τ)·(f·e^{1/τ} − (1 − f)·e^{−1/τ})/Z,  Z = f·e^{1/τ} + (1 −
///     f)·e^{−1/τ}.
///
/// The derivative vanishes where Z = a/sinh a, a = 1/τ, which leaves log n + 1 + log(a/sinh a) −
/// a·coth a: log n − 0.4745 at τ = 1, so that such attention hardly attends. Where that is negative
/// n is too small for the limit. Throws argument_error unless n ≥ 1 and τ is positive and finite.
[[nodiscard]] inline double cosine_entropy_floor(index n, double tau) {
    detail::require_argument(n >= 1, "heed::measure::cosine_entropy_floor: there are ", n,
                             " keys, but must be at least 1");
    detail::require_argument(tau > 0 && std::isfinite(tau),
                             "heed::measure::cosine_entropy_floor: the temperature is ", tau,
                             ", but must be positive and finite");
    const double a = 1 / tau;
    if (std::isinf(a)) return -a;
    // 1 − e^{−2a}: sinh a = e^a·share/2, coth a = (2 − share)/share, and a/share is never 0/0.
    const double share = -std::expm1(-2 * a);
    const double log_ratio = std::log(2 * a / share) - a;
    return std::log(static_cast<double>(n)) + 1 + log_ratio - a / share * (2 - share);
}

}  // namespace measure
}  // namespace heed::inline HEED_ARCHITECTURE
