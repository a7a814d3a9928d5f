#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/measure/cosine_entropy_floor.hpp>
#include <heed/measure/entropy.hpp>
#include <heed/softmax/softmax.hpp>

#include "reference/measures.hpp"
#include "rows/row_objects.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_entropy {

using heed_test::numbers_of;
using heed_test::rows_of;
using heed_test::unit;
using reference::row;
constexpr double infinity = std::numeric_limits<double>::infinity();

/// A measure of softmax's rows, row-major and column-major.
template <class T, class Measure, class One>
void check_measure(const Measure& measure, const One& one) {
    heed_test::generator random;
    for (const Eigen::Index n : {1, 2, 33, 700}) {
        Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> x(21, n);
        random.fill_normal(x, 3);
        const auto p = heed::softmax(x);
        const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic> across = p;
        const row along = numbers_of(measure(p)), found = numbers_of(measure(across));
        const auto rows = rows_of(p);
        bool close = true;
        for (std::size_t r = 0; r < rows.size(); ++r) {
            const double expected = one(rows[r]);
            const double bound = 16 * unit<T> * (1 + std::abs(expected));
            close &= std::abs(along[r] - expected) <= bound;
            close &= std::abs(found[r] - expected) <= bound;
        }
        CHECK(close);
    }
}

TEMPLATE_TEST_CASE("entropies are the reference's", "", HEED_TEST_SCALARS) {
    check_measure<TestType>(heed::measure::shannon_entropy, reference::shannon_entropy);
    for (const double order : {0.0, 0.3, 0.8, 1.3, 2.0, 7.0})
        check_measure<TestType>(heed::measure::renyi_entropy(order),
                                [&](const row& p) { return reference::renyi_entropy(p, order); });
    for (const double order : {0.0, 0.5, 2.0, 5.0})
        check_measure<TestType>(heed::measure::tsallis_entropy(order),
                                [&](const row& p) { return reference::tsallis_entropy(p, order); });
}

TEST_CASE("entropies of other orders come to Shannon's, and to the greatest probability's") {
    heed_test::generator random;
    const Eigen::MatrixXd p = heed::softmax(random.matrix<double>(5, 50));
    const Eigen::VectorXd h = heed::measure::shannon_entropy(p);
    CHECK(heed::measure::renyi_entropy(1)(p) == h);
    CHECK(heed::measure::tsallis_entropy(1)(p) == h);
    for (const double order : {1 - 1e-10, 1 + 1e-10}) {
        CHECK(heed::measure::renyi_entropy(order)(p).isApprox(h, 1e-9));
        CHECK(heed::measure::tsallis_entropy(order)(p).isApprox(h, 1e-9));
    }
    const Eigen::VectorXd least = heed::measure::renyi_entropy(infinity)(p);
    for (Eigen::Index r = 0; r < 5; ++r) CHECK(least(r) == Approx(-std::log(p.row(r).maxCoeff())));
    CHECK(heed::measure::renyi_entropy(1e6)(p).isApprox(least, 1e-5));
}

TEMPLATE_TEST_CASE("entropies of rows with the smallest probabilities", "", HEED_TEST_SCALARS) {
    using T = TestType;
    using limits = std::numeric_limits<T>;
    // Down to the denormal ones, beside one that takes almost all.
    const double smallest = static_cast<double>(limits::denorm_min());
    Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic> p(5, 40);
    heed_test::generator random;
    for (Eigen::Index r = 0; r < p.rows(); ++r) {
        for (Eigen::Index j = 0; j < p.cols(); ++j)
            p(r, j) = static_cast<T>(std::pow(smallest, random.uniform()));
        p(r, 0) = limits::denorm_min();
        p(r, 7) = 0;
        p(r, 20) = 1;
        p.row(r) = (p.row(r).template cast<double>() / p.row(r).template cast<double>().sum())
                       .template cast<T>();
    }
    p.row(4).setZero();
    p(4, 2) = 1;
    p(4, 3) = limits::denorm_min();
    const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> along = p;
    const auto rows = rows_of(p);
    const auto check = [&](const auto& measure, const auto& one) {
        const row found = numbers_of(measure(p)), again = numbers_of(measure(along));
        for (std::size_t r = 0; r < rows.size(); ++r) {
            const double expected = one(rows[r]), bound = 16 * unit<T> * (1 + std::abs(expected));
            CHECK(std::abs(found[r] - expected) <= bound);
            CHECK(std::abs(again[r] - expected) <= bound);
        }
    };
    check(heed::measure::shannon_entropy, reference::shannon_entropy);
    for (const double order : {0.0, 1e-3, 0.01, 0.05, 0.1, 0.15, 0.3, 0.6, 0.9, 1.1, 3.0, 1e5}) {
        INFO(order);
        check(heed::measure::tsallis_entropy(order),
              [&](const row& x) { return reference::tsallis_entropy(x, order); });
        // Divided by its own |1 − q|, the sum's rounding counts more near 1: another test's.
        if (order < 0.6 || order > 1.1)
            check(heed::measure::renyi_entropy(order),
                  [&](const row& x) { return reference::renyi_entropy(x, order); });
    }
}

TEST_CASE("entropies of orders beyond the scalar") {
    Eigen::RowVector3f p(0.5f, 0.25f, 0.25f);
    const Eigen::RowVector3f sure(0, 1, 0);
    for (const double order : {1e30, 1e39, 1e300}) {
        CHECK(heed::measure::renyi_entropy(order)(p) == Approx(std::log(2)));
        CHECK(heed::measure::renyi_entropy(order)(sure) == 0);
        CHECK(heed::measure::tsallis_entropy(order)(p) < 1e-29f);
        CHECK(heed::measure::tsallis_entropy(order)(sure) == 0);
    }
    CHECK(heed::measure::cosine_entropy_floor(9, std::numeric_limits<double>::denorm_min()) ==
          -infinity);
}

TEST_CASE("entropies of even, one-hot, empty and broken rows") {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    Eigen::MatrixXf p(4, 4);
    p << 0.25f, 0.25f, 0.25f, 0.25f, 0, 1, 0, 0, 0, 0, 0, 0, nan, 0, 0, 1;
    const auto check = [&](const auto& measure, double even) {
        const Eigen::VectorXf h = measure(p);
        CHECK(h(0) == Approx(even));
        CHECK(std::abs(h(1)) < 1e-7f);
        CHECK(h(2) == 0);
        CHECK(std::isnan(h(3)));
    };
    check(heed::measure::shannon_entropy, std::log(4.0));
    for (const double order : {0.0, 0.9, 1.0, 3.0, infinity})
        check(heed::measure::renyi_entropy(order), std::log(4.0));
    check(heed::measure::tsallis_entropy(2), 0.75);
    check(heed::measure::tsallis_entropy(0), 3);
    CHECK(heed::measure::shannon_entropy(Eigen::MatrixXf(2, 0)).isZero(0));
    CHECK(heed::measure::shannon_entropy(Eigen::MatrixXf(0, 2)).size() == 0);
}

TEST_CASE("a measure gives one number a row, into any vector, on any threads") {
    heed_test::generator random;
    const Eigen::MatrixXf p = heed::softmax(random.matrix<float>(300, 200));
    const Eigen::VectorXf h = heed::measure::shannon_entropy(p);
    STATIC_REQUIRE(std::is_same_v<decltype(heed::measure::shannon_entropy(p.row(0))), float>);
    STATIC_REQUIRE(
        std::is_same_v<decltype(heed::measure::shannon_entropy(Eigen::Tensor<float, 3>())),
                       Eigen::Tensor<float, 2>>);
    Eigen::MatrixXf table(3, 300);
    Eigen::ThreadPool pool(2);
    heed::measure::shannon_entropy.into(table.row(1), p, heed::on(pool));
    CHECK(table.row(1).transpose() == h);
    float number = 0;
    heed::measure::shannon_entropy.into(number, p.row(7));
    CHECK(number == Approx(h(7)));
    CHECK_THROWS_AS(heed::measure::shannon_entropy.into(table.col(0), p), heed::shape_error);
    Eigen::MatrixXf square = p.topLeftCorner(9, 9);
    CHECK_THROWS_AS(heed::measure::shannon_entropy.into(square.col(0), square),
                    heed::argument_error);
}

TEST_CASE("the entropy of cosine logits has a floor") {
    CHECK(heed::measure::cosine_entropy_floor(1, 1) == Approx(-0.4745).epsilon(1e-4));
    CHECK(heed::measure::cosine_entropy_floor(1000, 1) ==
          Approx(std::log(1000.0) - 0.4745).epsilon(1e-5));
    for (const double tau : {0.05, 0.3, 1.0, 20.0}) {
        double least = infinity;
        for (double f = 0.5e-5; f < 1; f *= 1 + 1e-4) {
            const double up = f * std::exp(1 / tau), down = (1 - f) * std::exp(-1 / tau);
            least = std::min(least, std::log(up + down) - (up - down) / (up + down) / tau);
        }
        if (tau >= 0.3)
            CHECK(heed::measure::cosine_entropy_floor(1, tau) == Approx(least).epsilon(1e-6));
        else
            CHECK(heed::measure::cosine_entropy_floor(1, tau) <= least);
    }
    // Rows that reach it: a share f of cosines 1, the others −1.
    const double a = 2, f = (a / std::sinh(a) - std::exp(-a)) / (2 * std::sinh(a));
    constexpr Eigen::Index n = 100000;
    Eigen::RowVectorXd x = Eigen::RowVectorXd::Constant(n, -a);
    x.head(static_cast<Eigen::Index>(f * n)).setConstant(a);
    const double reached = heed::measure::shannon_entropy(heed::softmax(x));
    CHECK(reached == Approx(heed::measure::cosine_entropy_floor(n, 1 / a)).epsilon(1e-6));
}

TEST_CASE("entropies refuse orders out of range") {
    using Catch::Matchers::Contains;
    CHECK_THROWS_WITH(heed::measure::renyi_entropy(-2), Contains("-2") && Contains("at least 0"));
    CHECK_THROWS_AS(heed::measure::renyi_entropy(NAN), heed::argument_error);
    CHECK_THROWS_AS(heed::measure::tsallis_entropy(-1), heed::argument_error);
    CHECK_THROWS_AS(heed::measure::tsallis_entropy(infinity), heed::argument_error);
    CHECK_THROWS_AS(heed::measure::cosine_entropy_floor(0, 1), heed::argument_error);
    CHECK_THROWS_AS(heed::measure::cosine_entropy_floor(1, 0), heed::argument_error);
}

}  // namespace test_entropy
