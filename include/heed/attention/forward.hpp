#pragma once

#include <algorithm>

#include <heed/attention/call.hpp>
#include <heed/attention/forward_recovery.hpp>
#include <heed/attention/forward_tile.hpp>
#include <heed/attention/observer.hpp>
#include <heed/attention/packed_head.hpp>
#include <heed/attention/query_tile.hpp>
#include <heed/attention/rows.hpp>
#include <heed/attention/scores.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// Exact attention forward for streaming normalisers: heads packed a few at a time, their queries
/// cut into tasks.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// All keys for one block of queries; writes o and, unless null, the statistics of its rows.
template <class T, class Call, class Preparation, class Statistics>
void attend(const Call& call, const call_positions& where, const Preparation& preparation,
            index batch, index head, index first, index count, const packed_head<T>& packed,
            const tensor_view<T, 4>& o, Statistics* statistics, arena& scratch) {
    const arena::scope mark(scratch);
    auto tile = take_tile<T>(call.shape, Call::query_map_count, count, scratch);
    fill_tile(call, where, preparation, batch, head, first, count, tile);
    const auto state = make_forward_state<T>(call.shape, count, scratch);
    auto block = make_block_view<T>(tile.strip_count(), scratch);
    const auto stream = call.normaliser().template streaming<T>(head);
    observed_rows<T, Call::has_observers> observed(count, scratch);
    const auto attend_from_scratch = [&] {
        attend_to_all(call, where, stream, tile, packed, block, state, observed,
                      static_cast<const Statistics*>(nullptr), scratch);
    };
    stream.begin(state.rows, tile.visible, count);
    attend_from_scratch();
    if constexpr (overflowing_stream<decltype(stream), T>) {
        if (shrink_weights(call, where, stream, tile, packed, block, state, scratch)) {
            observed = observed_rows<T, Call::has_observers>(count, scratch);
            attend_from_scratch();
        }
    }
    const bool moderate = outputs_are_moderate(call, tile, packed, state.rows);
    Statistics unused;
    T* factor = state.rows.factor;
    for (index r = 0; r < count; ++r) {
        factor[r] = stream.finish(state.rows, r, statistics ? statistics[r] : unused);
        call.observe(tile.rows[r], observed.finish(r, factor[r], tile.visible[r]));
    }
    if (!moderate)
        recover_outputs(call, where, stream, tile, packed, block, state, observed, scratch);
    write_rows(o, batch, head, first, count, state.output, state.output_stride,
               [factor](index r) { return factor[r]; });
}

/// The caller's thread and the pool's.
inline index count_threads(Eigen::ThreadPoolInterface* pool) {
    return pool == nullptr ? 1 : pool->NumThreads() + 1;
}

/// How many kv heads are packed at a time: as many as fit in a core's cache, at least one a thread.
template <class T>
index heads_at_a_time(const attention_shape& shape, Eigen::ThreadPoolInterface* pool) {
    constexpr index cache = 256 * 1024;
    const index bytes = std::max<index>(
        1, shape.keys * (shape.dim + shape.value_dim) * static_cast<index>(sizeof(T)));
    const index threads = count_threads(pool);
    return std::clamp<index>(std::max<index>(1, cache / bytes) * threads, 1,
                             std::max<index>(1, shape.batch * shape.kv_heads));
}

/// Queries that a task takes: half of the usual where tasks are so few that threads would wait for
/// the last one.
inline index queries_a_task(const attention_shape& shape, index threads) {
    const index tasks = shape.batch * shape.heads * count_blocks(shape.queries, tiles.query_block);
    return tasks < 16 * threads && threads > 1 ? tiles.query_block / 2 : tiles.query_block;
}

/// Packs the keys and values of a checked call, a few heads at a time, and cuts the queries into
/// blocks of `rows`: attend(where, preparation, batch, head, first query, queries, packed head,
/// scratch).
template <class T, class Call, class Attend>
void for_query_blocks(const Call& call, index rows, Attend&& attend) {
    const attention_shape& shape = call.shape;
    workspace& memory = call.memory();
    arena& own = memory.slot(0);
    const arena::scope mark(own);
    const call_positions where = call.positions(own);
    with_encoding<T>(call, where, own, [&](const auto& encoding) {
        const row_preparation<T, Call, std::remove_cvref_t<decltype(encoding)>> preparation(
            call, encoding);
        const index wave = heads_at_a_time<T>(shape, call.pool());
        const index group = shape.kv_heads == 0 ? 0 : shape.heads / shape.kv_heads;
        const index key_blocks = count_blocks(shape.keys, key_block<T>);
        const index query_blocks = count_blocks(shape.queries, rows);
        packed_head<T>* packed = own.take<packed_head<T>>(wave);
        const bool pads_values = !are_padded(call.v);
        for (index i = 0; i < wave; ++i)
            packed[i] = make_packed_head<T>(shape, Call::key_map_count, pads_values, own);

        for (index first = 0; first < shape.batch * shape.kv_heads; first += wave) {
            const index heads = std::min(wave, shape.batch * shape.kv_heads - first);
            for (index i = 0; i < heads; ++i)
                locate_values(call.v, (first + i) / shape.kv_heads, (first + i) % shape.kv_heads,
                              packed[i]);
            for_each_task(call.pool(), memory, heads * key_blocks, [&](index slot, index task) {
                const index head = first + task / key_blocks;
                pack_block(call, preparation, head / shape.kv_heads, head % shape.kv_heads,
                           task % key_blocks, packed[head - first], memory.slot(slot));
            });
            const index tasks = heads * group * query_blocks;
            for_each_task(call.pool(), memory, tasks, [&](index slot, index task) {
                const index kv = first + task / (group * query_blocks);
                const index head = kv % shape.kv_heads * group + task / query_blocks % group;
                // The last queries first: under a causal mask they take the longest.
                const index begin = (query_blocks - 1 - task % query_blocks) * rows;
                attend(where, preparation, kv / shape.kv_heads, head, begin,
                       std::min(rows, shape.queries - begin), packed[kv - first],
                       memory.slot(slot));
            });
        }
    });
}

/// o, and the statistics of its rows ([batch, head, query], unless null), of a checked call.
template <class T, class Call, class Statistics>
void forward(const Call& call, const tensor_view<T, 4>& o, Statistics* statistics) {
    const attention_shape& shape = call.shape;
    const index rows = queries_a_task(shape, count_threads(call.pool()));
    for_query_blocks<T>(
        call, rows,
        [&](const call_positions& where, const auto& preparation, index batch, index head,
            index first, index count, const packed_head<T>& packed, arena& scratch) {
            Statistics* of_rows =
                statistics == nullptr
                    ? nullptr
                    : statistics + (batch * shape.heads + head) * shape.queries + first;
            attend(call, where, preparation, batch, head, first, count, packed, o, of_rows,
                   scratch);
        });
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
