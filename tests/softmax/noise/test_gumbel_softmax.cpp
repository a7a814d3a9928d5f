#include <cmath>
#include <limits>
#include <vector>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/softmax/noise/gumbel_softmax.hpp>
#include <heed/softmax/noise/perturb_max.hpp>
#include <heed/softmax/noise/perturb_samples.hpp>
#include <heed/softmax/softmax.hpp>

#include "rows/row_objects.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_gumbel_softmax {

using heed_test::generator;
using heed_test::unit;
using matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Whether frequencies of so many draws are within five standard deviations of p.
bool are_frequencies(const Eigen::RowVectorXd& frequency, const Eigen::RowVectorXd& p,
                     double draws) {
    bool good = std::abs(frequency.sum() - 1) < 1e-12;
    for (Eigen::Index i = 0; i < p.size(); ++i)
        good &= std::abs(frequency(i) - p(i)) <= 5 * std::sqrt(p(i) * (1 - p(i)) / draws) + 1e-9;
    return good;
}

TEST_CASE("samples of the noisy maximum have its probabilities") {
    Eigen::RowVectorXd x(6);
    x << 0.3, -0.4, 1.2, 0, -std::numeric_limits<double>::infinity(), 0.9;
    const heed::index draws = 20000;
    const auto check = [&](auto noise) {
        const Eigen::RowVectorXd p = heed::perturb_max(noise)(x);
        CHECK(are_frequencies(heed::perturb_samples(noise, 7, draws)(x), p,
                              static_cast<double>(draws)));
    };
    check(heed::perturb::gumbel);
    check(heed::perturb::normal);
    check(heed::perturb::logistic);
    check(heed::perturb::uniform);
}

TEST_CASE("a sample depends on the seed, the row and the column alone") {
    generator random;
    const matrix x = random.matrix<double>(40, 30);
    const Eigen::MatrixXd columns = x;
    const auto f = heed::perturb_samples(heed::perturb::gumbel, 11);
    const matrix y = f(x);
    CHECK((y.rowwise().sum().array() == 1).all());
    CHECK((f(columns) - y).cwiseAbs().sum() == 0);
    Eigen::ThreadPool pool(2);
    CHECK((f(x, heed::on(pool)) - y).cwiseAbs().sum() == 0);
    CHECK((heed::perturb_samples(heed::perturb::gumbel, 12)(x) - y).cwiseAbs().sum() > 0);

    const auto soft = heed::gumbel_softmax(11).temperature(0.3);
    const matrix s = soft(x);
    CHECK((soft(columns) - s).cwiseAbs().maxCoeff() < 1e-14);
    CHECK((soft(x, heed::on(pool)) - s).cwiseAbs().sum() == 0);
    CHECK((heed::gumbel_softmax(12).temperature(0.3)(x) - s).cwiseAbs().maxCoeff() > 0.1);
    matrix over = x;
    soft.into(over, over);
    CHECK((over - s).cwiseAbs().sum() == 0);
    // The same row alone has another number, and so has another place another noise.
    CHECK((matrix(soft(matrix(x.row(3)))) - s.row(3)).cwiseAbs().maxCoeff() > 1e-3);
}

TEMPLATE_TEST_CASE("Gumbel softmax is the softmax of noisy scores", "", HEED_TEST_SCALARS) {
    using T = TestType;
    generator random;
    const auto x = random.matrix<T>(9, 50);
    const heed::random_numbers numbers(5);
    const double tau = 0.7;
    const auto y = heed::gumbel_softmax(5).temperature(tau)(x);
    double worst = 0;
    for (Eigen::Index r = 0; r < 9; ++r) {
        reference::row noisy(50);
        for (Eigen::Index j = 0; j < 50; ++j)
            noisy[static_cast<std::size_t>(j)] =
                static_cast<double>(x(r, j)) - std::log(-std::log(numbers.uniform(r, j)));
        const reference::row p = reference::softmax(noisy, tau);
        for (Eigen::Index j = 0; j < 50; ++j)
            worst = std::max(
                worst, std::abs(static_cast<double>(y(r, j)) - p[static_cast<std::size_t>(j)]));
    }
    CHECK(worst <= 32 * unit<T>);
}

TEST_CASE("hard samples come with softmax's frequencies, and the soft gradient") {
    generator random;
    const Eigen::RowVectorXd scores = random.matrix<double>(1, 5);
    const matrix x = scores.replicate(20000, 1);
    const auto f = heed::gumbel_softmax(3).temperature(0.5);
    const matrix choice = f.hard()(x);
    CHECK((choice.array() * (1 - choice.array())).abs().sum() == 0);
    CHECK(are_frequencies(choice.colwise().mean(), heed::softmax(scores), 20000));
    const matrix dy = random.matrix<double>(20000, 5);
    const matrix soft = f(x);
    const matrix dx = f.backward(x, soft, dy);
    CHECK((f.hard().backward(x, choice, dy) - dx).cwiseAbs().sum() == 0);
    matrix over = dy;
    f.hard().backward_into(over, x, choice, over);
    CHECK((over - dx).cwiseAbs().sum() == 0);
    CHECK((heed::softmax.temperature(0.5).backward(x, soft, dy) - dx).cwiseAbs().sum() == 0);
}

TEST_CASE("backward of Gumbel softmax agrees with central differences") {
    generator random;
    matrix x = random.matrix<double>(3, 8);
    const matrix dy = random.matrix<double>(3, 8);
    const auto f = heed::gumbel_softmax(21).temperature(0.8);
    const matrix dx = f.backward(x, f(x), dy);
    const double h = 1e-5;
    double worst = 0;
    for (Eigen::Index i = 0; i < x.size(); ++i) {
        const double before = x.data()[i];
        x.data()[i] = before + h;
        const double above = f(x).cwiseProduct(dy).sum();
        x.data()[i] = before - h;
        const double below = f(x).cwiseProduct(dy).sum();
        x.data()[i] = before;
        worst = std::max(worst, std::abs((above - below) / (2 * h) - dx.data()[i]));
    }
    CHECK(worst <= 1e-7 * dx.cwiseAbs().maxCoeff());
}

TEST_CASE("extremes and bad arguments of samples") {
    const double inf = std::numeric_limits<double>::infinity();
    matrix x(3, 2);
    x << -inf, -inf, 0, NAN, 1, inf;
    for (const matrix& y :
         {matrix(heed::perturb_samples(heed::perturb::normal, 1)(x)),
          matrix(heed::gumbel_softmax(1)(x)), matrix(heed::gumbel_softmax(1).hard()(x))}) {
        CHECK(y.row(0).cwiseAbs().sum() == 0);
        CHECK(std::isnan(y(1, 1)));
        CHECK(std::isnan(y(2, 1)));
    }
    CHECK(heed::gumbel_softmax(1)(matrix(0, 3)).rows() == 0);
    CHECK_THROWS_AS(heed::perturb_samples(heed::perturb::normal, 1).into(x, x),
                    heed::argument_error);
    CHECK_THROWS_WITH(heed::perturb_samples(heed::perturb::normal, 1, 0),
                      "heed::perturb_samples: the count is 0, but must be positive");
    CHECK_THROWS_AS(heed::gumbel_softmax(1).temperature(0), heed::argument_error);
    CHECK_THROWS_AS(heed::gumbel_softmax(1).into(x, matrix(2, 3)), heed::shape_error);
}

}  // namespace test_gumbel_softmax
