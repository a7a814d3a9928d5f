#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include <heed/softmax/sparsemax.hpp>

#include "reference/sparse.hpp"
#include "softmax/row_objects.hpp"
#include "softmax/sparse_rows.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

using heed_test::rows_of;
using heed_test::unit;
using reference::row;

}  // namespace

TEMPLATE_TEST_CASE("sparsemax of the rows of anything is the reference's", "", float, double) {
    using T = TestType;
    heed_test::generator random;
    heed_test::for_each_object<T>(random, [&](const auto& x) {
        const auto p = heed::sparsemax(x);
        auto dp = p;
        for (auto i = dp.size(); i-- > 0;) dp.data()[i] = static_cast<T>(random.normal());
        const auto x_rows = rows_of(x), p_rows = rows_of(p), dp_rows = rows_of(dp),
                   dx_rows = rows_of(heed::sparsemax.backward(x, p, dp));
        bool close = p_rows.size() == x_rows.size();
        for (std::size_t r = 0; close && r < x_rows.size(); ++r) {
            const row expected = reference::sparsemax(x_rows[r]);
            close &= heed_test::largest_difference(p_rows[r], expected) <= 2 * unit<T>;
            close &= heed_test::same_support(p_rows[r], expected);
            const row dx = reference::sparsemax_backward(expected, dp_rows[r]);
            close &= heed_test::largest_difference(dx_rows[r], dx) <= 16 * unit<T>;
        }
        CHECK(close);
    });
}

TEMPLATE_TEST_CASE("sparsemax of hard rows: the exact support, and a sum of one", "", float,
                   double) {
    using T = TestType;
    heed_test::generator random;
    const auto object = heed::sparsemax.whole_row<T>(0);
    for (const row& exact : heed_test::hard_rows(random)) {
        const row x = heed_test::rounded_to<T>(exact);
        INFO(x.size() << " elements, the first " << x[0]);
        const row p = heed_test::checked_probabilities<T>(object, x);
        const row expected = reference::sparsemax(x);
        CHECK(heed_test::largest_difference(p, expected) <= 2 * unit<T>);
        CHECK(heed_test::same_support(p, expected));
        CHECK(heed_test::distance_from_one(p) <= 4 * unit<T>);
        const row dp = heed_test::rounded_to<T>(random.numbers<double>(x.size()));
        const row dx = heed_test::row_gradient<T>(object, x, dp);
        if (reference::maximum(x) > reference::minus_infinity)
            CHECK(heed_test::largest_difference(dx, reference::sparsemax_backward(expected, dp)) <=
                  16 * unit<T>);
    }
}

TEMPLATE_TEST_CASE("sparsemax of a long row", "", float, double) {
    using T = TestType;
    heed_test::generator random;
    const auto object = heed::sparsemax.whole_row<T>(0);
    for (const double deviation : {0.0, 1e-7, 1e-5, 1.0}) {
        const row x = heed_test::rounded_to<T>(random.numbers<double>(131072, deviation));
        const row p = heed_test::checked_probabilities<T>(object, x);
        const row expected = reference::sparsemax(x);
        CHECK(heed_test::largest_difference(p, expected) <= 2 * unit<T>);
        CHECK(heed_test::same_support(p, expected));
        CHECK(heed_test::distance_from_one(p) <= 4 * unit<T>);
    }
}

TEMPLATE_TEST_CASE("sparsemax finds its threshold in few steps", "", float, double) {
    using T = TestType;
    heed_test::generator random;
    int most = 0;
    heed::arena memory;
    const auto object = heed::sparsemax.whole_row<T>(0);
    auto rows = heed_test::hard_rows(random);
    for (const double deviation : {1e-6, 1e-3, 0.3, 3.0})
        rows.push_back(random.numbers<double>(131072, deviation));
    for (const row& x : rows) {
        const heed::arena::scope mark(memory);
        const heed_test::aligned_row<T> scores(x, memory);
        const auto room = scores.count + heed::vec<T>::size;
        heed::index found = 0;
        const auto solved = object.solve(
            scores.data, scores.count, heed::detail::largest_score(scores.data, scores.count),
            memory.take<T>(room), memory.take<std::int32_t>(room), found);
        most = std::max(most, solved.steps);
    }
    CHECK(most <= 14);  // of 64 that it allows itself
    CHECK(most >= 3);
}

TEST_CASE("backward of sparsemax agrees with central differences") {
    heed_test::generator random;
    Eigen::MatrixXd x = random.matrix<double, Eigen::ColMajor>(6, 11);
    const Eigen::MatrixXd dp = random.matrix<double, Eigen::ColMajor>(6, 11);
    const Eigen::MatrixXd dx = heed::sparsemax.backward(x, heed::sparsemax(x), dp);
    CHECK(heed_test::worst_slope(x, dx, [&] {
              return heed::sparsemax(x).cwiseProduct(dp).sum();
          }) <= 1e-7 * dx.cwiseAbs().maxCoeff());
}

TEST_CASE("a NaN, or an infinity, stays in its row of sparsemax") {
    Eigen::MatrixXf x = Eigen::MatrixXf::Random(40, 70);
    x(3, 5) = NAN;
    x(7, 0) = INFINITY;
    x.row(9).setConstant(-INFINITY);
    x(9, 69) = NAN;
    const auto check = [&](const auto& of) {
        const auto p = heed::sparsemax(of);
        const auto dx = heed::sparsemax.backward(of, p, p);
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

TEST_CASE("sparsemax is the same for any number of threads, in place, and allocates once") {
    heed_test::generator random;
    const auto x = random.matrix<float>(333, 290);
    const Eigen::MatrixXf columns = x;
    const auto p = heed::sparsemax(x);
    CHECK((heed::sparsemax(columns) == p));  // a row's sums have one order in every layout
    for (const int threads : {1, 3}) {
        Eigen::ThreadPool pool(threads);
        CHECK((heed::sparsemax(x, heed::on(pool)) == p));
        CHECK((heed::sparsemax(columns, heed::on(pool)) == p));
    }
    auto y = x;
    heed::sparsemax.into(y, y);
    CHECK((y == p));
    auto over = x;  // dp, then dx
    heed::sparsemax.backward_into(over, x, p, over);
    CHECK((over == heed::sparsemax.backward(x, p, x)));

    heed::workspace scratch;
    Eigen::MatrixXf z = columns;
    const auto all = [&] {
        heed::sparsemax.into(y, x, heed::in(scratch));
        heed::sparsemax.into(z, columns, heed::in(scratch));
        heed::sparsemax.backward_into(y, x, p, x, heed::in(scratch));
    };
    all();
    const std::size_t before = heed_test::allocations();
    all();
    CHECK(heed_test::allocations() == before);
}
