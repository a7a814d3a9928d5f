#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/softmax/dense/entropy_normalised.hpp>
#include <heed/softmax/softmax.hpp>

#include "rows/random_rows.hpp"
#include "softmax/dense_check.hpp"

namespace test_entropy_normalised {

using namespace heed_test;

const double infinity = std::numeric_limits<double>::infinity();

/// The normaliser with a backward that gives dx alone.
struct only_dx {
    heed::entropy_normaliser all;

    template <class X>
    auto operator()(const X& x) const {
        return all(x);
    }
    template <class X, class Q, class DQ>
    auto backward(const X& x, const Q& q, const DQ& dq) const {
        return all.backward(x, q, dq).x;
    }
};

only_dx normaliser(double entropy) { return {heed::entropy_normalised(entropy)}; }

template <class Row>
double entropy_of(const Row& q) {
    return static_cast<double>(reference::entropy(rows_of(q)[0]));
}

TEMPLATE_TEST_CASE("rows of a given entropy, in any layout, are the reference's", "",
                   HEED_TEST_SCALARS) {
    generator random;
    for (const Eigen::Index n : {2, 7, 33, 131}) {
        const double entropy = random.uniform(0.2, 0.8) * std::log(static_cast<double>(n));
        const auto exact = reference::entropy_normalised(entropy);
        check_dense<TestType>(random, normaliser(entropy), exact, random.matrix<TestType>(5, n));
        check_dense<TestType>(random, normaliser(entropy), exact,
                              random.matrix<TestType, Eigen::ColMajor>(19, n));
    }
    const auto large = random.matrix<TestType, Eigen::ColMajor>(40, 50);
    check_dense<TestType>(random, normaliser(2), reference::entropy_normalised(2), large.row(3));
}

TEMPLATE_TEST_CASE("every attainable entropy is attained, whatever the scale of the scores", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    generator random;
    for (const Eigen::Index n : {2, 100, 1009}) {
        const auto x = random.matrix<T>(1, n);
        for (const T scale : {T(1e-4), T(1), T(1e4)}) {
            for (const double part : {1e-3, 0.1, 0.5, 0.9, 0.999}) {
                const double entropy = part * std::log(static_cast<double>(n));
                const auto q = heed::entropy_normalised(entropy)((x * scale).eval());
                CHECK(std::abs(entropy_of(q) - entropy) <= 16 * unit<T> * (1 + entropy / part));
                CHECK(std::abs(q.template cast<double>().sum() - 1) <= 8 * unit<T>);
            }
        }
    }
}

TEMPLATE_TEST_CASE("entropies are within their bound, of few elements and of a million", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    generator random;
    double worst = 0;
    const auto take = [&](Eigen::Index n) {
        auto x = random.matrix<T>(1, n);
        x *= static_cast<T>(std::pow(10.0, random.uniform(-2, 2)));
        const double highest = std::log(static_cast<double>(n));
        const double entropy = random.uniform(0.01, 0.99) * highest;
        const double found = entropy_of(heed::entropy_normalised(entropy)(x));
        worst = std::max(worst, std::abs(found - entropy) / (unit<T> * (1 + highest)));
    };
    for (int i = 0; i < 2000; ++i) take(random.integer(2, 200));
    for (int i = 0; i < 3; ++i) take(1'000'000);
    CHECK(worst <= 8);
}

TEST_CASE("gamma is found in at most 12 steps") {
    generator random;
    int most = 0;
    for (const Eigen::Index n : {32, 1024, 131072}) {
        for (const double scale : {1e-4, 1.0, 1e4}) {
            heed::arena scratch;
            double* row = scratch.take<double>(n);
            for (Eigen::Index j = 0; j < n; ++j) row[j] = scale * random.normal();
            for (const double part : {1e-6, 1e-3, 0.1, 0.5, 0.9, 0.999, 1 - 1e-6}) {
                const double entropy = part * std::log(static_cast<double>(n));
                int steps = 0;
                heed::entropy_normalised(entropy).whole_row<double>(0).solve(row, n, steps);
                most = std::max(most, steps);
            }
            // One large score, all others alike: the entropy falls all at once.
            std::fill_n(row, n, -scale);
            row[5] = scale;
            for (const double part : {1e-3, 0.5, 0.99}) {
                const double entropy = part * std::log(static_cast<double>(n));
                int steps = 0;
                heed::entropy_normalised(entropy).whole_row<double>(0).solve(row, n, steps);
                most = std::max(most, steps);
            }
        }
    }
    CHECK(most <= 12);
    CHECK(most >= 4);
}

TEMPLATE_TEST_CASE("a given entropy does not depend on the scale of the scores", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    using matrix = Eigen::Matrix<T, 1, Eigen::Dynamic>;
    using limits = std::numeric_limits<T>;
    generator random;
    for (int round = 0; round < 6; ++round) {
        const auto n = static_cast<Eigen::Index>(random.integer(3, 70));
        const matrix x = random.matrix<T, Eigen::RowMajor>(1, n).cwiseMax(T(-4)).cwiseMin(T(4)),
                     dq = random.matrix<T, Eigen::RowMajor>(1, n);
        const double entropy = random.uniform(0.05, 0.95) * std::log(static_cast<double>(n));
        const auto f = heed::entropy_normalised(entropy);
        const matrix q = f(x);
        const auto [dx, dh] = f.backward(x, q, dq);
        const T largest = dx.cwiseAbs().maxCoeff();
        // Down to where all scores keep their digits, up to where the largest can just be held.
        for (int step = 0; step <= 12; ++step) {
            const int low = limits::min_exponent + limits::digits + 12,
                      high = limits::max_exponent - 4;
            const int exponent = low + (high - low) * step / 12;
            INFO("2^" << exponent << ", entropy " << entropy << " of " << n);
            matrix y = x * std::ldexp(T(1), exponent);
            const matrix p = f(y);
            CHECK((p - q).cwiseAbs().maxCoeff() <= 64 * unit<T>);
            const auto [dy, dhy] = f.backward(y, p, dq);
            double worst = 0;
            for (Eigen::Index j = 0; j < n; ++j)
                worst = std::max(
                    worst, static_cast<double>(std::abs(std::ldexp(dy(j), exponent) - dx(j))));
            CHECK(worst <= 1e3 * unit<T> * static_cast<double>(largest));
            CHECK(std::abs(static_cast<double>(dhy - dh)) <=
                  1e3 * unit<T> * (1 + std::abs(static_cast<double>(dh))));
        }
    }
}

TEMPLATE_TEST_CASE("a given entropy of differences from the least to the largest number", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    using limits = std::numeric_limits<T>;
    const T large = limits::max(), tiny = limits::denorm_min(), infinite = limits::infinity();
    Eigen::Matrix<T, 7, 5> x;
    x << large, -large, large, -large, -large,                 // the range is no number
        -large, -large, T(-0.999) * large, -infinite, -large,  //
        tiny, 0, -tiny, 2 * tiny, -3 * tiny,                   // denormal
        large, large / 2, large / 4, -large, -infinite,        //
        0, T(-1e-20), T(-2e-20), T(-1), T(-1e20),              // of every size in one row
        0, T(-1e-20), T(-2e-20), T(-1e10), -large / 2,         //
        1, T(1) + limits::epsilon(), T(1) - limits::epsilon(), 0, T(1e4);  // and next to each other
    for (Eigen::Index r = 0; r < x.rows(); ++r) {
        const Eigen::Matrix<T, 1, Eigen::Dynamic> row = x.row(r);
        double seen = 0, tied = 0;
        for (const T v : row) seen += v > -infinite, tied += v == row.maxCoeff();
        for (const double part : {0.01, 0.3, 0.5, 0.63, 0.8, 0.99}) {
            const double entropy = std::log(tied) + part * (std::log(seen) - std::log(tied));
            INFO("row " << r << ", entropy " << entropy);
            const auto f = heed::entropy_normalised(entropy);
            const auto q = f(row);
            CHECK(std::abs(entropy_of(q) - entropy) <= 16 * unit<T> * (1 + std::log(seen)));
            const auto [dx, dh] = f.backward(row, q, q);
            CHECK(!dx.hasNaN());
            CHECK(std::isfinite(dh));
        }
    }
}

TEMPLATE_TEST_CASE("gamma is found for random rows, in few steps", "", HEED_TEST_SCALARS) {
    using T = TestType;
    generator random;
    int most = 0;
    double worst = 0;
    for (int r = 0; r < 4000; ++r) {
        const auto x = random_row<T>(random, 1);
        const double top = reference::maximum(x);
        double seen = 0, tied = 0;
        for (const double v : x) seen += v > -infinity, tied += v == top;
        // Near the bounds, too.
        const double near = std::pow(10, random.uniform(-8, -0.3));
        const double part = random.chance(0.5) ? near : 1 - near;
        const double entropy = std::log(tied) + part * (std::log(seen) - std::log(tied));
        heed::arena scratch;
        const aligned_row<T> scores(x, scratch);
        const auto object = heed::entropy_normalised(entropy).whole_row<T>(0);
        int steps = 0;
        object.solve(scores.data, scores.count, steps);
        most = std::max(most, steps);
        object.normalise(scores.data, scores.count, scratch);
        const reference::row q(scores.data, scores.data + scores.length);
        const auto found = static_cast<double>(reference::entropy(q));
        worst = std::max(worst, std::abs(found - entropy) / (unit<T> * (1 + std::log(seen))));
    }
    CHECK(worst <= 8);
    CHECK(most <= 80);
    CHECK(80 < heed::detail::most_entropy_steps);  // which no row can need
}

TEST_CASE("backward of a given entropy agrees with central differences, in the entropy too") {
    for (const double entropy : {0.3, 1.5, 2.8}) check_dense_differences(normaliser(entropy));
    generator random;
    const auto x = random.matrix<double>(4, 23);
    const auto dq = random.matrix<double>(4, 23);
    const double entropy = 1.7, h = 1e-5;
    const auto f = heed::entropy_normalised(entropy);
    const auto [dx, dh] = f.backward(x, f(x), dq);
    const auto loss = [&](double at) {
        return heed::entropy_normalised(at)(x).cwiseProduct(dq).sum();
    };
    CHECK(std::abs((loss(entropy + h) - loss(entropy - h)) / (2 * h) - dh) <= 1e-7);
    double expected = 0;
    const auto x_rows = rows_of(x), dq_rows = rows_of(dq);
    for (std::size_t r = 0; r < 4; ++r)
        expected += reference::entropy_backward(x_rows[r], dq_rows[r], entropy);
    CHECK(dh == Approx(expected).epsilon(1e-10));

    // In the caller's memory, over an input, on threads.
    Eigen::ThreadPool pool(2);
    auto over = dq;
    CHECK(f.backward_into(over, x, f(x), over, heed::on(pool)) == dh);
    CHECK(over == dx);
    auto y = x;
    f.into(y, y, heed::on(pool));
    CHECK(y == f(x));
}

TEST_CASE("the entropy of softmax leads back to softmax") {
    generator random;
    const auto x = random.matrix<double>(1, 200);
    const auto p = heed::softmax(x);
    const auto q = heed::entropy_normalised(entropy_of(p))(x);
    CHECK((p - q).cwiseAbs().maxCoeff() < 1e-13);
    // From log p as from the scores.
    const auto again = heed::entropy_normalised(entropy_of(p))(p.array().log().matrix().eval());
    CHECK((p - again).cwiseAbs().maxCoeff() < 1e-13);
}

TEST_CASE("the bounds: the largest share at log t, all share at log s") {
    Eigen::RowVectorXd x(6);
    x << 1, 3, -infinity, 3, 0, -2;
    Eigen::RowVectorXd q = heed::entropy_normalised(std::log(2.0))(x);
    CHECK(q(1) == 0.5);
    CHECK(q(3) == 0.5);
    q = heed::entropy_normalised(std::log(5.0))(x);
    CHECK(q(2) == 0);
    CHECK(q(0) == Approx(0.2));
    CHECK(q(5) == Approx(0.2));
    const auto [dx, dh] = heed::entropy_normalised(std::log(2.0)).backward(x, q, q);
    CHECK(dx.cwiseAbs().sum() == 0);
    CHECK(dh == 0);
    CHECK(heed::entropy_normalised(0)(Eigen::RowVectorXd::Ones(1).eval())(0) == 1);
}

TEST_CASE("an entropy that a row cannot attain is refused, before anything is written") {
    const auto message = [](double entropy, const Eigen::MatrixXd& x) {
        Eigen::MatrixXd q = Eigen::MatrixXd::Constant(x.rows(), x.cols(), 42);
        try {
            heed::entropy_normalised(entropy).into(q, x);
        } catch (const heed::argument_error& error) {
            CHECK(q.cwiseEqual(42).all());
            return std::string(error.what());
        }
        return std::string("none");
    };
    Eigen::MatrixXd x(2, 4);
    x << 1, 2, 3, 4, 1, 1, 0, 0;
    CHECK(
        message(0.5, x) ==
        "heed::entropy_normalised: the entropy is 0.5, but row 1 can attain those in [0.693147181, "
        "1.38629436]");
    CHECK(message(1.5, x) ==
          "heed::entropy_normalised: the entropy is 1.5, but row 0 can attain those in [0, "
          "1.38629436]");
    CHECK(message(1, x) == "none");
    CHECK_THROWS_AS(heed::entropy_normalised(-0.1), heed::argument_error);
    CHECK_THROWS_WITH(heed::entropy_normalised(NAN),
                      "heed::entropy_normalised: the entropy is nan, but must be finite and not "
                      "negative");
}

TEMPLATE_TEST_CASE("rows without a distribution: nothing seen, NaN, infinity", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    const T inf = std::numeric_limits<T>::infinity();
    Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> x(4, 9);
    generator random;
    random.fill_normal(x);
    x.row(0).setConstant(-inf);
    x(1, 4) = std::numeric_limits<T>::quiet_NaN();
    x(2, 4) = inf;
    const auto f = heed::entropy_normalised(1);
    const auto q = f(x);
    const auto [dx, dh] = f.backward(x, q, x.cwiseMax(T(-1)).cwiseMin(T(1)).eval());
    for (Eigen::Index j = 0; j < 9; ++j) {
        CHECK(q(0, j) == 0);
        CHECK(dx(0, j) == 0);
        CHECK(std::isnan(q(1, j)));
        CHECK(std::isnan(dx(1, j)));
        CHECK(std::isnan(q(2, j)));
        CHECK(std::isfinite(q(3, j)));
        CHECK(std::isfinite(dx(3, j)));
    }
    CHECK(f(x.topLeftCorner(3, 0)).rows() == 3);
}

}  // namespace test_entropy_normalised
