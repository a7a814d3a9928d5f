#include <algorithm>
#include <cmath>
#include <cstddef>

#include <heed/softmax/log_softmax.hpp>

#include "reference/softmax.hpp"
#include "softmax/row_objects.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_log_softmax {

using heed_test::rows_of;
using heed_test::unit;
using reference::row;

TEMPLATE_TEST_CASE("log_softmax of the rows of anything is the reference's", "", float, double) {
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

TEMPLATE_TEST_CASE("dx of log_softmax is (dy - e^y sum dy) / tau", "", float, double) {
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

}  // namespace test_log_softmax
