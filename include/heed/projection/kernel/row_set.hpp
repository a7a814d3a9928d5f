#pragma once

#include <array>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/shape.hpp>

/// \file
/// Rows of a tensor of any rank, numbered.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The rows of a tensor: row r begins at [r], its elements are `step` apart.
template <class T>
struct row_set {
    T* data;
    const index* offsets;  ///< of each row; null where rows are `stride` apart
    index stride;
    index step;
    index count, length;

    T* operator[](index r) const { return data + (offsets != nullptr ? offsets[r] : r * stride); }
};

/// The last axis of `x` as rows. Where no one stride leads from each to the next, the way to them
/// is written into `memory`.
template <class T, int Rank>
row_set<T> rows_of(const tensor_view<T, Rank>& x, arena& memory) {
    constexpr auto axes = static_cast<std::size_t>(Rank - 1);
    row_set<T> rows{x.data, nullptr, 0, x.strides[axes], 1, x.extents[axes]};
    bool is_regular = true;
    for (std::size_t axis = axes; axis-- > 0;) {
        if (x.extents[axis] == 1) continue;
        if (rows.count == 1)
            rows.stride = x.strides[axis];
        else
            is_regular &= x.strides[axis] == rows.stride * rows.count;
        rows.count *= x.extents[axis];
    }
    if (is_regular || rows.count == 0) return rows;
    index* const offsets = memory.take<index>(rows.count);
    std::array<index, axes> at{};
    index offset = 0;
    for (index r = 0; r < rows.count; ++r) {
        offsets[r] = offset;
        for (std::size_t axis = axes; axis-- > 0;) {
            offset += x.strides[axis];
            if (++at[axis] < x.extents[axis]) break;
            offset -= at[axis] * x.strides[axis];
            at[axis] = 0;
        }
    }
    rows.offsets = offsets;
    return rows;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
