#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include <heed/core/architecture.hpp>

/// \file
/// Eigenvalues of symmetric tridiagonal matrices, in plain loops: including Eigen's solvers would
/// be a quarter of what it costs to include heed.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// e with 2^{e−1} ≤ x < 2^e; 0 for 0.
inline int exponent_of(double x) {
    int exponent = 0;
    static_cast<void>(std::frexp(x, &exponent));
    return exponent;
}

/// The eigenvalues of a symmetric tridiagonal matrix in increasing order, and the first number of
/// the eigenvector, of length 1, of each.
struct tridiagonal_spectrum {
    std::vector<double> values, first;
};

/// The rotation (c, s; −s, c) that makes (x, z) a vector (±r, 0).
struct plane_rotation {
    double c, s;

    plane_rotation(double x, double z) {
        const bool is_steep = std::abs(x) <= std::abs(z);
        const double tangent = is_steep ? x / z : z / x;
        const double length = std::copysign(std::sqrt(1 + tangent * tangent), is_steep ? z : x);
        const double larger = 1 / length, smaller = tangent * larger;
        c = is_steep ? smaller : larger;
        s = is_steep ? -larger : -smaller;
    }
};

/// One implicit step of QR with Wilkinson's shift on the block of rows from begin to last, none of
/// whose numbers beside the diagonal is 0 (Golub and Van Loan, Matrix Computations, 8.3.2).
inline void tridiagonal_step(std::vector<double>& diagonal, std::vector<double>& beside,
                             std::vector<double>& first, std::size_t begin, std::size_t last) {
    const double half = (diagonal[last - 1] - diagonal[last]) * 0.5, e = beside[last - 1];
    const double larger = std::max(std::abs(half), std::abs(e));
    const double ratio = std::min(std::abs(half), std::abs(e)) / larger;
    const double from = half + std::copysign(larger * std::sqrt(1 + ratio * ratio), half);
    // e²/from where e² is too small to be a number.
    const double shift = e * e == 0 ? e / (from / e) : e * e / from;
    const double mu = diagonal[last] - (half == 0 ? std::abs(e) : shift);

    double x = diagonal[begin] - mu, z = beside[begin];
    for (std::size_t k = begin; k < last && z != 0; ++k) {
        const auto [c, s] = plane_rotation(x, z);
        const double low = s * diagonal[k] + c * beside[k];
        const double corner = s * beside[k] + c * diagonal[k + 1];
        diagonal[k] =
            c * (c * diagonal[k] - s * beside[k]) - s * (c * beside[k] - s * diagonal[k + 1]);
        diagonal[k + 1] = s * low + c * corner;
        beside[k] = c * low - s * corner;
        if (k > begin) beside[k - 1] = c * beside[k - 1] - s * z;
        x = beside[k];
        if (k + 1 < last) {
            z = -s * beside[k + 1];
            beside[k + 1] *= c;
        }
        const double left = first[k], right = first[k + 1];
        first[k] = c * left - s * right;
        first[k + 1] = s * left + c * right;
    }
}

/// Of the symmetric matrix with these numbers on its diagonal and beside it, the greatest of them
/// around 1: what is at most ε times the root of its neighbours on the diagonal counts as 0, which
/// is within rounding of the greatest at that size alone.
///
/// Throws std::runtime_error if they are not found in 30 steps each. Wilkinson's shift is proved to
/// end, and ends in two or three.
inline tridiagonal_spectrum spectrum_of(std::vector<double> diagonal, std::vector<double> beside) {
    std::vector<double> first(diagonal.size());
    if (!first.empty()) first[0] = 1;
    std::size_t last = diagonal.empty() ? 0 : diagonal.size() - 1, begin = 0;
    for (std::size_t steps_left = 30 * diagonal.size(); last > 0; --steps_left) {
        for (std::size_t i = begin; i < last; ++i) {
            const double scaled = beside[i] / std::numeric_limits<double>::epsilon();
            if (std::abs(beside[i]) < std::numeric_limits<double>::min() ||
                scaled * scaled <= std::abs(diagonal[i]) + std::abs(diagonal[i + 1]))
                beside[i] = 0;
        }
        while (last > 0 && beside[last - 1] == 0) --last;
        if (last == 0) break;
        if (steps_left == 0)
            throw std::runtime_error(
                "heed::measure: the eigenvalues of a tridiagonal matrix were not found");
        begin = last - 1;
        while (begin > 0 && beside[begin - 1] != 0) --begin;
        tridiagonal_step(diagonal, beside, first, begin, last);
    }
    for (std::size_t i = 0; i + 1 < diagonal.size(); ++i) {
        std::size_t least = i;
        for (std::size_t k = i + 1; k < diagonal.size(); ++k)
            if (diagonal[k] < diagonal[least]) least = k;
        std::swap(diagonal[i], diagonal[least]);
        std::swap(first[i], first[least]);
    }
    return {std::move(diagonal), std::move(first)};
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
