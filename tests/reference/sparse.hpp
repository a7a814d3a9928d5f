#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <numeric>
#include <vector>

#include "softmax.hpp"

/// \file
/// The sparse normalisers on one row, as the specification writes them, in long double.

namespace reference {

using long_row = std::vector<long double>;

inline bool has_nan(const row& x) {
    return std::any_of(x.begin(), x.end(), [](double v) { return !(v < INFINITY); });
}

/// What every normaliser makes of a row without numbers, or with a NaN or +∞; calls f otherwise.
template <class F>
row of_ordinary_row(const row& x, F&& f) {
    if (has_nan(x)) return row(x.size(), NAN);
    if (maximum(x) == minus_infinity) return row(x.size(), 0);
    return f();
}

/// The positions, by decreasing element; of equal ones the first comes first.
inline std::vector<std::size_t> by_size(const row& x) {
    std::vector<std::size_t> order(x.size());
    std::iota(order.begin(), order.end(), std::size_t(0));
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return x[a] > x[b]; });
    return order;
}

/// The root of a decreasing function in [low, high], to the last digit.
template <class F>
long double root_of_decreasing(F&& f, long double low, long double high) {
    for (int step = 0; step < 300; ++step) {
        const long double middle = (low + high) / 2;
        if (middle == low || middle == high) break;
        (f(middle) >= 0 ? low : high) = middle;
    }
    return low;
}

/// relu(x − λ), Σ = 1, by sorting: the largest k with 1 + k·x_k > x_1 + … + x_k.
inline row sparsemax(const row& x) {
    return of_ordinary_row(x, [&] {
        const auto order = by_size(x);
        const long double top = x[order[0]];
        long double sum = 0, lambda = 0;
        for (std::size_t k = 1; k <= x.size() && x[order[k - 1]] > minus_infinity; ++k) {
            const long double z = x[order[k - 1]] - top;
            if (!(1 + static_cast<long double>(k) * z > sum + z)) break;
            sum += z;
            lambda = (sum - 1) / static_cast<long double>(k);
        }
        row p(x.size());
        for (std::size_t i = 0; i < x.size(); ++i)
            p[i] = static_cast<double>(std::max(x[i] - top - lambda, 0.L));
        return p;
    });
}

/// dx = g ⊙ (dp − (g·dp)/Σg)
inline row weighted_backward(const row& g, const row& dp) {
    const double sum = std::accumulate(g.begin(), g.end(), 0.0), mean = dot(g, dp) / sum;
    row dx(g.size(), 0);
    for (std::size_t i = 0; i < g.size(); ++i)
        if (g[i] != 0) dx[i] = g[i] * (dp[i] - mean);
    return dx;
}

/// g = 1 on the support.
inline row sparsemax_backward(const row& p, const row& dp) {
    row g(p.size());
    for (std::size_t i = 0; i < p.size(); ++i) g[i] = p[i] > 0;
    return weighted_backward(g, dp);
}

}  // namespace reference
