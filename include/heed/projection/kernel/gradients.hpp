#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/simd.hpp>
#include <heed/projection/kernel/multiply.hpp>
#include <heed/projection/kernel/panels.hpp>
#include <heed/projection/kernel/row_set.hpp>
#include <heed/projection/kernel/sizes.hpp>
#include <heed/rows/row_arguments.hpp>

/// \file
/// The gradients of weights and bias: sums over the rows, in blocks of depth_block rows, each
/// summed from zero and then added, in the rows' order.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Rows as a matrix [length, count], the transpose of what they are: copied to `memory` where no
/// one stride leads from row to row.
template <class T>
tensor_view<const T, 2> columns_of(const row_set<const T>& rows, arena& memory) {
    if (rows.offsets == nullptr)
        return {rows.data, {rows.length, rows.count}, {rows.step, rows.stride}};
    T* const copy = memory.take<T>(rows.count * rows.length);
    for (index r = 0; r < rows.count; ++r) {
        const T* const from = rows[r];
        for (index c = 0; c < rows.length; ++c) copy[r * rows.length + c] = from[c * rows.step];
    }
    return {copy, {rows.length, rows.count}, {1, rows.length}};
}

/// dW = dyᵀ·x of columns dy [outputs, rows] and x [inputs, rows].
template <class T>
void weight_gradient(const tensor_view<T, 2>& d_weight, const tensor_view<const T, 2>& dy,
                     const tensor_view<const T, 2>& x, const call_resources& resources) {
    const auto multiply = [&](const tensor_view<T, 2>& to, const tensor_view<const T, 2>& left,
                              const tensor_view<const T, 2>& right) {
        const row_set<const T> rows{left.data,       nullptr,         left.strides[0],
                                    left.strides[1], left.extents[0], left.extents[1]};
        const row_set<T> results{to.data,       nullptr,       to.strides[0],
                                 to.strides[1], to.extents[0], to.extents[1]};
        multiply_by_blocks(rows, strided_panels<T>{right}, projected_rows<T>{results}, resources);
    };
    // Lanes lie where the result's numbers lie side by side; a sum is the same either way.
    if (d_weight.strides[1] != 1 && d_weight.strides[0] == 1)
        multiply({d_weight.data,
                  {d_weight.extents[1], d_weight.extents[0]},
                  {d_weight.strides[1], d_weight.strides[0]}},
                 x, dy);
    else
        multiply(d_weight, dy, x);
}

/// db = Σ dy over the rows, of columns dy [outputs, rows].
template <class T>
void bias_gradient(const tensor_view<T, 1>& d_bias, const tensor_view<const T, 2>& dy,
                   const call_resources& resources) {
    constexpr index size = vec<T>::size, block = projection.depth_block;
    const index outputs = dy.extents[0], rows = dy.extents[1];
    constexpr index piece = 16 * size;  // outputs a task
    const auto sum_of = [&](index first) {
        const index last = std::min(size, outputs - first);
        vec<T> sum(T(0));
        for (index begin = 0; begin < rows; begin += block) {
            vec<T> part(T(0));
            for (index r = begin; r < std::min(rows, begin + block); ++r) {
                const T* const from = dy.data + first * dy.strides[0] + r * dy.strides[1];
                part += dy.strides[0] == 1 ? vec<T>::load_partial(from, last)
                                           : vec<T>::load_strided(from, dy.strides[0], last);
            }
            sum += part;
        }
        sum.store_strided(d_bias.data + first * d_bias.strides[0], d_bias.strides[0], last);
    };
    const index helpers = resources.pool == nullptr
                              ? 0
                              : std::min<index>(resources.pool->NumThreads(),
                                                useful_helpers(1, rows, outputs, sizeof(T)));
    for_each_task(
        resources.pool, *resources.memory, count_blocks(outputs, piece),
        [&](index, index task) {
            for (index first = task * piece; first < std::min(outputs, (task + 1) * piece);
                 first += size)
                sum_of(first);
        },
        helpers);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
