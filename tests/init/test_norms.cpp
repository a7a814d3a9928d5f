#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/init/layer_norm.hpp>
#include <heed/init/rms_norm.hpp>

#include "reference/norms.hpp"
#include "rows/row_objects.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/threads.hpp"

namespace test_norms {

using heed_test::numbers_of;
using heed_test::rows_of;
using heed_test::unit;
using reference::row;
template <class T>
using row_major = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using column_major = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;

/// y, dx, dγ (and dβ) of a matrix against the reference, row by row.
template <class T, bool IsCentred, class Norm, class X>
void check_norm(const Norm& norm, const X& x, const X& dy, const row& gamma, const row& beta,
                double epsilon) {
    const auto rows = rows_of(x), gradients = rows_of(dy), found = rows_of(norm(x));
    const auto backward = norm.backward(x, dy);
    const auto dx = rows_of(backward.x);
    row d_gamma(gamma.size(), 0), d_beta(gamma.size(), 0), size(gamma.size(), 1);
    bool close = true;
    for (std::size_t r = 0; r < rows.size(); ++r) {
        const row y = reference::norm(rows[r], gamma, beta, epsilon, IsCentred);
        const auto expected =
            reference::norm_backward(rows[r], gradients[r], gamma, epsilon, IsCentred);
        double largest = 0;
        for (const double g : expected.x) largest = std::max(largest, std::abs(g));
        for (std::size_t i = 0; i < y.size(); ++i) {
            close &= std::abs(found[r][i] - y[i]) <=
                     16 * unit<T> * (1 + std::abs(y[i]) + std::abs(gamma[i]));
            close &= std::abs(dx[r][i] - expected.x[i]) <= 32 * unit<T> * (1 + largest);
            d_gamma[i] += expected.gamma[i];
            d_beta[i] += expected.beta[i];
            size[i] += std::abs(expected.gamma[i]) + std::abs(expected.beta[i]);
        }
    }
    const row gamma_found = numbers_of(backward.gamma);
    for (std::size_t i = 0; i < gamma.size(); ++i)
        close &= std::abs(gamma_found[i] - d_gamma[i]) <= 16 * unit<T> * size[i];
    if constexpr (IsCentred) {
        const row beta_found = numbers_of(backward.beta);
        for (std::size_t i = 0; i < gamma.size(); ++i)
            close &= std::abs(beta_found[i] - d_beta[i]) <= 16 * unit<T> * size[i];
    }
    CHECK(close);
}

/// The gradient of Σ y·weights in each element of `parameters`, by central differences.
template <class Parameters, class Evaluate>
Eigen::VectorXd differences(Parameters& parameters, Evaluate&& evaluate) {
    Eigen::VectorXd result(parameters.size());
    const double h = 1e-5;
    for (Eigen::Index i = 0; i < parameters.size(); ++i) {
        const double before = parameters.data()[i];
        parameters.data()[i] = before + h;
        const double above = evaluate();
        parameters.data()[i] = before - h;
        result(i) = (above - evaluate()) / (2 * h);
        parameters.data()[i] = before;
    }
    return result;
}

template <class Found>
bool agrees(const Found& found, const Eigen::VectorXd& expected) {
    double worst = 0, largest = 0;
    for (Eigen::Index i = 0; i < expected.size(); ++i) {
        worst = std::max(worst, std::abs(found.data()[i] - expected(i)));
        largest = std::max(largest, std::abs(expected(i)));
    }
    return worst <= 1e-7 * largest;
}

TEMPLATE_TEST_CASE("layer_norm and rms_norm are the reference's", "", HEED_TEST_SCALARS) {
    heed_test::generator random;
    for (const Eigen::Index n : {1, 2, 31, 128, 1037}) {
        const auto gamma = random.numbers<TestType>(static_cast<std::size_t>(n));
        const auto beta = random.numbers<TestType>(static_cast<std::size_t>(n));
        const row wide_gamma(gamma.begin(), gamma.end()), wide_beta(beta.begin(), beta.end());
        row_major<TestType> x = random.matrix<TestType>(67, n), dy = random.matrix<TestType>(67, n);
        x.array() += TestType(0.5);
        // One element is its own mean: only ε keeps it from 0/0.
        const double epsilon = n == 1 ? 1 : 0.01;
        const auto layer = heed::layer_norm(gamma, beta, epsilon);
        const auto rms = heed::rms_norm(gamma, epsilon);
        check_norm<TestType, true>(layer, x, dy, wide_gamma, wide_beta, epsilon);
        check_norm<TestType, false>(rms, x, dy, wide_gamma, wide_beta, epsilon);
        const column_major<TestType> across = x, d_across = dy;
        check_norm<TestType, true>(layer, across, d_across, wide_gamma, wide_beta, epsilon);
        check_norm<TestType, false>(rms, across, d_across, wide_gamma, wide_beta, epsilon);
    }
}

TEST_CASE("gradients of norms agree with central differences") {
    heed_test::generator random;
    auto x = random.matrix<double>(3, 11);
    const auto weights = random.matrix<double>(3, 11);
    Eigen::VectorXd gamma = random.matrix<double>(11, 1), beta = random.matrix<double>(11, 1);
    const auto layer = heed::layer_norm(gamma, beta);
    const auto dot = [&](const auto& y) {
        double sum = 0;
        for (Eigen::Index i = 0; i < y.size(); ++i) sum += y.data()[i] * weights.data()[i];
        return sum;
    };
    const auto of_layer = [&] { return dot(layer(x)); };
    const auto [dx, d_gamma, d_beta] = layer.backward(x, weights);
    CHECK(agrees(dx, differences(x, of_layer)));
    CHECK(agrees(d_gamma, differences(gamma, of_layer)));  // seen where it lies
    CHECK(agrees(d_beta, differences(beta, of_layer)));
    const auto rms = heed::rms_norm(gamma);
    const auto of_rms = [&] { return dot(rms(x)); };
    const auto gradient = rms.backward(x, weights);
    CHECK(agrees(gradient.x, differences(x, of_rms)));
    CHECK(agrees(gradient.gamma, differences(gamma, of_rms)));
}

TEST_CASE("norms of tensors, in place, on threads, without allocating") {
    heed_test::generator random;
    const auto x = random.tensor<float>(3, 40, 130), dy = random.tensor<float>(3, 40, 130);
    const Eigen::VectorXf gamma = random.matrix<float>(130, 1), beta = random.matrix<float>(130, 1);
    const auto norm = heed::layer_norm(gamma, beta);
    const auto [dx, d_gamma, d_beta] = norm.backward(x, dy);
    Eigen::ThreadPool pool(3);
    heed_test::await_threads(pool);
    auto shared = norm.backward(x, dy, heed::on(pool));
    CHECK(rows_of(shared.x) == rows_of(dx));
    CHECK(shared.gamma == d_gamma);
    CHECK(shared.beta == d_beta);

    auto y = x;
    norm.into(y, y);
    CHECK(rows_of(y) == rows_of(norm(x)));
    auto over = dy;
    Eigen::MatrixXf parameters(130, 2);
    norm.backward_into(over, parameters.col(0), parameters.col(1), x, over);
    CHECK(rows_of(over) == rows_of(dx));
    CHECK(parameters.col(1) == d_beta);
    const auto before = heed_test::allocations();
    norm.backward_into(over, parameters.col(0), parameters.col(1), x, over);
    CHECK(heed_test::allocations() == before);
}

/// y, dx, dγ and dβ of rows of any size and mean. Errors of dx are relative to 1/deviation.
template <class T, bool IsCentred, class Norm, class X>
bool is_norm_of_size(const Norm& norm, const X& x, const X& dy, const row& gamma, const row& beta,
                     double epsilon) {
    const auto rows = rows_of(x), gradients = rows_of(dy), found = rows_of(norm(x));
    const auto backward = norm.backward(x, dy);
    const auto dx = rows_of(backward.x);
    const double least = static_cast<double>(std::numeric_limits<T>::min());
    row d_gamma(gamma.size(), 0), size(gamma.size(), 1);
    bool close = true;
    for (std::size_t r = 0; r < rows.size(); ++r) {
        const row y = reference::norm(rows[r], gamma, beta, epsilon, IsCentred);
        const auto expected =
            reference::norm_backward(rows[r], gradients[r], gamma, epsilon, IsCentred);
        const auto [unit_row, factor] = reference::normalise(rows[r], epsilon, IsCentred);
        double largest = 0;
        for (std::size_t i = 0; i < y.size(); ++i)
            largest = std::max(largest, std::abs(gradients[r][i] * gamma[i]));
        for (std::size_t i = 0; i < y.size(); ++i) {
            close &= std::abs(found[r][i] - y[i]) <=
                     16 * unit<T> * (1 + std::abs(y[i]) + std::abs(gamma[i]));
            close &= std::abs(dx[r][i] - expected.x[i]) <=
                     32 * unit<T> * factor * largest * (1 + std::abs(unit_row[i])) + least;
            d_gamma[i] += expected.gamma[i];
            size[i] += std::abs(expected.gamma[i]) + std::abs(gradients[r][i]);
        }
    }
    const row gamma_found = numbers_of(backward.gamma);
    for (std::size_t i = 0; i < gamma.size(); ++i)
        close &= std::abs(gamma_found[i] - d_gamma[i]) <= 16 * unit<T> * size[i];
    return close;
}

TEMPLATE_TEST_CASE("norms of rows of every size, about every mean", "", HEED_TEST_SCALARS) {
    using T = TestType;
    using limits = std::numeric_limits<T>;
    heed_test::generator random;
    for (const Eigen::Index n : {2, 31, 1037}) {
        const auto gamma = random.numbers<T>(static_cast<std::size_t>(n));
        const auto beta = random.numbers<T>(static_cast<std::size_t>(n));
        const row wide_gamma(gamma.begin(), gamma.end()), wide_beta(beta.begin(), beta.end());
        for (const double epsilon : {0.0, 1e-5}) {
            const auto layer = heed::layer_norm(gamma, beta, epsilon);
            const auto rms = heed::rms_norm(gamma, epsilon);
            const auto dy = random.matrix<T>(67, n);
            const column_major<T> d_across = dy;
            // A size for each row, or one for all: neighbours in a vector differ, or do not.
            for (const double mean : {0.0, 1.0, 30.0, 1 / (16 * unit<T>), 1 / unit<T>}) {
                row_major<T> x = random.matrix<T>(67, n);
                for (Eigen::Index r = 0; r < x.rows(); ++r) {
                    // The largest number that a row may hold, and squares that are none.
                    const auto low = limits::min_exponent + 30;
                    const auto high = limits::max_exponent - 4;
                    const auto e = static_cast<int>(random.integer(low, high));
                    for (Eigen::Index j = 0; j < n; ++j)
                        x(r, j) = static_cast<T>(
                            std::ldexp(static_cast<double>(x(r, j)) + mean,
                                       mean > 1 ? std::min(e, high - limits::digits - 4) : e));
                }
                // Half of them of ordinary size.
                for (Eigen::Index r = 0; r < x.rows(); r += 2)
                    for (Eigen::Index j = 0; j < n; ++j)
                        x(r, j) = static_cast<T>(random.normal() + mean);
                const column_major<T> across = x;
                INFO("n = " << n << ", mean = " << mean << ", epsilon = " << epsilon);
                CHECK(is_norm_of_size<T, true>(layer, x, dy, wide_gamma, wide_beta, epsilon));
                CHECK(is_norm_of_size<T, true>(layer, across, d_across, wide_gamma, wide_beta,
                                               epsilon));
                CHECK(is_norm_of_size<T, false>(rms, x, dy, wide_gamma, wide_beta, epsilon));
                CHECK(is_norm_of_size<T, false>(rms, across, d_across, wide_gamma, wide_beta,
                                                epsilon));
            }
        }
    }
}

TEMPLATE_TEST_CASE("a row of equal numbers is its mean, with an epsilon or without", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    for (const Eigen::Index n : {1, 3, 40, 1037}) {
        const auto gamma = random.numbers<T>(static_cast<std::size_t>(n));
        const Eigen::Matrix<T, 1, Eigen::Dynamic> beta = random.matrix<T>(1, n);
        for (const double epsilon : {0.0, 1e-5}) {
            row_major<T> x(11, n);
            for (Eigen::Index r = 0; r < x.rows(); ++r)
                x.row(r).setConstant(static_cast<T>(random.normal() * std::pow(10, r - 5)));
            x.row(3).setConstant(std::numeric_limits<T>::max());
            x.row(4).setConstant(-std::numeric_limits<T>::denorm_min());
            const row_major<T> y = heed::layer_norm(gamma, beta, epsilon)(x);
            const column_major<T> across =
                heed::layer_norm(gamma, beta, epsilon)(column_major<T>(x));
            bool is_beta = true;
            for (Eigen::Index r = 0; r < x.rows(); ++r)
                is_beta &=
                    y.row(r).isApprox(beta, T(1e-5)) && across.row(r).isApprox(beta, T(1e-5));
            CHECK(is_beta);
            const row_major<T> zeros = row_major<T>::Zero(3, n);
            CHECK(heed::rms_norm(gamma, epsilon)(zeros).isZero(0));
            CHECK(heed::rms_norm(gamma, epsilon).backward(zeros, x.topRows(3)).x.allFinite());
        }
    }
}

TEST_CASE("a row's norm does not depend on its neighbours' size") {
    heed_test::generator random;
    const Eigen::VectorXf gamma = random.matrix<float>(50, 1), beta = random.matrix<float>(50, 1);
    column_major<float> x = random.matrix<float>(16, 50), dy = random.matrix<float>(16, 50);
    const auto layer = heed::layer_norm(gamma, beta);
    const column_major<float> y = layer(x), dx = layer.backward(x, dy).x;
    for (Eigen::Index r = 0; r < 16; r += 3) x.row(r) *= r % 2 == 0 ? 1e30f : 1e-36f;
    x.row(5).setConstant(1e6f / 3);
    const column_major<float> found = layer(x), d_found = layer.backward(x, dy).x;
    for (const Eigen::Index r : {1, 2, 4, 7, 8, 10, 11, 13, 14}) {
        CHECK(found.row(r) == y.row(r));
        CHECK(d_found.row(r) == dx.row(r));
    }
}

TEST_CASE("norms of extreme rows") {
    Eigen::MatrixXf x(4, 3);
    x << 1e4f, 1e4f, 1e4f, 1e4f, -1e4f, 0, NAN, 1, 2, 0, 0, 0;
    const Eigen::Vector3f ones = Eigen::Vector3f::Ones(), zeros = Eigen::Vector3f::Zero();
    const Eigen::MatrixXf layer = heed::layer_norm(ones, zeros)(x);
    CHECK(layer.row(0).isZero(0));
    CHECK(layer(1, 0) == Approx(std::sqrt(1.5)));
    CHECK((std::isnan(layer(2, 1)) && layer(3, 0) == 0));
    const Eigen::MatrixXf rms = heed::rms_norm(ones)(x);
    CHECK(rms(0, 2) == Approx(1));
    CHECK((std::isnan(rms(2, 2)) && rms(3, 1) == 0));
    const auto gradient = heed::rms_norm(ones).backward(x.topRows(2), x.topRows(2));
    CHECK(std::abs(gradient.x(0, 0)) < 1e-3f);
    CHECK(heed::layer_norm(zeros, zeros)(Eigen::MatrixXf(0, 3)).size() == 0);
    const Eigen::VectorXf none(0);
    CHECK(heed::layer_norm(none, none)
              .backward(Eigen::MatrixXf(3, 0), Eigen::MatrixXf(3, 0))
              .gamma.size() == 0);
}

TEST_CASE("norms refuse what does not fit") {
    using Catch::Matchers::Contains;
    using Catch::Matchers::StartsWith;
    Eigen::MatrixXf x = Eigen::MatrixXf::Zero(2, 3), dy = x;
    const Eigen::Vector3f three = Eigen::Vector3f::Ones();
    const Eigen::Vector4f four = Eigen::Vector4f::Ones();
    CHECK_THROWS_AS(heed::rms_norm(four)(x), heed::shape_error);
    CHECK_THROWS_WITH(heed::layer_norm(three, four)(x), Contains("beta") && Contains("4"));
    CHECK_THROWS_AS(heed::rms_norm(three, -1), heed::argument_error);
    CHECK_THROWS_AS(heed::layer_norm(three, three, NAN), heed::argument_error);
    CHECK_THROWS_AS(heed::rms_norm(three).backward(x, Eigen::MatrixXf(3, 2)), heed::shape_error);
    Eigen::Vector4f d_four;
    CHECK_THROWS_AS(heed::rms_norm(three).backward_into(x, d_four, x, dy), heed::shape_error);
    CHECK_THROWS_AS(heed::rms_norm(three).backward_into(x, dy.row(0), x, dy), heed::argument_error);
    CHECK_THROWS_WITH(heed::rms_norm(x), "gamma has shape [2, 3], but must be a vector");

    // What cannot be is refused before memory is asked for.
    float memory[8] = {};
    for (const auto& bad : {heed::view(memory, {-4, 3}), heed::view(memory, {2, -1}),
                            heed::view(memory, {heed::index(1) << 60, heed::index(3)}, {0, 1})}) {
        CHECK_THROWS_WITH(heed::layer_norm(three, three)(bad), StartsWith("x has shape "));
        CHECK_THROWS_WITH(heed::rms_norm(three).backward(bad, dy), StartsWith("x has shape "));
        CHECK_THROWS_WITH(heed::rms_norm(three).backward(dy, bad), StartsWith("dy has shape "));
    }
    const auto many = heed::view(memory, {heed::index(1) << 50, heed::index(3)}, {0, 1});
    CHECK_THROWS_WITH(heed::rms_norm(three).backward(many, dy),
                      Contains("x has shape [1125899906842624, 3] and dy has shape [2, 3]"));
    CHECK_THROWS_WITH(heed::layer_norm(four, four).backward(many, many), Contains("gamma"));
}

TEST_CASE("outputs of norms lie apart from the parameters and from one another") {
    const auto check = [](const char* message, auto&& call) {
        CHECK_THROWS_WITH(call(), Catch::Matchers::StartsWith(message));
        CHECK_THROWS_AS(call(), heed::argument_error);
    };
    heed_test::generator random;
    Eigen::MatrixXf x = random.matrix<float>(3, 3), dx = x;
    const Eigen::MatrixXf dy = random.matrix<float>(3, 3);
    Eigen::VectorXf gamma = random.matrix<float>(3, 1), beta = random.matrix<float>(3, 1), g(3),
                    b(3);
    const Eigen::VectorXf before = gamma;
    const auto layer = heed::layer_norm(gamma, beta);
    const auto rms = heed::rms_norm(gamma);
    const auto as_row = [](auto& vector) {
        return Eigen::Map<Eigen::RowVectorXf>(vector.data(), 3);
    };
    const Eigen::RowVectorXf one = x.row(0);
    check("y (shape [3]) overlaps gamma (shape [3])", [&] { layer.into(as_row(gamma), one); });
    check("y (shape [3]) overlaps beta (shape [3])", [&] { layer.into(as_row(beta), one); });
    check("y (shape [3]) overlaps gamma (shape [3])", [&] { rms.into(as_row(gamma), one); });
    check("dx (shape [3]) overlaps beta",
          [&] { layer.backward_into(as_row(beta), g, b, one, dy.row(0)); });
    check("d_gamma (shape [3, 1]) overlaps gamma",
          [&] { layer.backward_into(dx, gamma, b, x, dy); });
    check("d_gamma (shape [3, 1]) overlaps beta", [&] { layer.backward_into(dx, beta, b, x, dy); });
    check("d_beta (shape [3, 1]) overlaps gamma",
          [&] { layer.backward_into(dx, g, gamma, x, dy); });
    check("d_beta (shape [3, 1]) overlaps beta", [&] { layer.backward_into(dx, g, beta, x, dy); });
    check("d_gamma (shape [3, 1]) overlaps d_beta", [&] { layer.backward_into(dx, g, g, x, dy); });
    check("d_gamma (shape [3, 1]) overlaps dx", [&] { rms.backward_into(dx, dx.col(1), x, dy); });
    check("d_gamma (shape [1, 3]) overlaps x", [&] { rms.backward_into(dx, x.row(1), x, dy); });
    check("d_gamma (shape [3, 1]) overlaps gamma", [&] { rms.backward_into(dx, gamma, x, dy); });
    CHECK(gamma == before);

    // Between one another's elements there is room.
    Eigen::MatrixXf both(2, 3);
    layer.backward_into(dx, both.row(0), both.row(1), x, dy);
    CHECK(both.row(0).transpose() == layer.backward(x, dy).gamma);
    CHECK(both.row(1).transpose() == layer.backward(x, dy).beta);
}

TEST_CASE("layer_norm without beta is that of a beta of zeros") {
    heed_test::generator random;
    const auto x = random.matrix<float>(7, 37), dy = random.matrix<float>(7, 37);
    const Eigen::VectorXf gamma = random.matrix<float>(37, 1), zeros = Eigen::VectorXf::Zero(37);
    const auto norm = heed::layer_norm(gamma, 0.01);
    const auto full = heed::layer_norm(gamma, zeros, 0.01);
    CHECK(norm(x) == full(x));
    const auto [dx, d_gamma] = norm.backward(x, dy);
    CHECK(dx == full.backward(x, dy).x);
    CHECK(d_gamma == full.backward(x, dy).gamma);
    Eigen::RowVectorXf other(37);
    auto over = dy;
    norm.backward_into(over, other, x, over);
    CHECK(over == dx);
    CHECK(other.transpose() == d_gamma);
    CHECK(heed::layer_norm(gamma)(x) == heed::layer_norm(gamma, zeros)(x));
    CHECK_THROWS_AS(heed::layer_norm(gamma, NAN), heed::argument_error);
    CHECK_THROWS_AS(heed::layer_norm(gamma)(Eigen::MatrixXf(2, 36)), heed::shape_error);
}

}  // namespace test_norms
