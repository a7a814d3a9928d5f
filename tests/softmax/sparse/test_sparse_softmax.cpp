#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <heed/softmax/softmax.hpp>
#include <heed/softmax/sparse/sparse_softmax.hpp>

#include "reference/sparse.hpp"
#include "rows/row_objects.hpp"
#include "softmax/sparse/sparse_rows.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_sparse_softmax {

using heed_test::unit;
using reference::row;

heed_test::expectation of_largest(std::size_t k, double tau = 1) {
    return {[=](const row& x) { return reference::sparse_softmax(x, k, tau); },
            [=](const row& p, const row& dp) { return reference::softmax_backward(p, dp, tau); }, 4,
            16 / tau};
}
heed_test::expectation of_mass(double mass, double tau = 1) {
    return {[=](const row& x) { return reference::sparse_softmax_by_mass(x, mass, tau); },
            [=](const row& p, const row& dp) { return reference::softmax_backward(p, dp, tau); }, 4,
            16 / tau};
}

/// Scores whose exponentials are no denormals, which may be flushed: their support is certain.
bool is_moderate(const row& x) {
    double least = 0, largest = reference::maximum(x);
    for (const double v : x)
        if (v > reference::minus_infinity) least = std::max(least, largest - v);
    return least < 40;
}

TEMPLATE_TEST_CASE("sparse softmax of the rows of anything is the reference's", "",
                   HEED_TEST_SCALARS) {
    heed_test::generator random, numbers(1);
    heed_test::for_each_object<TestType>(random, [&](const auto& x) {
        heed_test::check_object(heed::sparse_softmax(1), of_largest(1), x, numbers);
        heed_test::check_object(heed::sparse_softmax_by_mass(0.6).temperature(2), of_mass(0.6, 2),
                                x, numbers);
    });
}

TEMPLATE_TEST_CASE("sparse softmax of hard rows: ties, masks, any k and mass", "",
                   HEED_TEST_SCALARS) {
    heed_test::generator random;
    for (const row& x : heed_test::hard_rows(random)) {
        if (!is_moderate(x)) continue;
        for (const std::size_t k : {1u, 2u, 7u, 32u, 500u}) {
            INFO("k " << k);
            heed_test::check_row<TestType>(heed::sparse_softmax(k), of_largest(k), x, random);
        }
    }
    for (const double deviation : {1e-3, 1.0, 4.0}) {
        const row x = random.numbers<double>(300, deviation);
        for (const double mass : {1e-3, 0.3, 0.9, 0.99, 1.0}) {
            INFO("mass " << mass);
            heed_test::check_row<TestType>(heed::sparse_softmax_by_mass(mass), of_mass(mass), x,
                                           random);
        }
    }
    heed_test::check_row<TestType>(heed::sparse_softmax(1000), of_largest(1000),
                                   random.numbers<double>(131072), random);
}

TEST_CASE("of equal scores, sparse softmax takes those of the lowest index") {
    Eigen::RowVectorXf x = Eigen::RowVectorXf::Constant(100, -1);
    for (const int i : {3, 40, 41, 77, 99}) x(i) = 2;
    const Eigen::RowVectorXf p = heed::sparse_softmax(3)(x);
    for (int i = 0; i < 100; ++i) CHECK(p(i) == (i == 3 || i == 40 || i == 41 ? 1 / 3.f : 0.f));
    // A mass of 0.45 of one hundred equal scores takes forty-five.
    const Eigen::RowVectorXd q =
        heed::sparse_softmax_by_mass(0.445)(Eigen::RowVectorXd(Eigen::RowVectorXd::Zero(100)));
    CHECK((q.head(45).array() == 1 / 45.0).all());
    CHECK((q.tail(55).array() == 0).all());
}

TEST_CASE("sparse softmax of all scores is softmax") {
    heed_test::generator random;
    const auto x = random.matrix<double>(20, 75);
    CHECK((heed::sparse_softmax(75)(x) - heed::softmax(x)).cwiseAbs().maxCoeff() <= 1e-15);
    CHECK((heed::sparse_softmax_by_mass(1)(x) - heed::softmax(x)).cwiseAbs().maxCoeff() <= 1e-15);
}

TEST_CASE("backward of sparse softmax agrees with central differences") {
    heed_test::generator random;
    CHECK(heed_test::slope_error(heed::sparse_softmax(4).temperature(0.7), random) <= 1e-7);
    CHECK(heed_test::slope_error(heed::sparse_softmax_by_mass(0.8), random) <= 1e-7);
}

TEST_CASE("sparse softmax: a NaN stays in its row; threads and layouts change no bit") {
    heed_test::generator random;
    for (const auto& normaliser : {heed::sparse_softmax(20), heed::sparse_softmax_by_mass(0.7)}) {
        heed_test::check_that_nan_stays(normaliser);
        heed_test::check_invariance(normaliser, random);
    }
}

TEST_CASE("bad k, mass and temperature of sparse softmax are refused") {
    const Eigen::MatrixXf x = Eigen::MatrixXf::Ones(4, 6);
    CHECK_THROWS_AS(heed::sparse_softmax(0), heed::argument_error);
    CHECK_THROWS_AS(heed::sparse_softmax(-3), heed::argument_error);
    CHECK_THROWS_AS(heed::sparse_softmax(std::numeric_limits<std::uint64_t>::max())(x),
                    heed::argument_error);
    CHECK_THROWS_WITH(
        heed::sparse_softmax(7)(x),
        Catch::Matchers::Contains("k is 7, but must lie between 1 and the length of the rows, 6"));
    CHECK_THROWS_AS(heed::sparse_softmax(7).backward(x, x, x), heed::argument_error);
    for (const double mass : {0.0, -0.5, 1.0001, double(NAN)})
        CHECK_THROWS_AS(heed::sparse_softmax_by_mass(mass), heed::argument_error);
    CHECK_THROWS_WITH(heed::sparse_softmax_by_mass(2),
                      Catch::Matchers::Contains("the mass is 2, but must lie in (0, 1]"));
    CHECK_THROWS_AS(heed::sparse_softmax(2).temperature(0), heed::argument_error);
}

}  // namespace test_sparse_softmax
