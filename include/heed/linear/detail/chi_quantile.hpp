#pragma once

#include <cmath>

#include <heed/core/architecture.hpp>

/// \file
/// The χ distribution: lengths of normal vectors.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// P(a, x) = γ(a, x)/Γ(a), the regularised incomplete gamma function, a > 0, x ≥ 0: by its series
/// below a + 1, by Lentz's continued fraction of 1 − P above.
inline double regularised_gamma(double a, double x) {
    if (x <= 0) return 0;
    const double front = std::exp(a * std::log(x) - x - std::lgamma(a));
    constexpr double least = 1e-16;
    if (x < a + 1) {
        double term = 1 / a, sum = term;
        for (double k = a + 1; term > least * sum; ++k) sum += term *= x / k;
        return front * sum;
    }
    constexpr double tiny = 1e-300;
    double b = x + 1 - a, c = 1 / tiny, d = 1 / b, h = d;
    for (int i = 1; i < 100000; ++i) {
        const double factor = -i * (i - a);
        b += 2;
        d = factor * d + b;
        if (std::abs(d) < tiny) d = tiny;
        c = b + factor / c;
        if (std::abs(c) < tiny) c = tiny;
        d = 1 / d;
        const double change = d * c;
        h *= change;
        if (std::abs(change - 1) < least) break;
    }
    return 1 - front * h;
}

/// The r that the length of a normal vector of `dim` numbers stays below with probability p,
/// 0 < p < 1. By bisection.
inline double chi_quantile(double p, index dim) {
    const double degrees = static_cast<double>(dim);
    double low = 0, high = std::sqrt(degrees) + 40;
    for (int step = 0; step < 200 && low < high; ++step) {
        const double middle = (low + high) / 2;
        if (middle == low || middle == high) break;
        (regularised_gamma(degrees / 2, middle * middle / 2) < p ? low : high) = middle;
    }
    return (low + high) / 2;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
