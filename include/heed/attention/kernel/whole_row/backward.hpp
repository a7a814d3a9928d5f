#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/backward_call.hpp>
#include <heed/attention/kernel/ordered_sum.hpp>
#include <heed/attention/kernel/packed_backward.hpp>
#include <heed/attention/kernel/packed_head.hpp>
#include <heed/attention/kernel/program.hpp>
#include <heed/attention/kernel/query_blocks.hpp>
#include <heed/attention/kernel/query_tile.hpp>
#include <heed/attention/kernel/whole_row/dense_backward.hpp>
#include <heed/attention/kernel/whole_row/row_gradient_rule.hpp>
#include <heed/attention/kernel/whole_row/scores.hpp>
#include <heed/attention/kernel/whole_row/support.hpp>
#include <heed/attention/kernel/whole_row/support_backward.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// Exact attention backward for normalisers that need a whole row.
///
/// Rows whose support forward kept cost next to nothing (support_backward.hpp). The others are
/// computed again (dense_backward.hpp); blocks of queries add to dk and dv in their order, so that
/// neither depends on how many threads there are.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Which rows of a block of queries go by their support (`supports`, null if none may), and where
/// its numbers stand among all; returns how many numbers there are.
template <class T>
index look_for_supports(const support_store<T>* supports, index batch, index head, index first,
                        index count, row_queries<T>& queries) {
    index numbers = 0;
    queries.any_dense = false;
    for (index r = 0; r < count; ++r) {
        queries.first[r] = numbers;
        queries.dense[r] = supports == nullptr || !supports->has(batch, head, first + r);
        if (!queries.dense[r]) numbers += supports->size(batch, head, first + r);
        queries.any_dense = queries.any_dense || queries.dense[r];
    }
    return numbers;
}

/// dq, and the gradients of the scores, of the rows that go by their support.
template <class T>
void differentiate_supports(const attention_program<T>& program, const row_gradient_rule<T>& rule,
                            const support_store<T>& supports, const row_head<T>& head,
                            const row_queries<T>& queries, arena& scratch) {
    const query_tile<T>& tile = queries.tile;
    const arena::scope mark(scratch);
    void* kernel = scratch.take<std::byte>(rule.kernel_bytes);
    rule.open(kernel, tile.head);
    const contiguous_rows<T> values{head.values, padded<T>(program.shape().value_dim)};
    for (index r = 0; r < tile.count; ++r) {
        if (queries.dense[r]) continue;
        differentiate_support(program, rule, kernel, queries, r, head.packed.keys, values,
                              supports.row(tile.batch, tile.head, tile.first + r),
                              queries.ds + queries.first[r]);
    }
}

/// What the rows with a support add to dk and dv of a stretch of keys.
template <class T>
void add_supports(const attention_program<T>& program, const support_store<T>& supports,
                  const row_head<T>& head, const row_queries<T>& queries, key_interval range) {
    const query_tile<T>& tile = queries.tile;
    for (index r = 0; r < tile.count; ++r) {
        if (queries.dense[r]) continue;
        add_support(program, supports.row(tile.batch, tile.head, tile.first + r),
                    queries.ds + queries.first[r], range, queries, r, head.dk, head.dv);
    }
}

/// dq, dk, dv, and what is learned, of a call; `supports` are those that forward kept, null if
/// every row is to be computed again.
template <class T>
void backward_whole_rows(const backward_call<T>& call, const row_gradient_rule<T>& rule,
                         const support_store<T>* supports) {
    const attention_program<T>& program = call.program;
    const attention_shape& shape = call.shape();
    if (shape.batch * shape.heads == 0) return;
    workspace& memory = program.memory;
    arena& own = memory.slot(0);
    const arena::scope mark(own);
    const index key_blocks = count_blocks(shape.keys, key_block<T>);
    const index height = row_block<T>(shape.keys);
    const index query_blocks = count_blocks(shape.queries, height);
    const index group = shape.heads / shape.kv_heads;
    const index blocks_a_head = group * query_blocks;
    const index all_heads = shape.batch * shape.kv_heads;
    const index threads = count_threads(program.pool);
    const bool together = call.all_heads_at_once;
    const index wave = together ? all_heads : std::min(all_heads, 2 * threads);

    auto* heads = own.take<row_head<T>>(wave);
    auto* queries = own.take<row_queries<T>>(wave * blocks_a_head);
    for (index i = 0; i < wave; ++i)
        heads[i] = make_row_head<T>(shape, program.source.key_map_count, own);
    for (index i = 0; i < wave * blocks_a_head; ++i) {
        const index count = std::min(height, shape.queries - i % query_blocks * height);
        queries[i] = {make_backward_queries<T>(shape, program.source.query_map_count, count, own),
                      nullptr, own.take<index>(count), own.take<bool>(count), true};
    }

    for (index first = 0; first < all_heads; first += wave) {
        const index count = std::min(wave, all_heads - first);
        const auto batch_of = [&](index i) { return (first + i) / shape.kv_heads; };
        const auto kv_head_of = [&](index i) { return (first + i) % shape.kv_heads; };
        const auto head_of = [&](index task) {
            return kv_head_of(task / blocks_a_head) * group + task / query_blocks % group;
        };
        const auto begin_of = [&](index task) { return task % query_blocks * height; };
        const auto count_of = [&](index task) {
            return std::min(height, shape.queries - begin_of(task));
        };
        const arena::scope wave_mark(own);
        bool failed = false;
        for (index i = 0; i < count; ++i) heads[i].dense = false;
        for (index task = 0; task < count * blocks_a_head; ++task) {
            const index i = task / blocks_a_head;
            queries[task].ds =
                own.take<T>(look_for_supports(supports, batch_of(i), head_of(task), begin_of(task),
                                              count_of(task), queries[task]));
            heads[i].dense = heads[i].dense || queries[task].any_dense;
        }

        for_each_task(program.pool, memory, count * key_blocks, [&](index slot, index task) {
            const index i = task / key_blocks;
            pack_row_keys(program, batch_of(i), kv_head_of(i), task % key_blocks, heads[i],
                          memory.slot(slot));
        });
        for_each_task(program.pool, memory, count * blocks_a_head, [&](index slot, index task) {
            const index i = task / blocks_a_head;
            pack_backward_queries(program, call.d_o, batch_of(i), head_of(task), begin_of(task),
                                  count_of(task), queries[task].any_dense, queries[task],
                                  memory.slot(slot));
            if (supports != nullptr)
                differentiate_supports(program, rule, *supports, heads[i], queries[task],
                                       memory.slot(slot));
        });
        for_each_task(program.pool, memory, count * blocks_a_head, [&](index slot, index task) {
            const failure_guard guard(failed);
            const index i = task / blocks_a_head;
            T* parameter = call.row_numbers == nullptr
                               ? nullptr
                               : call.row_numbers + call.row_of(queries[task].tile);
            // Gradients that heads share have one order over all of them.
            add_query_block(program, rule, heads[i], queries[task], heads[together ? 0 : i].turn,
                            together ? task : task % blocks_a_head, parameter, &failed,
                            memory.slot(slot));
            finish_queries(call, queries[task], memory.slot(slot));
        });
        // Stretches of keys for all threads; the sums of a key do not depend on its stretch.
        const index stretches = std::min(key_blocks, count_blocks(threads, count));
        const index stretch = count_blocks(key_blocks, std::max<index>(1, stretches));
        for_each_task(program.pool, memory, count * stretches, [&](index slot, index task) {
            const index i = task / stretches;
            const index begin = std::min(task % stretches * stretch * key_block<T>, shape.keys);
            const index end = std::min(begin + stretch * key_block<T>, shape.keys);
            if (supports != nullptr)
                for (index n = 0; n < blocks_a_head; ++n)
                    add_supports(program, *supports, heads[i], queries[i * blocks_a_head + n],
                                 {begin, end});
            finish_keys(call, batch_of(i), kv_head_of(i), begin, end - begin,
                        rows_at(heads[i].dk, begin * padded<T>(shape.dim)),
                        heads[i].dv + begin * padded<T>(shape.value_dim), memory.slot(slot));
        });
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
