#include <cmath>
#include <limits>
#include <string>

#include <heed/softmax/dense/taylor_softmax.hpp>
#include <heed/softmax/softmax.hpp>

#include "softmax/dense_check.hpp"

using namespace heed_test;

TEMPLATE_TEST_CASE("Taylor softmax of any layout is the reference's", "", HEED_TEST_SCALARS) {
    for (const int order : {2, 4, 8, 14})
        check_dense_layouts<TestType>(heed::taylor_softmax(order),
                                      reference::taylor_softmax(order));
    check_dense_extremes<TestType>(heed::taylor_softmax(2));
    check_dense_extremes<TestType>(heed::taylor_softmax(8));
}

TEST_CASE("backward of Taylor softmax agrees with central differences") {
    for (const int order : {2, 4, 6, 30}) check_dense_differences(heed::taylor_softmax(order));
}

TEST_CASE("Taylor softmax is neither shift invariant nor monotone") {
    const auto taylor = heed::taylor_softmax(2);
    const Eigen::RowVector3d x(-3, -1, 0);  // f_2: 2.5, 0.5, 1
    const Eigen::RowVector3d p = taylor(x);
    CHECK(p(0) == Approx(2.5 / 4));
    CHECK(p(1) == Approx(0.5 / 4));
    CHECK(p(2) == Approx(1.0 / 4));
    CHECK((taylor((x.array() + 1).matrix().eval()) - p).cwiseAbs().maxCoeff() > 0.1);
}

TEST_CASE("at a high order Taylor softmax is softmax") {
    generator random;
    const auto x = random.matrix<double>(9, 40);
    for (const int order : {40, 128})
        CHECK((heed::taylor_softmax(order)(x) - heed::softmax(x)).cwiseAbs().maxCoeff() < 1e-13);
    // Where the terms cancel, to nothing rather than below it.
    const Eigen::RowVectorXf cold = Eigen::RowVectorXf::LinSpaced(100, -12, 5);
    const Eigen::RowVectorXf p = heed::taylor_softmax(60)(cold);
    CHECK(p.minCoeff() >= 0);
    CHECK((p - heed::softmax(cold)).cwiseAbs().maxCoeff() < 1e-5F);
}

TEST_CASE("a sum beyond the scalar's range is that of smaller weights") {
    Eigen::MatrixXf x = Eigen::MatrixXf::Ones(3, 5);
    x(1, 2) = 1e30F;
    x.row(2) << 3e38F, -3e38F, 1.5e38F, 1, -std::numeric_limits<float>::infinity();
    for (const int order : {2, 4, 50}) {
        const Eigen::MatrixXf p = heed::taylor_softmax(order)(x);
        CHECK(p(0, 1) == Approx(0.2));
        for (const Eigen::Index j : {0, 1, 3, 4}) CHECK(p(1, j) == 0);
        CHECK(p(1, 2) == Approx(1));
        // x^k/k! is all that is left of f_k.
        const double half = std::pow(0.5, order), sum = 2 + half;
        CHECK(p(2, 0) == Approx(1 / sum));
        CHECK(p(2, 1) == Approx(1 / sum));
        CHECK(p(2, 2) == Approx(half / sum));
        CHECK(p(2, 3) == 0);
        CHECK(p(2, 4) == 0);
    }
}

TEST_CASE("orders that are odd, or out of range, are refused") {
    const auto refuses = [](int order) {
        try {
            heed::taylor_softmax(order);
            return false;
        } catch (const heed::argument_error& error) {
            return std::string(error.what()) == "heed::taylor_softmax: the order is " +
                                                    std::to_string(order) +
                                                    ", but must be even and in [2, 128]";
        }
    };
    for (const int order : {-2, 0, 1, 3, 129, 130}) CHECK(refuses(order));
    CHECK_NOTHROW(heed::taylor_softmax(128));
}
