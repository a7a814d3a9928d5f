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

/// −Σ q log q
inline long double entropy(const row& q) {
    long double h = 0;
    for (const double element : q)
        if (element > 0) h -= element * std::log(static_cast<long double>(element));
    return h;
}

/// γ with H(softmax(γx)) = target, by bisection; 0 or ∞ where the row cannot attain it.
inline double entropy_gamma(const row& x, double target) {
    const auto entropy_at = [&](double gamma) { return entropy(softmax(x, 1 / gamma)); };
    if (target >= std::log(static_cast<double>(x.size()))) return 0;
    const auto tied = std::count(x.begin(), x.end(), maximum(x));
    if (target <= std::log(static_cast<double>(tied))) return -minus_infinity;
    double low = 1e-12, high = 1;
    while (entropy_at(high) > target) high *= 2;
    for (int step = 0; step < 200; ++step) {
        const double middle = std::sqrt(low * high);
        (entropy_at(middle) > target ? low : high) = middle;
    }
    return low;
}

/// q = e^{γx}/Σe^{γx} of that entropy; dx = γ(dy − e·(dy·x)/(e·x)) with dy = q⊙(dq − q·dq),
/// e = −q⊙(log q + H*).
inline dense_normaliser entropy_normalised(double target) {
    dense_normaliser result;
    result.forward = [=](const row& x) {
        const double gamma = entropy_gamma(x, target);
        if (std::isfinite(gamma) && gamma > 0) return softmax(x, 1 / gamma);
        const double largest = maximum(x);
        const auto tied = static_cast<double>(std::count(x.begin(), x.end(), largest));
        return each(x, [&](std::size_t i) {
            return gamma == 0 ? 1 / static_cast<double>(x.size())
                              : (x[i] == largest ? 1 / tied : 0);
        });
    };
    result.backward = [=, forward = result.forward](const row& x, const row& dq) {
        const double gamma = entropy_gamma(x, target);
        if (!std::isfinite(gamma) || gamma == 0) return row(x.size(), 0);
        const row q = forward(x), dy = softmax_backward(q, dq);
        const row e = each(x, [&](std::size_t i) {
            return q[i] == 0 ? 0 : -q[i] * (std::log(static_cast<long double>(q[i])) + target);
        });
        const double ratio = dot(dy, x) / dot(e, x);
        return each(x, [&](std::size_t i) { return gamma * (dy[i] - e[i] * ratio); });
    };
    result.size = [=](const row& x) {
        const double gamma = entropy_gamma(x, target);
        return 4 * (1 + (std::isfinite(gamma) ? gamma : 0)) *
               (1 + std::log(static_cast<double>(x.size())));
    };
    return result;
}

/// dH* = (dy·x)/(e·x)
inline double entropy_backward(const row& x, const row& dq, double target) {
    const row q = entropy_normalised(target).forward(x), dy = softmax_backward(q, dq);
    const row e = each(x, [&](std::size_t i) {
        return q[i] == 0 ? 0 : -q[i] * (std::log(static_cast<long double>(q[i])) + target);
    });
    return dot(dy, x) / dot(e, x);
}

}  // namespace reference
