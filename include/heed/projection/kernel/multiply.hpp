#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/workspace.hpp>
#include <heed/projection/kernel/few_rows.hpp>
#include <heed/projection/kernel/many_rows.hpp>
#include <heed/projection/kernel/row_set.hpp>
#include <heed/projection/kernel/tile.hpp>
#include <heed/rows/row_arguments.hpp>

/// \file
/// Which way a product goes.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Threads that there is enough work for, beside the caller's. A byte from memory takes about as
/// long as four operations.
inline index useful_helpers(index rows, index inputs, index outputs, std::size_t stored) {
    constexpr double least_work = 2e6;
    const double weights = static_cast<double>(inputs) * static_cast<double>(outputs);
    const double work =
        2 * weights * static_cast<double>(rows) + 4 * weights * static_cast<double>(stored);
    return static_cast<index>(std::min(work / least_work, 1e6)) - (work >= least_work ? 1 : 0);
}

/// y = x·Wᵀ·scale + bias. Row r of y is chain after chain of multiply-adds over the inputs, from
/// zero, the same for every number of rows.
template <class Source, class T>
void multiply(const row_set<const T>& x, const Source& weights, const projected_rows<T>& y,
              const call_resources& resources) {
    if (x.count == 0 || weights.outputs == 0) return;
    const index helpers =
        resources.pool == nullptr
            ? 0
            : std::min<index>(resources.pool->NumThreads(),
                              useful_helpers(x.count, weights.inputs, weights.outputs,
                                             sizeof(typename Source::storage)));
    const auto few = [&]<int Rows>() {
        multiply_few<Rows>(x, weights, y, resources.pool, *resources.memory, helpers);
    };
    if (x.count == 1) return few.template operator()<1>();
    if (x.count == 2) return few.template operator()<2>();
    if (x.count == 3) return few.template operator()<3>();
    multiply_many(x, weights, y, false, resources.pool, *resources.memory, helpers);
}

/// The same with each depth block summed from zero and added as a whole: four times as accurate
/// where the depth is the number of rows of a batch.
template <class Source, class T>
void multiply_by_blocks(const row_set<const T>& x, const Source& weights,
                        const projected_rows<T>& y, const call_resources& resources) {
    if (x.count == 0 || weights.outputs == 0) return;
    const index helpers =
        resources.pool == nullptr
            ? 0
            : std::min<index>(resources.pool->NumThreads(),
                              useful_helpers(x.count, weights.inputs, weights.outputs, sizeof(T)));
    multiply_many(x, weights, y, true, resources.pool, *resources.memory, helpers);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
