#pragma once

#include <cmath>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// How a bound on rotary scores falls with the distance.

namespace heed::inline HEED_ARCHITECTURE {
namespace rope {

/// (2/r)·Σ_j |S_j(m)|, S_j(m) = Σ_{t<j} e^{imθ_t}, j = 1 … r/2: by summation by parts, a score of
/// rows m apart is at most this times r/2 times the largest step between neighbouring pairs'
/// products. It is (r/2 + 1)/2 at distance 0, and falls, not evenly, with |m|.
///
///     double i = heed::rope::decay_index(heed::rope::plain({.dim = 128}), 100);
///
/// Throws argument_error for a distance that is not finite. Source: arXiv 2104.09864,
/// section 3.4.3; kexue 8265.
[[nodiscard]] inline double decay_index(const frequencies& rope, double distance) {
    heed::detail::require_argument(std::isfinite(distance), "distance is ", distance,
                                   ", but it must be finite");
    double real = 0, imaginary = 0, sum = 0;
    for (const double angle : rope.angular()) {
        real += std::cos(distance * angle);
        imaginary += std::sin(distance * angle);
        sum += std::hypot(real, imaginary);
    }
    return sum / static_cast<double>(rope.pairs());
}

}  // namespace rope
}  // namespace heed::inline HEED_ARCHITECTURE
