#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/measure/rank.hpp>
#include <heed/softmax/softmax.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

using heed::measure::effective_rank;
using heed::measure::numerical_rank;

/// Those of a matrix, in the matrix's own unit.
Eigen::VectorXd singular_values(const Eigen::MatrixXd& x) {
    const std::vector<double> sigma =
        heed::detail::singular_values(heed::detail::evaluate(x).view());
    return Eigen::Map<const Eigen::VectorXd>(sigma.data(), Eigen::Index(sigma.size())) *
           std::ldexp(1, heed::detail::exponent_of(x.cwiseAbs().maxCoeff()));
}

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
    const Eigen::VectorXd sigma = singular_values(x);
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

TEST_CASE("a rank does not depend on the size of a matrix") {
    heed_test::generator random;
    for (const auto& [rows, columns] : {std::pair(3, 3), {17, 9}, {20, 60}}) {
        // Some of the singular values small beside the greatest, one of them 0.
        Eigen::MatrixXd a = random.matrix<double>(rows, columns);
        for (Eigen::Index j = 0; j < columns; ++j) a.col(j) *= std::pow(0.7, double(j));
        a.col(columns - 1) = a.col(0);
        const double rank = effective_rank(a);
        const heed::index numerical = numerical_rank(a, 1e-3);
        CHECK(numerical < std::min(rows, columns));
        // To where elements are rounded to too few digits, or the greatest is no number.
        for (int e = -1000; e <= 1018; e += 37) {
            INFO(e);
            const Eigen::MatrixXd b = a * std::ldexp(1, e);
            REQUIRE(b.allFinite());
            CHECK(effective_rank(b) == Approx(rank).epsilon(1e-13));
            CHECK(numerical_rank(b, 1e-3) == numerical);
        }
        const Eigen::MatrixXf c = a.cast<float>();
        for (const float s : {1e-28f, 1e-19f, 1e19f, 1e36f})
            CHECK(effective_rank(c * s) == Approx(rank).epsilon(1e-5));
    }
    // At the very ends.
    const double least = std::numeric_limits<double>::denorm_min(),
                 greatest = std::numeric_limits<double>::max();
    for (const double s : {least, greatest}) {
        CHECK(effective_rank(Eigen::MatrixXd::Identity(5, 7) * s) == Approx(5));
        CHECK(numerical_rank(Eigen::MatrixXd::Constant(5, 7, s), 1e-9) == 1);
    }
}

TEST_CASE("a tensor has a rank a matrix") {
    heed_test::generator random;
    const auto all = random.tensor<float>(2, 3, 5, 4);
    const Eigen::Tensor<float, 4> columns = all.swap_layout().shuffle(std::array{3, 2, 1, 0});
    const Eigen::Tensor<double, 2, Eigen::RowMajor> ranks = effective_rank(all);
    const Eigen::Tensor<heed::index, 2, Eigen::RowMajor> numerical = numerical_rank(all, 0.3);
    REQUIRE(ranks.dimension(0) == 2);
    REQUIRE(ranks.dimension(1) == 3);
    const auto again = effective_rank(columns);
    for (int b = 0; b < 2; ++b) {
        for (int h = 0; h < 3; ++h) {
            const Eigen::Map<const Eigen::Matrix<float, 5, 4, Eigen::RowMajor>> one(
                all.data() + (b * 3 + h) * 20);
            CHECK(ranks(b, h) == effective_rank(one));
            CHECK(again(b, h) == effective_rank(one));
            CHECK(numerical(b, h) == numerical_rank(one, 0.3));
        }
    }
    CHECK(effective_rank(Eigen::Tensor<float, 3>(0, 4, 4)).size() == 0);
    CHECK(effective_rank(Eigen::Tensor<float, 3>(2, 0, 4))(1) == 0);
}

TEST_CASE("a spectrum that is not found is an error") {
    CHECK_THROWS_AS(heed::detail::spectrum_of(std::vector<double>(4), {1e200, 1e200, 1e200}),
                    std::runtime_error);
}

TEST_CASE("the spectrum of a chain, and what its ends weigh") {
    // 2 on the diagonal and −1 beside it: λ_k = 2 − 2·cos(kπ/(n+1)), and of its vector the first
    // number is √(2/(n+1))·sin(kπ/(n+1)).
    for (const std::size_t n : {1u, 2u, 3u, 17u}) {
        const auto spectrum =
            heed::detail::spectrum_of(std::vector<double>(n, 2), std::vector<double>(n - 1, -1));
        REQUIRE(spectrum.values.size() == n);
        for (std::size_t k = 0; k < n; ++k) {
            const double angle = double(k + 1) * std::acos(-1) / double(n + 1);
            CHECK(spectrum.values[k] == Approx(2 - 2 * std::cos(angle)).epsilon(1e-13));
            CHECK(std::abs(spectrum.first[k]) ==
                  Approx(std::sqrt(2 / double(n + 1)) * std::sin(angle)).epsilon(1e-13));
        }
    }
    CHECK(heed::detail::spectrum_of({}, {}).values.empty());
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
