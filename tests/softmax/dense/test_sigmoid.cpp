#include <cmath>
#include <limits>

#include <heed/softmax/dense/sigmoid.hpp>

#include "softmax/dense_check.hpp"

using namespace heed_test;

TEMPLATE_TEST_CASE("sigmoid of any layout is the reference's", "", HEED_TEST_SCALARS) {
    check_dense_layouts<TestType>(heed::sigmoid, reference::sigmoid());
    check_dense_layouts<TestType>(heed::sigmoid.bias(-2.5), reference::sigmoid(-2.5));
    check_dense_extremes<TestType>(heed::sigmoid);
}

TEST_CASE("backward of sigmoid agrees with central differences") {
    check_dense_differences(heed::sigmoid);
    check_dense_differences(heed::sigmoid.bias(1));
}

TEST_CASE("sigmoid is by element: a NaN, or +inf, is its own affair") {
    Eigen::RowVectorXd x(4);
    x << NAN, std::numeric_limits<double>::infinity(), 0, 1e4;
    const Eigen::RowVectorXd p = heed::sigmoid.bias(0)(x);
    CHECK(std::isnan(p(0)));
    CHECK(p(1) == 1);
    CHECK(p(2) == 0.5);
    CHECK(p(3) == 1);
}

TEST_CASE("without a bias, equal scores of 0 share one in sum, whatever their number") {
    for (const Eigen::Index n : {1, 10, 1000}) {
        const double sum = heed::sigmoid(Eigen::RowVectorXd::Zero(n).eval()).sum();
        CHECK(sum == Approx(static_cast<double>(n) / static_cast<double>(n + 1)));
    }
}

TEST_CASE("a bias that is not finite is refused") {
    CHECK_THROWS_AS(heed::sigmoid.bias(NAN), heed::argument_error);
    CHECK_THROWS_AS(heed::sigmoid.bias(-std::numeric_limits<double>::infinity()),
                    heed::argument_error);
    CHECK_THROWS_WITH(heed::sigmoid.bias(NAN),
                      "heed::sigmoid: the bias is nan, but must be finite");
}
