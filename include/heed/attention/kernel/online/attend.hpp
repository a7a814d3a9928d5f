#pragma once

#include <cstddef>

#include <heed/attention/kernel/online/forward_recovery.hpp>
#include <heed/attention/kernel/online/forward_tile.hpp>
#include <heed/attention/kernel/online/weight_rule.hpp>
#include <heed/attention/kernel/products/packed_head.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/view.hpp>

/// \file
/// The beginning and the end of a block of queries' way through the keys.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Before the first block of keys: a task for one block of queries.
template <class T>
forward_task<T> begin_attention(const attention_program<T>& program, const weight_rule<T>& weights,
                                const query_place& at, const packed_head<T>& packed,
                                arena& scratch) {
    auto task = make_forward_task(program, weights, packed, at.count, scratch);
    fill_tile(program, at, task.tile);
    weights.open(task.stream, at.head);
    weights.begin(task.stream, task.state.rows, task.tile.visible, at.count);
    return task;
}

/// After the last block of keys: writes o and, unless null, the statistics of its rows.
template <class T>
void end_attention(forward_task<T>& task, const query_place& at, const tensor_view<T, 4>& o,
                   std::byte* statistics) {
    const weight_rule<T>& weights = task.weights;
    const running_rows<T>& rows = task.state.rows;
    if (weights.may_overflow && shrink_weights(task)) {
        task.observed.reset();
        attend_to_all(task, nullptr);
    }
    const bool moderate = outputs_are_moderate(task);
    T* factor = rows.factor;
    weights.finish(task.stream, rows, at.count, factor, statistics);
    const auto* observers = task.program.observers;
    if (observers != nullptr)
        for (index r = 0; r < at.count; ++r)
            observers->tell(task.tile.rows[r],
                            task.observed.finish(r, factor[r], task.tile.visible[r]));
    if (!moderate) recover_outputs(task);
    write_rows(o, at.batch, at.head, at.first, at.count, task.state.output,
               task.state.output_stride, [factor](index r) { return factor[r]; });
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
