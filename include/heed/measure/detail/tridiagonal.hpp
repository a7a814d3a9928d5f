#pragma once

#include <cmath>
#include <stdexcept>

#include <Eigen/Core>
#include <Eigen/Eigenvalues>

#include <heed/core/architecture.hpp>

/// \file
/// Eigenvalues of symmetric tridiagonal matrices, by Eigen.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// e with 2^{e−1} ≤ x < 2^e; 0 for 0.
inline int exponent_of(double x) {
    int exponent = 0;
    static_cast<void>(std::frexp(x, &exponent));
    return exponent;
}

/// The eigenvalues, in increasing order, and if asked the vectors, of the symmetric matrix with
/// these numbers on its diagonal and beside it, the greatest of them around 1: Eigen takes ε times
/// the root of the diagonal for 0, which is within rounding of the greatest at that size alone.
///
/// Throws std::runtime_error if Eigen does not find them in 30 steps each. Wilkinson's shift is
/// proved to end, and ends in two or three.
///
/// A template, as are its callers, so that a program that does not call it does not compile Eigen's
/// solver: that alone would be a fifth of what heed costs to include.
template <class Solver = Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>>
Solver tridiagonal_spectrum(const Eigen::VectorXd& diagonal, const Eigen::VectorXd& beside,
                            int options) {
    Solver solver;
    solver.computeFromTridiagonal(diagonal, beside, options);
    if (solver.info() != Eigen::Success)
        throw std::runtime_error(
            "heed::measure: the eigenvalues of a tridiagonal matrix were not found");
    return solver;
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
