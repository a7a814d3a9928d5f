#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <heed/softmax/log_softmax.hpp>

#include "reference/softmax.hpp"
#include "rows/row_objects.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_log_softmax {

using heed_test::rows_of;
using heed_test::unit;
using reference::row;

TEMPLATE_TEST_CASE("log_softmax of the rows of anything is the reference's", "",
                   HEED_TEST_SCALARS) {
    heed_test::generator random;
    for (const double tau : {1.0, 0.3, 4.0}) {
        heed_test::for_each_object<TestType>(random, [&](const auto& x) {
            const auto rows = rows_of(x), results = rows_of(heed::log_softmax.temperature(tau)(x));
            REQUIRE(rows.size() == results.size());
            bool close = true;
            for (std::size_t r = 0; r < rows.size(); ++r) {
                const row expected = reference::log_softmax(rows[r], tau);
                for (std::size_t i = 0; i < expected.size(); ++i)
                    close &= std::abs(results[r][i] - expected[i]) <=
                             (8 + 2 * std::abs(expected[i])) * unit<TestType>;
            }
            CHECK(close);
        });
    }
}

TEMPLATE_TEST_CASE("dx of log_softmax is (dy - e^y sum dy) / tau", "", HEED_TEST_SCALARS) {
    heed_test::generator random;
    const double tau = 1.3;
    const auto f = heed::log_softmax.temperature(tau);
    heed_test::for_each_object<TestType>(random, [&](const auto& x) {
        const auto y = f(x);
        auto dy = y;
        for (auto i = dy.size(); i-- > 0;) dy.data()[i] = static_cast<TestType>(random.normal());
        const auto y_rows = rows_of(y), dy_rows = rows_of(dy),
                   dx_rows = rows_of(f.backward(x, y, dy));
        bool close = true;
        for (std::size_t r = 0; r < y_rows.size(); ++r) {
            const row expected = reference::log_softmax_backward(y_rows[r], dy_rows[r], tau);
            double absolute = 0;
            for (const double element : dy_rows[r]) absolute += std::abs(element);
            for (std::size_t i = 0; i < expected.size(); ++i)
                close &= std::abs(dx_rows[r][i] - expected[i]) <=
                         8 * unit<TestType> *
                             (std::abs(dy_rows[r][i]) + std::exp(y_rows[r][i]) * absolute) / tau;
        }
        CHECK(close);
    });
}

TEST_CASE("backward of log_softmax agrees with central differences") {
    heed_test::generator random;
    const auto f = heed::log_softmax.temperature(0.8);
    auto x = random.matrix<double>(4, 13);
    const auto dy = random.matrix<double>(4, 13);
    const auto dx = f.backward(x, f(x), dy);
    double worst = 0;
    const double h = 1e-5;
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

TEST_CASE("log_softmax of extreme rows") {
    const float infinity = std::numeric_limits<float>::infinity();
    Eigen::MatrixXf x(4, 3);
    x << 1e4f, -1e4f, 1e4f, -infinity, 0, -infinity, -infinity, -infinity, -infinity, 1, NAN, 2;
    const auto check = [](const auto& y) {
        CHECK(y(0, 0) == Approx(-std::log(2.0)));
        CHECK(y(0, 1) == Approx(-2e4 - std::log(2.0)));
        CHECK(y(1, 1) == 0);
        CHECK(y(1, 0) == -std::numeric_limits<float>::infinity());
        for (int i = 0; i < 3; ++i) {
            CHECK(y(2, i) == -std::numeric_limits<float>::infinity());
            CHECK(std::isnan(y(3, i)));
        }
    };
    check(heed::log_softmax(x));
    check(heed::log_softmax(Eigen::Matrix<float, 4, 3, Eigen::RowMajor>(x)));
    heed::log_softmax.into(x, x);
    check(x);
}

TEMPLATE_TEST_CASE("log_softmax keeps its digits where one is all but certain, backward too", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    using row_major = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    heed_test::generator random;
    for (const Eigen::Index n : {2, 30, 1003}) {
        row_major x(11, n);
        random.fill_normal(x);
        std::vector<Eigen::Index> greatest(11);
        for (std::size_t r = 0; r < greatest.size(); ++r) {
            greatest[r] = random.integer(0, n - 1);
            const auto i = static_cast<Eigen::Index>(r);
            x(i, greatest[r]) = x.row(i).maxCoeff() + static_cast<T>(random.uniform(0, 75));
        }
        const auto check = [&](const auto& logits) {
            const auto y = heed::log_softmax(logits);
            auto dy = y;
            dy.setZero();
            for (std::size_t r = 0; r < greatest.size(); ++r)
                dy(static_cast<Eigen::Index>(r), greatest[r]) = T(1);
            const auto dx = heed::log_softmax.backward(logits, y, dy);
            bool close = true;
            for (std::size_t r = 0; r < greatest.size(); ++r) {
                const auto i = static_cast<Eigen::Index>(r);
                long double odds = 0;
                for (Eigen::Index j = 0; j < n; ++j)
                    if (j != greatest[r])
                        odds += std::exp(static_cast<long double>(x(i, j)) - x(i, greatest[r]));
                // Where the others have a share that matters beside 1, that of rounding 1.
                const long double log_p = -std::log1p(odds), rest = odds / (1 + odds);
                const long double bound =
                    (odds > 0.06L ? 8 + 2 * std::abs(log_p) : 32 * odds) * unit<T>;
                close &= std::abs(y(i, greatest[r]) - log_p) <= bound;
                close &= std::abs(dx(i, greatest[r]) - rest) <= bound;
            }
            CHECK(close);
        };
        check(x);
        check(Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>(x));
    }
}

TEMPLATE_TEST_CASE("log_softmax of a million columns", "", HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    constexpr Eigen::Index n = 1'000'000;
    Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> x(4, n);
    random.fill_normal(x);
    for (Eigen::Index j = 0; j < n; ++j) {
        x(0, j) = static_cast<T>(5e-6 * static_cast<double>(j));  // rises all the time
        x(1, j) = j % 1024 == 0 ? T(0) : T(-1.234567);
        x(2, j) *= T(10);
    }
    const auto rows = rows_of(x);
    const auto check = [&](const auto& logits) {
        const auto results = rows_of(heed::log_softmax(logits));
        for (std::size_t r = 0; r < rows.size(); ++r) {
            const row expected = reference::log_softmax(rows[r]);
            bool close = true;
            for (std::size_t i = 0; i < expected.size(); ++i)
                close &= std::abs(results[r][i] - expected[i]) <=
                         (8 + 2 * std::abs(expected[i])) * unit<T>;
            CHECK(close);
        }
    };
    check(x);
    check(Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>(x));
}

}  // namespace test_log_softmax
