#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>

#include <heed/attention/kernel/products/backward_products.hpp>
#include <heed/attention/kernel/products/block_view.hpp>
#include <heed/attention/kernel/products/packed_backward.hpp>
#include <heed/attention/kernel/products/packed_head.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/products/scores.hpp>
#include <heed/attention/kernel/program/backward_call.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/attention/kernel/schedule/deal_heads.hpp>
#include <heed/attention/kernel/schedule/ordered_sum.hpp>
#include <heed/attention/kernel/whole_row/row_gradient_rule.hpp>
#include <heed/attention/kernel/whole_row/scores.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// Backward of the rows whose normaliser needs them whole and that have no support to go by: a
/// block of queries at a time, whole rows of p and dp in scratch.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Keys and values of a kv head, and the sums that become dk and dv.
template <class T>
struct row_head {
    backward_keys<T> packed;
    T* values;        ///< padded rows
    key_maps<T*> dk;  ///< of each map, padded rows
    T* dv;            ///< padded rows
    bool dense;       ///< whether any row that reads it is
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
            scratch.take<T>(rows * padded<T>(shape.value_dim)), false};
}

/// Packs one block of keys and values; their gradients begin at zero.
template <class T>
void pack_row_keys(const attention_program<T>& program, const key_place& at, const row_head<T>& to,
                   arena& scratch) {
    const attention_shape& shape = program.shape();
    pack_backward_keys(program, at, to.dense, to.packed, scratch);
    const index count = at.count;
    const index width = padded<T>(shape.dim), value_width = padded<T>(shape.value_dim);
    const arena::scope mark(scratch);
    T* buffer = scratch.take<T>(count * shape.value_dim);
    pad_rows(rows_of(program.v, at.batch, at.kv_head, at.first, count, buffer), count,
             shape.value_dim, to.values + at.first * value_width);
    for (std::size_t m = 0; m < program.source.key_map_count; ++m)
        std::fill_n(to.dk[m] + at.first * width, static_cast<std::size_t>(count * width), T(0));
    std::fill_n(to.dv + at.first * value_width, static_cast<std::size_t>(count * value_width),
                T(0));
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
template <class T>
void multiply_seen(const attention_program<T>& program, const row_head<T>& head,
                   const row_queries<T>& queries, const gradient_rows<T>& rows,
                   block_view<T>& block) {
    const query_tile<T>& tile = queries.tile;
    const index dim = program.shape().value_dim, stride = rows.scores.stride;
    const panels_of_keys<T> keys{head.packed.key_panels, 0, program.shape().dim};
    for_seen_blocks(program, tile, block, [&](const block_view<T>& at) {
        const index column = at.first - rows.scores.first;
        for (index key = at.seen.first; key < at.seen.last; key += panel_width<T>) {
            for_strips_seeing(tile, at, key, [&](index first_row, index count) {
                multiply_panel(queries.gradient_strips + first_row * dim, count,
                               head.packed.value_panels + (at.first + key) * dim, dim,
                               rows.ds + first_row * stride + column + key, stride);
            });
            if (rows.products != nullptr)
                multiply_keys(program, tile, at, key, keys, rows.products + column, stride,
                              static_cast<T*>(nullptr));
        }
    });
}

/// p, and the gradient of the scores, of the rows that are dense; zero in all others. `parameter`,
/// unless null, gets what each row adds to the gradient of the normaliser's parameter.
template <class T>
gradient_rows<T> differentiate_rows(const attention_program<T>& program,
                                    const row_gradient_rule<T>& rule, const row_head<T>& head,
                                    const row_queries<T>& queries, T* parameter,
                                    block_view<T>& block, arena& scratch) {
    constexpr index size = vec<T>::size;
    constexpr T left_out = -std::numeric_limits<T>::infinity();
    const query_tile<T>& tile = queries.tile;
    gradient_rows<T> rows{make_score_rows(tile, scratch), nullptr, nullptr, nullptr, nullptr};
    const index count = round_up(tile.count, tile.strip) + tiles.score_rows;
    rows.p = scratch.take<T>(count * rows.scores.stride);
    rows.ds = scratch.take<T>(count * rows.scores.stride);
    const panels_of_keys<T> keys{head.packed.key_panels, 0, program.shape().dim};
    score_all_keys(
        program, tile, [&](index) { return keys; }, rows.scores, block, scratch);
    if (!rule.modifiers.only_adds) rows.products = scratch.take<T>(count * rows.scores.stride);
    if (program.source.is_rectified()) rows.mixed = scratch.take<T>(count * rows.scores.stride);
    multiply_seen(program, head, queries, rows, block);

    void* kernel = scratch.take<std::byte>(rule.kernel_bytes);
    rule.open(kernel, tile.head);
    const index columns = round_up(rows.scores.last - rows.scores.first, panel_width<T>);
    for (index r = 0; r < tile.count; ++r) {
        T* p = rows.row(rows.p, r);
        T* ds = rows.row(rows.ds, r);
        const key_interval own = queries.dense[r] ? rows.scores.own[r] : key_interval{0, 0};
        clear_outside(own, 0, columns, p);
        clear_outside(own, 0, columns, ds);
        T* of_row = parameter == nullptr ? nullptr : parameter + r;
        if (of_row != nullptr) *of_row = T(0);
        if (own.first == own.last) continue;
        const T* scores = rows.scores.row(r);
        for (index c = own.first; c < own.last; c += size) {
            const vec<T> s = vec<T>::load(scores + c);
            s.store(p + c);
            select(s == vec<T>(left_out), vec<T>(T(0)), vec<T>::load(ds + c)).store(ds + c);
        }
        const auto drop = [&](T* numbers) {
            drop_weights(program, tile, r, r + 1, rows.scores.first, own, numbers,
                         rows.scores.stride);
        };
        drop(rows.ds);
        rule.differentiate(kernel, tile, r, scores + own.first, p + own.first, ds + own.first,
                           own.last - own.first, of_row, scratch);
        drop(rows.p);
    }
    return rows;
}

/// The gradient of a block of scores on its way back through the modifiers, in place.
template <class T>
void modify_rows_back(const row_gradient_rule<T>& rule, const row_queries<T>& queries,
                      const gradient_rows<T>& rows, const block_view<T>& block) {
    const index offset = block.first - rows.scores.first;
    for (index r = 0; r < queries.tile.count; ++r) {
        if (!queries.dense[r]) continue;
        const key_interval own = rows.scores.own[r];
        const index first = std::max(own.first, offset);
        const index last = std::min(own.last, offset + key_block<T>);
        if (first < last)
            rule.modifiers.modify_back(queries.tile, r, rows.scores.first + first, last - first,
                                       rows.scores.row(r) + first,
                                       rows.row(rows.products, r) + first,
                                       rows.row(rows.ds, r) + first);
    }
}

/// dq, dk and dv of one block of keys get their sums from dense rows.
template <class T>
void add_row_products(const backward_call<T>& call, const row_head<T>& head,
                      const row_queries<T>& queries, const gradient_rows<T>& rows,
                      const block_view<T>& block, arena& scratch) {
    const attention_shape& shape = call.shape();
    const index width = padded<T>(shape.dim), value_width = padded<T>(shape.value_dim);
    const index offset = block.first - rows.scores.first;
    key_interval all = block.seen;
    all.last = std::min(all.last, shape.keys - block.first);
    if (all.first >= all.last) return;
    const backward_products<T, index> products{
        call.program,
        queries,
        head.packed.keys,
        block,
        all,
        rows.p + offset,
        rows.ds + offset,
        rows.scores.stride,
        rows.mixed == nullptr ? nullptr : rows.mixed + offset,
        rows_at(head.dk, block.first * width),
        head.dv + block.first * value_width,
        call.sums()};
    if (queries.finite && head.packed.finite[block.first / key_block<T>]) {
        products.add_to_queries();
        products.add_to_keys();
        return;
    }
    products.add_seen(
        [&](index r, bool* sees) {
            if (!queries.dense[r]) return key_interval{0, 0};
            const key_interval own = rows.scores.own[r];
            const key_interval range{
                std::max<index>(own.first - offset, 0),
                std::min({own.last - offset, key_block<T>, shape.keys - block.first})};
            const T* scores = rows.scores.row(r) + offset;
            for (index j = range.first; j < range.last; ++j)
                sees[j] = scores[j] != -std::numeric_limits<T>::infinity();
            return range;
        },
        scratch);
}

/// The dense rows of a block of queries, when it is the `number`-th to add to dk and dv: turn[b] is
/// the number of the block of queries whose turn it is to add to those of the b-th block of keys.
/// False if another task failed.
template <class T>
bool add_query_block(const backward_call<T>& call, const row_gradient_rule<T>& rule,
                     const row_head<T>& head, const row_queries<T>& queries, index* turn,
                     index number, const running_task& task) {
    const attention_program<T>& program = call.program;
    const query_tile<T>& tile = queries.tile;
    const index key_blocks = count_blocks(program.shape().keys, key_block<T>);
    const arena::scope mark(task.scratch);
    auto block = make_block_view(program, tile.strip_count(), task.scratch);
    gradient_rows<T> rows{};
    if (queries.any_dense) {
        T* parameter = call.row_numbers == nullptr ? nullptr : call.row_numbers + call.row_of(tile);
        rows = differentiate_rows(program, rule, head, queries, parameter, block, task.scratch);
    }

    const key_interval seen = queries.seen;
    for (index b = 0; b < key_blocks; ++b) {
        if (!await_turn(turn + b, number, task.failed)) return false;
        const index first_key = b * key_block<T>;
        if (queries.any_dense && first_key < seen.last && first_key + key_block < T >> seen.first) {
            look_at_block(program, tile, first_key, block);
            if (!rule.modifiers.only_adds) modify_rows_back(rule, queries, rows, block);
            add_row_products(call, head, queries, rows, block, task.scratch);
        }
        pass_turn(turn + b);
    }
    return true;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
