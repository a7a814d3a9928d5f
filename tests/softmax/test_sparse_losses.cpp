#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <heed/softmax/sparsemax_loss.hpp>

#include "reference/sparse_losses.hpp"
#include "softmax/loss_check.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

using heed_test::check_differences;
using heed_test::check_loss;
using reference::row;

/// What holds for every loss on a row of extremes.
template <class Loss>
void check_extremes(const Loss& mean) {
    const float infinity = std::numeric_limits<float>::infinity();
    Eigen::MatrixXf x(6, 2);
    x << 1e4f, -1e4f, -1e4f, 1e4f, -infinity, 3, NAN, 0, infinity, 0, -infinity, -infinity;
    const auto loss = mean.per_row();
    const auto check = [&](const auto& rows) {
        const auto [value, dx] = loss.with_gradient(rows, std::vector<int>(6, 0));
        CHECK(value(0) == 0);
        CHECK(dx.row(0).isZero(0));
        CHECK(value(1) == Approx(2e4));
        CHECK((dx(1, 0) == -1 && dx(1, 1) == 1));
        CHECK(value(2) == infinity);
        CHECK((dx(2, 0) == -1 && dx(2, 1) == 1));
        CHECK((std::isnan(value(3)) && std::isnan(dx(3, 0)) && std::isnan(dx(3, 1))));
        CHECK((std::isnan(value(4)) && std::isnan(dx(4, 0)) && std::isnan(dx(4, 1))));
        CHECK(value(5) == infinity);
        CHECK((dx(5, 0) == -1 && dx(5, 1) == 0));
    };
    check(x);
    check(Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>(x));
    const auto ignored = loss.ignored_label(9).with_gradient(x, std::vector<int>(6, 9));
    CHECK(ignored.value.isZero(0));
    CHECK(ignored.gradient.isZero(0));
    CHECK(mean(Eigen::MatrixXf(0, 3), std::vector<int>{}) == 0);
}

}  // namespace

TEMPLATE_TEST_CASE("sparsemax_loss is the reference's", "", float, double) {
    check_loss<TestType>(heed::sparsemax_loss, reference::sparsemax_loss);
}

TEST_CASE("the gradient of sparsemax_loss agrees with central differences") {
    check_differences(heed::sparsemax_loss);
}

TEST_CASE("sparsemax_loss vanishes beyond a margin of one") {
    Eigen::RowVectorXd x(3);
    x << 2, 1, 0.5;
    CHECK(heed::sparsemax_loss(x, 0) == 0);
    x(1) = 1.5;
    CHECK(heed::sparsemax_loss(x, 0) > 0);
    CHECK(heed::sparsemax_loss(x, 2) == Approx(reference::sparsemax_loss({2, 1.5, 0.5}, 2).value));
}

TEST_CASE("losses of sparse probabilities at the extremes") {
    check_extremes(heed::sparsemax_loss);
}
