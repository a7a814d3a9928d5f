#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "softmax.hpp"

/// \file
/// Measures of one row, as the specification writes them, in long double.

namespace reference {

inline long double power_sum(const row& x, long double order) {
    long double sum = 0;
    for (const double v : x)
        if (v != 0) sum += std::pow(std::abs(static_cast<long double>(v)), order);
    return sum;
}

inline double shannon_entropy(const row& p) {
    long double sum = 0;
    for (const double v : p)
        if (v != 0) sum -= v * std::log(static_cast<long double>(v));
    return static_cast<double>(sum);
}
inline double renyi_entropy(const row& p, double order) {
    return static_cast<double>(std::log(power_sum(p, order)) / (1 - order));
}
inline double tsallis_entropy(const row& p, double order) {
    return static_cast<double>((1 - power_sum(p, order)) / (order - 1));
}

/// l_q relative to max|x|: a high power of a very large or small number is none.
inline long double relative_norm(const row& x, long double order) {
    long double greatest = 0, sum = 0;
    for (const double v : x) greatest = std::max(greatest, std::abs(static_cast<long double>(v)));
    for (const double v : x)
        if (v != 0) sum += std::pow(std::abs(v) / greatest, order);
    return std::pow(sum, 1 / order);
}
inline long double norm(const row& x, double order) {
    return std::pow(power_sum(x, order), 1 / static_cast<long double>(order));
}
inline double sparsity(const row& x, double q, double p) {
    const auto n = static_cast<long double>(x.size());
    return static_cast<double>(
        std::pow(n, 1 / static_cast<long double>(p) - 1 / static_cast<long double>(q)) *
        relative_norm(x, q) / relative_norm(x, p));
}
inline double mean_over_max(const row& x) {
    double greatest = 0;
    for (const double v : x) greatest = std::max(greatest, std::abs(v));
    return static_cast<double>(norm(x, 1) / (static_cast<long double>(x.size()) * greatest));
}
inline double hoyer(const row& x) {
    const long double root = std::sqrt(static_cast<long double>(x.size()));
    return static_cast<double>((root - norm(x, 1) / norm(x, 2)) / (root - 1));
}
/// Half the mean absolute difference of all pairs over the mean.
inline double gini(const row& x) {
    long double sum = 0;
    for (const double a : x)
        for (const double b : x) sum += std::abs(std::abs(a) - std::abs(b));
    return static_cast<double>(sum / (2 * static_cast<long double>(x.size()) * norm(x, 1)));
}
inline double fraction_below(const row& x, double epsilon) {
    const auto count =
        std::count_if(x.begin(), x.end(), [&](double v) { return std::abs(v) <= epsilon; });
    return static_cast<double>(count) / static_cast<double>(x.size());
}

/// ½‖∂p/∂x‖₁, from the Jacobian p_i(δ_ij − p_j).
inline double softmax_gradient_size(const row& p) {
    long double sum = 0;
    for (std::size_t i = 0; i < p.size(); ++i)
        for (std::size_t j = 0; j < p.size(); ++j)
            sum += std::abs(static_cast<long double>(p[i]) * ((i == j ? 1 : 0) - p[j]));
    return static_cast<double>(sum / 2);
}

}  // namespace reference
