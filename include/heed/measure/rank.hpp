#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/view.hpp>
#include <heed/measure/detail/singular_values.hpp>

/// \file
/// The rank of a matrix, an attention matrix for instance, by its singular values.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// f(matrix) of the last two axes, for every index of the axes in front, written one after the
/// other, the last axis running fastest.
template <class T, int Rank, class Number, class F>
Number* for_each_matrix(const tensor_view<const T, Rank>& a, Number* to, F&& f) {
    if constexpr (Rank == 2) {
        *to = f(a);
        return to + 1;
    } else {
        tensor_view<const T, Rank - 1> part{a.data, {}, {}};
        for (std::size_t axis = 1; axis < Rank; ++axis) {
            part.extents[axis - 1] = a.extents[axis];
            part.strides[axis - 1] = a.strides[axis];
        }
        for (index i = 0; i < a.extents[0]; ++i, part.data += a.strides[0])
            to = for_each_matrix(part, to, f);
        return to;
    }
}

/// f(matrix): a number for a matrix, a row-major tensor of the axes in front for a tensor.
template <class Number, tensor_like A, class F>
auto of_matrices(const A& a, F&& f) {
    constexpr int axes = rank_of<A> - 2;
    static_assert(axes >= 0, "heed: a rank is that of a matrix, or of each of the last two axes");
    const auto held = evaluate(a);
    auto all = held.view();
    check_view("the matrix", all);
    if (all.empty()) all.strides.fill(0);  // it may be a null pointer, which nothing is added to
    if constexpr (axes == 0) {
        return f(all);
    } else {
        Eigen::array<Eigen::DenseIndex, static_cast<std::size_t>(axes)> extents{};
        for (std::size_t axis = 0; axis < axes; ++axis) extents[axis] = all.extents[axis];
        Eigen::Tensor<Number, axes, Eigen::RowMajor> result(extents);
        if (result.size() > 0) for_each_matrix(all, result.data(), f);
        return result;
    }
}

/// exp(H(σ/Σσ))
inline double effective_rank_of(const std::vector<double>& sigma) {
    double sum = 0, entropy = 0;
    for (const double value : sigma) sum += value;
    if (sum == 0) return 0;
    for (const double value : sigma) {
        const double p = value / sum;
        if (p != 0) entropy -= p * std::log(p);
    }
    return std::exp(entropy);
}

/// How many σ exceed tolerance times the greatest.
inline index numerical_rank_of(const std::vector<double>& sigma, double tolerance) {
    require_argument(sigma.empty() || std::isfinite(sigma[0]),
                     "heed::measure::numerical_rank: an element is not finite");
    std::size_t rank = 0;
    while (rank < sigma.size() && sigma[rank] > tolerance * sigma[0]) ++rank;
    return static_cast<index>(rank);
}

}  // namespace detail

namespace measure {

/// The effective rank exp(H(σ/Σσ)) of a matrix, H Shannon's entropy and σ the singular values (Roy
/// and Vetterli, EUSIPCO 2007; kexue 9529): between 1 and min(m, n), or 0 for zeros; NaN if an
/// element is not finite. It does not depend on the size of the elements. Of a tensor, that of
/// every matrix of its last two axes: a row-major Eigen::Tensor<double> of the axes in front.
///
///     double rank = heed::measure::effective_rank(matrix);
///     auto ranks = heed::measure::effective_rank(heed::attention_weights(q, k));  // [batch,
///     heads]
///
/// Exact, by the singular values in double: O(m·n·min(m, n)) and a copy of the matrix. Throws
/// std::runtime_error should they not be found, which has not been seen.
template <tensor_like A>
[[nodiscard]] auto effective_rank(const A& matrix) {
    return detail::of_matrices<double>(matrix, [](const auto& one) {
        return detail::effective_rank_of(detail::singular_values(one));
    });
}

/// The numerical rank of a matrix: how many singular values exceed `tolerance` times the greatest.
/// Of a tensor, that of every matrix of its last two axes, as an Eigen::Tensor<heed::index>. Throws
/// argument_error unless 0 ≤ tolerance < 1, or if an element is not finite. Cost and other errors
/// as effective_rank's.
template <tensor_like A>
[[nodiscard]] auto numerical_rank(const A& matrix, double tolerance) {
    detail::require_argument(tolerance >= 0 && tolerance < 1,
                             "heed::measure::numerical_rank: the tolerance is ", tolerance,
                             ", but must lie in [0, 1)");
    return detail::of_matrices<index>(matrix, [tolerance](const auto& one) {
        return detail::numerical_rank_of(detail::singular_values(one), tolerance);
    });
}

}  // namespace measure
}  // namespace heed::inline HEED_ARCHITECTURE
