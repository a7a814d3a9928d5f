#include <cmath>
#include <limits>

#include <heed/softmax/noise/perturb_max.hpp>
#include <heed/softmax/softmax.hpp>

#include "reference/perturb.hpp"
#include "softmax/dense_check.hpp"

namespace test_perturb_max {

using namespace heed_test;

/// Rows side by side and across, few elements and more, near one another and apart.
template <class T, class Normaliser>
void check_perturbed(const Normaliser& f, const reference::noise& noise, double slack) {
    generator random;
    const auto exact = reference::perturb_max(noise);
    for (const Eigen::Index n : {1, 2, 19}) {
        for (const T scale : {T(0.3), T(4)}) {
            check_dense<T>(random, f, exact, (random.matrix<T>(2, n) * scale).eval(), slack);
        }
    }
    check_dense<T>(random, f, exact, random.matrix<T, Eigen::ColMajor>(3, 13), slack);
}

TEMPLATE_TEST_CASE("the largest of noisy scores is the reference's, whatever the noise", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    check_perturbed<T>(heed::perturb_max(heed::perturb::gumbel), reference::gumbel_noise(), 32);
    check_perturbed<T>(heed::perturb_max(heed::perturb::normal), reference::normal_noise(), 32);
    check_perturbed<T>(heed::perturb_max(heed::perturb::logistic), reference::logistic_noise(), 32);
    check_perturbed<T>(heed::perturb_max(heed::perturb::uniform), reference::uniform_noise(), 32);
}

TEMPLATE_TEST_CASE("with Gumbel noise it is softmax, backward too", "", HEED_TEST_SCALARS) {
    using T = TestType;
    generator random;
    const auto f = heed::perturb_max(heed::perturb::gumbel);
    for (const Eigen::Index n : {1, 40, 3000}) {
        const auto x = (random.matrix<T>(2, n) * T(3)).eval();
        const auto dp = random.matrix<T>(2, n);
        const auto p = heed::softmax(x);
        CHECK((f(x) - p).cwiseAbs().maxCoeff() <= T(16 * unit<T>));
        CHECK((f.backward(x, p, dp) - heed::softmax.backward(x, p, dp)).cwiseAbs().maxCoeff() <=
              T(32 * unit<T>));
    }
}

TEST_CASE("backward of the noisy maximum agrees with central differences") {
    check_dense_differences(heed::perturb_max(heed::perturb::gumbel));
    check_dense_differences(heed::perturb_max(heed::perturb::normal));
    check_dense_differences(heed::perturb_max(heed::perturb::logistic));
    check_dense_differences(heed::perturb_max(heed::perturb::uniform));
}

TEMPLATE_TEST_CASE("probabilities of the noisy maximum sum to one, in long and in flat rows", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    generator random;
    const auto check = [&](const auto& f, double slack) {
        for (const T scale : {T(0), T(0.1), T(2), T(1e4)}) {
            const auto p = f((random.matrix<T>(1, 5000) * scale).eval());
            CHECK(std::abs(p.template cast<double>().sum() - 1) / unit<T> <= slack);
            CHECK(p.minCoeff() >= 0);
        }
    };
    check(heed::perturb_max(heed::perturb::normal), 256);
    check(heed::perturb_max(heed::perturb::logistic), 256);
    check(heed::perturb_max(heed::perturb::uniform), 1024);
}

TEMPLATE_TEST_CASE("extremes of the noisy maximum", "", HEED_TEST_SCALARS) {
    check_dense_extremes<TestType>(heed::perturb_max(heed::perturb::gumbel));
    check_dense_extremes<TestType>(heed::perturb_max(heed::perturb::normal));
    check_dense_extremes<TestType>(heed::perturb_max(heed::perturb::logistic));
    check_dense_extremes<TestType>(heed::perturb_max(heed::perturb::uniform));
}

TEST_CASE("two scores: the distribution of the difference of two noises") {
    const double difference = 0.8;
    const auto of_two = [&](auto noise) {
        return heed::perturb_max(noise)(Eigen::RowVector2d(difference, 0))(0);
    };
    CHECK(of_two(heed::perturb::normal) == Approx(0.5 * std::erfc(-difference / 2)).epsilon(1e-14));
    CHECK(of_two(heed::perturb::gumbel) == Approx(1 / (1 + std::exp(-difference))).epsilon(1e-14));
    const double rest = 1 - difference;
    CHECK(of_two(heed::perturb::uniform) == Approx(1 - 0.5 * rest * rest).epsilon(1e-14));
    const double e = std::exp(difference);
    CHECK(of_two(heed::perturb::logistic) ==
          Approx((e * e - e - difference * e) / ((e - 1) * (e - 1))).epsilon(1e-14));
}

}  // namespace test_perturb_max
