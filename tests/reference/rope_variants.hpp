#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "tensor.hpp"

/// \file
/// Stretched rotary frequencies (spec, section 3): pairs are counted from 1, β = b^{2/d} and
/// λ = k^{2/d} are the radices.

namespace reference {

/// f(t) for t = 1 … d/2.
template <class F>
std::vector<double> frequencies_of_pairs(index d, F f) {
    std::vector<double> theta;
    for (index t = 1; t <= d / 2; ++t) theta.push_back(f(static_cast<double>(t)));
    return theta;
}

inline double radix(double x, index d) { return std::pow(x, 2 / static_cast<double>(d)); }

inline std::vector<double> interpolation(index d, double b, double k) {
    return frequencies_of_pairs(d, [&](double t) { return std::pow(radix(b, d), 1 - t) / k; });
}

inline std::vector<double> ntk_aware(index d, double b, double k) {
    const auto dim = static_cast<double>(d);
    const double base = b * std::pow(k, dim / (dim - 2));
    return frequencies_of_pairs(d, [&](double t) { return std::pow(base, -2 * (t - 1) / dim); });
}

inline std::vector<double> ntk_old(index d, double b, double k) {
    return frequencies_of_pairs(
        d, [&](double t) { return 1 / std::pow(radix(b, d) * radix(k, d), t - 1); });
}

inline std::vector<double> ntk_fixed(index d, double b, double k) {
    return frequencies_of_pairs(d, [&](double t) {
        return 1 / (radix(k, d) * std::pow(radix(b, d) * radix(k, d), t - 1));
    });
}

inline std::vector<double> ntk_mixed(index d, double b, double k, double p) {
    const double a = std::log(k) / std::pow(static_cast<double>(d) / 2, p);
    return frequencies_of_pairs(d, [&](double t) {
        return 1 / (std::pow(radix(b, d), t - 1) * std::exp(a * std::pow(t, p)));
    });
}

inline std::vector<double> mixed_radix(index d, double b, const std::vector<double>& lambda) {
    return frequencies_of_pairs(d, [&](double t) {
        double below = std::pow(radix(b, d), t - 1);
        for (std::size_t j = 0; j < static_cast<std::size_t>(t); ++j) below *= lambda[j];
        return 1 / below;
    });
}

inline std::vector<double> dynamic_ntk(index d, double b, double k, double length, double L) {
    const auto dim = static_cast<double>(d);
    const double n = std::max(length, L);
    const double base = b * std::pow(k * n / L - (k - 1), dim / (dim - 2));
    return frequencies_of_pairs(d, [&](double t) { return std::pow(base, -2 * (t - 1) / dim); });
}

inline std::vector<double> by_parts(index d, double b, double k, double L, double slow,
                                    double fast) {
    return frequencies_of_pairs(d, [&](double t) {
        const double theta = std::pow(radix(b, d), 1 - t);
        const double r = L * theta / (2 * std::numbers::pi);
        const double gamma = std::min(std::max((r - slow) / (fast - slow), 0.0), 1.0);
        return (gamma + (1 - gamma) / k) * theta;
    });
}

inline std::vector<double> yarn(index d, double b, double k, double L, double slow, double fast,
                                bool truncate) {
    const auto D = [&](double x) {
        return static_cast<double>(d) * std::log(L / (2 * std::numbers::pi * x)) /
               (2 * std::log(b));
    };
    const double low = std::max(truncate ? std::floor(D(fast)) : D(fast), 0.0);
    const double high =
        std::min(truncate ? std::ceil(D(slow)) : D(slow), static_cast<double>(d) - 1);
    return frequencies_of_pairs(d, [&](double t) {
        const double theta = std::pow(radix(b, d), 1 - t);
        const double ramp = std::min(std::max((t - 1 - low) / (high - low), 0.0), 1.0);
        return theta / k * ramp + theta * (1 - ramp);
    });
}

}  // namespace reference
