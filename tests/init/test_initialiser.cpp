#include <algorithm>
#include <cmath>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/init/initialiser.hpp>

#include "support/catch.hpp"

namespace test_initialiser {

struct moments {
    double mean = 0, deviation = 0, kurtosis = 0, least = 0, greatest = 0;
};

moments moments_of(const Eigen::MatrixXd& w) {
    moments m;
    const auto n = static_cast<double>(w.size());
    double second = 0, fourth = 0;
    m.least = m.greatest = w(0, 0);
    for (Eigen::Index i = 0; i < w.size(); ++i) m.mean += w.data()[i] / n;
    for (Eigen::Index i = 0; i < w.size(); ++i) {
        const double d = w.data()[i] - m.mean;
        second += d * d / n;
        fourth += d * d * d * d / n;
        m.least = std::min(m.least, w.data()[i]);
        m.greatest = std::max(m.greatest, w.data()[i]);
    }
    m.deviation = std::sqrt(second);
    m.kurtosis = fourth / (second * second);
    return m;
}

/// A quarter of a million weights: m = 400, n = 625.
moments moments_of(const heed::init::initialiser& how) {
    Eigen::MatrixXd w(400, 625);
    how.into(w, 42);
    return moments_of(w);
}

TEST_CASE("every rule has its variance") {
    const double m = 400, n = 625;
    const auto check = [&](const heed::init::initialiser& how, double variance) {
        CHECK(how.variance(m, n) == Approx(variance).epsilon(1e-15));
        // Four standard errors of a deviation, and of a mean, at this many weights.
        const double sigma = std::sqrt(variance);
        for (const auto& shape : {how.normal(), how.uniform(), how.truncated_normal()}) {
            const auto found = moments_of(shape);
            CHECK(std::abs(found.deviation / sigma - 1) < 4 * std::sqrt(0.5 / (m * n)));
            CHECK(std::abs(found.mean) < 4 * sigma / std::sqrt(m * n));
        }
    };
    check(heed::init::lecun, 1 / m);
    check(heed::init::he, 2 / m);
    check(heed::init::glorot, 2 / (m + n));
    check(heed::init::geometric_mean, 1 / std::sqrt(m * n));
    check(heed::init::quadratic, (m + n) / (m * m + n * n));
    check(heed::init::ntk, 1);
    check(heed::init::t5_query_key(64), 1 / (m * 8));
    check(heed::init::deviation(0.3), 0.09);
    CHECK(heed::init::ntk_factor(400) == 0.05);
}

TEST_CASE("every distribution has its shape") {
    const auto normal = moments_of(heed::init::deviation(0.5));
    CHECK(normal.kurtosis == Approx(3).epsilon(0.02));
    CHECK(normal.greatest > 4 * 0.5);
    const auto uniform = moments_of(heed::init::deviation(0.5).uniform().mean(2));
    CHECK(uniform.mean == Approx(2).epsilon(1e-3));
    CHECK(uniform.kurtosis == Approx(1.8).epsilon(0.01));
    CHECK(uniform.least >= 2 - std::sqrt(3.0) * 0.5);
    CHECK(uniform.greatest <= 2 + std::sqrt(3.0) * 0.5);
    CHECK(uniform.greatest > 2 + 0.999 * std::sqrt(3.0) * 0.5);
    // Cut off at two deviations of the normal that is cut.
    const double width = 2 * heed::init::initialiser::truncation * 0.5;
    const auto truncated = moments_of(heed::init::deviation(0.5).truncated_normal());
    CHECK(truncated.greatest <= width);
    CHECK(truncated.least >= -width);
    CHECK(truncated.greatest > 0.999 * width);
    const double density = std::exp(-2) / std::sqrt(2 * std::acos(-1.0));
    CHECK(heed::init::initialiser::truncation ==
          Approx(1 / std::sqrt(1 - 4 * density / std::erf(std::sqrt(2.0)))).epsilon(1e-14));
    CHECK(moments_of(heed::init::deviation(0)).deviation == 0);
}

TEST_CASE("weights of every size") {
    for (const double sigma : {1e-300, 1e-170, 1e-20, 1.0, 1e20, 1e160, 1e300, 2e307}) {
        INFO(sigma);
        const auto check = [&](const heed::init::initialiser& how, double expected) {
            Eigen::MatrixXd w(100, 100);
            how.into(w, 1);
            CHECK(moments_of(w / sigma).deviation == Approx(expected).epsilon(0.03));
        };
        const auto how = heed::init::deviation(sigma);
        CHECK(how.deviation(3, 4) == sigma);
        check(how, 1);
        check(how.uniform(), 1);
        check(how.truncated_normal(), 1);
        check(how.cut_normal(), 1 / heed::init::initialiser::truncation);
    }
    // A rule times a factor, where their product is no number.
    const heed::init::initialiser small([](double, double) { return 1e-200; }, 1e-250);
    CHECK(small.deviation(1, 1) == Approx(1e-225));
    const heed::init::initialiser large([](double m, double) { return 1e300 / m; }, 1e250);
    CHECK(large.deviation(100, 1) == Approx(1e274));
    CHECK(heed::init::lecun.deviation(1e300, 1) == Approx(1e-150));
    CHECK(heed::init::t5_query_key(64).deviation(400, 625) ==
          Approx(std::sqrt(heed::init::t5_query_key(64).variance(400, 625))));
    Eigen::MatrixXf single(100, 100);
    heed::init::deviation(1e37).into(single, 1);
    CHECK(single.allFinite());
    heed::init::deviation(1e-60).into(single, 1);  // rounded to 0
    CHECK(single.isZero(0));
}

TEST_CASE("bert cuts at 0.04 and corrects nothing") {
    const auto found = moments_of(heed::init::bert);
    CHECK(found.greatest <= 0.04);
    CHECK(found.least >= -0.04);
    CHECK(found.greatest > 0.0399);
    CHECK(found.deviation == Approx(0.02 / heed::init::initialiser::truncation).epsilon(0.006));
    CHECK(0.02 / heed::init::initialiser::truncation == Approx(0.0176).epsilon(1e-3));
}

TEST_CASE("a weight depends on the seed and its place alone") {
    Eigen::MatrixXd w(5, 7), transposed(7, 5), other(5, 7);
    Eigen::Matrix<double, 5, 7, Eigen::RowMajor> rows;
    Eigen::MatrixXf single(5, 7);
    const auto how = heed::init::glorot.truncated_normal();
    how.into(w, 1);
    how.into(rows, 1);
    how.into(transposed.transpose(), 1);
    how.into(single, 1);
    how.into(other, 2);
    CHECK(w == rows);
    CHECK(w == transposed.transpose());
    CHECK(w.cast<float>() == single);
    CHECK((w.array() != other.array()).all());
    how.into(other, heed::random_numbers(1));
    CHECK(w == other);
    how.into(other, heed::random_numbers(1, 0));
    CHECK((w.array() != other.array()).all());

    // Heads have weights of their own; each has as many inputs and outputs as an axis says.
    Eigen::Tensor<double, 3> heads(3, 5, 7);
    how.into(heads, 1);
    CHECK(heads(0, 4, 6) == w(4, 6));
    CHECK(heads(1, 4, 6) != w(4, 6));
    Eigen::MatrixXd none(0, 4);
    how.into(none, 1);
    CHECK(none.size() == 0);
}

TEST_CASE("weights are the same numbers on every platform") {
    // To the last bit: these are decimal forms that read back exactly.
    const auto at = [](const heed::init::initialiser& how) {
        return how.weight(heed::random_numbers(42), 3, 1000, 0.125);
    };
    CHECK(at(heed::init::lecun) == 0.042493063988006036);
    CHECK(at(heed::init::lecun.uniform().mean(1)) == 1.0576127048037656);
    CHECK(at(heed::init::lecun.truncated_normal()) == 0.0460295536834446);
    CHECK(at(heed::init::lecun.cut_normal()) == 0.040488776585910984);
}

TEST_CASE("initialisers refuse what they cannot do") {
    using Catch::Matchers::Contains;
    CHECK_THROWS_WITH(heed::init::deviation(-1), Contains("-1"));
    CHECK_THROWS_AS(heed::init::deviation(NAN), heed::argument_error);
    CHECK_THROWS_AS(heed::init::lecun.mean(INFINITY), heed::argument_error);
    CHECK_THROWS_AS(heed::init::t5_query_key(0), heed::argument_error);
    CHECK_THROWS_AS(heed::init::ntk_factor(0), heed::argument_error);
    // A user's rule, and weights that float does not have.
    Eigen::MatrixXd w = Eigen::MatrixXd::Ones(3, 4);
    const auto rule = [](auto f) { return heed::init::initialiser(f); };
    CHECK_THROWS_WITH(rule([](double m, double) { return -m; }).into(w, 1),
                      "heed::init: the rule's variance of 3 inputs and 4 outputs is -3, but must "
                      "be finite and not negative");
    CHECK_THROWS_AS(rule([](double, double) { return std::nan(""); }).into(w, 1),
                    heed::argument_error);
    CHECK_THROWS_AS(rule([](double m, double) { return 1 / (m - 3); }).into(w, 1),
                    heed::argument_error);
    CHECK_THROWS_WITH(heed::init::initialiser([](double, double) { return 1.0; }, -2).into(w, 1),
                      Contains("the factor of the variance is -2"));
    CHECK_THROWS_AS(heed::init::deviation(1e308).into(w, 1), heed::argument_error);
    CHECK_THROWS_AS(heed::init::deviation(1e306).mean(1.79e308).into(w, 1), heed::argument_error);
    CHECK((w.array() == 1).all());
    Eigen::MatrixXf single = Eigen::MatrixXf::Ones(3, 4);
    CHECK_THROWS_WITH(heed::init::deviation(1e38).into(single, 1),
                      Contains("deviation 1e+38") && Contains("3.4"));
    CHECK_THROWS_AS(heed::init::he.mean(1e39).into(single, 1), heed::argument_error);
    CHECK((single.array() == 1).all());
    heed::init::deviation(1e38).uniform().into(single, 1);
    CHECK(single.allFinite());
    double memory[4] = {};
    CHECK_THROWS_AS(heed::init::he.into(heed::view(memory, {2, 3}, {1, 1}), 0),
                    heed::argument_error);
}

}  // namespace test_initialiser
