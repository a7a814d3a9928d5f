#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <heed/attention/kernel/online/gradient_rule.hpp>
#include <heed/attention/kernel/products/backward_products.hpp>
#include <heed/attention/kernel/products/block_view.hpp>
#include <heed/attention/kernel/products/packed_backward.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/products/scores.hpp>
#include <heed/attention/kernel/program/backward_call.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/attention/kernel/schedule/deal_heads.hpp>
#include <heed/attention/kernel/schedule/ordered_sum.hpp>
#include <heed/attention/wanted_gradients.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// Backward of one tile: a block of queries against a block of keys.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Σ_c a[c]·b[c] as the microkernels sum it: one chain of multiply-adds in the order of c.
template <class T>
T chained_dot(const T* a, const T* b, index count) {
    T sum = T(0);
    for (index c = 0; c < count; ++c) sum = fma(a[c], b[c], sum);
    return sum;
}

/// D is d_o·o. Where o is one key's v it is summed as that key's dp, so that dp − D is exactly 0; a
/// chain that waits for itself is not for all rows.
template <class T>
void find_statistics(const attention_program<T>& program, const gradient_rule<T>& rule,
                     const tensor_view<const T, 4>& o, backward_queries<T>& block, arena& scratch) {
    const index value_dim = program.shape().value_dim;
    const query_tile<T>& tile = block.tile;
    const arena::scope mark(scratch);
    T* buffer = scratch.take<T>(value_dim);
    bool* certain = scratch.take<bool>(tile.count);
    rule.list_certain(tile, certain);
    for (index r = 0; r < tile.count; ++r) {
        const T* d_o = block.gradients + r * padded<T>(value_dim);
        const T* output = rows_of(o, tile.batch, tile.head, tile.first + r, 1, buffer).data;
        block.statistic[r] =
            certain[r] ? chained_dot(d_o, output, value_dim) : dot(d_o, output, value_dim);
        // A row that sees nothing has o = 0 whatever its d_o is: what is learned must not see it.
        if (!std::isfinite(block.statistic[r]) &&
            program.sight.count_seen(tile.rows[r], tile.seen[r]) == 0)
            block.statistic[r] = T(0);
    }
    rule.finish_statistics(tile, block.statistic);
}

/// What a task of backward works in: two tiles, and the gradients of its block of keys.
template <class T>
struct backward_state {
    T* p;
    T* ds;
    T* mixed;  ///< what rectified_products keeps of ds; null without such an encoding
    key_maps<T*> dk;
    T* dv;
};

template <class T>
backward_state<T> make_backward_state(const attention_shape& shape, std::size_t maps, index queries,
                                      index keys, arena& scratch) {
    const index rows = round_up(queries, tiles.score_rows) + tiles.score_rows;
    const index key_rows = keys + tiles.value_rows;
    backward_state<T> state{scratch.take<T>(rows * score_stride<T>),
                            scratch.take<T>(rows * score_stride<T>),
                            maps > 1 ? scratch.take<T>(rows * score_stride<T>) : nullptr,
                            take_rows<T, most_key_maps>(key_rows, shape.dim, maps, scratch),
                            scratch.take<T>(key_rows * padded<T>(shape.value_dim))};
    for (std::size_t m = 0; m < maps; ++m)
        std::fill_n(state.dk[m], static_cast<std::size_t>(key_rows * padded<T>(shape.dim)), T(0));
    std::fill_n(state.dv, static_cast<std::size_t>(key_rows * padded<T>(shape.value_dim)), T(0));
    return state;
}

/// The products of a tile: p gets q·kᵀ, ds gets d_o·vᵀ, where they are seen.
template <class T>
void multiply_tile_pair(const attention_program<T>& program, const backward_keys<T>& keys,
                        const backward_queries<T>& queries, const block_view<T>& block,
                        const backward_state<T>& state) {
    const index dim = program.shape().value_dim;
    const query_tile<T>& tile = queries.tile;
    const panels_of_keys<T> of_keys{keys.key_panels, 0, program.shape().dim};
    for (index key = block.seen.first; key < block.seen.last; key += panel_width<T>) {
        multiply_keys(program, tile, block, key, of_keys, state.p, score_stride<T>,
                      static_cast<T*>(nullptr));
        for_strips_seeing(tile, block, key, [&](index first_row, index rows) {
            multiply_panel(queries.gradient_strips + first_row * dim, rows,
                           keys.value_panels + (block.first + key) * dim, dim,
                           state.ds + first_row * score_stride<T> + key, score_stride<T>);
        });
    }
}

/// Dropout of what a tile sees of a block: of its probabilities, or of their gradients.
template <class T>
void drop_tile(const attention_program<T>& program, const query_tile<T>& tile,
               const block_view<T>& block, T* numbers) {
    for (index s = 0; s < tile.strip_count(); ++s)
        drop_weights(program, tile, s * tile.strip, std::min((s + 1) * tile.strip, tile.count),
                     block.first, block.range[s], numbers, score_stride<T>);
}

/// Products over queries may run over rows that see less than their neighbours: there p and ds are
/// 0.
template <class T>
void clear_unseen(const query_tile<T>& tile, const block_view<T>& block, key_interval all,
                  const backward_state<T>& state) {
    for (index r = 0; r < tile.count; ++r) {
        const key_interval range = block.range[r / tile.strip];
        const bool sees = range.first < range.last;
        const index last_left = sees ? range.first : all.last;
        for (T* row : {state.p + r * score_stride<T>, state.ds + r * score_stride<T>}) {
            if (all.first < last_left) std::fill(row + all.first, row + last_left, T(0));
            if (sees && range.last < all.last) std::fill(row + range.last, row + all.last, T(0));
        }
    }
}

/// One tile: queries of one head against one block of keys; the last block to add to their dq
/// writes it. False if another task failed.
template <class T>
bool differentiate_tile(const backward_call<T>& call, const gradient_rule<T>& rule,
                        const backward_keys<T>& keys, const backward_queries<T>& queries,
                        const block_view<T>& block, const backward_state<T>& state,
                        const running_task& task) {
    const attention_program<T>& program = call.program;
    const query_tile<T>& tile = queries.tile;
    const index key_index = block.first / key_block<T>;
    multiply_tile_pair(program, keys, queries, block, state);
    drop_tile(program, tile, block, state.ds);
    rule.differentiate(tile, block, queries.statistic, state.p, state.ds);
    drop_tile(program, tile, block, state.p);
    key_interval all = block.seen;
    clear_unseen(tile, block, all, state);
    all.last = std::min(all.last, program.shape().keys - block.first);
    const gradient_choice wanted = call.sums();
    const backward_products<T, fixed<score_stride<T>>> products{
        program,  queries, keys.keys,   block,    all,      state.p,
        state.ds, {},      state.mixed, state.dk, state.dv, wanted};

    if (wanted.q && !await_turn(queries.turn, key_index, task.failed)) return false;
    const bool finite = queries.finite && keys.finite[key_index];
    if (finite)
        products.add_to_queries();
    else
        products.add_seen(
            [&](index r, bool* sees) {
                const key_interval range = block.range[r / tile.strip];
                program.sight.list_seen(tile, r, block, range, sees);
                return key_interval{range.first, std::min(range.last, all.last)};
            },
            task.scratch);
    if (block.first + key_block<T> >= queries.seen.last)
        finish_queries(call, queries, task.scratch);
    else if (wanted.q)
        pass_turn(queries.turn);
    if (finite) products.add_to_keys();
    return true;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
