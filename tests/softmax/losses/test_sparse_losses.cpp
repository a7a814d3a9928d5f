#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include <heed/softmax/losses/cross_entropy.hpp>
#include <heed/softmax/losses/entmax_loss.hpp>
#include <heed/softmax/losses/sparse_softmax_cross_entropy.hpp>
#include <heed/softmax/losses/sparsemax_loss.hpp>

#include "reference/sparse_losses.hpp"
#include "softmax/losses/loss_check.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_sparse_losses {

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

TEMPLATE_TEST_CASE("sparsemax_loss is the reference's", "", HEED_TEST_SCALARS) {
    check_loss<TestType>(heed::sparsemax_loss, reference::sparsemax_loss);
}

TEMPLATE_TEST_CASE("entmax_loss is the reference's", "", HEED_TEST_SCALARS) {
    for (const double alpha : {1.5, 2.0, 4.0})
        check_loss<TestType>(heed::entmax_loss(alpha), [&](const row& x, std::size_t t) {
            return reference::entmax_loss(x, t, alpha);
        });
    check_loss<TestType>(heed::entmax_loss(1), [](const row& x, std::size_t t) {
        return reference::cross_entropy(x, t);
    });
}

TEMPLATE_TEST_CASE("sparse_softmax_cross_entropy is the reference's", "", HEED_TEST_SCALARS) {
    check_loss<TestType>(heed::sparse_softmax_cross_entropy(1), [](const row& x, std::size_t t) {
        return reference::sparse_softmax_cross_entropy(x, t, reference::sparse_softmax(x, 1));
    });
    check_loss<TestType>(heed::sparse_softmax_cross_entropy_by_mass(0.8),
                         [](const row& x, std::size_t t) {
                             return reference::sparse_softmax_cross_entropy(
                                 x, t, reference::sparse_softmax_by_mass(x, 0.8));
                         });
}

TEST_CASE("gradients of the sparse losses agree with central differences") {
    check_differences(heed::sparsemax_loss);
    for (const double alpha : {1.0, 1.0001, 1.5, 2.0, 4.0})
        check_differences(heed::entmax_loss(alpha));
    for (const int k : {1, 5, 13}) check_differences(heed::sparse_softmax_cross_entropy(k));
}

TEST_CASE("the sparse losses are others at their ends") {
    heed_test::generator random;
    const auto x = random.matrix<double>(5, 40);
    const std::vector<int> labels{39, 0, 5, 6, 7};
    const auto check = [&](const auto& loss, const auto& other) {
        const auto a = loss.with_gradient(x, labels), b = other.with_gradient(x, labels);
        CHECK(a.value == Approx(b.value).epsilon(1e-12));
        CHECK((a.gradient - b.gradient).norm() < 1e-12);
    };
    check(heed::entmax_loss(1), heed::cross_entropy);
    check(heed::entmax_loss(2), heed::sparsemax_loss);
    check(heed::sparse_softmax_cross_entropy(40), heed::cross_entropy);
    const double near = heed::entmax_loss(1 + 1e-9)(x, labels);
    CHECK(near == Approx(heed::cross_entropy(x, labels)).epsilon(1e-7));
    // In the caller's memory, the gradient over the logits.
    auto over = x;
    double value = 0;
    heed::entmax_loss(1.5).gradient_into(value, over, over, labels);
    CHECK(over == heed::entmax_loss(1.5).with_gradient(x, labels).gradient);
}

TEST_CASE("the gradients of many long rows are those of each") {
    heed_test::generator random;
    // More than 16 MB of gradient, rows that begin anywhere within a vector.
    const auto single = random.matrix<float>(1, 70001);
    const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> x =
        single.replicate(67, 1);
    std::vector<int> labels(67, 70000);
    labels[66] = -1;
    const auto loss = heed::sparsemax_loss.ignored_label(-1).sum();
    const auto many = loss.with_gradient(x, labels),
               one = loss.with_gradient(single, std::vector<int>{70000});
    CHECK(many.value == Approx(66 * one.value));
    CHECK(many.gradient.topRows(66) == one.gradient.replicate(66, 1));
    CHECK(many.gradient.row(66).isZero(0));
}

TEST_CASE("the sparse losses refuse parameters out of range") {
    using Catch::Matchers::Contains;
    const Eigen::MatrixXf x = Eigen::MatrixXf::Zero(2, 3);
    const std::vector<int> labels{0, 1};
    CHECK_THROWS_WITH(heed::sparse_softmax_cross_entropy(4)(x, labels),
                      "heed::sparse_softmax_cross_entropy: k is 4, but must lie between 1 and the "
                      "length of the rows, 3");
    for (const auto k : {std::ptrdiff_t{0}, std::ptrdiff_t{-2}})
        CHECK_THROWS_WITH(
            heed::sparse_softmax_cross_entropy(k),
            Contains("heed::sparse_softmax_cross_entropy: k is " + std::to_string(k)));
    CHECK_THROWS_WITH(heed::sparse_softmax_cross_entropy(std::numeric_limits<std::size_t>::max()),
                      Contains("k is 18446744073709551615"));
    CHECK_THROWS_WITH(
        heed::sparse_softmax_cross_entropy_by_mass(1.1),
        "heed::sparse_softmax_cross_entropy_by_mass: the mass is 1.1, but must lie in "
        "(0, 1]");
    CHECK_THROWS_WITH(heed::entmax_loss(0.5),
                      "heed::entmax_loss: alpha is 0.5, but must be at least 1 and finite");
    CHECK_THROWS_AS(heed::entmax_loss(1.5)(x, std::vector<int>{0, 3}), heed::argument_error);
}

TEST_CASE("sparsemax_loss vanishes beyond a margin of one") {
    Eigen::RowVectorXd x(3);
    x << 2, 1, 0.5;
    CHECK(heed::sparsemax_loss(x, 0) == 0);
    x(1) = 1.5;
    CHECK(heed::sparsemax_loss(x, 0) > 0);
    CHECK(heed::sparsemax_loss(x, 2) == Approx(reference::sparsemax_loss({2, 1.5, 0.5}, 2).value));
}

TEMPLATE_TEST_CASE("sparse losses keep their digits where the label is all but certain", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    const auto is_relative = [](double found, double right, double units) {
        return std::abs(found - right) <= units * heed_test::unit<T> * std::abs(right);
    };
    // Softmax's, over all and over the two largest.
    for (const double gap : {3.0, 17.0, 40.0, 80.0}) {
        Eigen::Matrix<T, 3, Eigen::Dynamic> x = Eigen::Matrix<T, 3, Eigen::Dynamic>::Zero(3, 20);
        x.col(4).setConstant(static_cast<T>(gap));
        x.col(7).setConstant(T(1));
        const std::vector<int> labels(3, 4);
        const auto check = [&](const auto& loss, double odds) {
            const auto [value, dx] = loss.with_gradient(x, labels);
            CHECK(is_relative(static_cast<double>(value), std::log1p(odds), 32));
            CHECK(is_relative(static_cast<double>(dx(1, 4)), -odds / (1 + odds) / 3, 32));
        };
        check(heed::entmax_loss(1), (18 + std::exp(1.0)) * std::exp(-gap));
        check(heed::sparse_softmax_cross_entropy(20), (18 + std::exp(1.0)) * std::exp(-gap));
        check(heed::sparse_softmax_cross_entropy(2), std::exp(1 - gap));
    }
    // Of two classes whose scores are 1 − 2a apart, sparsemax gives the lesser a.
    for (int power = 2; power < 12; power += 3) {
        const double a = std::ldexp(1.0, -power);
        Eigen::Matrix<T, 1, 2> x(T(0), static_cast<T>(2 * a - 1));
        for (const auto& [value, dx] :
             {heed::sparsemax_loss.with_gradient(x, 0), heed::entmax_loss(2).with_gradient(x, 0)}) {
            CHECK(is_relative(static_cast<double>(value), a * a, 4 / a));
            CHECK(is_relative(static_cast<double>(dx(0)), -a, 2 / a));
            CHECK(dx(0) == -dx(1));
        }
    }
}

TEMPLATE_TEST_CASE("sparse losses of logits of every size", "", HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    const double top = std::log10(static_cast<double>(std::numeric_limits<T>::max()) / 2);
    const auto check = [&](const auto& loss, double alpha) {
        for (int step = 0; step < 20; ++step) {
            const double size = std::pow(10.0, step == 0 ? top : random.uniform(-top, top));
            Eigen::Matrix<T, 1, Eigen::Dynamic> x(33);
            for (Eigen::Index j = 0; j < 33; ++j)
                x(j) = static_cast<T>(size * random.uniform(-1, 1));
            const int t = static_cast<int>(random.integer(0, 32));
            const auto rows = heed_test::rows_of(x);
            const auto right = reference::entmax_loss(rows[0], static_cast<std::size_t>(t), alpha);
            const auto [value, dx] = loss.with_gradient(x, t);
            CHECK(std::abs(static_cast<double>(value) - right.value) <=
                  32 * heed_test::unit<T> * (1 + std::abs(right.value)));
        }
    };
    check(heed::sparsemax_loss, 2);
    check(heed::entmax_loss(1.5), 1.5);
    check(heed::entmax_loss(3), 3);
}

TEST_CASE("losses of sparse probabilities at the extremes") {
    check_extremes(heed::sparsemax_loss);
}

}  // namespace test_sparse_losses
