#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>

#include "softmax/sparse/sparse_rows.hpp"

/// \file
/// Rows of every scale and offset, with ties and with scores that crowd around a threshold, and
/// what a search for a threshold is held to on them.

namespace heed_test {

/// A row whose threshold, if it has one, lies about `reach` below the maximum.
template <class T>
reference::row random_row(generator& random, double reach) {
    reference::row x(1 + static_cast<std::size_t>(std::exp(random.uniform(0, std::log(80.0)))));
    const double scale = std::pow(10.0, random.uniform(-6, 4));
    const double offset = random.one_of({-1, 0, 1}) * std::pow(10.0, random.uniform(-3, 6));
    const auto kind = random.integer(0, 4);
    for (double& v : x) {
        v = scale * random.normal();
        if (kind == 1) v = std::round(v * 8) / 8;
        if (kind == 2) v = -reach * (1 - 1e-6 * scale * random.uniform());
        if (kind == 3) v = -std::exp2(-random.uniform(0, 60));
        if (kind == 4) v = reach * std::round(16 * random.uniform()) / 16;
    }
    if (kind == 2 || kind == 3) x[x.size() / 2] = 0;
    const double left_out = random.chance(0.1) ? 0.3 : 0;
    for (double& v : x)
        v = random.chance(left_out) ? reference::minus_infinity
                                    : static_cast<double>(static_cast<T>(v + offset));
    x[x.size() / 2] = static_cast<double>(static_cast<T>(offset));
    return x;
}

/// How many steps the object takes for a row.
template <class T, class Row>
int steps_of(const Row& object, const reference::row& x) {
    heed::arena memory;
    const aligned_row<T> scores(x, memory);
    if constexpr (requires { object.solve(scores.data, scores.count); }) {
        return object.solve(scores.data, scores.count).steps;
    } else {
        heed::index found = 0;
        return object
            .solve(scores.data, scores.count,
                   heed::detail::largest_score(scores.data, scores.count),
                   memory.take<T>(scores.count + heed::vec<T>::size), nullptr, found)
            .steps;
    }
}

/// What many rows came to: errors in roundings of 1.
struct search_results {
    int steps = 0;         ///< the most
    double error = 0;      ///< of any p
    double sum_error = 0;  ///< of Σp, relative to what it should be
    double misjudged = 0;  ///< the largest p, given or right, where the other is 0
};

/// Solves a row, and compares it with what is right.
template <class T, class Row>
void add_to(search_results& all, const Row& object, const reference::row& x,
            const reference::row& right, double sum = 1) {
    all.steps = std::max(all.steps, steps_of<T>(object, x));
    const reference::row p = checked_probabilities<T>(object, x);
    for (std::size_t i = 0; i < p.size(); ++i)
        if ((p[i] > 0) != (right[i] > 0))
            all.misjudged = std::max(all.misjudged, std::max(p[i], right[i]) / unit<T>);
    all.error = std::max(all.error, largest_difference(p, right) / unit<T>);
    const auto total = static_cast<double>(std::accumulate(p.begin(), p.end(), 0.0L));
    all.sum_error = std::max(all.sum_error, std::abs(total - sum) / (unit<T> * sum));
}

}  // namespace heed_test
