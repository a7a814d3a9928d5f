#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

#include "dense.hpp"

/// \file
/// The probability that x_i plus noise is the largest of a row: the integral as it is written,
/// node by node.

namespace reference {

/// A noise: density, distribution function, and whether they have kinks at ±½ and nowhere else.
struct noise {
    function density, distribution;
    bool is_uniform = false;
};

inline noise gumbel_noise() {
    return {[](long double z) { return std::exp(-z - std::exp(-z)); },
            [](long double z) { return std::exp(-std::exp(-z)); }};
}
inline noise normal_noise() {
    return {[](long double z) { return std::exp(-z * z / 2) * 0.39894228040143267794L; },
            [](long double z) { return std::erfc(-z * 0.70710678118654752440L) / 2; }};
}
inline noise logistic_noise() {
    return {[](long double z) { return std::exp(-z) / ((1 + std::exp(-z)) * (1 + std::exp(-z))); },
            [](long double z) { return 1 / (1 + std::exp(-z)); }};
}
inline noise uniform_noise() {
    return {[](long double z) { return std::fabs(z) < 0.5L ? 1.0L : 0.0L; },
            [](long double z) { return std::clamp(z + 0.5L, 0.0L, 1.0L); }, true};
}

/// Nodes and weights: an even grid, or three-point Gauss rules between all kinks.
inline std::vector<std::pair<long double, long double>> perturb_nodes(const row& x,
                                                                      const noise& of) {
    std::vector<std::pair<long double, long double>> nodes;
    if (!of.is_uniform) {
        constexpr long double step = 1 / 32.0L;
        for (long double u = -40; u < 50; u += step) nodes.emplace_back(maximum(x) + u, step);
        return nodes;
    }
    row kinks;
    for (const double element : x) {
        kinks.push_back(element - 0.5);
        kinks.push_back(element + 0.5);
    }
    std::sort(kinks.begin(), kinks.end());
    constexpr int pieces = 128;
    for (std::size_t k = 0; k + 1 < kinks.size(); ++k) {
        const long double width = (static_cast<long double>(kinks[k + 1]) - kinks[k]) / pieces;
        for (int piece = 0; piece < pieces && width > 0; ++piece) {
            const long double middle = kinks[k] + (piece + 0.5L) * width;
            const long double away = std::sqrt(0.6L) / 2 * width;
            nodes.emplace_back(middle - away, width * 5 / 18);
            nodes.emplace_back(middle, width * 4 / 9);
            nodes.emplace_back(middle + away, width * 5 / 18);
        }
    }
    return nodes;
}

/// f(φ/Φ of each element, weight·ΠΦ) at every node where no Φ is 0: elsewhere nothing is added.
inline void at_perturb_nodes(
    const row& x, const noise& of,
    const std::function<void(const std::vector<long double>&, long double)>& f) {
    std::vector<long double> ratio(x.size());
    for (const auto& [u, weight] : perturb_nodes(x, of)) {
        long double product = weight;
        for (std::size_t j = 0; j < x.size(); ++j) {
            const long double probability = of.distribution(u - x[j]);
            product *= probability;
            ratio[j] = probability > 0 ? of.density(u - x[j]) / probability : 0;
        }
        if (product > 0) f(ratio, product);
    }
}

/// p_i = ∫ φ(u − x_i) Π_{j≠i} Φ(u − x_j) du; ∂p_i/∂x_k = −∫ φ_i φ_k Π_{j≠i,k} Φ_j du for k ≠ i, and
/// a shift of the whole row changes nothing.
inline dense_normaliser perturb_max(const noise& of) {
    dense_normaliser result;
    result.forward = [=](const row& x) {
        std::vector<long double> p(x.size());
        at_perturb_nodes(x, of, [&](const auto& ratio, long double product) {
            for (std::size_t i = 0; i < x.size(); ++i) p[i] += ratio[i] * product;
        });
        return each(x, [&](std::size_t i) { return p[i]; });
    };
    result.backward = [=](const row& x, const row& dp) {
        std::vector<long double> dx(x.size());
        at_perturb_nodes(x, of, [&](const auto& ratio, long double product) {
            for (std::size_t k = 0; k < x.size(); ++k)
                for (std::size_t i = 0; i < x.size(); ++i)
                    dx[k] += ratio[i] * ratio[k] * product * (dp[k] - dp[i]);
        });
        return each(x, [&](std::size_t i) { return dx[i]; });
    };
    result.size = [](const row&) { return 1.0; };
    return result;
}

/// p_i = (1/K) Σ_k Π_{j≠i} Φ(x_i − x_j + Φ⁻¹((k + ½)/K)), and its derivatives.
inline dense_normaliser perturb_quantiles(const noise& of,
                                          const std::function<double(double)>& quantile,
                                          int count) {
    const auto at = [=](const row& x, std::size_t i, int k, std::size_t j) {
        return static_cast<long double>(x[i]) - x[j] + quantile((k + 0.5) / count);
    };
    const auto product = [=](const row& x, std::size_t i, int k, std::size_t without) {
        long double all = 1;
        for (std::size_t j = 0; j < x.size(); ++j)
            if (j != i && j != without) all *= of.distribution(at(x, i, k, j));
        return all;
    };
    dense_normaliser result;
    result.forward = [=](const row& x) {
        return each(x, [&](std::size_t i) {
            long double sum = 0;
            for (int k = 0; k < count; ++k) sum += product(x, i, k, i);
            return sum / count;
        });
    };
    result.backward = [=](const row& x, const row& dp) {
        std::vector<long double> dx(x.size());
        for (std::size_t i = 0; i < x.size(); ++i)
            for (int k = 0; k < count; ++k)
                for (std::size_t j = 0; j < x.size(); ++j) {
                    if (j == i) continue;
                    const long double slope =
                        of.density(at(x, i, k, j)) * product(x, i, k, j) / count;
                    dx[i] += dp[i] * slope;
                    dx[j] -= dp[i] * slope;
                }
        return each(x, [&](std::size_t i) { return dx[i]; });
    };
    result.size = [](const row&) { return 1.0; };
    return result;
}

}  // namespace reference
