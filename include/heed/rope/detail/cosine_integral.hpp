#pragma once

#include <cmath>
#include <complex>
#include <limits>

#include <heed/core/architecture.hpp>

/// \file
/// The cosine integral, which the standard library does not have.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Ci(x) = −∫ₓ^∞ cos(t)/t dt for x > 0, within 1e-15 where |Ci| < 1.
inline double cosine_integral(double x) {
    constexpr double euler = 0.57721566490153286061;
    constexpr double epsilon = std::numeric_limits<double>::epsilon();
    if (x <= 2) {  // γ + log x + Σ_k (−x²)ᵏ/(2k·(2k)!)
        double sum = 0, power = 1;
        for (int k = 1; std::abs(power) > epsilon * epsilon; ++k) {
            power *= -x * x / (2 * k * (2 * k - 1));
            sum += power / (2 * k);
        }
        return euler + std::log(x) + sum;
    }
    // Ci(x) = −Re E₁(ix), E₁(z) = e^{−z}/(z + 1 − 1²/(z + 3 − 2²/(z + 5 − …))) by Lentz's method.
    using complex = std::complex<double>;
    complex b(1, x), d = 1.0 / b, c = 1 / std::numeric_limits<double>::min(), fraction = d;
    for (int k = 1; k < 1000; ++k) {
        const double a = -static_cast<double>(k) * k;
        b += 2;
        d = 1.0 / (a * d + b);
        c = b + a / c;
        const complex factor = c * d;
        fraction *= factor;
        if (std::abs(factor - 1.0) < epsilon) break;
    }
    return -(std::polar(1.0, -x) * fraction).real();
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
