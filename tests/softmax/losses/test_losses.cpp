#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <heed/softmax/losses/am_softmax.hpp>
#include <heed/softmax/losses/cross_entropy.hpp>
#include <heed/softmax/losses/gamma_cross_entropy.hpp>
#include <heed/softmax/losses/stop_gradient_loss.hpp>

#include "softmax/losses/loss_check.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_losses {

using heed_test::check_differences;
using heed_test::check_loss;
using reference::row;

TEMPLATE_TEST_CASE("am_softmax is the reference's", "", HEED_TEST_SCALARS) {
    check_loss<TestType>(
        heed::am_softmax(0.35, 0.2),
        [](const row& x, std::size_t t) { return reference::am_softmax(x, t, 0.35, 0.2); }, 0.4,
        0.2);
}

TEMPLATE_TEST_CASE("gamma_cross_entropy is the reference's", "", HEED_TEST_SCALARS) {
    for (const double gamma : {0.0, 1e-9, 0.1, 0.7, 1.0})
        check_loss<TestType>(heed::gamma_cross_entropy(gamma), [&](const row& x, std::size_t t) {
            return reference::gamma_cross_entropy(x, t, gamma);
        });
}

TEMPLATE_TEST_CASE("thresholded_cross_entropy is the reference's", "", HEED_TEST_SCALARS) {
    for (const double least : {0.0, 0.3})
        check_loss<TestType>(heed::thresholded_cross_entropy(0.2, least),
                             [&](const row& x, std::size_t t) {
                                 return reference::thresholded_cross_entropy(x, t, 0.2, least);
                             });
}

TEMPLATE_TEST_CASE("stop_gradient_loss is the reference's", "", HEED_TEST_SCALARS) {
    check_loss<TestType>(heed::stop_gradient_loss, [](const row& x, std::size_t t) {
        return reference::stop_gradient_loss(x, t);
    });
}

TEST_CASE("gradients of losses agree with central differences") {
    check_differences(heed::am_softmax(0.2, 0.5), 0.3);
    for (const double gamma : {0.0, 0.2, 0.8, 1.0})
        check_differences(heed::gamma_cross_entropy(gamma));
}

TEST_CASE("losses are cross-entropy where they should be") {
    heed_test::generator random;
    const auto x = random.matrix<double>(5, 40);
    const std::vector<int> labels{39, 0, 5, 6, 7};
    const auto [expected, dx] = heed::cross_entropy.with_gradient(x, labels);
    const auto check = [&, value = expected, &gradient = dx](const auto& loss) {
        const auto found = loss.with_gradient(x, labels);
        CHECK(found.value == Approx(value).epsilon(1e-13));
        CHECK(found.gradient.isApprox(gradient, 1e-13));
    };
    check(heed::am_softmax(0, 1));
    check(heed::gamma_cross_entropy(0));
    check(heed::thresholded_cross_entropy(0, 0));
    check(heed::thresholded_cross_entropy(0.5, 1));
    CHECK(heed::stop_gradient_loss.with_gradient(x, labels).gradient == dx);
}

TEST_CASE("gamma_cross_entropy is continuous at both ends of gamma") {
    heed_test::generator random;
    const auto x = random.matrix<double>(1, 40);
    const auto at = [&](double gamma) {
        return heed::gamma_cross_entropy(gamma)(x, std::vector{3});
    };
    CHECK(at(1 - 1e-9) == Approx(at(1)).epsilon(1e-8));
    CHECK(at(1 - 1e-15) == Approx(at(1)).epsilon(1e-14));
    CHECK(at(1e-15) == Approx(at(0)).epsilon(1e-11));
}

TEST_CASE("a margin reaches every place in a row, of rows side by side and across") {
    constexpr Eigen::Index columns = 2 * 64 * heed::vec<float>::size + 3;
    Eigen::MatrixXf cosines = Eigen::MatrixXf::Constant(columns, columns, 0.25f);
    std::vector<int> labels(static_cast<std::size_t>(columns));
    for (std::size_t r = 0; r < labels.size(); ++r) labels[r] = static_cast<int>(r);
    const double tau = 0.5, margin = 2;
    const double weight = std::exp(-margin / tau);
    const double expected = margin / tau + std::log(static_cast<double>(columns - 1) + weight);
    const auto loss = heed::am_softmax(margin, tau).per_row();
    for (const Eigen::VectorXf& losses : {Eigen::VectorXf(loss(cosines, labels)),
                                          Eigen::VectorXf(loss(cosines.transpose(), labels))}) {
        bool close = true;
        for (const float value : losses)
            close &= std::abs(static_cast<double>(value) - expected) < 1e-5 * expected;
        CHECK(close);
    }
}

TEST_CASE("losses of extreme rows") {
    const float infinity = std::numeric_limits<float>::infinity();
    Eigen::MatrixXf x(4, 2);
    x << -1e4f, 1e4f, 1e4f, -1e4f, -infinity, 0, NAN, 0;
    const std::vector<int> labels{0, 0, 0, 0};
    const auto rows = [&](const auto& loss) { return loss.per_row().with_gradient(x, labels); };

    const auto soft = rows(heed::gamma_cross_entropy(0.5));
    CHECK(soft.value(0) == Approx(2 * std::log(2.0)));
    CHECK(soft.gradient.row(0).isZero(0));
    CHECK(soft.value(1) == 0);
    CHECK(soft.value(2) == Approx(2 * std::log(2.0)));
    CHECK(std::isnan(soft.value(3)));
    CHECK(std::isnan(soft.gradient(3, 1)));

    const auto plain = rows(heed::gamma_cross_entropy(0));
    CHECK(plain.value(0) == 2e4f);
    CHECK(plain.gradient(0, 0) == -1);
    CHECK(plain.value(2) == infinity);
    CHECK(plain.gradient(2, 0) == -1);

    const auto held = rows(heed::thresholded_cross_entropy(1, 0.25));
    CHECK(held.value(0) == 0.25f * 2e4f);
    CHECK(held.gradient(0, 1) == 0.25f);
    CHECK(rows(heed::thresholded_cross_entropy(1, 0)).value(2) == 0);

    const auto stopped = rows(heed::stop_gradient_loss);
    CHECK(stopped.value(0) == 2e4f);
    CHECK(stopped.value(1) == 0);
    CHECK(stopped.value(2) == infinity);
    CHECK(std::isnan(stopped.value(3)));

    const auto margin = rows(heed::am_softmax(0.5, 0.01));
    CHECK(margin.value(0) == Approx((2e4 + 0.5) * 100));
    CHECK(margin.value(1) == 0);
    CHECK(margin.gradient.row(1).isZero(0));
}

TEST_CASE("losses refuse parameters out of range") {
    using Catch::Matchers::Contains;
    for (const double gamma : {-0.1, 1.5, std::nan("")}) {
        CHECK_THROWS_AS(heed::gamma_cross_entropy(gamma), heed::argument_error);
        CHECK_THROWS_AS(heed::thresholded_cross_entropy(gamma, 0), heed::argument_error);
        CHECK_THROWS_AS(heed::thresholded_cross_entropy(0, gamma), heed::argument_error);
    }
    CHECK_THROWS_WITH(heed::gamma_cross_entropy(1.5), Contains("1.5") && Contains("[0, 1]"));
    CHECK_THROWS_AS(heed::am_softmax(NAN, 1), heed::argument_error);
    CHECK_THROWS_AS(heed::am_softmax(INFINITY, 1), heed::argument_error);
    CHECK_THROWS_WITH(heed::am_softmax(0.3, 0), Contains("heed::am_softmax") && Contains("0"));
}

}  // namespace test_losses
