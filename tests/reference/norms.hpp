#pragma once

#include <cmath>
#include <cstddef>

#include "softmax.hpp"

/// \file
/// LayerNorm and RMSNorm of one row, as the specification writes them.

namespace reference {

/// x̂ and r = 1/√(mean (x − mean)² + ε), 0 of equal numbers without ε.
struct normalised {
    row unit;
    double factor;
};

inline normalised normalise(const row& x, double epsilon, bool is_centred) {
    const auto n = static_cast<long double>(x.size());
    // Differences are exact, however far from 0 the numbers are.
    const long double first = is_centred && !x.empty() ? x[0] : 0;
    long double mean = 0, square = 0;
    for (const double v : x) mean += is_centred ? (v - first) / n : 0;
    for (const double v : x) square += (v - first - mean) * (v - first - mean) / n;
    square += epsilon;
    const long double factor = square == 0 ? 0 : 1 / std::sqrt(square);
    normalised result{row(x.size()), static_cast<double>(factor)};
    for (std::size_t i = 0; i < x.size(); ++i)
        result.unit[i] = static_cast<double>((x[i] - first - mean) * factor);
    return result;
}

/// x̂·γ + β
inline row norm(const row& x, const row& gamma, const row& beta, double epsilon, bool is_centred) {
    row y = normalise(x, epsilon, is_centred).unit;
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = y[i] * gamma[i] + (is_centred ? beta[i] : 0);
    return y;
}

struct norm_gradient {
    row x, gamma, beta;
};

/// r·(g − mean g − x̂·mean(g·x̂)), and the row's share of dγ and dβ.
inline norm_gradient norm_backward(const row& x, const row& dy, const row& gamma, double epsilon,
                                   bool is_centred) {
    const auto [unit, factor] = normalise(x, epsilon, is_centred);
    const auto n = static_cast<double>(x.size());
    norm_gradient result{row(x.size()), row(x.size()), dy};
    double sum = 0, along = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        if (is_centred) sum += dy[i] * gamma[i] / n;
        along += dy[i] * gamma[i] * unit[i] / n;
        result.gamma[i] = dy[i] * unit[i];
    }
    for (std::size_t i = 0; i < x.size(); ++i)
        result.x[i] = factor * (dy[i] * gamma[i] - sum - unit[i] * along);
    return result;
}

}  // namespace reference
