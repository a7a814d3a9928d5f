#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/softmax/losses/cross_entropy.hpp>
#include <heed/softmax/losses/soft_cross_entropy.hpp>

#include "rows/row_objects.hpp"
#include "softmax/losses/loss_check.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_weighted_cross_entropy {

using heed_test::generator;
using heed_test::numbers_of;
using heed_test::rows_of;
using heed_test::unit;
using reference::row;
template <class T>
using row_major = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

row onehot(std::size_t n, std::size_t t) {
    row y(n, 0);
    y[t] = 1;
    return y;
}

/// Weights of classes: 0 and more.
template <class T>
std::vector<T> random_weights(generator& random, std::size_t classes) {
    std::vector<T> weights(classes);
    for (T& w : weights) w = random.chance(0.1) ? T(0) : static_cast<T>(random.uniform(0.05, 2));
    return weights;
}

/// Losses and gradients of rows, given their targets, against the reference.
template <class T, class Expected>
bool agree(const std::vector<row>& rows, const std::vector<double>& losses,
           const std::vector<row>& gradients, const Expected& expected) {
    bool close = losses.size() == rows.size() && gradients.size() == rows.size();
    for (std::size_t r = 0; r < rows.size() && close; ++r) {
        const reference::loss one = expected(r);
        double largest = 0, size = 1;
        for (const double x : rows[r]) largest = std::max(largest, std::abs(x));
        for (const double g : one.gradient) size += std::abs(g);
        const double bound = (16 + 8 * largest) * unit<T> * size;
        close &= std::abs(losses[r] - one.value) <= bound * (1 + std::abs(one.value));
        for (std::size_t i = 0; i < rows[r].size(); ++i)
            close &= std::abs(gradients[r][i] - one.gradient[i]) <= bound;
    }
    return close;
}

TEMPLATE_TEST_CASE("cross_entropy with class weights is the reference's", "", HEED_TEST_SCALARS) {
    using T = TestType;
    generator random;
    for (const Eigen::Index n : {1, 2, 37, 515}) {
        row_major<T> x(19, n);
        random.fill_normal(x, 2);
        const auto rows = rows_of(x);
        const auto weights = random_weights<T>(random, rows[0].size());
        const row w(weights.begin(), weights.end());
        const auto labels = heed_test::random_labels(random, rows.size(), rows[0].size());
        for (const double smoothing : {0.0, 0.2, 1.0}) {
            const auto loss =
                heed::cross_entropy.class_weights(weights).label_smoothing(smoothing).ignored_label(
                    -1);
            const auto expected = [&](std::size_t r) {
                if (labels[r] < 0) return reference::loss{0, row(rows[r].size(), 0)};
                return reference::soft_cross_entropy(
                    rows[r], onehot(rows[r].size(), static_cast<std::size_t>(labels[r])), w,
                    smoothing);
            };
            const auto check = [&](const auto& logits) {
                const auto [losses, dx] = loss.per_row().with_gradient(logits, labels);
                CHECK(agree<T>(rows, numbers_of(losses), rows_of(dx), expected));
                CHECK(loss.per_row()(logits, labels) == losses);
            };
            check(x);
            check(Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>(x));

            // The mean is over the labels' weights.
            double total = 0, of_weights = 0;
            for (std::size_t r = 0; r < rows.size(); ++r) {
                total += expected(r).value;
                of_weights += labels[r] < 0 ? 0 : w[static_cast<std::size_t>(labels[r])];
            }
            CHECK(static_cast<double>(loss(x, labels)) ==
                  Approx(of_weights > 0 ? total / of_weights : total).epsilon(1e-4));
        }
    }
}

TEMPLATE_TEST_CASE("soft_cross_entropy of the rows of anything is the reference's", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    generator random;
    const auto check = [&](const auto& x) {
        const auto rows = rows_of(x);
        auto y = heed::soft_cross_entropy.with_gradient(x, x).gradient;  // an object like x
        for (auto i = y.size(); i-- > 0;)
            y.data()[i] = random.chance(0.3) ? T(0) : static_cast<T>(random.uniform());
        const auto targets = rows_of(y);
        const auto weights = random_weights<T>(random, rows[0].size());
        const row w(weights.begin(), weights.end()), ones(rows[0].size(), 1);
        const auto plain = heed::soft_cross_entropy.per_row().with_gradient(x, y);
        CHECK(agree<T>(rows, numbers_of(plain.value), rows_of(plain.gradient), [&](std::size_t r) {
            return reference::soft_cross_entropy(rows[r], targets[r], ones);
        }));
        const auto loss =
            heed::soft_cross_entropy.class_weights(weights).label_smoothing(0.15).per_row();
        const auto [losses, dx] = loss.with_gradient(x, y);
        CHECK(agree<T>(rows, numbers_of(losses), rows_of(dx), [&](std::size_t r) {
            return reference::soft_cross_entropy(rows[r], targets[r], w, 0.15);
        }));
        CHECK(numbers_of(loss(x, y)) == numbers_of(losses));
    };
    check(random.matrix<T>(7, 33));
    check(random.matrix<T, Eigen::ColMajor>(41, 19));
    check(random.tensor<T>(3, 5, 130));
    check(Eigen::Matrix<T, 9, 1>(random.matrix<T>(9, 1)));
}

TEST_CASE("gradients of weighted and soft cross_entropy agree with central differences") {
    generator random;
    const auto weights = random_weights<double>(random, 13);
    heed_test::check_differences(heed::cross_entropy.class_weights(weights));
    heed_test::check_differences(heed::cross_entropy.label_smoothing(0.3).class_weights(weights));
    const Eigen::MatrixXd y = random.matrix<double>(4, 13).cwiseAbs();
    const auto soft = heed::soft_cross_entropy.class_weights(weights).label_smoothing(0.1);
    Eigen::MatrixXd x = random.matrix<double>(4, 13);
    const Eigen::MatrixXd dx = soft.with_gradient(x, y).gradient;
    double worst = 0;
    const double h = 1e-5;
    for (Eigen::Index i = 0; i < x.size(); ++i) {
        const double before = x.data()[i];
        x.data()[i] = before + h;
        const double above = soft(x, y);
        x.data()[i] = before - h;
        worst = std::max(worst, std::abs((above - soft(x, y)) / (2 * h) - dx.data()[i]));
        x.data()[i] = before;
    }
    CHECK(worst <= 1e-7 * dx.cwiseAbs().maxCoeff());
}

TEST_CASE("a soft target of one class, and weights of 1, are cross_entropy") {
    generator random;
    const auto x = random.matrix<double>(6, 9);
    const std::vector<int> labels{0, 8, 3, 3, 5, 1};
    Eigen::MatrixXd y = Eigen::MatrixXd::Zero(6, 9);
    for (Eigen::Index r = 0; r < 6; ++r) y(r, labels[static_cast<std::size_t>(r)]) = 1;
    const auto [loss, dx] = heed::cross_entropy.with_gradient(x, labels);
    const auto soft = heed::soft_cross_entropy.with_gradient(x, y);
    CHECK(soft.value == Approx(loss).epsilon(1e-13));
    CHECK(soft.gradient.isApprox(dx, 1e-13));
    const auto weighted =
        heed::cross_entropy.class_weights(std::vector<double>(9, 1)).with_gradient(x, labels);
    CHECK(weighted.value == Approx(loss).epsilon(1e-13));
    CHECK(weighted.gradient.isApprox(dx, 1e-13));

    Eigen::ThreadPool pool(3);
    const row_major<float> large = random.matrix<float>(300, 301);
    const row_major<float> targets = large.cwiseAbs();
    const auto alone = heed::soft_cross_entropy.with_gradient(large, targets);
    const auto shared = heed::soft_cross_entropy.with_gradient(large, targets, heed::on(pool));
    CHECK(shared.value == alone.value);
    CHECK(shared.gradient == alone.gradient);
    row_major<float> over = large;
    float value = 0;
    heed::soft_cross_entropy.gradient_into(value, over, over, targets);
    CHECK(value == alone.value);
    CHECK(over == alone.gradient);
    heed::soft_cross_entropy.into(value = 0, large, targets);
    CHECK(value == alone.value);
    Eigen::VectorXf each(300);
    heed::soft_cross_entropy.per_row().into(each, large, targets);
    CHECK(each == heed::soft_cross_entropy.per_row()(large, targets));
}

TEST_CASE("weighted and soft cross_entropy of extreme rows") {
    const double infinity = std::numeric_limits<double>::infinity();
    Eigen::MatrixXd x(5, 3), y(5, 3);
    x << 1e4, -1e4, 0, -infinity, 1, 1, NAN, 0, 0, -infinity, -infinity, -infinity, infinity, 0, 0;
    y << 0, 0.5, 0, 0, 0.5, 0.5, 0, 1, 0, 0, 0.25, 0, 0, 1, 0;
    const auto check = [&](const auto& rows) {
        const auto [loss, dx] = heed::soft_cross_entropy.per_row().with_gradient(rows, y);
        CHECK(loss(0) == Approx(1e4));
        CHECK(dx(0, 0) == Approx(0.5));
        CHECK(loss(1) == Approx(std::log(2)));
        CHECK(dx(1, 0) == 0);
        CHECK((std::isnan(loss(2)) && std::isnan(dx(2, 1))));
        CHECK(loss(3) == infinity);
        CHECK(dx(3, 1) == -0.25);
        CHECK(dx(3, 0) == 0);
        CHECK(std::isnan(loss(4)));
        const auto left_out = heed::soft_cross_entropy.label_smoothing(0.1).per_row()(rows, y);
        CHECK(left_out(1) == infinity);
        Eigen::MatrixXd broken = y;
        broken(3, 1) = NAN;
        CHECK(std::isnan(heed::soft_cross_entropy.per_row()(rows, broken)(3)));
    };
    check(x);
    check(row_major<double>(x));
    CHECK(heed::soft_cross_entropy(Eigen::MatrixXd(0, 3), Eigen::MatrixXd(0, 3)) == 0);
    CHECK(heed::soft_cross_entropy(Eigen::MatrixXd(2, 0), Eigen::MatrixXd(2, 0)) == 0);
    // Labels without a weight are the mean of nothing.
    const auto none = heed::cross_entropy.class_weights(std::vector<double>(3, 0));
    CHECK(none(x.topRows(1), std::vector<int>{1}) == 0);
}

TEST_CASE("weighted and soft cross_entropy refuse what does not fit") {
    using Catch::Matchers::Contains;
    const Eigen::MatrixXf x = Eigen::MatrixXf::Zero(2, 3), other = Eigen::MatrixXf::Zero(2, 4);
    const std::vector<int> labels{0, 2};
    CHECK_THROWS_WITH(heed::cross_entropy.class_weights(std::vector<float>{1, -1, 1}),
                      "class_weights: that of class 1 is -1, but must be finite and not negative");
    CHECK_THROWS_AS(heed::cross_entropy.class_weights(std::vector<float>{1, NAN}),
                    heed::argument_error);
    CHECK_THROWS_WITH(heed::cross_entropy.class_weights(std::vector<float>{1, 1})(x, labels),
                      Contains("class_weights has 2 elements") && Contains("has 3"));
    CHECK_THROWS_AS(heed::soft_cross_entropy.class_weights(std::vector<float>{1, 1})(x, x),
                    heed::shape_error);
    CHECK_THROWS_WITH(heed::soft_cross_entropy(x, other), Contains("y") && Contains("4"));
    CHECK_THROWS_AS(heed::soft_cross_entropy.label_smoothing(2), heed::argument_error);
    CHECK_THROWS_AS(
        heed::cross_entropy.class_weights(std::vector<float>{1, 1, 1}).label_smoothing(-1),
        heed::argument_error);
    Eigen::MatrixXf wide = Eigen::MatrixXf::Zero(2, 5);
    float loss = 7;
    CHECK_THROWS_AS(
        heed::soft_cross_entropy.gradient_into(loss, wide.leftCols(3), wide.rightCols(3), x),
        heed::argument_error);
    CHECK(loss == 7);
}

TEST_CASE("outputs of weighted and soft cross_entropy lie apart from the weights") {
    using Catch::Matchers::Contains;
    const Eigen::MatrixXf x = Eigen::MatrixXf::Zero(3, 3);
    const std::vector<int> labels{0, 2, 1};
    Eigen::VectorXf w = Eigen::VectorXf::Constant(3, 7), losses = Eigen::VectorXf::Zero(3);
    Eigen::MatrixXf dx = Eigen::MatrixXf::Constant(3, 3, 7);
    Eigen::Map<Eigen::VectorXf> of_dx(dx.data(), 3);
    const auto check = [&](const auto& f, const auto& targets) {
        const auto all = f.class_weights(w).per_row(), in_dx = f.class_weights(of_dx).per_row();
        CHECK_THROWS_WITH(in_dx.gradient_into(losses, dx, x, targets),
                          Contains("dx") && Contains("overlaps class_weights"));
        CHECK_THROWS_WITH(all.gradient_into(w, dx, x, targets),
                          Contains("the loss") && Contains("overlaps class_weights"));
        CHECK_THROWS_AS(all.mean().gradient_into(w(1), dx, x, targets), heed::argument_error);
    };
    check(heed::cross_entropy, labels);
    check(heed::soft_cross_entropy, x);
    CHECK_THROWS_AS(heed::cross_entropy.class_weights(w).per_row().into(w, x, labels),
                    heed::argument_error);
    CHECK(w == Eigen::VectorXf::Constant(3, 7));
    CHECK(dx == Eigen::MatrixXf::Constant(3, 3, 7));
    CHECK(losses == Eigen::VectorXf::Zero(3));
}

}  // namespace test_weighted_cross_entropy
