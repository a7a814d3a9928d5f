#pragma once

#include <cmath>
#include <cstddef>

#include "losses.hpp"
#include "sparse.hpp"

/// \file
/// Losses of the sparse normalisers on one row, as the specification writes them.

namespace reference {

/// ½ − x_t + Σ_Ω ½(x_i² − λ²), of scores less their maximum, which changes nothing.
inline loss sparsemax_loss(const row& x, std::size_t t) {
    const row p = sparsemax(x);
    const double top = maximum(x);
    long double value = 0.5L - (x[t] - static_cast<long double>(top));
    for (std::size_t i = 0; i < x.size(); ++i) {
        if (p[i] == 0) continue;
        const long double z = x[i] - static_cast<long double>(top), lambda = z - p[i];
        value += (z * z - lambda * lambda) / 2;
    }
    return {static_cast<double>(value), minus_onehot(p, t)};
}

/// (p − e_t)·x + Σ(p − p^α)/(α(α − 1)), α > 1
inline loss entmax_loss(const row& x, std::size_t t, double alpha) {
    const row p = entmax(x, alpha);
    long double value = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const long double v = p[i];
        value += v * (static_cast<long double>(x[i]) - x[t]) +
                 (v - std::pow(v, static_cast<long double>(alpha))) / (alpha * (alpha - 1));
    }
    return {static_cast<double>(value), minus_onehot(p, t)};
}

/// log Σ_Ω e^x − x_t, Ω where p is not 0
inline loss sparse_softmax_cross_entropy(const row& x, std::size_t t, const row& p) {
    row chosen;
    for (std::size_t i = 0; i < x.size(); ++i)
        if (p[i] != 0) chosen.push_back(x[i]);
    return {log_sum_exp(chosen) - x[t], minus_onehot(p, t)};
}

}  // namespace reference
