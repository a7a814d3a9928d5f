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

/// dx = g ⊙ (dp − (g·dp)/Σg). Where few g are not zero, as Σ_j g_i·g_j(dp_i − dp_j)/Σg, in which
/// nothing cancels if one g is far larger than all others.
inline row weighted_backward(const long_row& g, const row& dp) {
    std::vector<std::size_t> support;
    long double sum = 0, product = 0;
    for (std::size_t i = 0; i < g.size(); ++i) {
        if (g[i] == 0) continue;
        support.push_back(i);
        sum += g[i];
        product += g[i] * dp[i];
    }
    row dx(g.size(), 0);
    for (const std::size_t i : support) {
        long double gradient = dp[i] - product / sum;
        if (support.size() < 300) {
            gradient = 0;
            for (const std::size_t j : support)
                gradient += g[j] / sum * (static_cast<long double>(dp[i]) - dp[j]);
        }
        dx[i] = static_cast<double>(g[i] * gradient);
    }
    return dx;
}

/// g = 1 on the support.
inline row sparsemax_backward(const row& p, const row& dp) {
    long_row g(p.size());
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
inline row entmax_flat(const row& x, double alpha) {
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
    for (std::size_t i = 0; i < x.size(); ++i) p[i] = static_cast<double>(probability(x[i], nu));
    return p;
}

/// The same for α > 2, where p has an infinite slope at the threshold: the k largest elements are
/// the support if Σp < 1 at λ = (α−1)x_k; then λ follows from v, the least of their probabilities.
inline row entmax_steep(const row& x, double alpha) {
    const long double slope = static_cast<long double>(alpha) - 1;
    const auto order = by_size(x);
    const auto probabilities = [&](double least, long double v) {
        long_row p(x.size(), 0);
        const long double shift = std::pow(v, slope);
        for (std::size_t i = 0; i < x.size(); ++i)
            if (x[i] >= least)
                p[i] =
                    std::pow(slope * (static_cast<long double>(x[i]) - least) + shift, 1 / slope);
        return p;
    };
    const auto excess = [&](double least, long double v) {
        const long_row p = probabilities(least, v);
        return std::accumulate(p.begin(), p.end(), -1.0L);
    };
    double least = x[order[0]];
    for (std::size_t k = 1; k < x.size(); ++k) {
        if (x[order[k]] == least) continue;
        if (!(excess(x[order[k]], 0) < 0)) break;
        least = x[order[k]];
    }
    const long double v =
        root_of_decreasing([&](long double u) { return -excess(least, u); }, 0, 1);
    const long_row p = probabilities(least, v);
    return row(p.begin(), p.end());
}

inline row entmax(const row& x, double alpha) {
    if (alpha == 1) return of_ordinary_row(x, [&] { return softmax(x); });
    return of_ordinary_row(
        x, [&] { return alpha > 2 ? entmax_steep(x, alpha) : entmax_flat(x, alpha); });
}

/// g = p^{2−α} on the support.
template <class Row>
long_row entmax_weights(const Row& p, double alpha) {
    long_row g(p.size(), 0);
    for (std::size_t i = 0; i < p.size(); ++i)
        if (p[i] > 0) g[i] = std::pow(static_cast<long double>(p[i]), 2 - alpha);
    return g;
}

inline row entmax_backward(const row& p, double alpha, const row& dp) {
    return weighted_backward(entmax_weights(p, alpha), dp);
}

/// Σ dp·∂p/∂α, ∂p/∂α = (p − p̃)/(α−1)² + (h − p̃·Σh)/(α−1), p̃ = g/Σg, h = −p log p; at α = 1 its
/// limit ½p(Σp log²p − log²p). p is made to sum to 1 first: 1/(α−1)² makes much of any difference.
inline double entmax_alpha_backward(const row& rounded, double alpha, const row& dp) {
    const long double total = std::accumulate(rounded.begin(), rounded.end(), 0.0L);
    long_row p(rounded.begin(), rounded.end());
    for (long double& q : p) q /= total;
    const long_row g = entmax_weights(p, alpha);
    const long double a = static_cast<long double>(alpha) - 1,
                      weights = std::accumulate(g.begin(), g.end(), 0.0L);
    long double entropy = 0, squares = 0, result = 0;
    for (const long double q : p) {
        if (q <= 0) continue;
        entropy -= q * std::log(q);
        squares += q * std::log(q) * std::log(q);
    }
    for (std::size_t i = 0; i < p.size(); ++i) {
        if (!(p[i] > 0)) continue;
        const long double q = p[i], l = std::log(q), share = g[i] / weights;
        const long double slope = a == 0 ? q * (squares - l * l) / 2
                                         : (q - share) / (a * a) + (-q * l - share * entropy) / a;
        result += dp[i] * slope;
    }
    return static_cast<double>(result);
}

/// Softmax of x/τ over the first `count` of by_size(x); −∞ is never among them.
inline row softmax_of_largest(const row& x, std::size_t count, double tau) {
    const auto order = by_size(x);
    row largest(x.size(), minus_infinity);
    for (std::size_t i = 0; i < count && i < x.size(); ++i) largest[order[i]] = x[order[i]];
    return softmax(largest, tau);
}

inline row sparse_softmax(const row& x, std::size_t k, double tau = 1) {
    return of_ordinary_row(x, [&] { return softmax_of_largest(x, k, tau); });
}

/// The fewest elements whose softmax, in all, is at least `mass`.
inline row sparse_softmax_by_mass(const row& x, double mass, double tau = 1) {
    return of_ordinary_row(x, [&] {
        const auto order = by_size(x);
        const row p = softmax(x, tau);
        std::size_t count = 0;
        for (long double sum = 0; count < x.size() && (sum < mass || mass == 1); ++count)
            sum += p[order[count]];
        return softmax_of_largest(x, count, tau);
    });
}

/// The shapes of soft top-k, by number: min(1, e^y), sigmoid, two-sided exponential.
inline long double soft_step(int shape, long double y) {
    if (shape == 0) return std::min(1.0L, std::exp(y));
    if (shape == 1) return 1 / (1 + std::exp(-y));
    return y <= 0 ? std::exp(y) / 2 : 1 - std::exp(-y) / 2;
}
inline long double soft_step_slope(int shape, long double y) {
    if (shape == 0) return y < 0 ? std::exp(y) : 0;
    if (shape == 1) return 1 / ((1 + std::exp(-y)) * (1 + std::exp(y)));
    return std::exp(-std::abs(y)) / 2;
}

/// max x − λ with Σ f(x − λ) = k; ∞ where no more than k elements are left.
inline long double soft_top_k_reach(const row& x, double k, int shape) {
    double least = INFINITY, count = 0;
    for (const double v : x) {
        if (v == minus_infinity) continue;
        least = std::min(least, v);
        ++count;
    }
    if (count <= k) return INFINITY;
    const long double top = maximum(x);
    const auto shortage = [&](long double reach) {
        long double sum = k;
        for (const double v : x)
            if (v > minus_infinity) sum -= soft_step(shape, v - top + reach);
        return sum;
    };
    return root_of_decreasing(shortage, -50.0L, top - least + 50.0L);
}

inline row soft_top_k(const row& x, double k, int shape) {
    return of_ordinary_row(x, [&] {
        const long double reach = soft_top_k_reach(x, k, shape), top = maximum(x);
        row p(x.size(), 0);
        for (std::size_t i = 0; i < x.size(); ++i)
            if (x[i] > minus_infinity)
                p[i] = static_cast<double>(soft_step(shape, x[i] - top + reach));
        return p;
    });
}

/// dx with g = f′(x − λ).
inline row soft_top_k_backward(const row& x, double k, int shape, const row& dp) {
    const long double reach = soft_top_k_reach(x, k, shape), top = maximum(x);
    long_row g(x.size(), 0);
    for (std::size_t i = 0; i < x.size(); ++i)
        if (x[i] > minus_infinity) g[i] = soft_step_slope(shape, x[i] - top + reach);
    return weighted_backward(g, dp);
}

}  // namespace reference
