#pragma once

#include <cmath>
#include <cstddef>

#include "softmax.hpp"

/// \file
/// LayerNorm and RMSNorm of one row, as the specification writes them.

namespace reference {

struct moments {
    double mean, factor;
};

/// The mean (0 unless centred) and 1/√(mean (x − mean)² + ε).
inline moments moments_of(const row& x, double epsilon, bool is_centred) {
    const auto n = static_cast<double>(x.size());
    long double mean = 0, square = 0;
    for (const double v : x) mean += is_centred ? v / n : 0;
    for (const double v : x) square += (v - mean) * (v - mean) / n;
    return {static_cast<double>(mean), static_cast<double>(1 / std::sqrt(square + epsilon))};
}

/// x̂·γ + β
inline row norm(const row& x, const row& gamma, const row& beta, double epsilon, bool is_centred) {
    const auto [mean, factor] = moments_of(x, epsilon, is_centred);
    row y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i)
        y[i] = (x[i] - mean) * factor * gamma[i] + (is_centred ? beta[i] : 0);
    return y;
}

struct norm_gradient {
    row x, gamma, beta;
};

/// r·(g − mean g − x̂·mean(g·x̂)), and the row's share of dγ and dβ.
inline norm_gradient norm_backward(const row& x, const row& dy, const row& gamma, double epsilon,
                                   bool is_centred) {
    const auto [mean, factor] = moments_of(x, epsilon, is_centred);
    const auto n = static_cast<double>(x.size());
    norm_gradient result{row(x.size()), row(x.size()), dy};
    double sum = 0, along = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double unit = (x[i] - mean) * factor;
        if (is_centred) sum += dy[i] * gamma[i] / n;
        along += dy[i] * gamma[i] * unit / n;
        result.gamma[i] = dy[i] * unit;
    }
    for (std::size_t i = 0; i < x.size(); ++i)
        result.x[i] = factor * (dy[i] * gamma[i] - sum - (x[i] - mean) * factor * along);
    return result;
}

}  // namespace reference
