#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotate.hpp>

/// \file
/// The sinusoidal absolute position encoding.

namespace heed::inline HEED_ARCHITECTURE {

/// What is added to the embeddings of `length` tokens, [length, dim]: a row at position p has
/// cos pθ_t and sin pθ_t where a rotation would have the two numbers of pair t.
///
///     auto e = heed::sinusoidal_encoding(n, heed::rope::plain({.dim = 512}));   // floats
///     auto e = heed::sinusoidal_encoding<double>(n, rope, 1024);                // from 1024 on
///
/// Behind the frequencies stands what heed::rotate takes there: positions, heed::on(pool). So it is
/// a rotation of the pairs (1, 0), as exact as that. Throws argument_error for a length below 0
/// or from 2³¹ on, and what heed::rotate throws. Source: arXiv 1706.03762; kexue 8265.
template <class T = float, std::integral Length, class... Options>
Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> sinusoidal_encoding(
    Length length, const rope::frequencies& rope, Options&&... options) {
    const index rows = detail::to_index(length);
    detail::require_argument(rows >= 0 && rows < index(1) << 31, "length is ", length,
                             ", but it must lie between 0 and 2^31 - 1");
    using matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    matrix rotated = matrix::Zero(rows, rope.dim());
    for (index i = 0; i < rows; ++i)
        for (index t = 0; t < rope.pairs(); ++t)
            rotated(i, rope.layout() == rope::halves ? t : 2 * t) = 1;
    rotate_into(rotated, rotated, rope, std::forward<Options>(options)...);
    return rotated;
}

}  // namespace heed::inline HEED_ARCHITECTURE
