#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include <Eigen/Core>

#include <heed/projection.hpp>

#include "reference/projection.hpp"
#include "rows/row_objects.hpp"
#include "support/same_bits.hpp"

/// \file
/// How projections are compared: with the reference, and bit by bit.

namespace test_projection {

using heed_test::numbers_of;
using heed_test::rows_of;
using heed_test::unit;

template <class T>
using row_major = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using column_major = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;
template <class T>
using vector = Eigen::Matrix<T, Eigen::Dynamic, 1>;

/// A chain of n multiply-adds is off by a few √n roundings of what is summed, and by n at most.
template <class T>
double tolerance(std::size_t length) {
    const auto n = static_cast<double>(length);
    return unit<T> * std::min(n + 2, 4 + 2 * std::sqrt(n));
}

/// Whether `found` is the reference's to that, of the same sums over absolute values.
template <class T>
bool is_close(const reference::matrix& found, const reference::matrix& expected,
              const reference::matrix& sizes, std::size_t length) {
    bool close = found.size() == expected.size();
    for (std::size_t r = 0; close && r < expected.size(); ++r) {
        close = found[r].size() == expected[r].size();
        for (std::size_t c = 0; close && c < expected[r].size(); ++c)
            close = std::abs(found[r][c] - expected[r][c]) <=
                    tolerance<T>(length) * sizes[r][c] + 1e-30;
    }
    return close;
}

inline reference::matrix absolute(reference::matrix numbers) {
    for (auto& row : numbers)
        for (double& x : row) x = std::abs(x);
    return numbers;
}
inline reference::row absolute(reference::row numbers) {
    for (double& x : numbers) x = std::abs(x);
    return numbers;
}

template <class A, class B>
bool same_bits(const A& a, const B& b) {
    if (a.rows() != b.rows() || a.cols() != b.cols()) return false;
    for (Eigen::Index r = 0; r < a.rows(); ++r)
        for (Eigen::Index c = 0; c < a.cols(); ++c) {
            const auto x = a(r, c);
            const auto y = b(r, c);
            if (!heed_test::same_number(x, y)) return false;
        }
    return true;
}

}  // namespace test_projection
