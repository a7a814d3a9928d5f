#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/core/architecture.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/workspace.hpp>

/// \file
/// Loops over the rows of tensors, a task a stretch of rows.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Where the `row`-th row begins, of all rows of all axes before the last.
template <class T, int Rank>
T* row_at(const tensor_view<T, Rank>& x, index row) {
    T* at = x.data;
    for (std::size_t axis = Rank - 1; axis-- > 0; row /= x.extents[axis])
        at += row % x.extents[axis] * x.strides[axis];
    return at;
}

/// f(row) for all rows of a tensor that has these extents.
template <std::size_t Rank, class F>
void for_each_row(Eigen::ThreadPoolInterface* pool, workspace& memory,
                  const std::array<index, Rank>& extents, const F& f) {
    constexpr index numbers_a_task = 1 << 16;
    index rows = 1;
    for (std::size_t axis = 0; axis + 1 < Rank; ++axis) rows *= extents[axis];
    const index rows_a_task =
        std::max<index>(1, numbers_a_task / std::max<index>(1, extents.back()));
    for_each_task(pool, memory, count_blocks(rows, rows_a_task), [&](index, index task) {
        const index end = std::min(rows, (task + 1) * rows_a_task);
        for (index row = task * rows_a_task; row < end; ++row) f(row);
    });
}

/// Every element of a view: large ones are touched first by those who will add to them.
template <class T, int Rank>
void fill(Eigen::ThreadPoolInterface* pool, workspace& memory, const tensor_view<T, Rank>& x,
          T value) {
    for_each_row(pool, memory, x.extents, [&](index row) {
        T* const to = row_at(x, row);
        for (index i = 0; i < x.extents.back(); ++i) to[i * x.strides.back()] = value;
    });
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
