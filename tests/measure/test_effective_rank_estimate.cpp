#include <cmath>
#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/attention_weights.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/segments.hpp>
#include <heed/measure/effective_rank_estimate.hpp>
#include <heed/measure/rank.hpp>
#include <heed/softmax/sink.hpp>
#include <heed/softmax/sparse/sparsemax.hpp>

#include "support/attention_kernels.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_effective_rank_estimate {

using heed::measure::estimate_effective_rank;
using heed::measure::rank_estimate;
using heed::measure::rank_probes;
using matrix = Eigen::MatrixXf;

/// The exact effective rank lies within what the estimate says of itself.
template <class Q, class... Parts>
rank_estimate check_estimate(const Q& q, const Q& k, const rank_probes& chosen,
                             const Parts&... parts) {
    using T = typename Q::Scalar;
    const auto p = heed::attention_weights(q, k, parts...);
    const double exact = heed::measure::effective_rank(
        Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
            p.data(), q.rows(), k.rows()));
    const rank_estimate estimate = estimate_effective_rank(q, k, chosen, parts...);
    CAPTURE(exact, estimate.value, estimate.standard_error, estimate.quadrature_error);
    CHECK(std::abs(estimate.value - exact) <=
          4 * estimate.standard_error + estimate.quadrature_error + 1e-4 * exact);
    CHECK(estimate.standard_error < 0.05 * exact + 0.5);
    CHECK(estimate.quadrature_error < 0.06 * exact);
    return estimate;
}

TEST_CASE("an estimated effective rank is near the exact one") {
    heed_test::generator random;
    Eigen::ThreadPool pool(1);
    for (const double scale : {0.3, 1.0, 4.0}) {
        for (const auto& [queries, keys] : {std::pair(256, 256), {90, 150}, {150, 90}, {13, 13}}) {
            Eigen::MatrixXd q(queries, 16), k(keys, 16);
            random.fill_normal(q, scale);
            random.fill_normal(k);
            check_estimate(q, k, {.probes = 24, .steps = 48}, heed::causal, heed::on(pool));
        }
    }
}

TEST_CASE("a sparse attention to parts of the keys has an estimated effective rank too") {
    heed_test::generator random;
    std::vector<int> ids(180);
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = i < 70 ? 0 : 1;
    matrix q(180, 8), k(180, 8);
    random.fill_normal(q, 2);
    random.fill_normal(k);
    check_estimate(q, k, {.probes = 24, .steps = 48}, heed::segments(ids, ids), heed::sparsemax);
}

TEMPLATE_TEST_CASE("an estimated effective rank does not depend on how much a sink takes", "",
                   HEED_TEST_SCALARS) {
    heed_test::generator random;
    auto q = random.matrix<TestType>(64, 16), k = random.matrix<TestType>(64, 16);
    q *= TestType(1.5);
    const bool is_float = std::is_same_v<TestType, float>;
    const auto under = [&](double sink) {
        return check_estimate(q, k, {.probes = 24, .steps = 40, .seed = 2}, heed::sink(sink)).value;
    };
    // What is left is that of the rows divided by e^sink, whose scores are rounded at its size.
    const double first = under(30);
    for (const double sink :
         is_float ? std::vector<double>{40, 60, 70} : std::vector<double>{40, 60, 300, 600}) {
        INFO(sink);
        CHECK(under(sink) == Approx(first).epsilon(1e-3));
    }
}

TEST_CASE("documents of equal weights have as much rank as there are documents") {
    const Eigen::Index n = 60;
    const matrix q = matrix::Zero(n, 4);
    std::vector<int> ids(static_cast<std::size_t>(n));
    for (const int length : {60, 20, 7, 1}) {
        for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int>(i) / length;
        const int documents = ids.back() + 1;
        const rank_estimate estimate = estimate_effective_rank(
            q, q, {.probes = 8, .seed = 3}, heed::segments(ids, ids), heed::sparsemax);
        CHECK(estimate.value == Approx(documents).epsilon(1e-4));
        CHECK(estimate.standard_error < 1e-3);
        CHECK(estimate.quadrature_error < 1e-3);
    }
}

TEST_CASE("an estimated effective rank depends on its seed, not on threads") {
    heed_test::generator random;
    const Eigen::MatrixXd q = random.matrix<double, Eigen::ColMajor>(120, 8),
                          k = random.matrix<double, Eigen::ColMajor>(120, 8);
    Eigen::ThreadPool one(1), three(3);
    const auto of = [&](const rank_probes& chosen, Eigen::ThreadPool& pool) {
        return check_estimate(q, k, chosen, heed::causal, heed::on(pool));
    };
    const rank_probes chosen{.probes = 70, .steps = 30, .seed = 5};  // more than are held at a time
    const rank_estimate first = of(chosen, one), again = of(chosen, three);
    CHECK(first.value == again.value);
    CHECK(first.standard_error == again.standard_error);
    CHECK(first.quadrature_error == again.quadrature_error);

    const rank_estimate other = of({.probes = 70, .steps = 30, .seed = 6}, one);
    CHECK(first.value != other.value);
    // Expressions and views of the same numbers.
    const rank_estimate of_maps = estimate_effective_rank(
        q * 1.0, heed::view(k.data(), {120, 8}, {1, 120}), chosen, heed::causal, heed::on(one));
    CHECK(of_maps.value == first.value);
    const rank_estimate fewer = of({.probes = 12, .steps = 60, .seed = 5}, one);
    CHECK(fewer.standard_error > first.standard_error);
    CHECK(fewer.quadrature_error < first.quadrature_error / 2);
}

TEST_CASE("an estimated effective rank at the edges") {
    Eigen::ThreadPool pool(1);
    const auto of = [&](const Eigen::MatrixXd& q, const Eigen::MatrixXd& k) {
        return estimate_effective_rank(q, k, {}, heed::causal, heed::on(pool));
    };
    CHECK(of(Eigen::MatrixXd::Ones(1, 2), Eigen::MatrixXd::Ones(1, 2)).value == Approx(1));
    for (const auto& [queries, keys] : {std::pair(0, 3), {3, 0}, {0, 0}}) {
        const rank_estimate none = of(Eigen::MatrixXd(queries, 2), Eigen::MatrixXd(keys, 2));
        CHECK(none.value == 0);
        CHECK(none.standard_error == 0);
        CHECK(none.quadrature_error == 0);
    }
    // Each query finds its own key.
    Eigen::MatrixXd q = 1e4 * Eigen::MatrixXd::Identity(11, 11);
    CHECK(of(q, q).value == Approx(11));
    CHECK(of(q, q).standard_error < 1e-6);
    q(3, 4) = NAN;
    const rank_estimate none = of(q, q);
    CHECK(std::isnan(none.value));
    CHECK(std::isnan(none.standard_error));
    CHECK(std::isnan(none.quadrature_error));
}

TEST_CASE("an estimated effective rank refuses too few probes or steps, and shapes that differ") {
    using Catch::Matchers::Contains;
    Eigen::ThreadPool pool(1);
    const Eigen::MatrixXd q = Eigen::MatrixXd::Ones(5, 2);
    const auto of = [&](const rank_probes& chosen, const Eigen::MatrixXd& k) {
        return estimate_effective_rank(q, k, chosen, heed::causal, heed::on(pool));
    };
    for (const std::ptrdiff_t probes : {-1, 0, 1})
        CHECK_THROWS_AS(of({.probes = probes}, q), heed::argument_error);
    for (const std::ptrdiff_t steps : {-1, 0})
        CHECK_THROWS_AS(of({.steps = steps}, q), heed::argument_error);
    CHECK_THROWS_WITH(of({.probes = 1}, q), Contains("there are 1 probes") && Contains("least 2"));
    CHECK_THROWS_WITH(of({.steps = 0}, q), Contains("there are 0 steps") && Contains("least 1"));
    CHECK_THROWS_AS(of({}, Eigen::MatrixXd::Ones(5, 3)), heed::shape_error);
}

}  // namespace test_effective_rank_estimate
