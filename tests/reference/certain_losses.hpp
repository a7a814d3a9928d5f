#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "losses.hpp"

/// \file
/// The losses of softmax's probabilities on one row, in long double and without taking anything
/// from 1: right to the last digits of a double where the label is all but certain, and for logits
/// of any size.

namespace reference {

/// What is known of a row of logits with label t.
struct certain_row {
    std::vector<long double> p;  ///< of all; of the label too
    long double log_p_t;
    long double others;        ///< 1 − p_t
    long double mean_log_p;    ///< Σ log p_j/n
    long double expected_gap;  ///< Σ p_j·(x_j − x_t)/τ
};

inline certain_row certain(const row& x, std::size_t t, double tau = 1, double margin = 0) {
    std::vector<long double> z(x.begin(), x.end());
    z[t] -= margin;
    for (long double& v : z) v /= tau;
    long double greatest = -std::numeric_limits<long double>::infinity();  // of the others
    for (std::size_t j = 0; j < z.size(); ++j)
        if (j != t) greatest = std::max(greatest, z[j]);
    sum_of_many of_others;
    for (std::size_t j = 0; j < z.size(); ++j)
        if (j != t) of_others.add(std::exp(z[j] - greatest));
    const long double sum = of_others.value();
    // e^{x_t − greatest} : sum is p_t : others.
    const long double gap = z[t] - greatest, odds = sum == 0 ? 0 : sum * std::exp(-gap);
    certain_row result{{}, 0, 0, 0, 0};
    const bool is_likely = odds <= 1;
    result.log_p_t = is_likely ? -std::log1p(odds) : gap - std::log(sum + std::exp(gap));
    result.others = is_likely ? odds / (1 + odds) : sum / (sum + std::exp(gap));
    sum_of_many logarithms, gaps;
    for (std::size_t j = 0; j < z.size(); ++j) {
        const long double above = z[j] - z[t];
        result.p.push_back(std::exp(above + result.log_p_t));
        logarithms.add((above + result.log_p_t) / static_cast<long double>(z.size()));
        if (result.p[j] > 0) gaps.add(result.p[j] * above);
    }
    result.mean_log_p = logarithms.value();
    result.expected_gap = gaps.value();
    return result;
}

/// weight·(p − q) of that row, q = (1 − ε)·onehot(t) + ε/n.
inline row certain_gradient(const certain_row& of, std::size_t t, long double weight,
                            double smoothing = 0) {
    row dx;
    const long double even = smoothing / static_cast<long double>(of.p.size());
    for (std::size_t j = 0; j < of.p.size(); ++j)
        dx.push_back(
            static_cast<double>(weight * (j == t ? smoothing - of.others - even : of.p[j] - even)));
    return dx;
}

}  // namespace reference
