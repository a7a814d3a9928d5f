#pragma once

#include <cmath>
#include <functional>
#include <vector>

#include "tensor.hpp"

/// \file
/// Score modifiers (spec, section 1).

namespace reference {

/// A function of a score and its place.
using score_function = std::function<double(double s, index b, index h, index i, index j)>;

/// s ↦ value(s, b, h, i, j), with its derivative to s.
struct modifier {
    score_function value;
    score_function derivative;
    score_function magnitude{};  ///< the derivative over absolute values; empty: |derivative|
};

/// s + bias[b, h, i, j]; an extent of 1 stands for every batch, head, query or key.
inline modifier bias(const tensor& values) {
    auto add = [values](double s, index b, index h, index i, index j) {
        return s + values(values.batches() == 1 ? 0 : b, values.heads() == 1 ? 0 : h,
                          values.rows() == 1 ? 0 : i, values.columns() == 1 ? 0 : j);
    };
    return {add, [](double, index, index, index, index) { return 1.0; }};
}

/// s − slope_h·|position of i − j|, query i standing at i + M − N (arXiv 2108.12409).
inline modifier alibi(std::vector<double> slopes, index queries, index keys) {
    auto add = [=](double s, index, index h, index i, index j) {
        const auto distance = static_cast<double>(std::abs(i + keys - queries - j));
        return s - slopes[static_cast<std::size_t>(h)] * distance;
    };
    return {add, [](double, index, index, index, index) { return 1.0; }};
}

/// s + f(h, position of j − position of i), query i standing at i + M − N.
inline modifier by_distance(std::function<double(index h, double distance)> f, index queries,
                            index keys) {
    auto add = [=](double s, index, index h, index i, index j) {
        return s + f(h, static_cast<double>(j - (i + keys - queries)));
    };
    return {add, [](double, index, index, index, index) { return 1.0; }};
}

/// T5's bucket of a distance j − i, as its authors compute it (arXiv 1910.10683).
inline index t5_bucket(index distance, bool bidirectional, index buckets, index max_distance) {
    index first = 0;
    index apart = distance < 0 ? -distance : 0;
    if (bidirectional) {
        buckets /= 2;
        if (distance > 0) first = buckets;
        apart = std::abs(distance);
    }
    const index exact = buckets / 2;
    if (apart < exact) return first + apart;
    // ⌊log(apart/exact)/log(max/exact)·steps⌋: the largest k with (apart/exact)^steps at least
    // (max/exact)^k, but for rounding.
    const double ratio = static_cast<double>(max_distance) / static_cast<double>(exact);
    const auto steps = static_cast<double>(buckets - exact);
    const double place =
        std::log(static_cast<double>(apart) / static_cast<double>(exact)) / std::log(ratio) * steps;
    const index bucket = exact + static_cast<index>(std::floor(place + 1e-9));
    return first + (bucket < buckets - 1 ? bucket : buckets - 1);
}

/// −r₁·x^r₂ and −r₁·log(1 + r₂x), x = |distance| (kexue 9431).
inline double kerple_power(double r1, double r2, double distance) {
    return -r1 * std::pow(std::abs(distance), r2);
}
inline double kerple_log(double r1, double r2, double distance) {
    return -r1 * std::log(1 + r2 * std::abs(distance));
}

/// Σ_m cos(distance·base^(−2m/d)), m = 0 .. d/2−1 (kexue 9431).
inline double sandwich(double distance, index d, double base = 10000) {
    double sum = 0;
    for (index m = 0; m < d / 2; ++m)
        sum += std::cos(distance *
                        std::pow(base, -2 * static_cast<double>(m) / static_cast<double>(d)));
    return sum;
}

/// cap·tanh(s/cap), whose derivative is 1 − tanh².
inline modifier soft_cap(double cap) {
    const auto square = [=](double s) { return std::pow(std::tanh(s / cap), 2); };
    return {[=](double s, index, index, index, index) { return cap * std::tanh(s / cap); },
            [=](double s, index, index, index, index) { return 1 - square(s); },
            [=](double s, index, index, index, index) { return 1 + square(s); }};
}

}  // namespace reference
