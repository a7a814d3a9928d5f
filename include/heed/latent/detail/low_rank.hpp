#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <vector>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/padded_matrix.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/singular_vectors.hpp>

/// \file
/// The nearest matrix of a given rank: truncated singular value decomposition (Eckart and Young,
/// Psychometrika 1936).

namespace heed::inline HEED_ARCHITECTURE::detail {

/// W ≈ left·right, [rows, rank]·[rank, columns].
template <class Matrix>
struct low_rank_factors {
    Matrix left = {};  ///< empty for the identity
    Matrix right = {};
    double error = 0;  ///< ‖W − left·right‖/‖W‖, Frobenius' norm
};

/// left = U·Σ and right = Vᵀ of the `rank` largest singular values of W, whose numbers are finite.
/// The rows of `right` are orthonormal up to the rank that W truly has; above it, where W is wide,
/// they are 0 or noise, and what they are multiplied by is 0 or a rounding error.
///
/// Matrix, of doubles, is a parameter here and below so that a program compiles it where it calls
/// this.
template <class Matrix>
low_rank_factors<Matrix> truncate_to_rank(const Matrix& w, index rank) {
    using vector = Eigen::Matrix<double, Matrix::RowsAtCompileTime, 1>;
    const bool is_wide = w.rows() < w.cols();  // Jacobi's rotations want the other form
    const padded_matrix<double> shape{std::max(w.rows(), w.cols()), std::min(w.rows(), w.cols())};
    arena scratch;
    double* const a = scratch.take<double>(shape.size());
    for (index i = 0; i < shape.rows; ++i)
        for (index j = 0; j < shape.columns; ++j)
            a[i * shape.stride() + j] = is_wide ? w(j, i) : w(i, j);
    const singular_vectors s = find_singular_vectors(shape, a, scratch);

    std::vector<index> order(static_cast<std::size_t>(shape.columns));
    std::iota(order.begin(), order.end(), index(0));
    std::stable_sort(order.begin(), order.end(),
                     [&](index p, index q) { return s.sigma[p] > s.sigma[q]; });
    low_rank_factors<Matrix> factors{Matrix(w.rows(), rank), Matrix(rank, w.cols())};
    double all = 0, lost = 0;
    for (index r = shape.columns; r-- > 0;) {  // from the smallest on, for the sums' sake
        const index j = order[static_cast<std::size_t>(r)];
        const double sigma = s.sigma[j];
        all += sigma * sigma;
        if (r >= rank) {
            lost = all;
            continue;
        }
        const Eigen::Map<const vector> turned(s.w_row(j), shape.rows);  // σ·u
        const Eigen::Map<const vector> v(s.v_row(j), shape.columns);
        if (is_wide) {
            factors.left.col(r) = v * sigma;
            if (sigma > 0)
                factors.right.row(r) = turned / sigma;
            else
                factors.right.row(r).setZero();
        } else {
            factors.left.col(r) = turned;
            factors.right.row(r) = v;
        }
    }
    factors.error = all > 0 ? std::sqrt(lost / all) : 0;
    return factors;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
