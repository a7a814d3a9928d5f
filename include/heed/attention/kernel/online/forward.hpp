#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/online/forward_recovery.hpp>
#include <heed/attention/kernel/online/forward_tile.hpp>
#include <heed/attention/kernel/online/weight_rule.hpp>
#include <heed/attention/kernel/packed_head.hpp>
#include <heed/attention/kernel/program.hpp>
#include <heed/attention/kernel/query_blocks.hpp>
#include <heed/attention/kernel/tensor_rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/simd.hpp>

/// \file
/// Exact attention forward for streaming normalisers.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// All keys for one block of queries; writes o and, unless null, the statistics of its rows.
template <class T>
void attend(const attention_program<T>& program, const weight_rule<T>& weights, index batch,
            index head, index first, index count, const packed_head<T>& packed,
            const tensor_view<T, 4>& o, std::byte* statistics, arena& scratch) {
    const arena::scope mark(scratch);
    auto task = make_forward_task(program, weights, packed, count, scratch);
    fill_tile(program, batch, head, first, count, task.tile);
    const running_rows<T>& rows = task.state.rows;
    weights.open(task.stream, head);
    weights.begin(task.stream, rows, task.tile.visible, count);
    attend_to_all(task, nullptr);
    if (weights.may_overflow && shrink_weights(task)) {
        task.observed.reset();
        attend_to_all(task, nullptr);
    }
    const bool moderate = outputs_are_moderate(task);
    T* factor = rows.factor;
    weights.finish(task.stream, rows, count, factor, statistics);
    if (program.observers != nullptr)
        for (index r = 0; r < count; ++r)
            program.observers->tell(task.tile.rows[r],
                                    task.observed.finish(r, factor[r], task.tile.visible[r]));
    if (!moderate) recover_outputs(task);
    write_rows(o, batch, head, first, count, task.state.output, task.state.output_stride,
               [factor](index r) { return factor[r]; });
}

/// o, and the statistics of its rows ([batch, head, query], unless null), of a call.
template <class T>
void forward(const attention_program<T>& program, const weight_rule<T>& weights,
             const tensor_view<T, 4>& o, std::byte* statistics) {
    const attention_shape& shape = program.shape();
    for_query_blocks(
        program, queries_a_task(shape, count_threads(program.pool)),
        [&](index batch, index head, index first, index count, const packed_head<T>& packed,
            arena& scratch) {
            const index row = (batch * shape.heads + head) * shape.queries + first;
            attend(program, weights, batch, head, first, count, packed, o,
                   statistics == nullptr ? nullptr : statistics + row * weights.statistics_bytes,
                   scratch);
        });
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
