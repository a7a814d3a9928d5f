#include <cmath>

#include <heed/softmax/noise/perturb_max.hpp>
#include <heed/softmax/softmax.hpp>

#include "reference/perturb.hpp"
#include "softmax/dense_check.hpp"

using namespace heed_test;

TEMPLATE_TEST_CASE("the rule of quantiles is the reference's", "", HEED_TEST_SCALARS) {
    using T = TestType;
    generator random;
    const auto check = [&](auto noise, const reference::noise& of) {
        const auto quantile = [noise](double p) { return noise.quantile(p); };
        for (const int count : {1, 6, 16})
            for (const Eigen::Index n : {1, 2, 11})
                check_dense<T>(random, heed::perturb_max(noise).by_quantiles(count),
                               reference::perturb_quantiles(of, quantile, count),
                               random.matrix<T>(2, n));
    };
    check(heed::perturb::gumbel, reference::gumbel_noise());
    check(heed::perturb::normal, reference::normal_noise());
    check(heed::perturb::logistic, reference::logistic_noise());
    check_dense_extremes<T>(heed::perturb_max(heed::perturb::normal).by_quantiles(8));
    check_dense_extremes<T>(heed::perturb_max(heed::perturb::gumbel).by_quantiles(8));
    check_dense_extremes<T>(heed::perturb_max(heed::perturb::uniform).by_quantiles(8));
}

TEST_CASE("backward of the rule of quantiles agrees with central differences") {
    check_dense_differences(heed::perturb_max(heed::perturb::normal).by_quantiles(20));
    check_dense_differences(heed::perturb_max(heed::perturb::gumbel).by_quantiles(20));
}

TEST_CASE("the rule of quantiles nears the integral, but loses what is below one in their number") {
    generator random;
    const auto x = random.matrix<double>(2, 12);
    const auto near = [&](auto noise) {
        const auto f = heed::perturb_max(noise);
        const auto error = [&](heed::index count) {
            return (f.by_quantiles(count)(x) - f(x)).cwiseAbs().maxCoeff();
        };
        CHECK(error(1000) < 2e-3);
        CHECK(error(1000) < error(10));
    };
    near(heed::perturb::normal);
    near(heed::perturb::logistic);
    near(heed::perturb::uniform);
    near(heed::perturb::gumbel);
    const Eigen::RowVector2d apart(0, 12);
    const double p = heed::perturb_max(heed::perturb::gumbel)(apart)(0);
    CHECK(p == Approx(heed::softmax(apart)(0)).epsilon(1e-12));
    CHECK(heed::perturb_max(heed::perturb::gumbel).by_quantiles(100)(apart)(0) < p / 10);
}

TEST_CASE("no quantiles are refused") {
    CHECK_THROWS_WITH(heed::perturb_max(heed::perturb::normal).by_quantiles(0),
                      "heed::perturb_max: the quantiles are 0, but must be at least one");
}
