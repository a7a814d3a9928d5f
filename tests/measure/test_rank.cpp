#include <algorithm>
#include <cmath>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/measure/rank.hpp>
#include <heed/softmax/softmax.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

using heed::measure::effective_rank;
using heed::measure::numerical_rank;

TEST_CASE("the rank of matrices whose singular values are known") {
    CHECK(effective_rank(Eigen::MatrixXd::Identity(7, 9)) == Approx(7));
    CHECK(numerical_rank(Eigen::MatrixXd::Identity(7, 9), 1e-12) == 7);
    // σ = 4, 2, 1, 1: entropy 1.75·log 2.
    const Eigen::Vector4d sigma(4, -2, 1, 1);
    const Eigen::Matrix4d diagonal = sigma.asDiagonal();
    CHECK(effective_rank(diagonal) == Approx(std::pow(2, 1.75)));
    CHECK(numerical_rank(diagonal, 0.25) == 2);
    CHECK(numerical_rank(diagonal, 0.2) == 4);

    // The same between rotations, as floats, transposed, in a block, in a tensor.
    Eigen::Matrix4d q;
    q << 1, 1, 1, 1, 1, -1, 1, -1, 1, 1, -1, -1, 1, -1, -1, 1;
    q /= 2;
    Eigen::MatrixXf turned = Eigen::MatrixXf::Zero(9, 8);
    turned.block(2, 3, 4, 4) = (q * diagonal).cast<float>();
    CHECK(effective_rank(turned) == Approx(std::pow(2, 1.75)).epsilon(1e-5));
    CHECK(effective_rank(turned.block(2, 3, 4, 4).transpose()) ==
          Approx(std::pow(2, 1.75)).epsilon(1e-5));
    Eigen::Tensor<float, 2, Eigen::RowMajor> tensor(9, 8);
    for (int i = 0; i < 9; ++i)
        for (int j = 0; j < 8; ++j) tensor(i, j) = turned(i, j);
    CHECK(effective_rank(tensor) == Approx(effective_rank(turned)));
    CHECK(numerical_rank(tensor, 1e-5) == 4);
}

TEST_CASE("singular values of a large softmax are those of its square") {
    heed_test::generator random;
    // Sharp rows: a few of them the same, others almost.
    Eigen::MatrixXd x(150, 120);
    random.fill_normal(x, 8);
    for (Eigen::Index i = 0; i < x.rows(); ++i) x.row(i) = heed::softmax(x.row(i));
    const Eigen::VectorXd sigma = heed::detail::singular_values(x);
    double squares = 0, fourth = 0, worst = 0;
    for (Eigen::Index i = 0; i < sigma.size(); ++i) {
        squares += sigma(i) * sigma(i);
        fourth += std::pow(sigma(i), 4);
        if (i > 0) worst = std::max(worst, sigma(i) - sigma(i - 1));
    }
    CHECK(worst <= 0);
    double trace = 0, square_trace = 0;
    for (Eigen::Index i = 0; i < x.cols(); ++i) {
        for (Eigen::Index j = 0; j < x.cols(); ++j) {
            double dot = 0;
            for (Eigen::Index r = 0; r < x.rows(); ++r) dot += x(r, i) * x(r, j);
            if (i == j) trace += dot;
            square_trace += dot * dot;
        }
    }
    CHECK(squares == Approx(trace).epsilon(1e-12));
    CHECK(fourth == Approx(square_trace).epsilon(1e-12));
    CHECK(effective_rank(x) == Approx(effective_rank(x.transpose())).epsilon(1e-12));
}

TEST_CASE("the rank of equal rows is one, of zeros and of nothing none") {
    const Eigen::MatrixXf even = Eigen::MatrixXf::Constant(20, 30, 1.0f / 30);
    CHECK(effective_rank(even) == Approx(1).epsilon(1e-5));
    CHECK(numerical_rank(even, 1e-6) == 1);
    CHECK(effective_rank(Eigen::MatrixXf::Zero(3, 4)) == 0);
    CHECK(numerical_rank(Eigen::MatrixXf::Zero(3, 4), 0) == 0);
    CHECK(effective_rank(Eigen::MatrixXf(0, 4)) == 0);
    CHECK(numerical_rank(Eigen::MatrixXf(4, 0), 0.5) == 0);
}

TEST_CASE("ranks refuse what has none") {
    using Catch::Matchers::Contains;
    Eigen::MatrixXd x = Eigen::MatrixXd::Identity(3, 3);
    for (const double tolerance : {-0.1, 1.0, std::nan("")})
        CHECK_THROWS_AS(numerical_rank(x, tolerance), heed::argument_error);
    CHECK_THROWS_WITH(numerical_rank(x, 2), Contains("2") && Contains("[0, 1)"));
    x(1, 2) = NAN;
    CHECK(std::isnan(effective_rank(x)));
    CHECK_THROWS_AS(numerical_rank(x, 0.1), heed::argument_error);
}
