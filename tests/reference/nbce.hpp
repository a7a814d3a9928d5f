#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <vector>

#include "softmax.hpp"

/// \file
/// Naive Bayes-based context extension, as the articles write it.

namespace reference {

struct nbce_options {
    double beta = 0;
    char pooling = 'e';  ///< 'm'ean, ma'x', least 'e'ntropy
    std::size_t top_k = 0;
    double top_p = 1;
    double eta = 0;
    std::ptrdiff_t before = -1;
};

/// The log-probabilities of the likeliest, a stable sort deciding among equals.
inline row likeliest(const row& logits, const nbce_options& how) {
    const row p = softmax(logits);
    std::vector<std::size_t> order(p.size());
    std::iota(order.begin(), order.end(), std::size_t(0));
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return p[a] > p[b]; });
    if (how.top_k > 0) order.resize(std::min(order.size(), how.top_k));
    double total = 0, sum = 0;
    for (const std::size_t j : order) total += p[j];
    row kept(p.size(), minus_infinity);
    for (const std::size_t j : order) {
        if (sum >= how.top_p * total && how.top_p < 1) break;
        sum += p[j];
        kept[j] = logits[j];
    }
    return log_softmax(kept);
}

inline double entropy_of_logs(const row& log_p) {
    double sum = 0;
    for (const double x : log_p)
        if (x > minus_infinity) sum -= std::exp(x) * x;
    return sum;
}

struct nbce_result {
    row log_p;
    std::ptrdiff_t context;
};

inline nbce_result nbce(const std::vector<row>& contexts, const row& without,
                        const nbce_options& how) {
    std::vector<row> log_p;
    for (const row& context : contexts) log_p.push_back(likeliest(context, how));
    const row prior = likeliest(without, how);
    std::size_t surest = 0;
    double least = INFINITY;
    for (std::size_t k = 0; k < log_p.size(); ++k) {
        const bool was_before = static_cast<std::ptrdiff_t>(k) == how.before;
        const double h = entropy_of_logs(log_p[k]) - (was_before ? how.eta : 0);
        if (h < least) {
            least = h;
            surest = k;
        }
    }
    row result(without.size());
    for (std::size_t j = 0; j < result.size(); ++j) {
        double pooled = how.pooling == 'm' ? 0 : minus_infinity;
        for (const row& one : log_p) {
            if (how.pooling == 'm') pooled += one[j] / static_cast<double>(log_p.size());
            if (how.pooling == 'x') pooled = std::max(pooled, one[j]);
        }
        if (how.pooling == 'e') pooled = log_p[surest][j];
        result[j] =
            prior[j] == minus_infinity ? pooled : (how.beta + 1) * pooled - how.beta * prior[j];
    }
    return {log_softmax(result), how.pooling == 'e' ? static_cast<std::ptrdiff_t>(surest) : -1};
}

}  // namespace reference
