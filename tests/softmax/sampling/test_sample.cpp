#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/softmax/sampling/greedy.hpp>
#include <heed/softmax/sampling/sample.hpp>

#include "reference/sampling.hpp"
#include "rows/row_objects.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_sample {

using heed_test::generator;
using heed_test::rows_of;
using reference::row;
template <class T>
using row_major = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
constexpr T infinity = std::numeric_limits<T>::infinity();

/// The first index at which the cumulated sum passes u, or −1 if u is too near a step to tell.
heed::index inverse(const row& p, double u) {
    double sum = 0;
    heed::index last = -1;
    for (std::size_t j = 0; j < p.size(); ++j) {
        sum += p[j];
        if (p[j] == 0) continue;
        if (std::abs(sum - u) < 1e-5) return -1;
        last = static_cast<heed::index>(j);
        if (sum > u) break;
    }
    return last;
}

TEMPLATE_TEST_CASE("a draw is the inverse of the reference's cumulated probabilities", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    generator random;
    heed::arena memory;
    int told = 0;
    for (int round = 0; round < 300; ++round) {
        const auto n = random.one_of<std::size_t>({1, 2, 5, 17, 64, 257, 1009});
        auto x = random.numbers<T>(n, random.one_of({0.3, 2.0, 9.0}));
        if (random.chance(0.3))
            for (T& logit : x) logit = std::round(2 * logit) / 2;  // ties
        if (random.chance(0.3)) x[0] = -infinity<T>;
        x[n / 2] = T(1);
        reference::sampling how;
        how.tau = random.one_of({1.0, 0.6, 2.5});
        if (random.chance(0.5)) how.top_k = static_cast<std::size_t>(random.integer(1, 40));
        if (random.chance(0.5)) how.top_p = random.uniform(0.05, 1);
        if (random.chance(0.5)) how.min_p = random.uniform(0, 0.3);
        const heed::detail::truncation cut{how.tau, static_cast<heed::index>(how.top_k), how.top_p,
                                           how.min_p};
        const row p = reference::token_probabilities(row(x.begin(), x.end()), how);
        const heed::tensor_view<const T, 1> view{x.data(), {static_cast<heed::index>(n)}, {1}};
        bool right = true;
        for (int i = 0; i < 20; ++i) {
            const double u = random.uniform();
            const heed::index expected = inverse(p, u);
            const heed::arena::scope mark(memory);
            const heed::index found = heed::detail::draw_row<T>(view, cut, u, memory);
            right &= expected < 0 || found == expected;
            told += expected < 0 ? 0 : 1;
        }
        INFO("n " << n << " tau " << how.tau << " k " << how.top_k << " p " << how.top_p << " m "
                  << how.min_p);
        CHECK(right);
    }
    CHECK(told > 5000);
}

/// Σ (drawn − expected)²/expected of so many draws, one a step, and no token without a share drawn.
double chi_squared(const heed::sample_function& f, const Eigen::RowVectorXf& x, const row& p,
                   int draws) {
    std::vector<double> drawn(p.size(), 0);
    for (int step = 0; step < draws; ++step)
        drawn[static_cast<std::size_t>(f(x, {.seed = 20, .row = 3, .step = step}))] += 1;
    double sum = 0;
    for (std::size_t j = 0; j < p.size(); ++j) {
        const double expected = draws * p[j];
        if (p[j] == 0)
            CHECK(drawn[j] == 0);
        else
            sum += (drawn[j] - expected) * (drawn[j] - expected) / expected;
    }
    return sum;
}

TEST_CASE("frequencies of draws pass a chi-squared test") {
    Eigen::RowVectorXf x(8);
    x << 0.3F, -0.4F, 1.2F, 0, -infinity<float>, 0.9F, -2, 1.2F;
    const row logits = rows_of(x)[0];
    // Quantiles of 0.999 for 6, 3, 4 and 2 degrees of freedom.
    const auto p = [&](const reference::sampling& how) {
        return reference::token_probabilities(logits, how);
    };
    CHECK(chi_squared(heed::sample, x, p({}), 20000) < 22.46);
    CHECK(chi_squared(heed::sample.temperature(0.5).top_k(4), x, p({0.5, 4}), 20000) < 16.27);
    CHECK(chi_squared(heed::sample.top_p(0.9), x, p({1, 0, 0.9}), 20000) < 18.47);
    CHECK(chi_squared(heed::sample.min_p(0.5).top_k(6), x, p({1, 6, 1, 0.5}), 20000) < 13.82);
}

TEMPLATE_TEST_CASE("a row draws the same alone and in a batch, in any layout, on threads", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    generator random;
    const row_major<T> x = random.matrix<T>(23, 301);
    const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic> columns = x;
    const auto f = heed::sample.temperature(1.2).top_k(200).top_p(0.97).min_p(1e-3);
    const heed::draw at{.seed = 5, .row = 40, .step = 9};
    const Eigen::Matrix<heed::index, Eigen::Dynamic, 1> tokens = f(x, at);
    CHECK(f(columns, at) == tokens);
    Eigen::ThreadPool pool(3);
    CHECK(f(x, at, heed::on(pool)) == tokens);
    bool same = true;
    for (Eigen::Index r = 0; r < x.rows(); ++r) {
        const Eigen::Matrix<T, 1, Eigen::Dynamic> alone = x.row(r);
        same &= f(alone, {.seed = 5, .row = 40 + r, .step = 9}) == tokens(r);
        same &= f(x.row(r), {.seed = 5, .row = 40 + r, .step = 9}) == tokens(r);
        same &= f(columns.row(r), {.seed = 5, .row = 40 + r, .step = 9}) == tokens(r);
    }
    CHECK(same);
    Eigen::TensorMap<const Eigen::Tensor<T, 3, Eigen::RowMajor>> tensor(x.data(), 1, 23, 301);
    const Eigen::Tensor<heed::index, 2, Eigen::RowMajor> of_tensor = f(tensor, at);
    for (Eigen::Index r = 0; r < x.rows(); ++r) same &= of_tensor(0, r) == tokens(r);
    CHECK(same);
    Eigen::VectorXi small(23);
    f.into(small, x, at);
    CHECK(small.template cast<heed::index>() == tokens);

    // Each of the three makes another draw.
    CHECK(f(x, {.seed = 6, .row = 40, .step = 9}) != tokens);
    CHECK(f(x, {.seed = 5, .row = 41, .step = 9}) != tokens);
    CHECK(f(x, {.seed = 5, .row = 40, .step = 10}) != tokens);
}

TEST_CASE("the largest, and of equal ones the first") {
    Eigen::MatrixXd x(3, 5);
    x << 1, 4, 4, 2, 4, -infinity<double>, -1e308, -infinity<double>, -1e308, -infinity<double>, 0,
        0, 0, 0, 0;
    const Eigen::Vector3i expected(1, 1, 0);
    CHECK(heed::greedy(x).cast<int>() == expected);
    Eigen::Matrix<heed::index, 3, 1> first;
    for (int step = 0; step < 50; ++step) {
        const heed::draw at{.seed = 1, .step = step};
        CHECK(heed::sample.top_k(1)(x, at).cast<int>() == expected);
        CHECK(heed::sample.top_p(1e-6)(x, at).cast<int>() == expected);
        // Those that are as likely as the likeliest are left by min-p: no index comes first there.
        first = heed::sample.min_p(1)(x, at);
        CHECK((first(0) == 1 || first(0) == 2 || first(0) == 4));
        CHECK(heed::sample.top_k(2)(x, at)(0) <= 2);
        CHECK(heed::sample.temperature(1e-3)(x, at)(0) != 3);
    }
    CHECK(heed::greedy(Eigen::RowVector4f(1, 2, 3, 0)) == 2);
    CHECK(heed::sample(Eigen::Matrix<float, 1, 1>(-1e30F), {}) == 0);
    CHECK(heed::greedy(Eigen::MatrixXf(0, 4)).size() == 0);
    CHECK(heed::sample(Eigen::MatrixXf(0, 0), {}).size() == 0);
}

TEMPLATE_TEST_CASE("a temperature whose reciprocal is none draws among the largest", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    Eigen::Matrix<T, 1, 4> x(1, 3, 3, 0);
    for (const double tau : {1e-310, 1e-40}) {  // 1/τ overflows in double, in float
        const auto cold = heed::sample.temperature(tau);
        bool seen[4] = {};
        for (int step = 0; step < 50; ++step) {
            seen[cold(x, {.seed = 1, .step = step})] = true;
            CHECK(cold.top_p(1e-6)(x, {.seed = 1, .step = step}) == 1);
        }
        CHECK((!seen[0] && seen[1] && seen[2] && !seen[3]));
    }
}

TEST_CASE("tokens are of a type that holds a row's last index") {
    Eigen::MatrixXf x = Eigen::MatrixXf::Zero(2, 129);
    x.col(128).setOnes();
    Eigen::Matrix<std::int8_t, 2, 1> narrow(7, 7);
    CHECK_THROWS_WITH(heed::greedy.into(narrow, x),
                      "heed::greedy: the last logit of a row of x is number 128, but the largest "
                      "number of the tokens' type is 127");
    CHECK_THROWS_AS(heed::sample.into(narrow, x, {}), heed::argument_error);
    CHECK(narrow == Eigen::Matrix<std::int8_t, 2, 1>(7, 7));
    heed::greedy.into(narrow, x.rightCols(128));
    CHECK(narrow == Eigen::Matrix<std::int8_t, 2, 1>(127, 127));
    Eigen::Matrix<std::uint8_t, 2, 1> wide;
    heed::greedy.into(wide, x);
    CHECK(wide == Eigen::Matrix<std::uint8_t, 2, 1>(128, 128));
}

TEST_CASE("sampling refuses what is no distribution, and writes nothing") {
    using Catch::Matchers::Contains;
    Eigen::MatrixXf x = Eigen::MatrixXf::Zero(3, 4);
    Eigen::VectorXi tokens = Eigen::VectorXi::Constant(3, 7);
    x(1, 2) = NAN;
    CHECK_THROWS_AS(heed::sample.into(tokens, x, {}), heed::argument_error);
    CHECK_THROWS_WITH(heed::sample(x, {}), Contains("row 1 of x has a NaN"));
    CHECK_THROWS_WITH(heed::greedy(x), Contains("heed::greedy: row 1 of x has a NaN"));
    x(1, 2) = infinity<float>;
    CHECK_THROWS_AS(heed::greedy.into(tokens, x), heed::argument_error);
    x.row(1).setConstant(-infinity<float>);
    CHECK_THROWS_WITH(heed::sample(x, {}), Contains("row 1 of x has no logit above -inf"));
    CHECK_THROWS_AS(heed::greedy(Eigen::MatrixXf(2, 0)), heed::argument_error);
    CHECK_THROWS_AS(heed::sample.into(tokens, x, {}), heed::argument_error);
    CHECK(tokens == Eigen::VectorXi::Constant(3, 7));
    Eigen::VectorXi two(2);
    CHECK_THROWS_AS(heed::greedy.into(two, x), heed::shape_error);

    CHECK_THROWS_WITH(heed::sample.temperature(0),
                      "heed::sample: the temperature is 0, but must be positive and finite");
    CHECK_THROWS_WITH(heed::sample.top_k(0), "heed::sample: top_k is 0, but must be at least 1");
    CHECK_THROWS_WITH(heed::sample.top_p(0), Contains("top_p is 0, but must lie in (0, 1]"));
    CHECK_THROWS_AS(heed::sample.top_p(1.5), heed::argument_error);
    CHECK_THROWS_AS(heed::sample.top_p(NAN), heed::argument_error);
    CHECK_THROWS_WITH(heed::sample.min_p(-0.1), Contains("min_p is -0.1"));
    CHECK_THROWS_AS(heed::sample.min_p(NAN), heed::argument_error);
}

}  // namespace test_sample
