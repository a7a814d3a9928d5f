#pragma once

#include <algorithm>

#include <heed/attention/kernel/products/packed_head.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/kernel/schedule/call_threads.hpp>
#include <heed/attention/kernel/schedule/deal_heads.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// How forward is dealt out: heads packed a few at a time, their queries cut into tasks.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Queries that a task takes: half of the usual where tasks are so few that threads would wait for
/// the last one.
inline index queries_a_task(const attention_shape& shape, index threads) {
    const index tasks = shape.batch * shape.heads * count_blocks(shape.queries, tiles.query_block);
    return tasks < 16 * threads && threads > 1 ? tiles.query_block / 2 : tiles.query_block;
}

/// Forward's way through a kv head: its keys and values packed, then its blocks of queries.
template <class T, class Attend>
class query_blocks {
  public:
    using bundle = packed_head<T>;
    static constexpr int preparations = 1;

    query_blocks(const attention_program<T>& program, index rows, const Attend& attend)
        : program_(program), rows_(rows), attend_(attend) {}

    bundle take(index, arena& scratch) const { return make_packed_head(program_, scratch); }
    index prepare_count(int) const { return count_blocks(program_.shape().keys, key_block<T>); }
    void prepare(const bundle& head, index number, int, index block,
                 const running_task& task) const {
        pack_block(program_, locate_keys<T>(program_.shape(), number, block), head, task.scratch);
    }
    /// [head of the group, blocks of queries]
    index pieces() const {
        const attention_shape& shape = program_.shape();
        return shape.kv_heads == 0
                   ? 0
                   : shape.heads / shape.kv_heads * count_blocks(shape.queries, rows_);
    }
    void work(const bundle& packed, index number, index piece, const running_task& task) const {
        const attention_shape& shape = program_.shape();
        bundle head = packed;
        locate_values(program_, number / shape.kv_heads, number % shape.kv_heads, head);
        // The last queries first: under a causal mask they take the longest.
        const index blocks = count_blocks(shape.queries, rows_);
        const index last_first = piece / blocks * blocks + blocks - 1 - piece % blocks;
        attend_(locate_queries(shape, number, last_first, rows_), head, task.scratch);
    }

  private:
    const attention_program<T>& program_;
    index rows_;
    const Attend& attend_;
};

/// Whether a call has so few queries a head that it is bound by reading k and v, and enough heads
/// for all threads.
inline bool streams_heads(const attention_shape& shape, index threads) {
    return shape.queries <= tiles.score_rows && shape.batch * shape.kv_heads >= threads;
}

/// What a head's keys and values may take for a core's cache to hold them.
inline constexpr index cached_head_bytes = 256 * 1024;
template <class T>
index head_bytes(const attention_shape& shape) {
    return shape.keys * (shape.dim + shape.value_dim) * static_cast<index>(sizeof(T));
}

/// How forward deals the heads of k out to threads: one to each, or, where a cache does not hold
/// them, one after the other to all.
template <class T>
head_deal deal_forward(const attention_shape& shape, index threads) {
    const index heads = shape.batch * shape.kv_heads;
    return head_bytes<T>(shape) <= cached_head_bytes ? deal_whole_heads(heads, threads)
                                                     : deal_shared_heads(heads, threads);
}

/// attend(query_place, packed_head, scratch) for all queries of a call, in blocks of `rows`.
template <class T, class Attend>
void for_query_blocks(const attention_program<T>& program, index threads, index rows,
                      const Attend& attend) {
    const query_blocks<T, Attend> kernel(program, rows, attend);
    deal_heads(program.threads.pool, program.memory, deal_forward<T>(program.shape(), threads),
               threads, kernel);
}

/// attend(number of a head of k, first query, count, scratch) for all queries of a call whose heads
/// of k are not packed, in blocks of `rows`, the last first: under a causal mask they take the
/// longest.
template <class T, class Attend>
void for_streamed_queries(const attention_program<T>& program, index threads, index rows,
                          const Attend& attend) {
    const attention_shape& shape = program.shape();
    const index blocks = count_blocks(shape.queries, rows);
    for_each_task(
        program.threads.pool, program.memory, shape.batch * shape.kv_heads * blocks,
        [&](index slot, index task) {
            arena& scratch = program.memory.slot(slot);
            const arena::scope mark(scratch);
            const index first = (blocks - 1 - task % blocks) * rows;
            attend(task / blocks, first, std::min(rows, shape.queries - first), scratch);
        },
        threads - 1);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
