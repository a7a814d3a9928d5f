#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/backward_call.hpp>
#include <heed/attention/kernel/online/backward_tile.hpp>
#include <heed/attention/kernel/online/gradient_rule.hpp>
#include <heed/attention/kernel/ordered_sum.hpp>
#include <heed/attention/kernel/packed_backward.hpp>
#include <heed/attention/kernel/packed_head.hpp>
#include <heed/attention/kernel/program.hpp>
#include <heed/attention/kernel/query_blocks.hpp>
#include <heed/attention/kernel/scores.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// Exact attention backward: probabilities are computed again from q, k and the rows' statistics.
///
/// With s the scores, p the probabilities, and per row D = d_o·o less the log-sum-exp's gradient:
///
///     dp = d_o·vᵀ   ds = p ⊙ (dp − D)/τ   dv = pᵀ·d_o   dk = dsᵀ·q   dq = ds·k
///
/// Built for the peak of the multiply-add units: five products a tile of queries × keys, two tiles
/// of scores (p and ds) that stay in the L2 cache. A block of keys is one task's, which owns its dk
/// and dv; into dq the blocks add in the order of the keys, so that neither depends on how many
/// threads there are.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// One block of keys against all queries of its kv head: writes its dk and dv.
template <class T>
void differentiate_key_block(const backward_call<T>& call, const gradient_rule<T>& rule,
                             const backward_keys<T>& keys, const backward_queries<T>* queries,
                             index batch, index kv_head, index key_index, bool* failed,
                             arena& scratch) {
    const attention_shape& shape = call.shape();
    const arena::scope mark(scratch);
    const index first_key = key_index * key_block<T>;
    const index key_count = std::min(key_block<T>, shape.keys - first_key);
    const index rows = std::min(tiles.backward_block, shape.queries);
    const auto state =
        make_backward_state<T>(shape, call.program.source.key_map_count, rows, key_count, scratch);
    auto block = make_block_view(call.program, count_blocks(rows, query_tile<T>::strip), scratch);

    const index group = shape.heads / shape.kv_heads;
    const index blocks = group * count_blocks(shape.queries, tiles.backward_block);
    for (index i = 0; i < blocks; ++i) {
        const key_interval seen = queries[i].tile.seen_by_all();
        if (seen.first >= first_key + key_count || seen.last <= first_key) continue;
        look_at_block(call.program, queries[i].tile, first_key, block);
        if (!differentiate_tile(call.program, rule, keys, queries[i], block, state, failed,
                                scratch))
            return;
    }
    finish_keys(call, batch, kv_head, first_key, key_count, state.dk, state.dv, scratch);
}

/// How the blocks of keys are dealt out as tasks: `heads` kv heads and `blocks` blocks each.
struct backward_tasks {
    index count;
    index heads;
    index blocks;
};

/// Whole heads where there are enough for all threads; single blocks of keys where there are not;
/// and a block of keys of all heads at once where a learned modifier wants it. The sums are the
/// same: a task goes through its blocks in order, and dq knows whose turn it is.
inline backward_tasks deal_out(index heads, index blocks, index threads, bool all_heads_at_once) {
    if (all_heads_at_once) return {blocks, heads, 1};
    if (heads >= 2 * threads) return {heads, 1, blocks};
    return {heads * blocks, 1, 1};
}

/// dq, dk, dv, and what is learned, of a call; o is what forward returned.
template <class T>
void backward(const backward_call<T>& call, const gradient_rule<T>& rule,
              const tensor_view<const T, 4>& o) {
    const attention_program<T>& program = call.program;
    const attention_shape& shape = call.shape();
    if (shape.batch * shape.heads == 0) return;
    workspace& memory = program.memory;
    arena& own = memory.slot(0);
    const arena::scope mark(own);
    const index key_blocks = count_blocks(shape.keys, key_block<T>);
    const index query_blocks = count_blocks(shape.queries, tiles.backward_block);
    const index group = shape.heads / shape.kv_heads;
    const index blocks_a_head = group * query_blocks;
    const index all_heads = shape.batch * shape.kv_heads;
    const index threads = count_threads(program.pool);
    const index wave = call.all_heads_at_once ? all_heads : std::min(all_heads, 2 * threads);

    auto* keys = own.take<backward_keys<T>>(wave);
    auto* queries = own.take<backward_queries<T>>(wave * blocks_a_head);
    for (index i = 0; i < wave; ++i)
        keys[i] = make_backward_keys<T>(shape, program.source.key_map_count, own);
    for (index i = 0; i < wave * blocks_a_head; ++i) {
        const index begin = i % query_blocks * tiles.backward_block;
        queries[i] =
            make_backward_queries<T>(shape, program.source.query_map_count,
                                     std::min(tiles.backward_block, shape.queries - begin), own);
    }

    for (index first = 0; first < all_heads; first += wave) {
        const index heads = std::min(wave, all_heads - first);
        const auto batch_of = [&](index i) { return (first + i) / shape.kv_heads; };
        const auto kv_head_of = [&](index i) { return (first + i) % shape.kv_heads; };
        bool failed = false;

        for_each_task(program.pool, memory, heads * key_blocks, [&](index slot, index task) {
            const index i = task / key_blocks;
            pack_backward_keys(program, batch_of(i), kv_head_of(i), task % key_blocks, true,
                               keys[i], memory.slot(slot));
        });
        for_each_task(program.pool, memory, heads * blocks_a_head, [&](index slot, index task) {
            const index i = task / blocks_a_head;
            const index head = kv_head_of(i) * group + task / query_blocks % group;
            const index begin = task % query_blocks * tiles.backward_block;
            pack_backward_queries(program, call.d_o, batch_of(i), head, begin,
                                  std::min(tiles.backward_block, shape.queries - begin), true,
                                  queries[task], memory.slot(slot));
            find_statistics(program, rule, o, queries[task], memory.slot(slot));
        });
        const backward_tasks tasks = deal_out(heads, key_blocks, threads, call.all_heads_at_once);
        for_each_task(program.pool, memory, tasks.count, [&](index slot, index task) {
            const failure_guard guard(failed);
            for (index n = 0; n < tasks.heads * tasks.blocks; ++n) {
                const index i = tasks.heads > 1 ? n : task * tasks.blocks / key_blocks;
                const index block = tasks.heads > 1 ? task : (task * tasks.blocks + n) % key_blocks;
                differentiate_key_block(call, rule, keys[i], queries + i * blocks_a_head,
                                        batch_of(i), kv_head_of(i), block, &failed,
                                        memory.slot(slot));
            }
        });
        for_each_task(program.pool, memory, heads * blocks_a_head, [&](index slot, index task) {
            const query_tile<T>& tile = queries[task].tile;
            if (call.row_numbers != nullptr)
                std::copy_n(queries[task].statistic, static_cast<std::size_t>(tile.count),
                            call.row_numbers + call.row_of(tile));
            finish_queries(call, queries[task], memory.slot(slot));
        });
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
