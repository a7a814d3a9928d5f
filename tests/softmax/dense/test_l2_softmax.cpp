#include <cmath>
#include <limits>

#include <heed/softmax/dense/l2_softmax.hpp>
#include <heed/softmax/softmax.hpp>

#include "softmax/dense_check.hpp"

using namespace heed_test;

TEMPLATE_TEST_CASE("l2 softmax of any layout is the reference's", "", HEED_TEST_SCALARS) {
    check_dense_layouts<TestType>(heed::l2_softmax, reference::l2_softmax());
    check_dense_extremes<TestType>(heed::l2_softmax);
}

TEST_CASE("backward of l2 softmax agrees with central differences") {
    check_dense_differences(heed::l2_softmax);
}

TEST_CASE("the squares of l2 softmax are the softmax of twice the scores") {
    generator random;
    const auto x = random.matrix<double>(6, 333);
    const auto squares = heed::l2_softmax(x).cwiseAbs2().eval();
    CHECK((squares - heed::softmax.temperature(0.5)(x)).cwiseAbs().maxCoeff() < 1e-15);
}

TEST_CASE("l2 softmax follows shifts; +inf makes its row NaN") {
    generator random;
    const auto x = random.matrix<double>(3, 40);
    const auto shifted = heed::l2_softmax((x.array() + 1000).matrix().eval());
    CHECK((shifted - heed::l2_softmax(x)).cwiseAbs().maxCoeff() < 1e-12);
    Eigen::RowVectorXd infinite = Eigen::RowVectorXd::Zero(5);
    infinite(1) = std::numeric_limits<double>::infinity();
    CHECK(std::isnan(heed::l2_softmax(infinite)(1)));
}
