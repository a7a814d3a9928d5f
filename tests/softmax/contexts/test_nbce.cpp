#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <heed/attention/attention.hpp>
#include <heed/softmax/contexts/nbce.hpp>
#include <heed/softmax/log_softmax.hpp>
#include <heed/softmax/log_sum_exp.hpp>

#include "reference/nbce.hpp"
#include "rows/row_objects.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_nbce {

using heed_test::rows_of;
using heed_test::unit;
using reference::row;

constexpr double infinity = std::numeric_limits<double>::infinity();

/// Equal, or as close as the rounding of a sum of logits allows.
template <class T, class Actual>
bool close_to(const Actual& actual, const row& expected, double size) {
    const row found = rows_of(actual)[0];
    bool close = found.size() == expected.size();
    for (std::size_t j = 0; close && j < found.size(); ++j)
        close = found[j] == expected[j] ||
                std::abs(found[j] - expected[j]) <= 32 * unit<T> * (1 + size);
    return close;
}

TEMPLATE_TEST_CASE("nbce is the reference's for every pooling and refinement", "",
                   HEED_TEST_SCALARS) {
    heed_test::generator random;
    Eigen::Matrix<TestType, Eigen::Dynamic, Eigen::Dynamic> contexts(5, 211);
    random.fill_normal(contexts, 2);
    const auto without = random.matrix<TestType>(1, 211);
    const auto rows = rows_of(contexts);
    const auto prior = rows_of(without)[0];
    for (const auto& [pooling, letter] :
         {std::pair(heed::pooling::mean, 'm'), std::pair(heed::pooling::max, 'x'),
          std::pair(heed::pooling::least_entropy, 'e')}) {
        for (const double beta : {0.0, 0.25, 4.0}) {
            for (const heed::index top_k : {0, 1, 40, 500}) {
                for (const double top_p : {1.0, 0.9, 1e-9}) {
                    for (const heed::index before : {-1, 0, 3}) {
                        const auto result = heed::nbce({.beta = beta,
                                                        .pooling = pooling,
                                                        .top_k = top_k,
                                                        .top_p = top_p,
                                                        .eta = 0.3})
                                                .after(before)(contexts, without);
                        const auto expected = reference::nbce(
                            rows, prior,
                            {beta, letter, static_cast<std::size_t>(top_k), top_p, 0.3, before});
                        CHECK(result.context == expected.context);
                        CHECK(close_to<TestType>(result.log_p, expected.log_p, 20 * (1 + beta)));
                    }
                }
            }
        }
    }
}

TEST_CASE("nbce with the mean is naive Bayes when beta is the number of contexts less one") {
    heed_test::generator random;
    // p(T|S_k) ∝ p(T)·p(S_k|T), and p(T|S_1 … S_K) ∝ p(T)·Π p(S_k|T).
    const Eigen::RowVectorXd prior = random.matrix<double>(1, 30);
    const auto likelihoods = random.matrix<double>(4, 30);
    Eigen::MatrixXd contexts = likelihoods;
    contexts.rowwise() += prior;
    Eigen::RowVectorXd posterior = prior;
    for (Eigen::Index k = 0; k < 4; ++k) posterior += likelihoods.row(k);
    const auto result =
        heed::nbce({.beta = 3, .pooling = heed::pooling::mean})(contexts, prior).log_p;
    CHECK(result.isApprox(Eigen::RowVectorXd(heed::log_softmax(posterior)), 1e-12));
    CHECK(std::abs(heed::log_sum_exp(result)) < 1e-14);
}

TEST_CASE("attention over contexts is nbce's pooling with weights of its own") {
    heed_test::generator random;
    const Eigen::MatrixXd contexts = heed::log_softmax(random.matrix<double>(6, 20));
    const Eigen::RowVectorXd prior = random.matrix<double>(1, 20);
    // Equal scores: the mean.
    const Eigen::MatrixXd q = Eigen::MatrixXd::Zero(1, 4), k = random.matrix<double>(6, 4);
    const Eigen::RowVectorXd pooled = heed::attention(q, k, contexts);
    const double beta = 0.5;
    const Eigen::RowVectorXd combined = (beta + 1) * pooled - beta * heed::log_softmax(prior);
    const auto expected =
        heed::nbce({.beta = beta, .pooling = heed::pooling::mean})(contexts, prior).log_p;
    CHECK(expected.isApprox(Eigen::RowVectorXd(heed::log_softmax(combined)), 1e-12));
}

TEST_CASE("nbce keeps to a context, and to its likeliest tokens, the first of equal ones") {
    Eigen::MatrixXf contexts(2, 4);
    contexts << 1, 1, 1, -9, 1, 1, 0.9f, -9;
    const Eigen::RowVectorXf even = Eigen::RowVectorXf::Zero(4);
    CHECK(heed::nbce({})(contexts, even).context == 1);
    CHECK(heed::nbce({.eta = 0.5}).after(0)(contexts, even).context == 0);
    CHECK(heed::nbce({.eta = 0.5}).after(1)(contexts, even).context == 1);

    const auto two = heed::nbce({.top_k = 2})(contexts.topRows(1), even).log_p;
    CHECK(two(0) == two(1));
    CHECK(two(0) == Approx(std::log(0.5)));
    CHECK((two(2) == -infinity && two(3) == -infinity));
    // p(T) keeps tokens 0 and 1 too; of the rest the pooled value counts alone.
    Eigen::RowVectorXf prior(4);
    prior << 0, 0, 3, 3;
    const auto apart = heed::nbce({.beta = 7, .top_k = 2})(contexts.topRows(1), prior).log_p;
    CHECK(apart(0) == Approx(std::log(0.5)));
}

TEMPLATE_TEST_CASE("of contexts that are equally sure nbce takes the first", "",
                   HEED_TEST_SCALARS) {
    heed_test::generator random;
    for (const double spread : {0.3, 3.0, 20.0}) {
        for (const Eigen::Index n : {2, 5, 300, 5000}) {
            // The same logits in other orders, and moved by a constant.
            Eigen::Matrix<TestType, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> contexts(6, n);
            auto logits = random.numbers<TestType>(static_cast<std::size_t>(n), spread);
            for (Eigen::Index k = 0; k < 6; ++k) {
                std::shuffle(logits.begin(), logits.end(), random.engine());
                for (Eigen::Index j = 0; j < n; ++j)
                    contexts(k, j) = logits[static_cast<std::size_t>(j)] + TestType(8 * k % 5);
            }
            const Eigen::Matrix<TestType, 1, Eigen::Dynamic> prior =
                Eigen::Matrix<TestType, 1, Eigen::Dynamic>::Zero(n);
            for (const heed::index top_k : {0, 1, 2, 40}) {
                for (const double top_p : {1.0, 0.5}) {
                    const auto how = heed::nbce({.top_k = top_k, .top_p = top_p, .eta = 0.01});
                    CHECK(how(contexts, prior).context == 0);
                    CHECK(how.after(0)(contexts, prior).context == 0);
                    CHECK(how.after(4)(contexts, prior).context == 4);
                }
            }
        }
    }
}

TEST_CASE("nbce of one token left, or of contexts that keep different ones") {
    Eigen::MatrixXd contexts(3, 3);
    contexts << 0, 0.1, -5, 0.3, 0, -7, 0.2, 0.1, 0;
    const Eigen::RowVectorXd prior = Eigen::RowVectorXd::Zero(3);
    const auto of = [&](heed::pooling pooling) {
        return heed::nbce({.beta = 0, .pooling = pooling, .top_k = 1})(contexts, prior);
    };
    const auto surest = of(heed::pooling::least_entropy);
    CHECK(surest.context == 0);
    CHECK((surest.log_p(0) == -infinity && surest.log_p(1) == 0 && surest.log_p(2) == -infinity));
    const auto greatest = of(heed::pooling::max).log_p;
    CHECK((greatest(0) == greatest(1) && greatest(0) == Approx(-std::log(2))));
    CHECK(greatest(2) == -infinity);
    // The mean allows what all of them keep: here nothing.
    CHECK((of(heed::pooling::mean).log_p.array() == -infinity).all());
    const auto two =
        heed::nbce({.beta = 0, .pooling = heed::pooling::mean, .top_k = 2})(contexts, prior).log_p;
    CHECK((two(0) > two(1) && two(2) == -infinity));
}

TEST_CASE("nbce of extreme logits") {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float lowest = -std::numeric_limits<float>::infinity();
    Eigen::MatrixXf contexts(3, 2);
    contexts << lowest, lowest, 1e4f, -1e4f, 0, 0;
    const Eigen::Vector2f prior(0, 0);
    const auto sure = heed::nbce({})(contexts, prior);
    CHECK(sure.context == 1);
    CHECK((sure.log_p(0) == 0 && sure.log_p(1) <= -2e4f));
    const auto none = heed::nbce({})(contexts.topRows(1), prior);
    CHECK(none.context == -1);
    CHECK((none.log_p(0) == lowest && none.log_p(1) == lowest));
    const auto mean = heed::nbce({.pooling = heed::pooling::mean})(contexts, prior).log_p;
    CHECK(mean(0) == lowest);
    contexts(2, 0) = nan;
    for (const auto pooling :
         {heed::pooling::mean, heed::pooling::max, heed::pooling::least_entropy})
        CHECK(std::isnan(heed::nbce({.pooling = pooling, .top_k = 1})(contexts, prior).log_p(1)));
    CHECK(heed::nbce({})(Eigen::MatrixXf(2, 0), Eigen::RowVectorXf(0)).log_p.size() == 0);
}

TEST_CASE("nbce refuses what it cannot do") {
    using Catch::Matchers::Contains;
    CHECK_THROWS_AS(heed::nbce({.beta = NAN}), heed::argument_error);
    CHECK_THROWS_AS(heed::nbce({.top_k = -1}), heed::argument_error);
    for (const double p : {0.0, -1.0, 1.1, std::nan("")})
        CHECK_THROWS_AS(heed::nbce({.top_p = p}), heed::argument_error);
    CHECK_THROWS_WITH(heed::nbce({.top_p = 1.5}), Contains("1.5") && Contains("(0, 1]"));
    CHECK_THROWS_AS(heed::nbce({.eta = INFINITY}), heed::argument_error);
    const Eigen::MatrixXf contexts = Eigen::MatrixXf::Zero(2, 3);
    const Eigen::RowVectorXf single = Eigen::RowVectorXf::Zero(3);
    CHECK_THROWS_AS(heed::nbce({})(contexts, Eigen::RowVectorXf(4)), heed::shape_error);
    CHECK_THROWS_AS(heed::nbce({})(contexts, contexts), heed::shape_error);
    CHECK_THROWS_AS(heed::nbce({})(Eigen::MatrixXf(0, 3), single), heed::shape_error);
    CHECK_THROWS_WITH(heed::nbce({}).after(2)(contexts, single),
                      Contains("2") && Contains("[-1, 2)"));
}

}  // namespace test_nbce
