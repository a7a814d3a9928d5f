#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/view.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/rows/rows.hpp>

/// \file
/// Rows by their number: what a seed and the number of a row make random.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The rows of x: the product of all extents but the last.
template <class T, int Rank>
index count_rows(const tensor_view<T, Rank>& x) {
    index rows = 1;
    for (std::size_t axis = 0; axis + 1 < Rank; ++axis) rows *= x.extents[axis];
    return rows;
}

/// Row `number` of x, rows counted with the last axis of rows running fastest: whatever the layout,
/// a row has one number.
template <class T, int Rank>
tensor_view<T, 1> row_of(const tensor_view<T, Rank>& x, index number) {
    T* first = x.data;
    for (std::size_t axis = Rank - 1; axis-- > 0;) {
        first += number % x.extents[axis] * x.strides[axis];
        number /= x.extents[axis];
    }
    return {first, {x.extents[Rank - 1]}, {x.strides[Rank - 1]}};
}

/// f(number) for every row of x, on the call's threads.
template <class T, int Rank, class F>
void for_numbered_rows(const call_resources& resources, const tensor_view<T, Rank>& x, F&& f) {
    const index rows = count_rows(x);
    const index a_task =
        std::max<index>(1, task_elements / 16 / std::max<index>(1, x.extents[Rank - 1]));
    for_each_task(resources.pool, *resources.memory, count_blocks(rows, a_task),
                  [&](index, index task) {
                      const index last = std::min(rows, (task + 1) * a_task);
                      for (index row = task * a_task; row < last; ++row) f(row);
                  });
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
