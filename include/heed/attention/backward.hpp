#pragma once

#include <algorithm>
#include <cstddef>
#include <tuple>
#include <type_traits>

#include <heed/attention/backward_rows.hpp>
#include <heed/attention/backward_tile.hpp>
#include <heed/attention/call.hpp>
#include <heed/attention/forward.hpp>
#include <heed/attention/learning.hpp>
#include <heed/attention/rows.hpp>
#include <heed/attention/scores.hpp>
#include <heed/attention/turns.hpp>
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
template <class T, class Call, class Preparation, class Statistics, class Entries>
void differentiate_key_block(const Call& call, const call_positions& where,
                             const Preparation& preparation,
                             const backward_inputs<T, Statistics>& inputs,
                             const backward_keys<T>& keys, const backward_queries<T>* queries,
                             const Entries& entries, index batch, index kv_head, index key_index,
                             const tensor_view<T, 4>& dk, const tensor_view<T, 4>& dv, bool* failed,
                             arena& scratch) {
    const attention_shape& shape = call.shape;
    const arena::scope mark(scratch);
    const index first_key = key_index * key_block<T>;
    const index key_count = std::min(key_block<T>, shape.keys - first_key);
    const index group = shape.heads / shape.kv_heads;
    const index query_blocks = count_blocks(shape.queries, tiles.backward_block);
    const index rows = std::min(tiles.backward_block, shape.queries);
    const auto state = make_backward_state<T>(shape, Call::key_map_count, rows, key_count, scratch);
    auto block = make_block_view<T>(count_blocks(rows, query_tile<T>::strip), scratch);
    const index key_blocks = count_blocks(shape.keys, key_block<T>);

    for (index head = kv_head * group; head < (kv_head + 1) * group; ++head) {
        const learning_at<T, Entries> learning{
            entries, (batch * shape.heads + head) * key_blocks + key_index};
        for (index i = 0; i < query_blocks; ++i, ++queries) {
            const key_interval seen = queries->tile.seen_by_all();
            if (seen.first >= first_key + key_count || seen.last <= first_key) continue;
            look_at_block(call, where, queries->tile, first_key, block);
            if (!differentiate_tile(call, where, inputs, keys, *queries, learning, block, state,
                                    failed, scratch))
                return;
        }
    }

    const index stride = padded<T>(shape.dim);
    T* buffer = scratch.take<T>(shape.dim);
    for (index j = 0; j < key_count; ++j)
        preparation.key_back(batch, kv_head, first_key + j, rows_at(state.dk, j * stride), buffer);
    const auto as_is = [](index) { return T(1); };
    write_rows(dk, batch, kv_head, first_key, key_count, state.dk[0], stride, as_is);
    write_rows(dv, batch, kv_head, first_key, key_count, state.dv, padded<T>(shape.value_dim),
               as_is);
}

/// The sums of a block of queries become rows of dq; `scale_dots`, unless null, gets what a learned
/// scale's gradient needs of each.
template <class T, class Call, class Preparation>
void finish_queries(const Call& call, const Preparation& preparation,
                    const backward_queries<T>& queries, const tensor_view<T, 4>& dq,
                    double* scale_dots, arena& scratch) {
    const query_tile<T>& tile = queries.tile;
    const index dim = call.shape.dim;
    const index stride = padded<T>(dim);
    const arena::scope mark(scratch);
    T* buffer = scratch.take<T>(dim);
    for (index r = 0; r < tile.count; ++r) {
        const auto gradients = rows_at(queries.dq, r * stride);
        if (scale_dots != nullptr) {
            scale_dots[r] = 0;
            for (std::size_t m = 0; m < Call::query_map_count; ++m) {
                if (is_zero(gradients[m], dim)) continue;  // of a query that may hold NaN
                preparation.query(tile.rows[r], buffer, static_cast<encoding_map>(m));
                scale_dots[r] += static_cast<double>(dot(gradients[m], buffer, dim));
            }
            if constexpr (requires { call.scale().derivative(call.shape, index(0)); })
                scale_dots[r] *=
                    call.scale().derivative(call.shape_of_sequence(tile.batch), tile.visible[r]);
        }
        for (std::size_t m = 0; m < Call::query_map_count; ++m)
            multiply_row(gradients[m], dim, tile.scale[r], gradients[m]);
        preparation.query_back(tile.rows[r], gradients, buffer);
    }
    write_rows(dq, tile.batch, tile.head, tile.first, tile.count, queries.dq[0], stride,
               [](index) { return T(1); });
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

/// What is left of the learned parts' gradients once all rows are done, in one order.
template <class T, class Call, class Statistics, class Gradients, class Entries>
void finish_learned(const Call& call, const call_positions& where, const Statistics* statistics,
                    const Gradients& gradients, const Entries& entries, index key_blocks,
                    const double* scale_dots, const T* row_statistics) {
    const attention_shape& shape = call.shape;
    const auto finish = [&](const auto& entry) {
        if constexpr (requires { entry.count; })
            entry.part.template finish_gradient<T>(entry.gradient, entry.partials, shape,
                                                   key_blocks);
    };
    std::apply([&](const auto&... entry) { (finish(entry), ...); }, entries);

    const auto for_each_row = [&](const auto& f) {
        index at = 0;
        for (index batch = 0; batch < shape.batch; ++batch)
            for (index head = 0; head < shape.heads; ++head)
                for (index query = 0; query < shape.queries; ++query, ++at)
                    f(make_row(call, where, batch, head, query), at);
    };
    for_learned<role::scale>(call.parts(), gradients, [&](const auto& part, const auto& gradient) {
        for_each_row([&](const query_row& row, index at) {
            part.template add_row_gradient<T>(gradient, row, scale_dots[at]);
        });
    });
    for_learned<role::normaliser>(
        call.parts(), gradients, [&](const auto& part, const auto& gradient) {
            for_each_row([&](const query_row& row, index at) {
                part.template add_row_gradient<T>(gradient, row.head, statistics[at],
                                                  row_statistics[at]);
            });
        });
}

/// dq, dk, dv, and the gradients of learned parts (zero on entry), of a checked call.
template <class T, class Call, class Statistics, class Gradients>
void backward(const Call& call, const backward_inputs<T, Statistics>& inputs,
              const tensor_view<T, 4>& dq, const tensor_view<T, 4>& dk, const tensor_view<T, 4>& dv,
              const Gradients& gradients) {
    const attention_shape& shape = call.shape;
    if (shape.batch * shape.heads == 0) return;
    workspace& memory = call.memory();
    arena& own = memory.slot(0);
    const arena::scope mark(own);
    const call_positions where = call.positions(own);
    const index key_blocks = count_blocks(shape.keys, key_block<T>);
    const index query_blocks = count_blocks(shape.queries, tiles.backward_block);
    const index group = shape.heads / shape.kv_heads;
    const index all_heads = shape.batch * shape.kv_heads;
    const auto entries = learned_modifiers<T>(call.parts(), gradients, shape, key_blocks, own);
    const bool direct = writes_directly(entries);
    const index threads = count_threads(call.pool());
    const index wave = direct ? all_heads : std::min(all_heads, 2 * threads);
    constexpr bool learns_scale = is_learned<std::remove_cvref_t<decltype(call.scale_as_given())>>;
    double* scale_dots =
        learns_scale ? own.take<double>(shape.batch * shape.heads * shape.queries) : nullptr;
    constexpr bool learns_normaliser =
        is_learned<std::remove_cvref_t<decltype(call.normaliser_as_given())>>;
    T* row_statistics =
        learns_normaliser ? own.take<T>(shape.batch * shape.heads * shape.queries) : nullptr;

    with_encoding<T>(call, where, own, [&](const auto& encoding) {
        const row_preparation<T, Call, std::remove_cvref_t<decltype(encoding)>> preparation(
            call, encoding);
        const index blocks_a_head = group * query_blocks;
        auto* keys = own.take<backward_keys<T>>(wave);
        auto* queries = own.take<backward_queries<T>>(wave * blocks_a_head);
        for (index i = 0; i < wave; ++i)
            keys[i] = make_backward_keys<T>(shape, Call::key_map_count, own);
        for (index i = 0; i < wave * blocks_a_head; ++i) {
            const index begin = i % query_blocks * tiles.backward_block;
            queries[i] = make_backward_queries<T>(
                shape, Call::query_map_count, std::min(tiles.backward_block, shape.queries - begin),
                own);
        }

        for (index first = 0; first < all_heads; first += wave) {
            const index heads = std::min(wave, all_heads - first);
            const auto batch_of = [&](index i) { return (first + i) / shape.kv_heads; };
            const auto kv_head_of = [&](index i) { return (first + i) % shape.kv_heads; };
            bool failed = false;

            for_each_task(call.pool(), memory, heads * key_blocks, [&](index slot, index task) {
                const index i = task / key_blocks;
                pack_backward_keys(call, preparation, batch_of(i), kv_head_of(i), task % key_blocks,
                                   true, keys[i], memory.slot(slot));
            });
            for_each_task(call.pool(), memory, heads * blocks_a_head, [&](index slot, index task) {
                const index i = task / blocks_a_head;
                const index head = kv_head_of(i) * group + task / query_blocks % group;
                const index begin = task % query_blocks * tiles.backward_block;
                fill_backward_queries(call, where, preparation, inputs, batch_of(i), head, begin,
                                      std::min(tiles.backward_block, shape.queries - begin),
                                      queries[task], memory.slot(slot));
            });
            const backward_tasks tasks = deal_out(heads, key_blocks, threads, direct);
            for_each_task(call.pool(), memory, tasks.count, [&](index slot, index task) {
                const failure_guard guard(failed);
                for (index n = 0; n < tasks.heads * tasks.blocks; ++n) {
                    const index i = tasks.heads > 1 ? n : task * tasks.blocks / key_blocks;
                    const index block =
                        tasks.heads > 1 ? task : (task * tasks.blocks + n) % key_blocks;
                    differentiate_key_block(call, where, preparation, inputs, keys[i],
                                            queries + i * blocks_a_head, entries, batch_of(i),
                                            kv_head_of(i), block, dk, dv, &failed,
                                            memory.slot(slot));
                }
            });
            for_each_task(call.pool(), memory, heads * blocks_a_head, [&](index slot, index task) {
                const query_tile<T>& tile = queries[task].tile;
                const index at =
                    (tile.batch * shape.heads + tile.head) * shape.queries + tile.first;
                if (row_statistics != nullptr)
                    std::copy_n(queries[task].statistic, static_cast<std::size_t>(tile.count),
                                row_statistics + at);
                finish_queries(call, preparation, queries[task], dq,
                               scale_dots == nullptr ? nullptr : scale_dots + at,
                               memory.slot(slot));
            });
        }
    });

    finish_learned<T>(call, where, inputs.statistics, gradients, entries, key_blocks, scale_dots,
                      row_statistics);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
