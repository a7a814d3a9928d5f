#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/online/attend.hpp>
#include <heed/attention/kernel/online/forward.hpp>
#include <heed/attention/kernel/online/forward_tile.hpp>
#include <heed/attention/kernel/online/weight_rule.hpp>
#include <heed/attention/kernel/products/packed_head.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/kernel/schedule/call_threads.hpp>
#include <heed/attention/kernel/schedule/query_blocks.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/view.hpp>
#include <heed/nystrom/kernel/row_fetch.hpp>
#include <heed/nystrom/kernel/segments.hpp>
#include <heed/softmax/softmax.hpp>

/// \file
/// Exact attention of many queries over few keys.
///
/// Built for the bandwidth of memory, as forward is for the peak of the multiply-add units: a block
/// of queries has so little to do that rows of q and of o had better be there when it comes.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// o and, unless null, `statistics`, [batch, head, query], as forward computes them; q is the
/// program's.
template <class T>
void attend_to_few_keys(const attention_program<T>& program, const weight_rule<T>& weights,
                        const tensor_view<const T, 4>& q, const tensor_view<T, 4>& o,
                        softmax_statistics<T>* statistics) {
    const attention_shape& shape = program.shape();
    const index threads = count_threads(program, 2);
    if (streams_heads(shape, threads))
        return forward(program, weights, o, reinterpret_cast<std::byte*>(statistics));
    for_query_blocks(
        program, threads, queries_a_task(shape, threads),
        [&](const query_place& at, const packed_head<T>& packed, arena& scratch) {
            const arena::scope mark(scratch);
            // The last queries come first, and those before these come next.
            fetch_rows(matrix_of(q, at.batch, at.head), std::max<index>(0, at.first - at.count),
                       at.first);
            fetch_rows<true>(matrix_of(o, at.batch, at.head), at.first, at.first + at.count);
            auto task = begin_attention(program, weights, at, packed, scratch);
            attend_to_all(task, nullptr);
            const index row = (at.batch * shape.heads + at.head) * shape.queries + at.first;
            end_attention(
                task, at, o,
                statistics == nullptr ? nullptr : reinterpret_cast<std::byte*>(statistics + row));
        });
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
