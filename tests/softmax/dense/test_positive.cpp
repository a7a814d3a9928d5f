#include <cmath>

#include <heed/softmax/dense/positive.hpp>
#include <heed/softmax/dense/taylor_softmax.hpp>
#include <heed/softmax/softmax.hpp>

#include "softmax/dense_check.hpp"

namespace test_positive {

using namespace heed_test;

const auto squares = heed::positive([](auto x) { return 1 + x * x; }, [](auto x) { return 2 * x; });

reference::dense_normaliser exact_squares() {
    return reference::ratio([](long double x) { return 1 + x * x; },
                            [](long double x) { return 2 * x; });
}

TEMPLATE_TEST_CASE("a positive function of the user's, in any layout, is the reference's", "",
                   HEED_TEST_SCALARS) {
    check_dense_layouts<TestType>(squares, exact_squares());
    check_dense_extremes<TestType>(squares);
}

TEST_CASE("backward of a positive function agrees with central differences") {
    check_dense_differences(squares);
}

TEST_CASE("a function on numbers is the function on vectors") {
    const auto by_number = heed::positive(heed::scalar([](double x) { return 1 + x * x; }),
                                          heed::scalar([](double x) { return 2 * x; }));
    generator random;
    const auto x = random.matrix<double>(7, 29);
    const auto dp = random.matrix<double>(7, 29);
    const auto p = squares(x);
    CHECK((by_number(x) - p).cwiseAbs().maxCoeff() < 1e-15);
    CHECK((by_number.backward(x, p, dp) - squares.backward(x, p, dp)).cwiseAbs().maxCoeff() <
          1e-15);
}

TEST_CASE("softmax and Taylor softmax are cases of positive functions") {
    generator random;
    const auto x = random.matrix<double>(7, 29);
    const auto exponential = heed::positive([](auto s) { return exp(s); });
    CHECK((exponential(x) - heed::softmax(x)).cwiseAbs().maxCoeff() < 1e-15);
    const auto polynomial = heed::positive([](auto s) { return 1 + s + 0.5 * s * s; });
    CHECK((polynomial(x) - heed::taylor_softmax(2)(x)).cwiseAbs().maxCoeff() < 1e-15);
}

TEST_CASE("a function that is zero all over a row gives zeros") {
    const auto relu = heed::positive([](auto x) { return max(x, decltype(x)(0)); });
    Eigen::MatrixXd x(2, 3);
    x << -1, -2, -3, -1, 1, 3;
    const Eigen::MatrixXd p = relu(x);
    CHECK(p.row(0).cwiseAbs().sum() == 0);
    CHECK(p(1, 0) == 0);
    CHECK(p(1, 2) == 0.75);
}

TEST_CASE("the function is never called with what is left out") {
    bool called = false;
    const auto f = heed::positive(heed::scalar([&called](double x) {
        called |= std::isinf(x);
        return 1.0;
    }));
    Eigen::RowVectorXd x = Eigen::RowVectorXd::Zero(13);
    x(2) = -std::numeric_limits<double>::infinity();
    const Eigen::RowVectorXd p = f(x);
    CHECK(!called);
    CHECK(p(2) == 0);
    CHECK(p(3) == Approx(1.0 / 12));
}

}  // namespace test_positive
