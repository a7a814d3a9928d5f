#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <vector>

#include "softmax.hpp"

/// \file
/// The distribution of a token, as the specification writes it.

namespace reference {

struct sampling {
    double tau = 1;
    std::size_t top_k = 0;  ///< 0: all
    double top_p = 1, min_p = 0;
};

/// p of each token: softmax(x/τ), cut, and made to sum to one again.
inline row token_probabilities(const row& x, const sampling& how) {
    row p = softmax(x, how.tau);
    std::vector<std::size_t> order(p.size());
    std::iota(order.begin(), order.end(), std::size_t(0));
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return x[a] > x[b]; });
    const auto normalise = [&] {
        const double sum = std::accumulate(p.begin(), p.end(), 0.0);
        for (double& share : p) share /= sum;
    };
    if (how.top_k > 0)
        for (std::size_t i = how.top_k; i < p.size(); ++i) p[order[i]] = 0;
    normalise();
    double mass = 0;
    for (const std::size_t i : order) {
        if (how.top_p < 1 && mass >= how.top_p) p[i] = 0;
        mass += p[i];
    }
    normalise();
    const double largest = *std::max_element(p.begin(), p.end());
    for (double& share : p)
        if (share < how.min_p * largest) share = 0;
    normalise();
    return p;
}

}  // namespace reference
