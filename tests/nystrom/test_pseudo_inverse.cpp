#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/core/arena.hpp>
#include <heed/nystrom/iterative_pseudo_inverse.hpp>
#include <heed/nystrom/kernel/inverse_svd.hpp>
#include <heed/softmax/softmax.hpp>

#include "attention/problem.hpp"
#include "reference/nystrom.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_pseudo_inverse {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one
using matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// How far p is from the pseudo-inverse of a, which alone satisfies Penrose's four equations.
double penrose_error(const matrix& a, const matrix& p) {
    const matrix ap = a * p, pa = p * a;
    const double of_p = std::max(1.0, p.cwiseAbs().maxCoeff());
    return std::max({(ap * a - a).cwiseAbs().maxCoeff(), (pa * p - p).cwiseAbs().maxCoeff() / of_p,
                     (ap - ap.transpose()).cwiseAbs().maxCoeff(),
                     (pa - pa.transpose()).cwiseAbs().maxCoeff()});
}

template <class T>
std::vector<T> padded_copy(const matrix& a) {
    const heed::detail::padded_matrix<T> shape{a.rows(), a.cols()};
    std::vector<T> to(static_cast<std::size_t>(shape.size()), T(0));
    for (index i = 0; i < a.rows(); ++i)
        for (index j = 0; j < a.cols(); ++j)
            to[static_cast<std::size_t>(i * shape.stride() + j)] = static_cast<T>(a(i, j));
    return to;
}
template <class T>
matrix unpadded_copy(const std::vector<T>& from, index rows, index columns) {
    const heed::detail::padded_matrix<T> shape{rows, columns};
    matrix a(rows, columns);
    for (index i = 0; i < rows; ++i)
        for (index j = 0; j < columns; ++j)
            a(i, j) = static_cast<double>(from[static_cast<std::size_t>(i * shape.stride() + j)]);
    return a;
}

/// The exact pseudo-inverse, by the kernel.
template <class T>
matrix by_svd(const matrix& a, double tolerance) {
    heed::arena scratch;
    const auto given = padded_copy<T>(a);
    const heed::detail::padded_matrix<T> inverse{a.cols(), a.rows()};
    std::vector<T> p(static_cast<std::size_t>(inverse.size()));
    heed::detail::pseudo_inverse_by_svd<T>({a.rows(), a.cols()}, given.data(), tolerance, p.data(),
                                           scratch);
    return unpadded_copy(p, a.cols(), a.rows());
}

/// Its gradient.
matrix by_svd_backward(const matrix& a, const matrix& g, double tolerance) {
    heed::arena scratch;
    const auto given = padded_copy<double>(a), d_p = padded_copy<double>(g);
    std::vector<double> d_a(given.size());
    heed::detail::pseudo_inverse_backward_by_svd<double>(
        {a.rows(), a.cols()}, given.data(), tolerance, d_p.data(), d_a.data(), scratch);
    return unpadded_copy(d_a, a.rows(), a.cols());
}

TEST_CASE("rounds of the iterative pseudo-inverse are their definition") {
    generator random(651);
    for (const auto& [rows, columns] :
         {std::pair(1, 1), {5, 5}, {13, 13}, {67, 67}, {9, 4}, {3, 20}}) {
        const auto a = random_numbers(random, 2, 2, rows, columns, 0.3);
        for (const int rounds : {0, 1, 2, 6}) {
            INFO(rows << " x " << columns << ", rounds " << rounds);
            const auto exact = reference::iterative_pseudo_inverse(a, rounds);
            const double size = std::max(1.0, reference::largest_magnitude(exact));
            const auto p = heed::iterative_pseudo_inverse(to_tensor<double>(a), rounds);
            CHECK(reference::largest_difference(to_reference(p, exact), exact) < 1e-12 * size);
            const auto floats = heed::iterative_pseudo_inverse(to_tensor<float>(a), rounds);
            CHECK(reference::largest_difference(to_reference(floats, exact), exact) < 1e-3 * size);
        }
    }
}

TEST_CASE("many rounds find the pseudo-inverse, of zeros too, of every layout and on threads") {
    generator random(652);
    for (const auto& [rows, columns] : {std::pair(7, 7), {12, 5}, {5, 12}}) {
        matrix a = random.matrix<double>(rows, columns);
        CHECK(penrose_error(a, heed::iterative_pseudo_inverse(a, 40)) < 1e-9);
        a.col(0) = a.col(1);  // deficient
        CHECK(penrose_error(a, heed::iterative_pseudo_inverse(a, 40)) < 1e-9);
        const Eigen::MatrixXd by_columns = a;
        const auto p = heed::iterative_pseudo_inverse(a, 6);
        CHECK(matrix(heed::iterative_pseudo_inverse(by_columns, 6)) == matrix(p));
        Eigen::ThreadPool pool(2);
        CHECK(heed::iterative_pseudo_inverse(a, 6, always_on(pool)) == p);
    }
    const matrix large = random.matrix<double>(131, 131);  // rows are cut
    Eigen::ThreadPool pool(3);
    CHECK(heed::iterative_pseudo_inverse(large, 4, always_on(pool)) ==
          heed::iterative_pseudo_inverse(large, 4));
    CHECK(heed::iterative_pseudo_inverse(matrix(matrix::Zero(3, 4)), 6) == matrix::Zero(4, 3));
    CHECK(heed::iterative_pseudo_inverse(matrix(0, 4)).rows() == 4);
    CHECK(heed::iterative_pseudo_inverse(matrix(matrix::Constant(2, 2, NAN)), 3).hasNaN());
}

TEMPLATE_TEST_CASE("pseudo-inverses of 16-bit numbers are those of floats, rounded once", "",
                   Eigen::bfloat16, Eigen::half) {
    using S = TestType;
    generator random(657);
    const auto stored = [&](index rows, index columns) {
        return random.tensor<S>(2, rows, columns);
    };
    const auto wide = [](const auto& x) {
        return Eigen::Tensor<float, 3, Eigen::RowMajor>(x.template cast<float>());
    };
    const auto check_rounded = [](const auto& of, const auto& wide_one) {
        REQUIRE(of.size() == wide_one.size());
        for (index i = 0; i < of.size(); ++i)
            CHECK(of.data()[i] == static_cast<S>(wide_one.data()[i]));
    };
    for (const auto& [rows, columns] : {std::pair(1, 1), {13, 13}, {9, 4}}) {
        const auto a = stored(rows, columns), g = stored(columns, rows);
        check_rounded(heed::iterative_pseudo_inverse(a, 6),
                      heed::iterative_pseudo_inverse(wide(a), 6));
        check_rounded(heed::iterative_pseudo_inverse_backward(g, a, 2),
                      heed::iterative_pseudo_inverse_backward(wide(g), wide(a), 2));
    }
}

TEST_CASE("gradients of the iterative pseudo-inverse are slopes") {
    generator random(653);
    for (const auto& [rows, columns] : {std::pair(1, 1), {6, 6}, {7, 3}, {3, 9}}) {
        for (const int rounds : {0, 1, 5}) {
            INFO(rows << " x " << columns << ", rounds " << rounds);
            matrix a = random.matrix<double>(rows, columns);
            const matrix g = random.matrix<double>(columns, rows);
            const matrix d = heed::iterative_pseudo_inverse_backward(g, a, rounds);
            Eigen::ThreadPool pool(2);
            CHECK(heed::iterative_pseudo_inverse_backward(g, a, rounds, always_on(pool)) == d);
            const double largest = std::max(1.0, d.cwiseAbs().maxCoeff());
            for (index i = 0; i < a.size(); ++i) {
                const auto loss_at = [&](double step) {
                    matrix moved = a;
                    moved.data()[i] += step;
                    return g.cwiseProduct(heed::iterative_pseudo_inverse(moved, rounds)).sum();
                };
                const double slope = (loss_at(1e-6) - loss_at(-1e-6)) / 2e-6;
                CHECK(std::abs(slope - d.data()[i]) < 1e-6 * largest);
            }
        }
    }
}

TEST_CASE("the pseudo-inverse by singular values satisfies Penrose's equations") {
    generator random(654);
    for (const int m : {1, 2, 5, 16, 33, 64}) {
        matrix a = random.matrix<double>(m, m);
        CHECK(penrose_error(a, by_svd<double>(a, 1e-13)) < 1e-9);
        for (int j = 0; j < m; j += 3) a.col(j) = a.col(0);  // deficient
        CHECK(penrose_error(a, by_svd<double>(a, 1e-12)) < 1e-9);
        const matrix p = by_svd<float>(a.cast<float>().cast<double>(), 1e-5);
        CHECK(penrose_error(a, p) < 1e-3);
    }
    CHECK(by_svd<double>(matrix::Zero(4, 4), 0) == matrix::Zero(4, 4));
    CHECK((by_svd<double>(matrix::Constant(5, 5, 0.2), 1e-12) - matrix::Constant(5, 5, 0.2))
              .cwiseAbs()
              .maxCoeff() < 1e-15);
    // What lies below the tolerance counts as zero.
    const matrix diagonal = Eigen::Vector4d(8, 0.5, 2, 0.7).asDiagonal();
    const matrix expected = Eigen::Vector4d(1. / 8, 0, 1. / 2, 0).asDiagonal();
    CHECK((by_svd<double>(diagonal, 0.1) - expected).cwiseAbs().maxCoeff() < 1e-15);
}

TEST_CASE("the pseudo-inverse of large matrices of softmax's") {
    generator random(655);
    const int m = 512;
    matrix scores = random.matrix<double>(m, m);
    for (index i = 0; i < m; ++i) scores(i, i) += 14;  // few sweeps are enough
    const matrix a = heed::softmax(scores);
    const matrix p = by_svd<float>(a, 6e-5);
    // Penrose's equations at some vectors: whole products of such matrices take a while here.
    for (int round = 0; round < 3; ++round) {
        const Eigen::VectorXd x = random.matrix<double>(m, 1), y = random.matrix<double>(m, 1);
        const Eigen::VectorXd ax = a * x, py = p * y, ay = a * y;
        CHECK((a * (p * ax) - ax).cwiseAbs().maxCoeff() < 1e-4);
        CHECK((p * (a * py) - py).cwiseAbs().maxCoeff() < 1e-4 * py.cwiseAbs().maxCoeff());
        CHECK(std::abs(x.dot(a * py) - y.dot(a * (p * x))) < 1e-3);
        CHECK(std::abs(x.dot(p * ay) - y.dot(p * ax)) < 1e-3);
    }
}

TEST_CASE("gradients of the pseudo-inverse by singular values") {
    generator random(656);
    const int m = 6;
    const matrix g = random.matrix<double>(m, m);
    const auto check_slopes = [&](const matrix& a, double tolerance) {
        const matrix d = by_svd_backward(a, g, tolerance);
        for (index i = 0; i < a.size(); ++i) {
            const auto loss_at = [&](double step) {
                matrix moved = a;
                moved.data()[i] += step;
                return g.cwiseProduct(by_svd<double>(moved, tolerance)).sum();
            };
            const double slope = (loss_at(1e-6) - loss_at(-1e-6)) / 2e-6;
            CHECK(std::abs(slope - d.data()[i]) < 1e-6 * std::max(1.0, d.cwiseAbs().maxCoeff()));
        }
    };
    check_slopes(matrix(random.matrix<double>(m, m) + 3 * matrix::Identity(m, m)), 1e-12);
    check_slopes(random.matrix<double>(m, m), 0.35);  // some are cut off

    // Singular values that are 0: Golub and Pereyra's formula.
    matrix a = random.matrix<double>(m, 3) * random.matrix<double>(3, m);
    a.col(5) = a.col(1);
    const matrix p = by_svd<double>(a, 1e-10), one = matrix::Identity(m, m);
    const matrix expected = -p.transpose() * g * p.transpose() +
                            (one - a * p) * g.transpose() * p * p.transpose() +
                            p.transpose() * p * g.transpose() * (one - p * a);
    const matrix d = by_svd_backward(a, g, 1e-10);
    CHECK((d - expected).cwiseAbs().maxCoeff() < 1e-9 * expected.cwiseAbs().maxCoeff());
    const matrix constant = matrix::Constant(m, m, 0.25);  // exact zeros among them
    const matrix q = by_svd<double>(constant, 1e-10);
    const matrix of_constant = -q.transpose() * g * q.transpose() +
                               (one - constant * q) * g.transpose() * q * q.transpose() +
                               q.transpose() * q * g.transpose() * (one - q * constant);
    CHECK((by_svd_backward(constant, g, 1e-10) - of_constant).cwiseAbs().maxCoeff() < 1e-12);
}

}  // namespace test_pseudo_inverse
