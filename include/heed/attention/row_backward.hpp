#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include <heed/attention/backward.hpp>
#include <heed/attention/backward_rows.hpp>
#include <heed/attention/call.hpp>
#include <heed/attention/dense_backward.hpp>
#include <heed/attention/learning.hpp>
#include <heed/attention/row_scores.hpp>
#include <heed/attention/rows.hpp>
#include <heed/attention/stats.hpp>
#include <heed/attention/support_backward.hpp>
#include <heed/attention/turns.hpp>
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

/// Which rows of a block of queries go by their support, and where its numbers stand among all;
/// returns how many numbers there are.
template <class T, class Stats>
index look_for_supports(const Stats& kept, bool may_use, index batch, index head, index first,
                        index count, row_queries<T>& queries) {
    index numbers = 0;
    queries.any_dense = false;
    for (index r = 0; r < count; ++r) {
        queries.first[r] = numbers;
        queries.dense[r] = true;
        if constexpr (is_sparse<typename Stats::stream_type>) {
            if (may_use && kept.supports().has(batch, head, first + r)) {
                queries.dense[r] = false;
                numbers += kept.supports().size(batch, head, first + r);
            }
        }
        queries.any_dense = queries.any_dense || queries.dense[r];
    }
    return numbers;
}

/// dq, and the gradients of the scores, of the rows that go by their support.
template <class T, class Call, class Stats>
void differentiate_supports(const Call& call, const call_positions& where, const Stats& kept,
                            const row_head<T>& head, const row_queries<T>& queries) {
    const query_tile<T>& tile = queries.tile;
    const auto normaliser = call.normaliser().template whole_row<T>(tile.head);
    const contiguous_rows<T> values{head.values, padded<T>(call.shape.value_dim)};
    for (index r = 0; r < tile.count; ++r) {
        if (queries.dense[r]) continue;
        differentiate_support(call, where, normaliser, queries, r, head.packed.keys, values,
                              kept.supports().row(tile.batch, tile.head, tile.first + r),
                              queries.ds + queries.first[r]);
    }
}

/// What the rows with a support add to dk and dv of a stretch of keys, and then those gradients.
template <class T, class Call, class Preparation, class Stats>
void finish_keys(const Call& call, [[maybe_unused]] const call_positions& where,
                 const Preparation& preparation, const Stats& kept, const row_head<T>& head,
                 const row_queries<T>* queries, index query_blocks, index batch, index kv_head,
                 key_interval range, const tensor_view<T, 4>& dk, const tensor_view<T, 4>& dv,
                 arena& scratch) {
    const attention_shape& shape = call.shape;
    const index width = padded<T>(shape.dim), value_width = padded<T>(shape.value_dim);
    if constexpr (is_sparse<typename Stats::stream_type>) {
        for (index i = 0; i < query_blocks; ++i) {
            const query_tile<T>& tile = queries[i].tile;
            for (index r = 0; r < tile.count; ++r) {
                if (queries[i].dense[r]) continue;
                const auto support = kept.supports().row(tile.batch, tile.head, tile.first + r);
                add_support(call, where, support, queries[i].ds + queries[i].first[r], range,
                            queries[i], r, head.dk, head.dv);
            }
        }
    }
    const arena::scope mark(scratch);
    T* buffer = scratch.take<T>(shape.dim);
    const index count = range.last - range.first;
    for (index j = range.first; j < range.last; ++j)
        preparation.key_back(batch, kv_head, j, rows_at(head.dk, j * width), buffer);
    const auto as_is = [](index) { return T(1); };
    write_rows(dk, batch, kv_head, range.first, count, head.dk[0] + range.first * width, width,
               as_is);
    write_rows(dv, batch, kv_head, range.first, count, head.dv + range.first * value_width,
               value_width, as_is);
}

/// dq, dk, dv, and the gradients of learned parts (zero on entry), of a checked call.
template <class T, class Call, class Stats, class Gradients>
void backward_whole_rows(const Call& call, const tensor_view<const T, 4>& d_o, const Stats& kept,
                         const tensor_view<T, 4>& dq, const tensor_view<T, 4>& dk,
                         const tensor_view<T, 4>& dv, const Gradients& gradients) {
    const attention_shape& shape = call.shape;
    if (shape.batch * shape.heads == 0) return;
    workspace& memory = call.memory();
    arena& own = memory.slot(0);
    const arena::scope mark(own);
    const call_positions where = call.positions(own);
    const index key_blocks = count_blocks(shape.keys, key_block<T>);
    const index height = row_block<T>(shape.keys);
    const index query_blocks = count_blocks(shape.queries, height);
    const index group = shape.heads / shape.kv_heads;
    const index blocks_a_head = group * query_blocks;
    const index all_heads = shape.batch * shape.kv_heads;
    const index all_rows = shape.batch * shape.heads * shape.queries;
    const auto entries = learned_modifiers<T>(call.parts(), gradients, shape, key_blocks, own);
    const bool direct = writes_directly(entries);
    const index threads = count_threads(call.pool());
    const index wave = direct ? all_heads : std::min(all_heads, 2 * threads);
    constexpr bool learns_scale = is_learned<std::remove_cvref_t<decltype(call.scale_as_given())>>;
    constexpr bool learns_normaliser =
        is_learned<std::remove_cvref_t<decltype(call.normaliser_as_given())>>;
    double* scale_dots = learns_scale ? own.take<double>(all_rows) : nullptr;
    T* parameters = learns_normaliser ? own.take<T>(all_rows) : nullptr;
    // What is learned wants to know of every score.
    const bool uses_supports = !learns_normaliser && !learns_modifiers(entries);

    with_encoding<T>(call, where, own, [&](const auto& encoding) {
        const row_preparation<T, Call, std::remove_cvref_t<decltype(encoding)>> preparation(
            call, encoding);
        auto* heads = own.take<row_head<T>>(wave);
        auto* queries = own.take<row_queries<T>>(wave * blocks_a_head);
        for (index i = 0; i < wave; ++i)
            heads[i] = make_row_head<T>(shape, Call::key_map_count, own);
        for (index i = 0; i < wave * blocks_a_head; ++i) {
            const index count = std::min(height, shape.queries - i % query_blocks * height);
            queries[i] = {make_backward_queries<T>(shape, Call::query_map_count, count, own),
                          nullptr, own.take<index>(count), own.take<bool>(count), true};
        }

        for (index first = 0; first < all_heads; first += wave) {
            const index count = std::min(wave, all_heads - first);
            const auto batch_of = [&](index i) { return (first + i) / shape.kv_heads; };
            const auto kv_head_of = [&](index i) { return (first + i) % shape.kv_heads; };
            const arena::scope wave_mark(own);
            bool failed = false;
            for (index i = 0; i < count; ++i) heads[i].dense = false;
            for (index task = 0; task < count * blocks_a_head; ++task) {
                const index i = task / blocks_a_head;
                const index begin = task % query_blocks * height;
                queries[task].ds = own.take<T>(
                    look_for_supports(kept, uses_supports, batch_of(i),
                                      kv_head_of(i) * group + task / query_blocks % group, begin,
                                      std::min(height, shape.queries - begin), queries[task]));
                heads[i].dense = heads[i].dense || queries[task].any_dense;
            }

            for_each_task(call.pool(), memory, count * key_blocks, [&](index slot, index task) {
                const index i = task / key_blocks;
                pack_row_keys(call, preparation, batch_of(i), kv_head_of(i), task % key_blocks,
                              heads[i], memory.slot(slot));
            });
            for_each_task(call.pool(), memory, count * blocks_a_head, [&](index slot, index task) {
                const index i = task / blocks_a_head;
                const index head = kv_head_of(i) * group + task / query_blocks % group;
                const index begin = task % query_blocks * height;
                pack_backward_queries(call, where, preparation, d_o, batch_of(i), head, begin,
                                      std::min(height, shape.queries - begin),
                                      queries[task].any_dense, queries[task], memory.slot(slot));
                if constexpr (is_sparse<typename Stats::stream_type>)
                    differentiate_supports(call, where, kept, heads[i], queries[task]);
            });
            for_each_task(call.pool(), memory, count * blocks_a_head, [&](index slot, index task) {
                const failure_guard guard(failed);
                const index i = task / blocks_a_head;
                const query_tile<T>& tile = queries[task].tile;
                const index at =
                    (tile.batch * shape.heads + tile.head) * shape.queries + tile.first;
                // Gradients that heads share have one order over all of them.
                add_query_block(call, where, kept, heads[i], queries[task], entries,
                                heads[direct ? 0 : i].turn, direct ? task : task % blocks_a_head,
                                parameters == nullptr ? nullptr : parameters + at, &failed,
                                memory.slot(slot));
                finish_queries(call, preparation, queries[task], dq,
                               scale_dots == nullptr ? nullptr : scale_dots + at,
                               memory.slot(slot));
            });
            // Stretches of keys for all threads; the sums of a key do not depend on its stretch.
            const index stretches = std::min(key_blocks, count_blocks(threads, count));
            const index stretch = count_blocks(key_blocks, std::max<index>(1, stretches));
            for_each_task(call.pool(), memory, count * stretches, [&](index slot, index task) {
                const index i = task / stretches;
                const index begin = std::min(task % stretches * stretch * key_block<T>, shape.keys);
                const index end = std::min(begin + stretch * key_block<T>, shape.keys);
                finish_keys(call, where, preparation, kept, heads[i], queries + i * blocks_a_head,
                            blocks_a_head, batch_of(i), kv_head_of(i), {begin, end}, dk, dv,
                            memory.slot(slot));
            });
        }
    });

    finish_learned<T>(call, where, kept.data(), gradients, entries, key_blocks, scale_dots,
                      parameters);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
