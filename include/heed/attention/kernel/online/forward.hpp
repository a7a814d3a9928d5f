#pragma once

#include <algorithm>
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

/// A block of queries of all heads that share a head of k, whose blocks are opened one after the
/// other and read by all of them before the next: so each is read from memory once.
template <class T>
void stream_head(const attention_program<T>& program, const weight_rule<T>& weights, index number,
                 index first, index count, const tensor_view<T, 4>& o, std::byte* statistics,
                 arena& scratch) {
    const attention_shape& shape = program.shape();
    const index batch = number / shape.kv_heads, kv_head = number % shape.kv_heads;
    const index heads = shape.heads / shape.kv_heads;
    auto head = make_open_head(program, scratch);
    if (program.cache == nullptr) locate_values(program.v, batch, kv_head, head);
    auto** tasks = scratch.take<forward_task<T>*>(heads);
    key_interval seen{shape.keys, 0};
    for (index h = 0; h < heads; ++h) {
        const query_place at{batch, kv_head * heads + h, first, count};
        tasks[h] =
            &scratch.make<forward_task<T>>(begin_attention(program, weights, at, head, scratch));
        begin_sums(*tasks[h]);
        const key_interval own = tasks[h]->tile.seen_by_all();
        if (own.first == own.last) continue;
        seen = {std::min(seen.first, own.first), std::max(seen.last, own.last)};
    }
    for (index block = seen.first / key_block<T>;; ++block) {
        block = next_block(program, batch, block);
        const index first_key = block * key_block<T>;
        if (first_key >= seen.last) break;
        for (index h = 0; h < heads; ++h) {
            forward_task<T>& task = *tasks[h];
            const key_interval own = task.tile.seen_by_all();
            if (own.last <= first_key || own.first >= first_key + key_block<T>) continue;
            look_at_block(program, task.tile, first_key, task.block);
            add_block(task, nullptr);
        }
    }
    for (index h = 0; h < heads; ++h) {
        const query_place at{batch, kv_head * heads + h, first, count};
        const index row = (batch * shape.heads + at.head) * shape.queries + first;
        end_sums(*tasks[h]);
        end_attention(
            *tasks[h], at, o,
            statistics == nullptr ? nullptr : statistics + row * weights.statistics_bytes);
    }
}

/// o, and the statistics of its rows ([batch, head, query], unless null), of a call.
template <class T>
void forward(const attention_program<T>& program, const weight_rule<T>& weights,
             const tensor_view<T, 4>& o, std::byte* statistics) {
    const attention_shape& shape = program.shape();
    const index threads = count_threads(program, 2);
    const index rows = queries_a_task(shape, threads);
    if (program.cache != nullptr || streams_heads(shape, threads)) {
        for_streamed_queries(
            program, threads, rows, [&](index number, index first, index count, arena& scratch) {
                stream_head(program, weights, number, first, count, o, statistics, scratch);
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
