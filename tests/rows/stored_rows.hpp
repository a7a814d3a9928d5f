#pragma once

#include <cstring>
#include <type_traits>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/storage.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

/// \file
/// What is held of functions on rows of 16-bit numbers: the bits of the same call with the same
/// numbers as floats, rounded once.

namespace heed_test {

/// Scalars whose rows are computed as floats.
#define HEED_TEST_STORAGES Eigen::bfloat16, Eigen::half

/// The numbers as floats, or as they are where they are floats.
template <class X>
auto widened(const X& x) {
    using S = typename X::Scalar;
    using wide = Eigen::Matrix<heed::detail::computed_in<S>, X::RowsAtCompileTime,
                               X::ColsAtCompileTime, X::IsRowMajor ? Eigen::RowMajor : 0>;
    return wide(x.template cast<heed::detail::computed_in<S>>());
}

/// Normal numbers of S.
template <class S, int Order>
auto stored_matrix(generator& random, Eigen::Index rows, Eigen::Index columns) {
    using matrix = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Order>;
    return matrix(random.matrix<float, Order>(rows, columns).template cast<S>());
}

/// Whether `stored` has the bits of `wide`, rounded once where it is of 16 bits.
template <class Stored, class Wide>
bool is_rounded(const Stored& stored, const Wide& wide) {
    if (stored.rows() != wide.rows() || stored.cols() != wide.cols()) return false;
    for (Eigen::Index i = 0; i < wide.rows(); ++i)
        for (Eigen::Index j = 0; j < wide.cols(); ++j) {
            const typename Stored::Scalar found = stored(i, j);
            const auto expected = static_cast<typename Stored::Scalar>(wide(i, j));
            if (std::memcmp(&found, &expected, sizeof found) != 0) return false;
        }
    return true;
}

/// Calls f(x, another) with two matrices of S and of one shape, row-major and column-major, of
/// sizes 0, 1, and below and above whatever a kernel takes at once.
template <class S, class F>
void for_each_layout(generator& random, F&& f) {
    const auto with = [&](Eigen::Index rows, Eigen::Index columns) {
        INFO(rows << " rows of " << columns);
        f(stored_matrix<S, Eigen::RowMajor>(random, rows, columns),
          stored_matrix<S, Eigen::RowMajor>(random, rows, columns));
        f(stored_matrix<S, Eigen::ColMajor>(random, rows, columns),
          stored_matrix<S, Eigen::ColMajor>(random, rows, columns));
    };
    with(0, 5);
    with(1, 1);
    with(3, 17);
    with(67, 31);
    with(9, 131);
    with(2, 3001);
}

}  // namespace heed_test
