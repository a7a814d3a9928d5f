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

}  // namespace reference
