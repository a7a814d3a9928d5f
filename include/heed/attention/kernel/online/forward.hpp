#pragma once

#include <cstddef>

#include <heed/attention/kernel/online/forward_recovery.hpp>
#include <heed/attention/kernel/online/forward_tile.hpp>
#include <heed/attention/kernel/online/weight_rule.hpp>
#include <heed/attention/kernel/products/packed_head.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/attention/kernel/schedule/call_threads.hpp>
#include <heed/attention/kernel/schedule/query_blocks.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/simd.hpp>

/// \file
/// Exact attention forward for streaming normalisers.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// All keys for one block of queries; writes o and, unless null, the statistics of its rows.
template <class T>
void attend(const attention_program<T>& program, const weight_rule<T>& weights,
            const query_place& at, const packed_head<T>& packed, const tensor_view<T, 4>& o,
            std::byte* statistics, arena& scratch) {
    auto task = make_forward_task(program, weights, packed, at.count, scratch);
    fill_tile(program, at, task.tile);
    const running_rows<T>& rows = task.state.rows;
    weights.open(task.stream, at.head);
    weights.begin(task.stream, rows, task.tile.visible, at.count);
    attend_to_all(task, nullptr);
    if (weights.may_overflow && shrink_weights(task)) {
        task.observed.reset();
        attend_to_all(task, nullptr);
    }
    const bool moderate = outputs_are_moderate(task);
    T* factor = rows.factor;
    weights.finish(task.stream, rows, at.count, factor, statistics);
    if (program.observers != nullptr)
        for (index r = 0; r < at.count; ++r)
            program.observers->tell(task.tile.rows[r],
                                    task.observed.finish(r, factor[r], task.tile.visible[r]));
    if (!moderate) recover_outputs(task);
    write_rows(o, at.batch, at.head, at.first, at.count, task.state.output,
               task.state.output_stride, [factor](index r) { return factor[r]; });
}

/// o, and the statistics of its rows ([batch, head, query], unless null), of a call.
template <class T>
void forward(const attention_program<T>& program, const weight_rule<T>& weights,
             const tensor_view<T, 4>& o, std::byte* statistics) {
    const attention_shape& shape = program.shape();
    const index threads = count_threads(program, 2);
    for_query_blocks(
        program, threads, queries_a_task(shape, threads),
        [&](const query_place& at, const packed_head<T>& packed, arena& scratch) {
            const arena::scope mark(scratch);
            const index row = (at.batch * shape.heads + at.head) * shape.queries + at.first;
            attend(program, weights, at, packed, o,
                   statistics == nullptr ? nullptr : statistics + row * weights.statistics_bytes,
                   scratch);
        });
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
