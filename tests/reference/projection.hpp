#pragma once

#include <cstddef>
#include <vector>

#include "softmax.hpp"

/// \file
/// y = x·Wᵀ + b and its gradients, as they are written.

namespace reference {

/// Rows of numbers: x [rows][inputs], W [outputs][inputs].
using matrix = std::vector<row>;

/// y_ro = Σ_i x_ri·W_oi + b_o; no bias if b is empty.
inline matrix project(const matrix& x, const matrix& weight, const row& bias) {
    matrix y;
    for (const row& from : x) {
        row to;
        for (std::size_t o = 0; o < weight.size(); ++o) {
            long double sum = bias.empty() ? 0 : bias[o];
            for (std::size_t i = 0; i < from.size(); ++i)
                sum += static_cast<long double>(from[i]) * weight[o][i];
            to.push_back(static_cast<double>(sum));
        }
        y.push_back(to);
    }
    return y;
}

struct projection_gradients {
    matrix x, weight;
    row bias;
};

/// dx = dy·W, dW_oi = Σ_r dy_ro·x_ri, db_o = Σ_r dy_ro.
inline projection_gradients project_backward(const matrix& dy, const matrix& x,
                                             const matrix& weight, std::size_t inputs) {
    projection_gradients d{matrix(x.size(), row(inputs, 0)), matrix(weight.size(), row(inputs, 0)),
                           row(weight.size(), 0)};
    for (std::size_t o = 0; o < weight.size(); ++o) {
        std::vector<long double> sums(inputs, 0);
        long double bias = 0;
        for (std::size_t r = 0; r < x.size(); ++r) {
            for (std::size_t i = 0; i < inputs; ++i)
                sums[i] += static_cast<long double>(dy[r][o]) * x[r][i];
            bias += dy[r][o];
        }
        for (std::size_t i = 0; i < inputs; ++i) d.weight[o][i] = static_cast<double>(sums[i]);
        d.bias[o] = static_cast<double>(bias);
    }
    for (std::size_t r = 0; r < x.size(); ++r)
        for (std::size_t i = 0; i < inputs; ++i) {
            long double sum = 0;
            for (std::size_t o = 0; o < weight.size(); ++o)
                sum += static_cast<long double>(dy[r][o]) * weight[o][i];
            d.x[r][i] = static_cast<double>(sum);
        }
    return d;
}

}  // namespace reference
