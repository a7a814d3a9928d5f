#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include <Eigen/Core>

#include <heed/core/arena.hpp>
#include <heed/softmax/kernel/candidates.hpp>
#include <heed/softmax/kernel/whole_rows.hpp>

#include "reference/softmax.hpp"
#include "rows/row_objects.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/scalars.hpp"

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
    for (const std::size_t length : {2u, 3u, 16u, 31u, 64u, 97u, 509u, 4099u}) {
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
    object.gradient(solved, scores.data, p.data, dx.data, dx.count, nullptr, memory);
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

using row_to_row = std::function<reference::row(const reference::row&)>;
using rows_to_row = std::function<reference::row(const reference::row&, const reference::row&)>;

/// What a normaliser is held to: p of x, dx of p and dp, and the errors that are allowed, in
/// roundings of 1.
struct expectation {
    row_to_row probabilities;
    rows_to_row gradient;
    double error = 2, gradient_error = 16;
};

/// f on all rows of x, and backward, against what is expected.
template <class Normaliser, class X>
void check_object(const Normaliser& normaliser, const expectation& expected, const X& x,
                  generator& random) {
    using T = heed::scalar_of<X>;
    const auto p = normaliser(x);
    auto dp = p;
    for (auto i = dp.size(); i-- > 0;) dp.data()[i] = static_cast<T>(random.normal());
    const auto x_rows = rows_of(x), p_rows = rows_of(p), dp_rows = rows_of(dp),
               dx_rows = rows_of(normaliser.backward(x, p, dp));
    bool close = p_rows.size() == x_rows.size();
    for (std::size_t r = 0; close && r < x_rows.size(); ++r) {
        const auto wanted = expected.probabilities(x_rows[r]);
        close &= largest_difference(p_rows[r], wanted) <= expected.error * unit<T>;
        close &= same_support(p_rows[r], wanted);
        const auto dx = expected.gradient(p_rows[r], dp_rows[r]);
        close &= largest_difference(dx_rows[r], dx) <= expected.gradient_error * unit<T>;
    }
    CHECK(close);
}

/// The object of a normaliser on one row.
template <class T, class Normaliser>
void check_row(const Normaliser& normaliser, const expectation& expected,
               const reference::row& exact, generator& random) {
    const auto object = normaliser.template whole_row<T>(0);
    const auto x = rounded_to<T>(exact);
    INFO(x.size() << " elements, the first " << x[0]);
    const auto p = checked_probabilities<T>(object, x);
    const auto wanted = expected.probabilities(x);
    CHECK(largest_difference(p, wanted) <= expected.error * unit<T>);
    CHECK(same_support(p, wanted));
    CHECK(distance_from_one(p) <= 4 * unit<T>);
    const auto dp = rounded_to<T>(random.numbers<double>(x.size()));
    const auto dx = row_gradient<T>(object, x, dp);
    if (reference::maximum(x) > reference::minus_infinity)
        CHECK(largest_difference(dx, expected.gradient(p, dp)) <=
              expected.gradient_error * unit<T>);
}

/// The most steps that any of many rows takes.
template <class T, class Normaliser>
int most_steps(const Normaliser& normaliser, generator& random) {
    heed::arena memory;
    const auto object = normaliser.template whole_row<T>(0);
    auto rows = hard_rows(random);
    for (const double deviation : {1e-6, 1e-3, 0.3, 3.0})
        rows.push_back(random.numbers<double>(131072, deviation));
    int most = 0;
    for (const auto& x : rows) {
        const heed::arena::scope mark(memory);
        const aligned_row<T> scores(x, memory);
        const auto room = scores.count + heed::vec<T>::size;
        heed::index found = 0;
        const auto solved = object.solve(
            scores.data, scores.count, heed::detail::largest_score(scores.data, scores.count),
            memory.take<T>(room), memory.take<std::int32_t>(room), found);
        most = std::max(most, solved.steps);
    }
    return most;
}

/// A NaN, or an infinity, makes its own row NaN and no other.
template <class Normaliser>
void check_that_nan_stays(const Normaliser& normaliser) {
    Eigen::MatrixXf x = Eigen::MatrixXf::Random(40, 70);
    x(3, 5) = NAN;
    x(7, 0) = INFINITY;
    x.row(9).setConstant(-INFINITY);
    x(9, 69) = NAN;
    const auto check = [&](const auto& of) {
        const auto p = normaliser(of);
        const auto dx = normaliser.backward(of, p, p);
        for (int r = 0; r < 40; ++r) {
            const bool is_bad = r == 3 || r == 7 || r == 9;
            CHECK(p.row(r).array().isNaN().all() == is_bad);
            CHECK(p.row(r).hasNaN() == is_bad);
            CHECK(dx.row(r).hasNaN() == is_bad);
        }
    };
    check(x);
    check(Eigen::Matrix<float, -1, -1, Eigen::RowMajor>(x));
}

/// The same bits for any number of threads, in any layout, in place; nothing allocated twice.
template <class Normaliser>
void check_invariance(const Normaliser& normaliser, generator& random) {
    const auto x = random.matrix<float>(333, 290);
    const Eigen::MatrixXf columns = x;
    const auto p = normaliser(x);
    CHECK((normaliser(columns) == p));
    for (const int threads : {1, 3}) {
        Eigen::ThreadPool pool(threads);
        CHECK((normaliser(x, heed::on(pool)) == p));
        CHECK((normaliser(columns, heed::on(pool)) == p));
    }
    auto y = x;
    normaliser.into(y, y);
    CHECK((y == p));
    auto over = x;  // dp, then dx
    normaliser.backward_into(over, x, p, over);
    CHECK((over == normaliser.backward(x, p, x)));

    heed::workspace scratch;
    Eigen::MatrixXf z = columns;
    const auto all = [&] {
        normaliser.into(y, x, heed::in(scratch));
        normaliser.into(z, columns, heed::in(scratch));
        normaliser.backward_into(y, x, p, x, heed::in(scratch));
    };
    all();
    const std::size_t before = allocations();
    all();
    CHECK(allocations() == before);
}

/// Backward against central differences, relative to the largest gradient.
template <class Normaliser>
double slope_error(const Normaliser& normaliser, generator& random) {
    if constexpr (is_tested<double>) {
        Eigen::MatrixXd x = random.matrix<double, Eigen::ColMajor>(6, 11);
        const Eigen::MatrixXd dp = random.matrix<double, Eigen::ColMajor>(6, 11);
        const Eigen::MatrixXd dx = normaliser.backward(x, normaliser(x), dp);
        return worst_slope(x, dx, [&] { return normaliser(x).cwiseProduct(dp).sum(); }) /
               dx.cwiseAbs().maxCoeff();
    } else {
        return 0;
    }
}

}  // namespace heed_test
