#pragma once

#include <cmath>
#include <functional>

#include "tensor.hpp"

/// \file
/// Scales c_i (spec, section 1). n is the number of keys that the query sees; a query that sees
/// none or one has log n = 0.

namespace reference {

/// 1/√d (kexue 8620).
inline double standard_scale(index d) { return 1 / std::sqrt(static_cast<double>(d)); }

/// log n, 0 for n of 0 or 1.
inline double log_count(index n) { return n < 2 ? 0 : std::log(static_cast<double>(n)); }

/// (log_base n)/√d (kexue 8823).
inline double log_n_scale(index n, index d, double base = 512) {
    return log_count(n) / std::log(base) * standard_scale(d);
}

/// κ·log n / d (kexue 8823).
inline double kappa_scale(index n, index d, double kappa) {
    return kappa * log_count(n) / static_cast<double>(d);
}

/// max(1, log_L n)/√d, L the length of training (kexue 9706).
inline double log_n_after_training_scale(index n, index d, double training_length) {
    return std::fmax(1, log_count(n) / std::log(training_length)) * standard_scale(d);
}

/// The maximum of a function with one hump on [low, high], by golden section.
inline double argmax(const std::function<double(double)>& f, double low, double high) {
    const double ratio = (std::sqrt(5.0) - 1) / 2;
    for (int round = 0; round < 200; ++round) {
        const double a = high - ratio * (high - low), b = low + ratio * (high - low);
        if (f(a) < f(b))
            low = a;
        else
            high = b;
    }
    return (low + high) / 2;
}

/// argmax_α α(1 − e^{α²}/n), normal scores (kexue 9812). Near the maximum the function is flat, so
/// only about eight digits are right.
inline double gradient_maximising_normal(double n) {
    return argmax([=](double a) { return a * (1 - std::exp(a * a) / n); }, 0,
                  std::sqrt(std::log(n)));
}

/// log E[e^{αs}], s of density ∝ (1−s²)^{(d−3)/2} on [−1, 1], with s = cos t: the density of t is
/// ∝ sin^{d−2} t, and the trapezoid rule is exact to rounding for so smooth a periodic function
/// (even d) or nearly so (odd d).
inline double log_mean_exp_cosine(double alpha, index d) {
    const int steps = 4000;
    const double pi = std::acos(-1.0);
    double sum = 0, weights = 0;
    for (int step = 0; step <= steps; ++step) {
        const double t = pi * step / steps;
        const double end = step == 0 || step == steps ? 0.5 : 1;
        const double weight = end * std::pow(std::sin(t), static_cast<double>(d - 2));
        sum += weight * std::exp(alpha * (std::cos(t) - 1));
        weights += weight;
    }
    return alpha + std::log(sum / weights);
}

/// argmax_α α(1 − E[e^{2αs}]/(n·E[e^{αs}]²)), cosine scores in d dimensions (kexue 9812). About
/// eight digits, and slow.
inline double gradient_maximising_cosine(double n, index d) {
    const auto gradient = [=](double a) {
        const double log_ratio =
            log_mean_exp_cosine(2 * a, d) - 2 * log_mean_exp_cosine(a, d) - std::log(n);
        return a * (1 - std::exp(log_ratio));
    };
    // The expression is positive up to the α where the two sides meet, then negative for good.
    double high = 1;
    while (gradient(high) > 0) high *= 2;
    return argmax(gradient, 0, high);
}

}  // namespace reference
