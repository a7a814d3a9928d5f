#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <optional>

#include "row_normaliser.hpp"

/// \file
/// Normalisers that leave no element out, on one row, as the specification writes them. All of a
/// row is visible. Beside each, the size of the numbers that its results are made of: what rounding
/// is relative to.

namespace reference {

struct dense_normaliser : row_normaliser {
    std::function<double(const row& x)> size;
};

using function = std::function<long double(long double)>;

inline row each(const row& x, const std::function<long double(std::size_t)>& f) {
    row y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = static_cast<double>(f(i));
    return y;
}

/// p = f(x)/Σf(x), dx = f'(x)/Z·(dp − p·dp)
inline dense_normaliser ratio(const function& f, const function& df) {
    dense_normaliser result;
    const auto sum = [f](const row& x) {
        long double z = 0;
        for (const double element : x) z += f(element);
        return z;
    };
    result.forward = [=](const row& x) {
        const long double z = sum(x);
        return each(x, [&](std::size_t i) { return z == 0 ? 0 : f(x[i]) / z; });
    };
    result.backward = [=, p_of = result.forward](const row& x, const row& dp) {
        const long double z = sum(x);
        const double mean = dot(p_of(x), dp);
        return each(x, [&](std::size_t i) { return z == 0 ? 0 : df(x[i]) / z * (dp[i] - mean); });
    };
    result.size = [=](const row& x) {
        const long double z = sum(x);
        long double largest = 0;
        for (const double element : x)
            for (const long double at :
                 {static_cast<long double>(element), std::fabs(static_cast<long double>(element))})
                largest = std::max(largest, f(at) + std::fabs(df(at)));
        return z == 0 ? 0 : static_cast<double>(largest / z);
    };
    return result;
}

/// f_k(x) = Σ_{m≤k} x^m/m!
inline long double taylor_polynomial(long double x, int order) {
    long double sum = 0, term = 1;
    for (int m = 0; m <= order; ++m) {
        sum += term;
        term *= x / (m + 1);
    }
    return sum;
}

inline dense_normaliser taylor_softmax(int order) {
    return ratio([=](long double x) { return taylor_polynomial(x, order); },
                 [=](long double x) { return taylor_polynomial(x, order - 1); });
}

inline long double relu(long double x) { return x > 0 ? x : 0; }

/// relu(x)²/Σrelu(x)²
inline dense_normaliser normalised_relu_squared() {
    return ratio([](long double x) { return relu(x) * relu(x); },
                 [](long double x) { return 2 * relu(x); });
}

/// relu(x)²/n, n the length unless given.
inline dense_normaliser relu_squared(std::optional<double> divisor = {}) {
    const auto n = [=](const row& x) {
        return static_cast<long double>(divisor.value_or(static_cast<double>(x.size())));
    };
    dense_normaliser result;
    result.forward = [=](const row& x) {
        return each(x, [&](std::size_t i) { return relu(x[i]) * relu(x[i]) / n(x); });
    };
    result.backward = [=](const row& x, const row& dp) {
        return each(x, [&](std::size_t i) { return 2 * relu(x[i]) / n(x) * dp[i]; });
    };
    result.size = [=](const row& x) {
        long double largest = 0;
        for (const double element : x)
            largest = std::max(largest, relu(element) * relu(element) + 2 * relu(element));
        return static_cast<double>(largest / n(x));
    };
    return result;
}

/// σ(x + b), b = −log n unless given.
inline dense_normaliser sigmoid(std::optional<double> bias = {}) {
    const auto p = [=](const row& x, std::size_t i) {
        const long double b =
            bias ? static_cast<long double>(*bias) : -std::log(static_cast<long double>(x.size()));
        return 1 / (1 + std::exp(-(x[i] + b)));
    };
    dense_normaliser result;
    result.forward = [=](const row& x) { return each(x, [&](std::size_t i) { return p(x, i); }); };
    result.backward = [=](const row& x, const row& dp) {
        return each(x, [&](std::size_t i) { return p(x, i) * (1 - p(x, i)) * dp[i]; });
    };
    result.size = [=](const row& x) {
        long double largest = 0;
        for (std::size_t i = 0; i < x.size(); ++i)
            largest = std::max(largest, p(x, i) * (1 + std::fabs(x[i]) - std::log(p(x, i))));
        return static_cast<double>(largest);
    };
    return result;
}

/// e^x/√Σe^{2x}, dx = p·(dp − p·(p·dp))
inline dense_normaliser l2_softmax() {
    dense_normaliser result;
    result.forward = [](const row& x) {
        const double largest = maximum(x);
        long double square = 0;
        for (const double element : x) square += exponential(element, largest, 0.5);
        return each(x, [&](std::size_t i) {
            return square == 0 ? 0 : exponential(x[i], largest, 1) / std::sqrt(square);
        });
    };
    result.backward = [forward = result.forward](const row& x, const row& dp) {
        const row p = forward(x);
        const long double mean = dot(p, dp);
        return each(x, [&](std::size_t i) { return p[i] * (dp[i] - p[i] * mean); });
    };
    result.size = [](const row& x) { return 2 + std::sqrt(static_cast<double>(x.size())); };
    return result;
}

}  // namespace reference
