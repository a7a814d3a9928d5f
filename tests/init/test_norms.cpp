#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/init/layer_norm.hpp>
#include <heed/init/rms_norm.hpp>

#include "reference/norms.hpp"
#include "softmax/row_objects.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

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

TEMPLATE_TEST_CASE("layer_norm and rms_norm are the reference's", "", float, double) {
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
}

}  // namespace test_norms
