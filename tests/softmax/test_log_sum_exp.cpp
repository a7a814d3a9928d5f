#include <algorithm>
#include <cmath>
#include <cstddef>

#include <heed/softmax/log_sum_exp.hpp>

#include "reference/softmax.hpp"
#include "rows/row_objects.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_log_sum_exp {

using heed_test::numbers_of;
using heed_test::rows_of;
using heed_test::unit;
using reference::row;

TEMPLATE_TEST_CASE("log_sum_exp of the rows of anything is the reference's", "",
                   HEED_TEST_SCALARS) {
    heed_test::generator random;
    for (const double tau : {1.0, 0.3, 4.0}) {
        heed_test::for_each_object<TestType>(random, [&](const auto& x) {
            const auto rows = rows_of(x);
            const auto results = numbers_of(heed::log_sum_exp.temperature(tau)(x));
            REQUIRE(rows.size() == results.size());
            bool close = true;
            for (std::size_t r = 0; r < rows.size(); ++r) {
                const double expected = reference::log_sum_exp(rows[r], tau);
                close &= std::abs(results[r] - expected) <=
                         (8 * tau + 2 * std::abs(reference::maximum(rows[r]))) * unit<TestType>;
            }
            CHECK(close);
        });
    }
}

TEMPLATE_TEST_CASE("dx of log_sum_exp is softmax(x) dz", "", HEED_TEST_SCALARS) {
    heed_test::generator random;
    const double tau = 0.9;
    const auto f = heed::log_sum_exp.temperature(tau);
    heed_test::for_each_object<TestType>(random, [&](const auto& x) {
        const auto z = f(x);
        auto dz = z;
        if constexpr (std::is_arithmetic_v<decltype(dz)>) {
            dz = static_cast<TestType>(random.normal());
        } else {
            for (auto i = dz.size(); i-- > 0;)
                dz.data()[i] = static_cast<TestType>(random.normal());
        }
        const auto rows = rows_of(x), dx_rows = rows_of(f.backward(x, z, dz));
        const auto gradients = numbers_of(dz);
        bool close = true;
        for (std::size_t r = 0; r < rows.size(); ++r) {
            const row p = reference::softmax(rows[r], tau);
            for (std::size_t i = 0; i < p.size(); ++i)
                close &= std::abs(dx_rows[r][i] - p[i] * gradients[r]) <=
                         (8 + 2 * (reference::maximum(rows[r]) - rows[r][i]) / tau) *
                             unit<TestType> * p[i] * std::abs(gradients[r]);
        }
        CHECK(close);
    });
}

TEST_CASE("backward of log_sum_exp agrees with central differences") {
    heed_test::generator random;
    const auto f = heed::log_sum_exp.temperature(0.5);
    auto x = random.matrix<double>(4, 13);
    const Eigen::VectorXd dz = random.matrix<double>(4, 1);
    const auto dx = f.backward(x, f(x), dz);
    double worst = 0;
    const double h = 1e-5;
    for (Eigen::Index i = 0; i < x.size(); ++i) {
        const double before = x.data()[i];
        x.data()[i] = before + h;
        const double above = f(x).dot(dz);
        x.data()[i] = before - h;
        const double below = f(x).dot(dz);
        x.data()[i] = before;
        worst = std::max(worst, std::abs((above - below) / (2 * h) - dx.data()[i]));
    }
    CHECK(worst <= 1e-7 * dx.cwiseAbs().maxCoeff());
}

TEST_CASE("log_sum_exp gives one number a row, into any vector") {
    heed_test::generator random;
    const auto x = random.matrix<float, Eigen::ColMajor>(5, 7);
    const auto z = heed::log_sum_exp(x);
    STATIC_REQUIRE(std::is_same_v<decltype(z), const Eigen::VectorXf>);
    STATIC_REQUIRE(std::is_same_v<decltype(heed::log_sum_exp(x.row(0))), float>);
    STATIC_REQUIRE(std::is_same_v<decltype(heed::log_sum_exp(x.array())), Eigen::ArrayXf>);
    STATIC_REQUIRE(std::is_same_v<decltype(heed::log_sum_exp(Eigen::Tensor<float, 3>())),
                                  Eigen::Tensor<float, 2>>);
    Eigen::RowVectorXf as_row(5);
    heed::log_sum_exp.into(as_row, x);
    CHECK(as_row == z.transpose());
    Eigen::MatrixXf table(5, 3);
    heed::log_sum_exp.into(table.col(1), x);
    CHECK(table.col(1) == z);
    Eigen::Tensor<float, 1> tensor(5);
    heed::log_sum_exp.into(tensor, x);
    CHECK(tensor(3) == z(3));
    float number = 0;
    heed::log_sum_exp.into(number, x.row(2));
    CHECK(number == Approx(z(2)));
    Eigen::Tensor<float, 0> scalar = heed::log_sum_exp(tensor);
    CHECK(std::isfinite(scalar()));

    Eigen::VectorXf short_one(4);
    CHECK_THROWS_AS(heed::log_sum_exp.into(short_one, x), heed::shape_error);
    Eigen::MatrixXf no_vector(5, 2);
    CHECK_THROWS_AS(heed::log_sum_exp.into(no_vector, x), heed::shape_error);
    CHECK_THROWS_AS(heed::log_sum_exp.into(Eigen::Map<Eigen::VectorXf>(table.data(), 5), table),
                    heed::argument_error);
    CHECK_THROWS_AS(heed::log_sum_exp.backward(x, z, short_one), heed::shape_error);
}

TEST_CASE("log_sum_exp of extreme rows") {
    const float infinity = std::numeric_limits<float>::infinity();
    Eigen::MatrixXf x(4, 2);
    x << 1e4f, 1e4f, -infinity, -infinity, NAN, 0, -1e4f, -infinity;
    const auto z = heed::log_sum_exp(x);
    CHECK(z(0) == Approx(1e4 + std::log(2.0)));
    CHECK(z(1) == -infinity);
    CHECK(std::isnan(z(2)));
    CHECK(z(3) == -1e4f);
    const auto dx = heed::log_sum_exp.backward(x, z, Eigen::VectorXf::Ones(4));
    CHECK(dx(0, 0) == 0.5f);
    CHECK(dx(1, 0) == 0);
    CHECK(std::isnan(dx(2, 1)));
    CHECK(dx(3, 0) == 1);

    const Eigen::MatrixXf empty(3, 0);
    CHECK(heed::log_sum_exp(empty) == Eigen::VectorXf::Constant(3, -infinity));
    CHECK(heed::log_sum_exp(Eigen::MatrixXf(0, 3)).size() == 0);
    CHECK(heed::log_sum_exp.temperature(1e-300)(x)(1) == -infinity);
}

TEMPLATE_TEST_CASE("log_sum_exp of a million columns, and of one beside which others are small", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    constexpr Eigen::Index n = 1'000'000;
    Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> x(4, n);
    random.fill_normal(x);
    for (Eigen::Index j = 0; j < n; ++j) {
        x(0, j) = static_cast<T>(5e-6 * static_cast<double>(j));  // rises all the time
        x(1, j) = static_cast<T>(-1e-3 * random.uniform());
        x(2, j) *= T(10);
    }
    const auto rows = rows_of(x);
    const auto check = [&](const auto& logits) {
        const auto z = numbers_of(heed::log_sum_exp(logits));
        for (std::size_t r = 0; r < rows.size(); ++r)
            CHECK(std::abs(z[r] - reference::log_sum_exp(rows[r])) <=
                  (8 + std::log(1e6) + 2 * std::abs(reference::maximum(rows[r]))) * unit<T>);
    };
    check(x);
    check(Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>(x));

    // log(1 + Σe^x), a softplus.
    for (const double least : {3.0, 17.0, 40.0, 80.0}) {
        Eigen::Matrix<T, 1, Eigen::Dynamic> logits =
            Eigen::Matrix<T, 1, Eigen::Dynamic>::Constant(30, static_cast<T>(-least));
        logits(11) = T(0);
        const double right = std::log1p(29 * std::exp(-least));
        CHECK(static_cast<double>(heed::log_sum_exp(logits)) ==
              Approx(right).epsilon(64 * unit<T>).margin(0));
    }
}

}  // namespace test_log_sum_exp
