#pragma once

#include <cmath>
#include <cstddef>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/view.hpp>
#include <heed/measure/singular_values.hpp>

/// \file
/// The rank of a matrix, an attention matrix for instance, by its singular values.

namespace heed::inline HEED_ARCHITECTURE {
namespace measure {

/// The effective rank exp(H(σ/Σσ)) of a matrix, H Shannon's entropy and σ the singular values (Roy
/// and Vetterli, EUSIPCO 2007; kexue 9529): between 1 and min(m, n), or 0 for zeros; NaN if an
/// element is not finite.
///
///     heed::measure::effective_rank(heed::attention_weights(q, k));
///
/// Exact, by the singular values in double: O(m·n·min(m, n)) and a copy of the matrix.
template <tensor_like A>
double effective_rank(const A& matrix) {
    const Eigen::VectorXd sigma = detail::singular_values(matrix);
    double sum = 0, entropy = 0;
    for (Eigen::Index i = 0; i < sigma.size(); ++i) sum += sigma(i);
    if (sum == 0) return 0;
    for (Eigen::Index i = 0; i < sigma.size(); ++i) {
        const double p = sigma(i) / sum;
        if (p != 0) entropy -= p * std::log(p);
    }
    return std::exp(entropy);
}

/// The numerical rank of a matrix: how many singular values exceed `tolerance` times the greatest.
/// Throws argument_error unless 0 ≤ tolerance < 1, or if an element is not finite. Cost as
/// effective_rank.
template <tensor_like A>
index numerical_rank(const A& matrix, double tolerance) {
    detail::require_argument(tolerance >= 0 && tolerance < 1,
                             "heed::measure::numerical_rank: the tolerance is ", tolerance,
                             ", but must lie in [0, 1)");
    const Eigen::VectorXd sigma = detail::singular_values(matrix);
    detail::require_argument(sigma.size() == 0 || std::isfinite(sigma(0)),
                             "heed::measure::numerical_rank: an element is not finite");
    index rank = 0;
    while (rank < sigma.size() && sigma(rank) > tolerance * sigma(0)) ++rank;
    return rank;
}

}  // namespace measure
}  // namespace heed::inline HEED_ARCHITECTURE
