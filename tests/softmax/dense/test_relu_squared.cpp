#include <cmath>
#include <limits>

#include <heed/softmax/dense/relu_squared.hpp>

#include "softmax/dense_check.hpp"

using namespace heed_test;

TEMPLATE_TEST_CASE("relu squared of any layout is the reference's", "", HEED_TEST_SCALARS) {
    check_dense_layouts<TestType>(heed::relu_squared, reference::relu_squared());
    check_dense_layouts<TestType>(heed::relu_squared.over(64), reference::relu_squared(64));
    check_dense_layouts<TestType>(heed::normalised_relu_squared,
                                  reference::normalised_relu_squared());
    check_dense_extremes<TestType>(heed::relu_squared);
    check_dense_extremes<TestType>(heed::normalised_relu_squared);
}

TEST_CASE("backward of relu squared agrees with central differences") {
    check_dense_differences(heed::relu_squared);
    check_dense_differences(heed::relu_squared.over(3));
    check_dense_differences(heed::normalised_relu_squared);
}

TEST_CASE("a row without anything positive gives zeros") {
    const Eigen::MatrixXf x = -Eigen::MatrixXf::Ones(3, 40);
    CHECK(heed::relu_squared(x).cwiseAbs().sum() == 0);
    const Eigen::MatrixXf p = heed::normalised_relu_squared(x);
    CHECK(p.cwiseAbs().sum() == 0);
    CHECK(heed::normalised_relu_squared.backward(x, p, x).cwiseAbs().sum() == 0);
}

TEST_CASE("a NaN spoils its row where the row is normalised, else itself") {
    Eigen::RowVectorXd x(3);
    x << 1, NAN, 2;
    CHECK(heed::relu_squared(x)(2) == Approx(4.0 / 3));
    CHECK(std::isnan(heed::normalised_relu_squared(x)(2)));
}

TEST_CASE("divisors that are not positive and finite are refused") {
    for (const double n :
         {0.0, -1.0, static_cast<double>(NAN), std::numeric_limits<double>::infinity()})
        CHECK_THROWS_AS(heed::relu_squared.over(n), heed::argument_error);
    CHECK_THROWS_WITH(heed::relu_squared.over(-2),
                      "heed::relu_squared: n is -2, but must be positive and finite");
}
