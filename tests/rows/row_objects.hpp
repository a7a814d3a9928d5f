#pragma once

#include <cstddef>
#include <limits>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/rows/rows.hpp>

#include "reference/softmax.hpp"
#include "support/random.hpp"

/// \file
/// Objects of every kind with rows, and what is in their rows.

namespace heed_test {

/// The rows of a view of rank 1 and more, in double, the last axis of rows running fastest.
template <class T, int Rank>
std::vector<reference::row> rows_of_view(const heed::tensor_view<T, Rank>& x) {
    if constexpr (Rank == 1) {
        reference::row row;
        for (heed::index i = 0; i < x.extents[0]; ++i) row.push_back(static_cast<double>(x(i)));
        return {row};
    } else {
        std::vector<reference::row> rows;
        for (heed::index i = 0; i < x.extents[0]; ++i) {
            heed::tensor_view<T, Rank - 1> part{x.data + i * x.strides[0], {}, {}};
            for (std::size_t axis = 1; axis < Rank; ++axis) {
                part.extents[axis - 1] = x.extents[axis];
                part.strides[axis - 1] = x.strides[axis];
            }
            for (auto& row : rows_of_view(part)) rows.push_back(row);
        }
        return rows;
    }
}

/// The rows of anything.
template <class X>
std::vector<reference::row> rows_of(const X& x) {
    const auto held = heed::detail::evaluate(x);
    return rows_of_view(heed::detail::row_view<X>(held.view()));
}

/// The numbers, one a row, of a number, a vector or a tensor.
template <class Z>
std::vector<double> numbers_of(const Z& z) {
    if constexpr (std::is_arithmetic_v<Z>) {
        return {static_cast<double>(z)};
    } else if constexpr (heed::rank_of<Z> == 0) {
        return {static_cast<double>(z())};
    } else {
        std::vector<double> all;
        const auto held = heed::detail::evaluate(z);
        for (const auto& row : rows_of_view(held.view()))
            all.insert(all.end(), row.begin(), row.end());
        return all;
    }
}

/// Calls f(x) with objects of every kind: matrices, arrays, blocks, maps, vectors, tensors and
/// views of either storage order, of random shapes.
template <class T, class F>
void for_each_object(generator& random, F&& f) {
    using row_major = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    using column_major = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;
    const auto extent = [&] {
        return random.one_of<Eigen::Index>({1, 2, 3, 7, 16, 17, 31, 33, 64, 97, 128, 131, 257});
    };

    const auto rows = random.matrix<T, Eigen::RowMajor>(extent(), extent());
    const auto columns = random.matrix<T, Eigen::ColMajor>(extent(), extent());
    const auto many_columns = random.matrix<T, Eigen::ColMajor>(150 + extent(), extent());
    f(rows);
    f(columns);
    f(many_columns);
    f(Eigen::Array<T, Eigen::Dynamic, Eigen::Dynamic>(columns.array()));
    f(rows.transpose());
    f(columns * T(2));

    const auto large = random.matrix<T, Eigen::ColMajor>(40, 50);
    f(large.block(3, 5, 30, 41));
    f(large.row(3));
    f(large.col(4));
    f(large.transpose().block(1, 2, 40, 33));
    f(Eigen::Map<const row_major, 0, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>>(
        large.data(), 13, 17, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>(71, 3)));
    f(Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, 1>, 0, Eigen::InnerStride<>>(
        large.data(), 37, Eigen::InnerStride<>(5)));
    f(Eigen::Ref<const column_major>(large.middleRows(2, 5)));

    f(Eigen::Matrix<T, 3, 5>(large.template topLeftCorner<3, 5>()));
    f(Eigen::Matrix<T, 2, 1>(large.template topLeftCorner<2, 1>()));
    f(Eigen::Matrix<T, 1, 64>(large.data()));
    f(Eigen::Matrix<T, 4, 64, Eigen::RowMajor>(large.data()));

    const auto tensor = random.tensor<T>(3, 5, extent(), extent());
    f(tensor);
    f(random.tensor<T>(extent()));
    Eigen::Tensor<T, 3> column_tensor(extent(), 4, extent());
    random.fill_normal(column_tensor);
    f(column_tensor);
    f(column_tensor + column_tensor);
    Eigen::TensorFixedSize<T, Eigen::Sizes<3, 4>> fixed;
    for (Eigen::Index i = 0; i < 12; ++i) fixed.data()[i] = static_cast<T>(random.normal());
    f(fixed);
    f(Eigen::TensorMap<const Eigen::Tensor<T, 2>>(column_tensor.data(), 4,
                                                  column_tensor.size() / 4));

    const auto memory = random.numbers<T>(2 * 9 * 4 * 21);
    f(heed::view(memory.data(), {2, 4, 9, 21}, {9 * 4 * 21, 21, 4 * 21, 1}));
    f(heed::view(memory.data(), {2, 21, 9, 4}, {9 * 4 * 21, 1, 4 * 21, 21}));
    f(heed::view(memory.data() + memory.size() - 1, {7, 11}, {-13, -1}));
}

/// The rounding error of 1 in T.
template <class T>
inline constexpr double unit = static_cast<double>(std::numeric_limits<T>::epsilon());

}  // namespace heed_test
