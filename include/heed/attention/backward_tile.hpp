#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/attention/backward_rows.hpp>
#include <heed/attention/call.hpp>
#include <heed/attention/learning.hpp>
#include <heed/attention/rectified_products.hpp>
#include <heed/attention/scores.hpp>
#include <heed/attention/turns.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>

/// \file
/// Backward of one tile: a block of queries against a block of keys.

namespace heed::inline HEED_ARCHITECTURE::detail {

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

/// One row: scores become p, and dp becomes the gradient of q·k, both in place; modifiers that are
/// learned add to their gradients. What is not seen becomes 0 in both.
template <class T, class Call, class Row, class Learning>
void differentiate_row(const Call& call, const call_positions& where, const query_tile<T>& tile,
                       index r, const block_view<T>& block, key_interval range,
                       const Row& normaliser, const Learning& learning, T* scores, T* dp) {
    constexpr index size = vec<T>::size;
    constexpr std::size_t count =
        std::tuple_size_v<std::remove_cvref_t<decltype(call.modifiers())>>;
    const query_row& row = tile.rows[r];
    const key_interval seen{tile.seen[r].first - block.first, tile.seen[r].last - block.first};
    const auto modifiers = call.bound_modifiers(row);
    const auto masks = call.lane_masks(row);
    const vec<T> zero(T(0));

    for (index key = range.first; key < range.last; key += size) {
        bool none = key + size <= seen.first || key >= seen.last;
        bool some = key < seen.first || key + size > seen.last;
        vec_mask<T> visible(true);
        key_lanes<T> keys;
        if constexpr (Call::has_modifiers || Call::has_lane_masks)
            if (!none) keys = make_lanes<T>(call, where, row.batch, block.first + key);
        if (!none && some) visible = lanes_in<T>(seen, key);
        if constexpr (Call::has_lane_masks) {
            const visibility panel = block.of(r / tile.strip, key);
            none = none || panel == visibility::none;
            if (!none && panel == visibility::mixed) {
                visible = visible & seen_lanes<T>(masks, keys);
                some = true;
            }
        }
        if (none) {
            zero.store(scores + key);
            zero.store(dp + key);
            continue;
        }
        // Lanes that are not seen may hold anything, and modifiers may make anything of it: at
        // every step they get numbers that do no harm.
        const auto harmless = [&](vec<T> x) { return some ? select(visible, x, zero) : x; };
        std::array<vec<T>, count + 1> stage;
        stage[0] = harmless(vec<T>::load(scores + key));
        vec<T> gradient = harmless(vec<T>::load(dp + key));
        const auto forward = [&]<std::size_t... I>(std::index_sequence<I...>) {
            ((stage[I + 1] = harmless(std::get<I>(modifiers)(stage[I], keys))), ...);
        };
        forward(std::make_index_sequence<count>{});
        const vec<T> p = harmless(normaliser.probability(stage[count]));
        gradient = harmless(normaliser.gradient(stage[count], p, gradient));
        const auto back = [&]<std::size_t I>() {
            learning.template add<count - 1 - I>(row, keys, stage[count - 1 - I], stage[count - I],
                                                 gradient);
            gradient = harmless(multiply_derivative<T>(
                std::get<count - 1 - I>(call.modifiers()), std::get<count - 1 - I>(modifiers),
                stage[count - 1 - I], stage[count - I], keys, gradient));
        };
        const auto all_back = [&]<std::size_t... I>(std::index_sequence<I...>) {
            (back.template operator()<I>(), ...);
        };
        all_back(std::make_index_sequence<count>{});
        p.store(scores + key);
        gradient.store(dp + key);
    }
}

/// The keys of a block that row-wise ranges leave to see, cut where the queries that see them
/// change: f(first key, keys, first query, queries), all relative.
template <class T, class F>
void for_key_chunks(const query_tile<T>& tile, const block_view<T>& block, key_interval all,
                    F&& f) {
    constexpr index chunk = 3 * panel_width<T>;  // a multiple of value_rows
    bool every = true;
    for (index s = 0; s < tile.strip_count(); ++s)
        every = every && block.range[s].first == all.first && block.range[s].last == all.last;
    if (every) return f(all.first, all.last - all.first, index(0), tile.count);
    for (index key = all.first; key < all.last; key += chunk) {
        const index end = std::min(key + chunk, all.last);
        index first = tile.strip_count(), last = 0;
        for (index s = 0; s < tile.strip_count(); ++s) {
            if (block.range[s].first >= end || block.range[s].last <= key) continue;
            first = std::min(first, s);
            last = s + 1;
        }
        if (first < last) {
            const index first_row = first * tile.strip;
            f(key, end - key, first_row, std::min(last * tile.strip, tile.count) - first_row);
        }
    }
}

/// The products of a tile: p gets q·kᵀ, ds gets d_o·vᵀ, where they are seen.
template <class T, class Call>
void multiply_tile_pair(const Call& call, const call_positions& where, const backward_keys<T>& keys,
                        const backward_queries<T>& queries, const block_view<T>& block,
                        const backward_state<T>& state) {
    const attention_shape& shape = call.shape;
    const query_tile<T>& tile = queries.tile;
    for (index key = 0; key < key_block<T>; key += panel_width<T>) {
        multiply_keys<false>(call, where, tile, block, key, keys.key_panels, state.p,
                             score_stride<T>, static_cast<T*>(nullptr));
        for_strips_seeing<T, Call>(tile, block, key, [&](index first_row, index rows) {
            const index at = first_row * score_stride<T> + key;
            multiply_panel(queries.gradient_strips + first_row * shape.value_dim, rows,
                           keys.value_panels + (block.first + key) * shape.value_dim,
                           shape.value_dim, state.ds + at, score_stride<T>);
        });
    }
}

/// What of a block any row of a tile sees: the union of its strips' ranges.
template <class T>
key_interval seen_of_block(const query_tile<T>& tile, const block_view<T>& block) {
    key_interval all{key_block<T>, 0};
    for (index s = 0; s < tile.strip_count(); ++s) {
        if (block.range[s].first == block.range[s].last) continue;
        all.first = std::min(all.first, block.range[s].first);
        all.last = std::max(all.last, block.range[s].last);
    }
    return all;
}

/// dq, dk and dv of a tile that holds NaN or infinities: only what is seen is added, since 0·NaN is
/// NaN.
template <class T, class Call>
void add_seen_products(const Call& call, const call_positions& where, const backward_keys<T>& keys,
                       const backward_queries<T>& queries, const block_view<T>& block,
                       key_interval all, const backward_state<T>& state, arena& scratch) {
    const attention_shape& shape = call.shape;
    const query_tile<T>& tile = queries.tile;
    const index dim_stride = padded<T>(shape.dim);
    const index value_stride = padded<T>(shape.value_dim);
    const arena::scope mark(scratch);
    bool* sees = scratch.take<bool>(key_block<T>);
    const auto row_sum =
        take_rows<T, most_query_maps>(1, shape.dim, Call::query_map_count, scratch);
    for (index r = 0; r < tile.count; ++r) {
        const key_interval range{block.range[r / tile.strip].first,
                                 block.range[r / tile.strip].last};
        list_seen(call, where, tile, r, block, range, sees);
        for (std::size_t m = 0; m < Call::query_map_count; ++m)
            std::fill_n(row_sum[m], static_cast<std::size_t>(dim_stride), T(0));
        for (index j = range.first; j < std::min(range.last, all.last); ++j) {
            if (!sees[j]) continue;
            const T p = state.p[r * score_stride<T> + j], ds = state.ds[r * score_stride<T> + j];
            const encoding_map map = map_of(call, where, tile.rows[r], block.first + j);
            const std::size_t query = query_map(map), key = key_map(map);
            add_row(ds, keys.keys[key] + (block.first + j) * dim_stride, shape.dim, row_sum[query]);
            add_row(p, queries.gradients + r * value_stride, shape.value_dim,
                    state.dv + j * value_stride);
            add_row(ds, queries.queries[query] + r * dim_stride, shape.dim,
                    state.dk[key] + j * dim_stride);
        }
        for (std::size_t m = 0; m < Call::query_map_count; ++m)
            for (index c = 0; c < shape.dim; ++c)
                queries.dq[m][r * dim_stride + c] += row_sum[m][c];
    }
}

/// One tile: queries of one head against one block of keys.
template <class T, class Call, class Statistics, class Learning>
bool differentiate_tile(const Call& call, const call_positions& where,
                        const backward_inputs<T, Statistics>& inputs, const backward_keys<T>& keys,
                        const backward_queries<T>& queries, const Learning& learning,
                        block_view<T>& block, const backward_state<T>& state, bool* failed,
                        arena& scratch) {
    const attention_shape& shape = call.shape;
    const query_tile<T>& tile = queries.tile;
    const index key_index = block.first / key_block<T>;
    const index dim_stride = padded<T>(shape.dim);
    const index value_stride = padded<T>(shape.value_dim);

    multiply_tile_pair(call, where, keys, queries, block, state);
    key_interval all = seen_of_block(tile, block);
    const auto stream = call.normaliser().template streaming<T>(tile.head);
    const Statistics* statistics =
        inputs.statistics + (tile.batch * shape.heads + tile.head) * shape.queries + tile.first;
    for (index r = 0; r < tile.count; ++r) {
        const key_interval range = block.range[r / tile.strip];
        T* p = state.p + r * score_stride<T>;
        T* ds = state.ds + r * score_stride<T>;
        if (range.first < range.last) {
            differentiate_row(call, where, tile, r, block, range,
                              stream.row(statistics[r], queries.statistic[r]), learning, p, ds);
        }
        // Products over queries may run over rows that see less than their neighbours.
        const index last_left = range.first < range.last ? range.first : all.last;
        for (T* row : {p, ds}) {
            if (all.first < last_left) std::fill(row + all.first, row + last_left, T(0));
            if (range.first < range.last && range.last < all.last)
                std::fill(row + range.last, row + all.last, T(0));
        }
    }
    all.last = std::min(all.last, shape.keys - block.first);

    if (!await_turn(queries.turn, key_index, failed)) return false;
    const bool finite = queries.finite && keys.finite[key_index];
    if constexpr (Call::is_rectified) {
        if (finite) {
            const rectified_products<T, Call> products{
                call, where, tile, block, all, state.ds, score_stride<T>, state.mixed};
            products.add_to_queries(keys.keys, queries.dq);
            pass_turn(queries.turn);
            for_key_chunks(tile, block, all, [&](index key, index count, index row, index rows) {
                add_product(count, state.p + row * score_stride<T> + key, index(1), score_stride<T>,
                            queries.gradients + row * value_stride, shape.value_dim, rows,
                            state.dv + key * value_stride);
            });
            products.add_to_keys(queries.queries, state.dk);
            return true;
        }
    } else if (finite) {
        for (index s = 0; s < tile.strip_count(); ++s) {
            const index first = s * tile.strip;
            const index rows = std::min(tile.strip, tile.count - first);
            const key_interval range{block.range[s].first, std::min(block.range[s].last, all.last)};
            if (range.first >= range.last) continue;
            add_product(rows, state.ds + first * score_stride<T> + range.first, score_stride<T>,
                        index(1), keys.keys[0] + (block.first + range.first) * dim_stride,
                        shape.dim, range.last - range.first, queries.dq[0] + first * dim_stride);
        }
        pass_turn(queries.turn);
        for_key_chunks(tile, block, all, [&](index key, index count, index row, index rows) {
            const index at = row * score_stride<T> + key;
            add_product(count, state.p + at, index(1), score_stride<T>,
                        queries.gradients + row * value_stride, shape.value_dim, rows,
                        state.dv + key * value_stride);
            add_product(count, state.ds + at, index(1), score_stride<T>,
                        queries.queries[0] + row * dim_stride, shape.dim, rows,
                        state.dk[0] + key * dim_stride);
        });
        return true;
    }

    add_seen_products(call, where, keys, queries, block, all, state, scratch);
    pass_turn(queries.turn);
    return true;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
