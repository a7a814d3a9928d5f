#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

#include <Eigen/Core>
#include <Eigen/Householder>

#include <heed/core/architecture.hpp>
#include <heed/core/view.hpp>
#include <heed/measure/detail/tridiagonal.hpp>

/// \file
/// The singular values of a matrix, in double.
///
/// By Householder reflections to two diagonals d and e, whose singular values are the positive
/// eigenvalues of the symmetric tridiagonal matrix with diagonal 0 and d₁, e₁, d₂, e₂, … beside it
/// (Golub and Kahan 1965): each within rounding of the greatest. Eigen 3.4's BDCSVD does not return
/// for some matrices of softmax's.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// d₁, e₁, d₂, e₂, …, d_n of a matrix with no fewer rows than columns, which is overwritten.
template <class Matrix>
std::vector<double> bidiagonal_of(Matrix& a) {
    const Eigen::Index m = a.rows(), n = a.cols();
    std::vector<double> beside(static_cast<std::size_t>(2 * n - 1));
    std::vector<double> scratch(static_cast<std::size_t>(m));
    double* to = beside.data();
    for (Eigen::Index k = 0; k < n; ++k) {
        double factor = 0;
        auto column = a.col(k).tail(m - k);
        column.makeHouseholderInPlace(factor, *to++);
        if (k + 1 == n) break;
        a.bottomRightCorner(m - k, n - k - 1)
            .applyHouseholderOnTheLeft(column.tail(m - k - 1), factor, scratch.data());
        auto row = a.row(k).tail(n - k - 1);
        row.makeHouseholderInPlace(factor, *to++);
        a.bottomRightCorner(m - k - 1, n - k - 1)
            .applyHouseholderOnTheRight(row.tail(n - k - 2).transpose(), factor, scratch.data());
    }
    return beside;
}

/// In decreasing order, in units of the power of two just above the greatest |element|, so that
/// they are numbers whatever the size of the matrix; empty for a matrix without elements, one NaN
/// if an element is not finite.
///
/// Matrix is a parameter so that a program compiles it and what is done with it where it calls
/// this.
template <class T, class Matrix = Eigen::MatrixXd>
std::vector<double> singular_values(tensor_view<const T, 2> from) {
    if (from.extents[0] < from.extents[1]) {
        std::swap(from.extents[0], from.extents[1]);
        std::swap(from.strides[0], from.strides[1]);
    }
    Matrix copy(from.extents[0], from.extents[1]);
    double greatest = 0;
    bool is_finite = true;
    for (index j = 0; j < from.extents[1]; ++j) {
        for (index i = 0; i < from.extents[0]; ++i) {
            copy(i, j) = static_cast<double>(from(i, j));
            greatest = std::max(greatest, std::abs(copy(i, j)));
            is_finite &= std::isfinite(copy(i, j));
        }
    }
    if (copy.size() == 0) return {};
    if (!is_finite) return {std::numeric_limits<double>::quiet_NaN()};
    const int exponent = exponent_of(greatest);
    if (exponent != 0)
        copy = copy.unaryExpr([exponent](double x) { return std::ldexp(x, -exponent); });
    const auto n = static_cast<std::size_t>(copy.cols());
    // ±σ in increasing order; what is 0 may have come out on either side of it.
    std::vector<double> sigma = spectrum_of(std::vector<double>(2 * n), bidiagonal_of(copy)).values;
    std::reverse(sigma.begin(), sigma.end());
    sigma.resize(n);
    for (double& value : sigma) value = std::fmax(value, 0.0);
    return sigma;
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
