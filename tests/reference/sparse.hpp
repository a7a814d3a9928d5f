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

/// relu(x/2 − λ)², Σ = 1, by sorting: λ_k from the k largest, for the largest k with λ_k < x_k/2.
inline row entmax15(const row& x) {
    return of_ordinary_row(x, [&] {
        const auto order = by_size(x);
        const long double top = x[order[0]];
        long double sum = 0, squares = 0, lambda = -1;
        for (std::size_t k = 1; k <= x.size() && x[order[k - 1]] > minus_infinity; ++k) {
            const long double z = (x[order[k - 1]] - top) / 2;
            if (!(z > lambda)) break;
            sum += z;
            squares += z * z;
            const auto n = static_cast<long double>(k);
            lambda = (sum - std::sqrt(std::max(sum * sum - n * (squares - 1), 0.L))) / n;
        }
        row p(x.size());
        for (std::size_t i = 0; i < x.size(); ++i) {
            const long double y = std::max((x[i] - top) / 2 - lambda, 0.L);
            p[i] = static_cast<double>(y * y);
        }
        return p;
    });
}

/// relu((α−1)x − λ)^{1/(α−1)}, Σ = 1, by bisection; α > 1. With ν = λ + 1 − (α−1)·max x, in
/// [0, 1], the power is exp(log1p((α−1)(x − max x) − ν)/(α−1)).
inline row entmax(const row& x, double alpha) {
    if (alpha == 1) return softmax(x);
    return of_ordinary_row(x, [&] {
        const long double top = maximum(x), slope = static_cast<long double>(alpha) - 1;
        const auto probability = [&](double element, long double nu) {
            const long double z = slope * (element - top) - nu;
            return z > -1 ? std::exp(std::log1p(z) / slope) : 0;
        };
        const auto excess = [&](long double nu) {
            long double sum = -1;
            for (const double element : x) sum += probability(element, nu);
            return sum;
        };
        const long double nu = root_of_decreasing(excess, 0, 1);
        row p(x.size());
        for (std::size_t i = 0; i < x.size(); ++i)
            p[i] = static_cast<double>(probability(x[i], nu));
        return p;
    });
}

/// dx with g = p^{2−α} on the support.
inline row entmax_backward(const row& p, double alpha, const row& dp) {
    row g(p.size());
    for (std::size_t i = 0; i < p.size(); ++i) g[i] = p[i] > 0 ? std::pow(p[i], 2 - alpha) : 0;
    return weighted_backward(g, dp);
}

}  // namespace reference
