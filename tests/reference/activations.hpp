#pragma once

#include <cmath>

/// \file
/// Activations and their slopes, as the specification writes them, in double or long double.

namespace reference {

template <class Real>
inline constexpr Real pi = Real(3.14159265358979323846264338327950288L);

template <class Real>
Real erf(Real x) {
    return std::erf(x);
}
template <class Real>
Real erf_slope(Real x) {
    return 2 / std::sqrt(pi<Real>) * std::exp(-x * x);
}

/// Φ(x)
template <class Real>
Real normal_share(Real x) {
    return std::erfc(-x / std::sqrt(Real(2))) / 2;
}
/// φ(x)
template <class Real>
Real normal_density(Real x) {
    return std::exp(-x * x / 2) / std::sqrt(2 * pi<Real>);
}
template <class Real>
Real gelu(Real x) {
    return x * normal_share(x);
}
template <class Real>
Real gelu_slope(Real x) {
    return normal_share(x) + x * normal_density(x);
}

/// σ(x)
template <class Real>
Real logistic(Real x) {
    return 1 / (1 + std::exp(-x));
}
/// 2u
template <class Real>
Real gelu_tanh_argument(Real x) {
    return 2 * std::sqrt(2 / pi<Real>) * (x + Real(0.044715L) * x * x * x);
}
/// ½x·(1 + tanh u): 1 + tanh u = 2·σ(2u), which keeps its digits where it is small.
template <class Real>
Real gelu_tanh(Real x) {
    return x * logistic(gelu_tanh_argument(x));
}
template <class Real>
Real gelu_tanh_slope(Real x) {
    const Real share = logistic(gelu_tanh_argument(x)), rest = logistic(-gelu_tanh_argument(x));
    const Real slope = 2 * std::sqrt(2 / pi<Real>) * (1 + 3 * Real(0.044715L) * x * x);
    return share + x * slope * share * rest;
}

template <class Real>
Real silu(Real x) {
    return x * logistic(x);
}
template <class Real>
Real silu_slope(Real x) {
    return logistic(x) * (1 + x * logistic(-x));
}

template <class Real>
Real softplus(Real x) {
    return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}
template <class Real>
Real softplus_slope(Real x) {
    return logistic(x);
}

}  // namespace reference
