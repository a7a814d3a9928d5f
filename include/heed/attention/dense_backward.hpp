#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/attention/backward_rows.hpp>
#include <heed/attention/backward_tile.hpp>
#include <heed/attention/call.hpp>
#include <heed/attention/learning.hpp>
#include <heed/attention/row_scores.hpp>
#include <heed/attention/rows.hpp>
#include <heed/attention/scores.hpp>
#include <heed/attention/turns.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// Backward of the rows whose normaliser needs them whole and that have no support to go by: a
/// block of queries at a time, whole rows of p and dp in scratch, the five products of
/// backward.hpp.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Keys and values of a kv head, and the sums that become dk and dv.
template <class T>
struct row_head {
    backward_keys<T> packed;
    T* values;        ///< padded rows
    key_maps<T*> dk;  ///< of each map, padded rows
    T* dv;            ///< padded rows
    bool dense;       ///< whether any row that reads it is
    index* turn;      ///< [key blocks]: the block of queries whose turn it is to add
};

/// A block of queries of one head.
template <class T>
struct row_queries : backward_queries<T> {
    T* ds;         ///< of the supports of its rows, one after the other
    index* first;  ///< [count]: where a row's begins
    bool* dense;   ///< [count]: whether a row has no support to go by
    bool any_dense;
};

template <class T>
row_head<T> make_row_head(const attention_shape& shape, std::size_t maps, arena& scratch) {
    const index rows = shape.keys + tiles.value_rows;
    return {make_backward_keys<T>(shape, maps, scratch),
            scratch.take<T>(shape.keys * padded<T>(shape.value_dim)),
            take_rows<T, most_key_maps>(rows, shape.dim, maps, scratch),
            scratch.take<T>(rows * padded<T>(shape.value_dim)),
            true,
            scratch.take<index>(count_blocks(shape.keys, key_block<T>))};
}

/// Packs one block of keys and values; their gradients begin at zero.
template <class T, class Call, class Preparation>
void pack_row_keys(const Call& call, const Preparation& preparation, index batch, index kv_head,
                   index block, const row_head<T>& to, arena& scratch) {
    const attention_shape& shape = call.shape;
    pack_backward_keys(call, preparation, batch, kv_head, block, to.dense, to.packed, scratch);
    const index first = block * key_block<T>;
    const index count = std::min(key_block<T>, shape.keys - first);
    const index width = padded<T>(shape.dim), value_width = padded<T>(shape.value_dim);
    const arena::scope mark(scratch);
    T* buffer = scratch.take<T>(count * shape.value_dim);
    pad_rows(rows_of(call.v, batch, kv_head, first, count, buffer), count, shape.value_dim,
             to.values + first * value_width);
    for (std::size_t m = 0; m < Call::key_map_count; ++m)
        std::fill_n(to.dk[m] + first * width, static_cast<std::size_t>(count * width), T(0));
    std::fill_n(to.dv + first * value_width, static_cast<std::size_t>(count * value_width), T(0));
    to.turn[block] = 0;
}

/// Whole rows of a block of queries in the middle of backward.
template <class T>
struct gradient_rows {
    score_rows<T> scores;
    T* products;  ///< q·k before the modifiers; null if no modifier wants them
    T* p;
    T* ds;     ///< dp, then the gradient of the scores, then of the products
    T* mixed;  ///< what rectified_products keeps of ds; null without such an encoding

    T* row(T* of, index r) const { return of + r * scores.stride; }
};

/// ds = d_o·vᵀ for everything that a tile sees and, where they are wanted, the products q·kᵀ.
template <class T, class Call>
void multiply_seen(const Call& call, const call_positions& where, const row_head<T>& head,
                   const row_queries<T>& queries, const gradient_rows<T>& rows, arena& scratch) {
    const query_tile<T>& tile = queries.tile;
    const index dim = call.shape.value_dim, stride = rows.scores.stride;
    for_key_blocks(call, where, tile, scratch, [&](const block_view<T>& block) {
        const index column = block.first - rows.scores.first;
        for (index key = 0; key < key_block<T>; key += panel_width<T>) {
            for_strips_seeing<T, Call>(tile, block, key, [&](index first_row, index count) {
                multiply_panel(queries.gradient_strips + first_row * dim, count,
                               head.packed.value_panels + (block.first + key) * dim, dim,
                               rows.ds + first_row * stride + column + key, stride);
            });
            if (rows.products != nullptr)
                multiply_keys<false>(call, where, tile, block, key, head.packed.key_panels,
                                     rows.products + column, stride, static_cast<T*>(nullptr));
        }
    });
}

/// p, and the gradient of the scores, of the rows that are dense; zero in all others. `parameter`,
/// unless null, gets what each row adds to the gradient of the normaliser's parameter.
template <class T, class Call, class Stats>
gradient_rows<T> differentiate_rows(const Call& call, const call_positions& where,
                                    const Stats& kept, const row_head<T>& head,
                                    const row_queries<T>& queries, bool wants_products,
                                    T* parameter, arena& scratch) {
    constexpr index size = vec<T>::size;
    constexpr T left_out = -std::numeric_limits<T>::infinity();
    const query_tile<T>& tile = queries.tile;
    gradient_rows<T> rows{make_score_rows(tile, scratch), nullptr, nullptr, nullptr, nullptr};
    const index count = round_up(tile.count, tile.strip) + tiles.score_rows;
    rows.p = scratch.take<T>(count * rows.scores.stride);
    rows.ds = scratch.take<T>(count * rows.scores.stride);
    score_all_keys(call, where, tile, head.packed.key_panels, rows.scores, scratch);
    if (wants_products) rows.products = scratch.take<T>(count * rows.scores.stride);
    if (Call::is_rectified) rows.mixed = scratch.take<T>(count * rows.scores.stride);
    multiply_seen(call, where, head, queries, rows, scratch);

    const auto normaliser = call.normaliser().template whole_row<T>(tile.head);
    const index columns = round_up(rows.scores.last - rows.scores.first, panel_width<T>);
    for (index r = 0; r < tile.count; ++r) {
        T* p = rows.row(rows.p, r);
        T* ds = rows.row(rows.ds, r);
        const key_interval own = queries.dense[r] ? rows.scores.own[r] : key_interval{0, 0};
        clear_outside(own, 0, columns, p);
        clear_outside(own, 0, columns, ds);
        if (parameter != nullptr) parameter[r] = T(0);
        if (own.first == own.last) continue;
        const T* scores = rows.scores.row(r);
        for (index c = own.first; c < own.last; c += size) {
            const vec<T> s = vec<T>::load(scores + c);
            s.store(p + c);
            select(s == vec<T>(left_out), vec<T>(T(0)), vec<T>::load(ds + c)).store(ds + c);
        }
        const auto& solved = kept.row(tile.batch, tile.head, tile.first + r);
        const index width = own.last - own.first;
        normaliser.recompute(solved, p + own.first, width);
        const T of_parameter = normaliser.gradient(solved, scores + own.first, p + own.first,
                                                   ds + own.first, width, scratch);
        if (parameter != nullptr) parameter[r] = of_parameter;
    }
    return rows;
}

/// The gradient of a block of scores on its way back through the modifiers, in place; those that
/// are learned add to their gradients.
template <class T, class Call, class Learning>
void modify_rows_back(const Call& call, const call_positions& where, const row_queries<T>& queries,
                      const gradient_rows<T>& rows, const block_view<T>& block,
                      const Learning& learning) {
    constexpr std::size_t count =
        std::tuple_size_v<std::remove_cvref_t<decltype(call.modifiers())>>;
    const query_tile<T>& tile = queries.tile;
    const index offset = block.first - rows.scores.first;
    const vec<T> zero(T(0));
    for (index r = 0; r < tile.count; ++r) {
        if (!queries.dense[r]) continue;
        const query_row& row = tile.rows[r];
        const auto modifiers = call.bound_modifiers(row);
        const key_interval own = rows.scores.own[r];
        const index last = std::min(own.last, offset + key_block<T>);
        for (index c = std::max(own.first, offset); c < last; c += vec<T>::size) {
            // Keys that are left out may hold anything; they get numbers that do no harm.
            const auto seen =
                vec<T>::load(rows.scores.row(r) + c) != vec<T>(-std::numeric_limits<T>::infinity());
            if (!any(seen)) continue;
            const auto harmless = [&](vec<T> x) { return select(seen, x, zero); };
            const auto keys = make_lanes<T>(call, where, row.batch, rows.scores.first + c);
            std::array<vec<T>, count + 1> stage;
            stage[0] = rows.products == nullptr
                           ? zero
                           : harmless(vec<T>::load(rows.row(rows.products, r) + c));
            vec<T> gradient = harmless(vec<T>::load(rows.row(rows.ds, r) + c));
            [&]<std::size_t... I>(std::index_sequence<I...>) {
                ((stage[I + 1] = harmless(std::get<I>(modifiers)(stage[I], keys))), ...);
                ((learning.template add<count - 1 - I>(row, keys, stage[count - 1 - I],
                                                       stage[count - I], gradient),
                  gradient = harmless(multiply_derivative<T>(
                      std::get<count - 1 - I>(call.modifiers()), std::get<count - 1 - I>(modifiers),
                      stage[count - 1 - I], stage[count - I], keys, gradient))),
                 ...);
            }
            (std::make_index_sequence<count>{});
            gradient.store(rows.row(rows.ds, r) + c);
        }
    }
}

/// dq, dk and dv of one block of keys get their sums from dense rows; what is left out adds
/// nothing, not even where it holds NaN.
template <class T, class Call>
void add_row_products(const Call& call, const call_positions& where, const row_head<T>& head,
                      const row_queries<T>& queries, const gradient_rows<T>& rows,
                      const block_view<T>& block) {
    const attention_shape& shape = call.shape;
    const query_tile<T>& tile = queries.tile;
    const index width = padded<T>(shape.dim), value_width = padded<T>(shape.value_dim);
    const index offset = block.first - rows.scores.first;
    key_interval all = seen_of_block(tile, block);
    all.last = std::min(all.last, shape.keys - block.first);
    if (all.first >= all.last) return;
    const key_maps<T*> dk = rows_at(head.dk, block.first * width);
    T* dv = head.dv + block.first * value_width;
    const T* keys = head.packed.keys[0] + block.first * width;
    const bool finite = queries.finite && head.packed.finite[block.first / key_block<T>];
    if constexpr (Call::is_rectified) {
        if (finite) {
            const rectified_products<T, Call> products{call,
                                                       where,
                                                       tile,
                                                       block,
                                                       all,
                                                       rows.ds + offset,
                                                       rows.scores.stride,
                                                       rows.mixed + offset};
            products.add_to_queries(head.packed.keys, queries.dq);
            for_key_chunks(tile, block, all, [&](index key, index count, index row, index height) {
                add_product(count, rows.row(rows.p, row) + offset + key, index(1),
                            rows.scores.stride, queries.gradients + row * value_width,
                            shape.value_dim, height, dv + key * value_width);
            });
            products.add_to_keys(queries.queries, dk);
            return;
        }
    } else if (finite) {
        for (index s = 0; s < tile.strip_count(); ++s) {
            const index first = s * tile.strip;
            const key_interval range{block.range[s].first, std::min(block.range[s].last, all.last)};
            if (range.first >= range.last) continue;
            add_product(std::min(tile.strip, tile.count - first),
                        rows.row(rows.ds, first) + offset + range.first, rows.scores.stride,
                        index(1), keys + range.first * width, shape.dim, range.last - range.first,
                        queries.dq[0] + first * width);
        }
        for_key_chunks(tile, block, all, [&](index key, index count, index row, index height) {
            add_product(count, rows.row(rows.p, row) + offset + key, index(1), rows.scores.stride,
                        queries.gradients + row * value_width, shape.value_dim, height,
                        dv + key * value_width);
            add_product(count, rows.row(rows.ds, row) + offset + key, index(1), rows.scores.stride,
                        queries.queries[0] + row * width, shape.dim, height, dk[0] + key * width);
        });
        return;
    }
    for (index r = 0; r < tile.count; ++r) {
        if (!queries.dense[r]) continue;
        const key_interval own = rows.scores.own[r];
        const index last = std::min({own.last - offset, key_block<T>, shape.keys - block.first});
        for (index j = std::max<index>(own.first - offset, 0); j < last; ++j) {
            const index c = offset + j;
            if (rows.scores.row(r)[c] == -std::numeric_limits<T>::infinity()) continue;
            const T ds = rows.row(rows.ds, r)[c];
            const encoding_map map = map_of(call, where, tile.rows[r], block.first + j);
            const std::size_t query = query_map(map), key = key_map(map);
            add_row(ds, head.packed.keys[key] + (block.first + j) * width, shape.dim,
                    queries.dq[query] + r * width);
            add_row(ds, queries.queries[query] + r * width, shape.dim, dk[key] + j * width);
            add_row(rows.row(rows.p, r)[c], queries.gradients + r * value_width, shape.value_dim,
                    dv + j * value_width);
        }
    }
}

/// The dense rows of a block of queries, when it is the `number`-th to add to its head's dk and dv.
template <class T, class Call, class Stats, class Entries>
void add_query_block(const Call& call, const call_positions& where, const Stats& kept,
                     const row_head<T>& head, const row_queries<T>& queries, const Entries& entries,
                     index* turn, index number, T* parameter, bool* failed, arena& scratch) {
    const attention_shape& shape = call.shape;
    const query_tile<T>& tile = queries.tile;
    const index key_blocks = count_blocks(shape.keys, key_block<T>);
    const arena::scope mark(scratch);
    constexpr bool modifies = !Call::only_adds;
    gradient_rows<T> rows{};
    if (queries.any_dense)
        rows = differentiate_rows(call, where, kept, head, queries, modifies, parameter, scratch);

    auto block = make_block_view<T>(tile.strip_count(), scratch);
    const key_interval seen = tile.seen_by_all();
    for (index b = 0; b < key_blocks; ++b) {
        if (!await_turn(turn + b, number, failed)) return;
        const index first_key = b * key_block<T>;
        if (queries.any_dense && first_key < seen.last && first_key + key_block < T >> seen.first) {
            look_at_block(call, where, tile, first_key, block);
            const learning_at<T, Entries> learning{
                entries, (tile.batch * shape.heads + tile.head) * key_blocks + b};
            if constexpr (modifies) modify_rows_back(call, where, queries, rows, block, learning);
            add_row_products(call, where, head, queries, rows, block);
        }
        pass_turn(turn + b);
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
