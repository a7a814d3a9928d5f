#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <heed/softmax/softmax.hpp>
#include <heed/softmax/sparse/entmax.hpp>
#include <heed/softmax/sparse/entmax15.hpp>
#include <heed/softmax/sparse/sparsemax.hpp>

#include "reference/sparse.hpp"
#include "rows/random_rows.hpp"
#include "rows/row_objects.hpp"
#include "softmax/sparse/sparse_rows.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_entmax {

using heed_test::unit;
using reference::row;

constexpr double alphas[] = {1, 1.0001, 1.2, 1.25, 4.0 / 3, 1.5, 1.75, 2, 2.5, 4, 10};

/// Whether dx is the reference's, as nearly as the roundings of the weights and of a sum of
/// products g_i·g_j·dp allow.
bool is_gradient(const row& dx, const row& p, double alpha, const row& dp, double rounding) {
    const auto g = reference::entmax_weights(p, alpha);
    const row expected = reference::entmax_backward(p, alpha, dp);
    long double sum = 0, size = 0, largest = 0;
    for (std::size_t i = 0; i < p.size(); ++i) {
        sum += g[i];
        size += g[i] * std::abs(dp[i]);
        largest = std::max(largest, g[i]);
    }
    for (std::size_t i = 0; i < p.size(); ++i) {
        // What the largest weight loses, all the others together make up for.
        const long double others = std::min(g[i], sum - largest + largest * rounding);
        const long double factor = (16 + 4 * std::abs(std::log(g[i] > 0 ? g[i] : 1))) * rounding;
        const auto bound = static_cast<double>(
            factor *
            (alpha > 2 && g[i] == largest ? others * 4 : g[i] * (std::abs(dp[i]) + size / sum)));
        if (!(std::abs(dx[i] - expected[i]) <= bound + 1e-30)) return false;
    }
    return true;
}

TEMPLATE_TEST_CASE("entmax of hard rows, for every alpha", "", HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    for (const double alpha : alphas) {
        INFO("alpha " << alpha);
        const auto object = heed::entmax(alpha).whole_row<T>(0);
        for (const row& exact : heed_test::hard_rows(random)) {
            if (exact.size() > 300) continue;  // the reference takes its time
            const row x = heed_test::rounded_to<T>(exact);
            INFO(x.size() << " elements, the first " << x[0]);
            const row p = heed_test::checked_probabilities<T>(object, x);
            const row expected = reference::entmax(x, alpha);
            CHECK(heed_test::largest_difference(p, expected) <= 4 * unit<T>);
            CHECK(heed_test::distance_from_one(p) <= 8 * unit<T>);
            if (alpha > 1.5 && alpha != 2) CHECK(heed_test::same_support(p, expected));
            const row dp = heed_test::rounded_to<T>(random.numbers<double>(x.size()));
            const row dx = heed_test::row_gradient<T>(object, x, dp);
            if (reference::maximum(x) > reference::minus_infinity)
                CHECK(is_gradient(dx, p, alpha, dp, unit<T>));
        }
    }
}

TEMPLATE_TEST_CASE("entmax of long rows", "", HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    for (const double alpha : {1.0001, 4.0}) {
        for (const double deviation : {0.0, 1.0}) {
            const row x = heed_test::rounded_to<T>(random.numbers<double>(131072, deviation));
            const row p =
                heed_test::checked_probabilities<T>(heed::entmax(alpha).whole_row<T>(0), x);
            CHECK(heed_test::largest_difference(p, reference::entmax(x, alpha)) <= 4 * unit<T>);
            CHECK(heed_test::distance_from_one(p) <= 8 * unit<T>);
        }
    }
}

TEMPLATE_TEST_CASE("entmax finds its threshold in few steps, whatever alpha", "",
                   HEED_TEST_SCALARS) {
    heed_test::generator random;
    for (const double alpha : {1.0, 1.0001, 1.2, 1.4, 1.9}) {
        INFO("alpha " << alpha);
        CHECK(heed_test::most_steps<TestType>(heed::entmax(alpha), random) <= 16);
    }
    for (const double alpha : {2.01, 4.0, 10.0}) {
        INFO("alpha " << alpha);
        CHECK(heed_test::most_steps<TestType>(heed::entmax(alpha), random) <= 48);
    }
}

TEMPLATE_TEST_CASE("entmax of random rows: the support to a few roundings, in few steps", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    for (const double alpha : {1.01, 1.3, 1.75, 1.99, 2.001, 2.5, 4.0, 10.0, 60.0}) {
        INFO("alpha " << alpha);
        const auto object = heed::entmax(alpha).whole_row<T>(0);
        heed_test::search_results all;
        for (int r = 0; r < 600; ++r) {
            const row x = heed_test::random_row<T>(random, 1 / (alpha - 1));
            heed_test::add_to<T>(all, object, x, reference::entmax(x, alpha));
        }
        // Beyond 2, of at most 81 scores, a p of 8 + 2·log 96 roundings may be left out.
        const double left_out = alpha > 2 ? 18 : 1;
        CHECK(all.misjudged <= left_out);
        CHECK(all.error <= (alpha > 2 ? left_out : 4));
        CHECK(all.sum_error <= 8);
        CHECK(all.steps <= 100);
        CHECK(100 < heed::detail::entmax_solver<T>::most_steps);  // which no row can need
    }
}

TEMPLATE_TEST_CASE("entmax beyond 2: a score exactly at the threshold is not in the support", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    // (α − 1)(x − c) = p^{α−1} with p of a few sixteenths, so that Σp = 1 at the threshold c.
    for (const double slope : {1.5, 2.0, 3.0, 4.0, 9.0}) {
        for (const row& p : {row{9, 7}, row{5, 4, 4, 3}, row{14, 1, 1}, row{16}}) {
            for (const double offset : {0.0, 4.0, -100.0}) {
                row x = {offset, offset};
                for (const double part : p)
                    x.push_back(offset + std::pow(part / 16, slope) / slope);
                x = heed_test::rounded_to<T>(x);
                INFO("alpha " << 1 + slope << ", offset " << offset << ", first " << p[0]);
                const row found =
                    heed_test::checked_probabilities<T>(heed::entmax(1 + slope).whole_row<T>(0), x);
                // With an offset, what is near to the threshold is no longer exactly at it.
                const row right = reference::entmax(x, 1 + slope);
                for (std::size_t i = 0; i < x.size(); ++i) {
                    if (offset == 0) CHECK((found[i] > 0) == (i >= 2));
                    CHECK(std::abs(found[i] - right[i]) <= 16 * heed_test::unit<T>);
                }
            }
        }
    }
}

TEMPLATE_TEST_CASE("entmax of an alpha whose powers are too small or too large", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    for (const double alpha : {60.0, 1e3, 1e30, 1e300}) {
        INFO("alpha " << alpha);
        const auto f = heed::entmax(alpha);
        Eigen::Matrix<T, 2, 6> x;
        x << 3, 3, 1, 3, 2, 3, 0, T(-1) / 4096, -1, -1, -1, -1;
        const auto p = f(x);
        for (const int j : {0, 1, 3, 5}) CHECK(p(0, j) == T(0.25));
        CHECK(p.row(0).sum() == 1);
        CHECK(std::abs(p.row(1).sum() - 1) <= 4 * unit<T>);
        // Beyond, the reference's powers are too small for long double.
        const double first = alpha < 1e6 ? reference::entmax({0, -1.0 / 4096, -1}, alpha)[0] : 1;
        CHECK(std::abs(static_cast<double>(p(1, 0)) - first) <= 4 * unit<T>);
        const auto dx = f.backward(x, p, p);
        CHECK(dx.allFinite());
    }
}

TEST_CASE("entmax of alpha 1, 1.5 and 2 is softmax, entmax15 and sparsemax") {
    heed_test::generator random;
    const auto x = random.matrix<double>(20, 75);
    const auto dp = random.matrix<double>(20, 75);
    const auto check = [&](double alpha, const auto& other, double bound) {
        const auto p = heed::entmax(alpha)(x), q = other(x);
        CHECK((p - q).cwiseAbs().maxCoeff() <= bound);
        const auto dx = heed::entmax(alpha).backward(x, q, dp), dq = other.backward(x, q, dp);
        CHECK((dx - dq).cwiseAbs().maxCoeff() <= 1e-15);
    };
    check(1, heed::softmax, 1e-15);
    check(1.5, heed::entmax15, 0);
    check(2, heed::sparsemax, 0);
    CHECK((heed::entmax(1 + 1e-9)(x) - heed::softmax(x)).cwiseAbs().maxCoeff() <= 1e-8);
    CHECK((heed::entmax(2 - 1e-9)(x) - heed::sparsemax(x)).cwiseAbs().maxCoeff() <= 1e-8);
    CHECK((heed::entmax(2 + 1e-9)(x) - heed::sparsemax(x)).cwiseAbs().maxCoeff() <= 1e-8);
}

TEST_CASE("backward of entmax agrees with central differences, in x and in alpha") {
    heed_test::generator random;
    const auto x = random.matrix<double>(12, 17);
    const auto dp = random.matrix<double>(12, 17);
    for (const double alpha : alphas) {
        INFO("alpha " << alpha);
        if (alpha <= 2) CHECK(heed_test::slope_error(heed::entmax(alpha), random) <= 1e-7);
        const auto loss = [&](double a) { return heed::entmax(a)(x).cwiseProduct(dp).sum(); };
        const double gradient = heed::entmax(alpha).alpha_gradient(heed::entmax(alpha)(x), dp);
        if (alpha == 1) continue;  // has no left side
        const double h = 1e-5, slope = (loss(alpha + h) - loss(alpha - h)) / (2 * h);
        CHECK(std::abs(slope - gradient) <= 1e-7 * std::max(1.0, std::abs(gradient)));
    }
}

TEMPLATE_TEST_CASE("the gradient in alpha is the reference's, near 1 too", "", HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    for (const double alpha : {1.0, 1.0 + 1e-9, 1.0001, 1.01, 1.5, 1.9, 2.0, 3.0}) {
        INFO("alpha " << alpha);
        const auto x = random.matrix<T, Eigen::ColMajor>(37, 300);
        const auto dp = random.matrix<T, Eigen::ColMajor>(37, 300);
        const auto p = heed::entmax(alpha)(x);
        // The reference's two terms cancel near 1, even in long double: there, the limit.
        const double near = alpha < 1 + 1e-6 ? 1 : alpha;
        const auto p_rows = heed_test::rows_of(p), dp_rows = heed_test::rows_of(dp);
        double expected = 0, size = 0;
        for (std::size_t r = 0; r < p_rows.size(); ++r) {
            const double gradient = reference::entmax_alpha_backward(p_rows[r], near, dp_rows[r]);
            expected += gradient;
            size += std::abs(gradient);
        }
        const double bound = (64 * unit<T> + 1e-8 * (near != alpha)) * size + 1e-10;
        CHECK(std::abs(static_cast<double>(heed::entmax(alpha).alpha_gradient(p, dp)) - expected) <=
              bound);
    }
}

TEST_CASE("entmax: a NaN stays in its row; threads and layouts change no bit") {
    heed_test::generator random;
    for (const double alpha : {1.0, 1.1, 1.6, 3.0}) {
        INFO("alpha " << alpha);
        heed_test::check_that_nan_stays(heed::entmax(alpha));
        heed_test::check_invariance(heed::entmax(alpha), random);
    }
}

TEST_CASE("alpha below 1 is refused, and gradients of other shapes") {
    for (const double alpha : {0.999, -1.0, double(NAN), double(INFINITY)})
        CHECK_THROWS_AS(heed::entmax(alpha), heed::argument_error);
    CHECK_THROWS_WITH(heed::entmax(0.5), Catch::Matchers::Contains(
                                             "heed::entmax: alpha is 0.5, but must be at least 1"));
    const Eigen::MatrixXd p = Eigen::MatrixXd::Constant(3, 4, 0.25);
    CHECK_THROWS_AS(heed::entmax(1.5).alpha_gradient(p, Eigen::MatrixXd(4, 3)), heed::shape_error);
}

}  // namespace test_entmax
