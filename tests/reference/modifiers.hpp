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

/// cap·tanh(s/cap), whose derivative is 1 − tanh².
inline modifier soft_cap(double cap) {
    const auto square = [=](double s) { return std::pow(std::tanh(s / cap), 2); };
    return {[=](double s, index, index, index, index) { return cap * std::tanh(s / cap); },
            [=](double s, index, index, index, index) { return 1 - square(s); },
            [=](double s, index, index, index, index) { return 1 + square(s); }};
}

}  // namespace reference
