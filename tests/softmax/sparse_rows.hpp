#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include <Eigen/Core>

#include <heed/core/arena.hpp>
#include <heed/softmax/candidates.hpp>
#include <heed/softmax/whole_rows.hpp>

#include "reference/softmax.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

/// \file
/// What is asked of every normaliser that needs a whole row, and the rows that it is asked of.

namespace heed_test {

/// Rows that are hard for a sparse normaliser.
inline std::vector<reference::row> hard_rows(generator& random) {
    const double nothing = reference::minus_infinity;
    std::vector<reference::row> rows = {
        {0.25},
        {nothing},
        {0, nothing, nothing},
        {1, 0},
        {2, 0},
        {0.75, 0.25, 0, -5},   // the third is at sparsemax's threshold
        {0, 0, 0, 0, -1, -1},  // ties at the threshold of entmax-1.5
        {1e4, 9999.5, -1e4, 0, 9999.75},
        {-1e4, -1e4, -1e4 - 0.25},
        {1e-40, -1e-40, 0, -0.0},
        {-3e38, 3e38, 0},
        reference::row(1000, 7),
        reference::row(257, -1e4),
        reference::row(40, nothing),
    };
    for (const std::size_t length : {2, 3, 16, 31, 64, 97, 509, 4099}) {
        for (const double deviation : {1e-6, 1e-3, 0.1, 1.0, 4.0, 100.0}) {
            auto row = random.numbers<double>(length, deviation);
            for (double& x : row) x = static_cast<float>(x);
            rows.push_back(row);
            for (double& x : row) x = std::round(x * 8) / 8;  // many ties
            rows.push_back(row);
            for (double& x : row)
                if (random.chance(0.3)) x = nothing;
            rows.push_back(row);
        }
    }
    // One far above the others, and others just above the threshold; elements that leave the
    // support one by one.
    reference::row edge(1000, -0.9990234375), ladder;
    edge[17] = 0;
    rows.push_back(edge);
    for (int i = 0; i < 60; ++i) ladder.push_back(1 - std::ldexp(1.0, -i));
    rows.push_back(ladder);
    for (int i = 0; i < 200; ++i) ladder.push_back(static_cast<float>(-std::pow(1.1, i - 190)));
    rows.push_back(ladder);
    return rows;
}

/// A row as the objects want it: aligned, and −∞ up to pairs of vectors.
template <class T>
struct aligned_row {
    aligned_row(const reference::row& x, heed::arena& memory,
                double fill = reference::minus_infinity)
        : length(static_cast<heed::index>(x.size())),
          count(heed::detail::whole_length<T>(length)),
          data(memory.take<T>(count)) {
        for (heed::index i = 0; i < count; ++i)
            data[i] = static_cast<T>(i < length ? x[static_cast<std::size_t>(i)] : fill);
    }

    heed::index length, count;
    T* data;
};

/// Checks that an object's normalise, recompute and support give the same bits, and that what is
/// left out gets nothing; returns the probabilities.
template <class T, class Row>
reference::row checked_probabilities(const Row& object, const reference::row& x) {
    heed::arena memory;
    const aligned_row<T> scores(x, memory), p(x, memory), again(x, memory);
    const auto solved = object.normalise(p.data, p.count, memory);
    object.recompute(solved, again.data, again.count);
    const auto bytes = static_cast<std::size_t>(p.count) * sizeof(T);
    bool same = std::memcmp(p.data, again.data, bytes) == 0;
    if constexpr (Row::is_sparse) {
        const heed::index room = p.count + heed::vec<T>::size;
        T* values = memory.take<T>(room);
        auto* positions = memory.take<std::int32_t>(room);
        typename Row::statistics found{};
        const auto kept = object.support(scores.data, scores.count,
                                         heed::detail::largest_score(scores.data, scores.count),
                                         values, positions, found, memory);
        same &= std::memcmp(&found, &solved, sizeof found) == 0;
        std::fill_n(again.data, again.count, T(0));
        for (heed::index s = 0; s < kept; ++s) {
            same &= s == 0 || positions[s - 1] < positions[s];
            same &= values[s] > 0;
            again.data[positions[s]] = values[s];
        }
        for (heed::index i = 0; i < p.count; ++i) same &= p.data[i] == again.data[i];
    }
    for (heed::index i = 0; i < p.count; ++i)
        same &= scores.data[i] > -std::numeric_limits<T>::infinity() || p.data[i] == T(0);
    CHECK(same);
    return {p.data, p.data + p.length};
}

/// The gradient of the scores, after normalise.
template <class T, class Row>
reference::row row_gradient(const Row& object, const reference::row& x, const reference::row& dp) {
    heed::arena memory;
    const aligned_row<T> scores(x, memory), p(x, memory), dx(dp, memory, 1);
    const auto solved = object.normalise(p.data, p.count, memory);
    object.gradient(solved, scores.data, p.data, dx.data, dx.count, memory);
    bool zero = true;
    for (heed::index i = 0; i < p.count; ++i)
        zero &= scores.data[i] > -std::numeric_limits<T>::infinity() || dx.data[i] == T(0);
    CHECK(zero);
    return {dx.data, dx.data + dx.length};
}

/// The largest |a − b|.
inline double largest_difference(const reference::row& a, const reference::row& b) {
    double largest = a.size() == b.size() ? 0 : INFINITY;
    for (std::size_t i = 0; i < a.size() && i < b.size(); ++i)
        if (!(std::abs(a[i] - b[i]) <= largest)) largest = std::abs(a[i] - b[i]);
    return largest;
}

/// The largest |central difference − gradient|; `loss` is a function of x.
template <class X, class Loss>
double worst_slope(X& x, const X& gradient, Loss&& loss, double step = 1e-6) {
    double worst = 0;
    for (Eigen::Index i = 0; i < x.size(); ++i) {
        const double before = x.data()[i];
        x.data()[i] = before + step;
        const double above = loss();
        x.data()[i] = before - step;
        const double below = loss();
        x.data()[i] = before;
        worst = std::max(worst, std::abs((above - below) / (2 * step) - gradient.data()[i]));
    }
    return worst;
}

/// |Σp − 1|, or 0 for a row of zeros.
inline double distance_from_one(const reference::row& p) {
    const long double sum = std::accumulate(p.begin(), p.end(), 0.0L);
    return sum == 0 ? 0 : static_cast<double>(std::abs(sum - 1));
}

/// Whether the same elements are zero.
inline bool same_support(const reference::row& a, const reference::row& b) {
    for (std::size_t i = 0; i < a.size(); ++i)
        if ((a[i] > 0) != (b[i] > 0)) return false;
    return true;
}

/// x as T holds it.
template <class T>
reference::row rounded_to(reference::row x) {
    for (double& v : x) v = static_cast<double>(static_cast<T>(v));
    return x;
}

}  // namespace heed_test
