#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "softmax.hpp"

/// \file
/// Losses on one row of logits with label t, as the specification writes them.

namespace reference {

struct loss {
    double value;
    row gradient;
};

/// p − onehot(t)
inline row minus_onehot(row p, std::size_t t) {
    p[t] -= 1;
    return p;
}

/// −Σ q·log p, q = (1 − ε)·onehot(t) + ε/n
inline loss cross_entropy(const row& x, std::size_t t, double smoothing = 0) {
    const row log_p = log_softmax(x);
    const auto n = static_cast<double>(x.size());
    loss result{0, softmax(x)};
    for (std::size_t j = 0; j < x.size(); ++j) {
        const double q = (j == t ? 1 - smoothing : 0) + smoothing / n;
        if (q > 0) result.value -= q * log_p[j];
        result.gradient[j] -= q;
    }
    return result;
}

/// −Σ w_c·q_c·log p_c, q = (1 − ε)·y + ε/n
inline loss soft_cross_entropy(const row& x, const row& y, const row& weights,
                               double smoothing = 0) {
    const row log_p = log_softmax(x), p = softmax(x);
    const auto n = static_cast<double>(x.size());
    loss result{0, row(x.size(), 0)};
    double total = 0;
    row q(x.size());
    for (std::size_t j = 0; j < x.size(); ++j) {
        q[j] = weights[j] * ((1 - smoothing) * y[j] + smoothing / n);
        if (q[j] != 0) result.value -= q[j] * log_p[j];
        total += q[j];
    }
    for (std::size_t j = 0; j < x.size(); ++j) result.gradient[j] = total * p[j] - q[j];
    return result;
}

/// Logits cos/τ, (cos_t − m)/τ at the label.
inline loss am_softmax(row cosines, std::size_t t, double margin, double tau) {
    cosines[t] -= margin;
    for (double& x : cosines) x /= tau;
    loss result = cross_entropy(cosines, t);
    for (double& g : result.gradient) g /= tau;
    return result;
}

/// p_t/(γ + (1 − γ)p_t)
inline double gamma_weight(double p, double gamma) { return p / (gamma + (1 - gamma) * p); }

/// −log(γ + (1 − γ)p_t)/(1 − γ), 1 − p_t at γ = 1
inline loss gamma_cross_entropy(const row& x, std::size_t t, double gamma) {
    const row p = softmax(x);
    loss result{gamma == 1 ? 1 - p[t] : -std::log(gamma + (1 - gamma) * p[t]) / (1 - gamma),
                minus_onehot(p, t)};
    for (double& g : result.gradient) g *= gamma_weight(p[t], gamma);
    return result;
}

/// w·(−log p_t), w = max(b, p_t/(γ + (1 − γ)p_t)) held constant
inline loss thresholded_cross_entropy(const row& x, std::size_t t, double gamma, double least) {
    const row p = softmax(x);
    const double weight = std::max(least, gamma_weight(p[t], gamma));
    loss result{-weight * std::log(p[t]), minus_onehot(p, t)};
    for (double& g : result.gradient) g *= weight;
    return result;
}

/// sg(p − onehot(t))·x
inline loss stop_gradient_loss(const row& x, std::size_t t) {
    const row g = minus_onehot(softmax(x), t);
    double value = 0;
    for (std::size_t j = 0; j < x.size(); ++j) value += g[j] * (x[j] - x[t]);
    return {value, g};
}

}  // namespace reference
