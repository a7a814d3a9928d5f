#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/online/forward_recovery.hpp>
#include <heed/attention/kernel/online/forward_tile.hpp>
#include <heed/attention/kernel/online/stream_head.hpp>
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

/// o, and the statistics of its rows ([batch, head, query], unless null), of a call.
template <class T>
void forward(const attention_program<T>& program, const weight_rule<T>& weights,
             const tensor_view<T, 4>& o, std::byte* statistics) {
    const attention_shape& shape = program.shape();
    const index threads = count_threads(program, 2);
    const index rows = queries_a_task(shape, threads);
    if (program.cache != nullptr && program.cache->deals_pages(program, threads)) {
        arena& scratch = program.memory.slot(0);
        for (index number = 0; number < shape.batch * shape.kv_heads; ++number) {
            const arena::scope mark(scratch);
            stream_head(program, weights, number, 0, shape.queries, threads, o, statistics,
                        scratch);
        }
        return;
    }
    if (program.cache != nullptr || streams_heads(shape, threads)) {
        for_streamed_queries(
            program, threads, rows, [&](index number, index first, index count, arena& scratch) {
                stream_head(program, weights, number, first, count, 1, o, statistics, scratch);
            });
        return;
    }
    for_query_blocks(
        program, threads, rows,
        [&](const query_place& at, const packed_head<T>& packed, arena& scratch) {
            const arena::scope mark(scratch);
            const index row = (at.batch * shape.heads + at.head) * shape.queries + at.first;
            auto task = begin_attention(program, weights, at, packed, scratch);
            attend_to_all(task, nullptr);
            end_attention(
                task, at, o,
                statistics == nullptr ? nullptr : statistics + row * weights.statistics_bytes);
        });
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
