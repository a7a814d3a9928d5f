#pragma once

#include <algorithm>

#include <heed/attention/kernel/packed_head.hpp>
#include <heed/attention/kernel/program.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// How forward is dealt out: heads packed a few at a time, their queries cut into tasks.

namespace heed::inline HEED_ARCHITECTURE::detail {

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

/// Packs the keys and values of a call, a few heads at a time, and cuts the queries into blocks of
/// `rows`: attend(batch, head, first query, queries, packed head, scratch).
template <class T, class Attend>
void for_query_blocks(const attention_program<T>& program, index rows, Attend&& attend) {
    const attention_shape& shape = program.shape();
    workspace& memory = program.memory;
    arena& own = memory.slot(0);
    const arena::scope mark(own);
    const index wave = heads_at_a_time<T>(shape, program.pool);
    const index group = shape.kv_heads == 0 ? 0 : shape.heads / shape.kv_heads;
    const index key_blocks = count_blocks(shape.keys, key_block<T>);
    const index query_blocks = count_blocks(shape.queries, rows);
    packed_head<T>* packed = own.take<packed_head<T>>(wave);
    const bool pads_values = !are_padded(program.v);
    for (index i = 0; i < wave; ++i)
        packed[i] = make_packed_head<T>(shape, program.source.key_map_count, pads_values, own);

    for (index first = 0; first < shape.batch * shape.kv_heads; first += wave) {
        const index heads = std::min(wave, shape.batch * shape.kv_heads - first);
        for (index i = 0; i < heads; ++i)
            locate_values(program.v, (first + i) / shape.kv_heads, (first + i) % shape.kv_heads,
                          packed[i]);
        for_each_task(program.pool, memory, heads * key_blocks, [&](index slot, index task) {
            const index head = first + task / key_blocks;
            pack_block(program, head / shape.kv_heads, head % shape.kv_heads, task % key_blocks,
                       packed[head - first], memory.slot(slot));
        });
        const index tasks = heads * group * query_blocks;
        for_each_task(program.pool, memory, tasks, [&](index slot, index task) {
            const index kv = first + task / (group * query_blocks);
            const index head = kv % shape.kv_heads * group + task / query_blocks % group;
            // The last queries first: under a causal mask they take the longest.
            const index begin = (query_blocks - 1 - task % query_blocks) * rows;
            attend(kv / shape.kv_heads, head, begin, std::min(rows, shape.queries - begin),
                   packed[kv - first], memory.slot(slot));
        });
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
