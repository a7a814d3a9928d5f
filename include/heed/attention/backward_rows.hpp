#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/call.hpp>
#include <heed/attention/forward.hpp>
#include <heed/attention/query_tile.hpp>
#include <heed/attention/rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// What backward reads, packed: keys and values of a head, blocks of queries and of d_o.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Keys and values of one head as backward reads them.
template <class T>
struct backward_keys {
    T* key_panels;    ///< for q·kᵀ
    T* keys;          ///< padded rows, for ds·k
    T* value_panels;  ///< for d_o·vᵀ
    bool* finite;     ///< [blocks]: whether the prepared keys of a block are
};

/// A block of queries of one head as backward reads it.
template <class T>
struct backward_queries {
    query_tile<T> tile;  ///< strips for q·kᵀ
    T* queries;          ///< padded rows, for dsᵀ·q
    T* gradient_strips;  ///< d_o, for d_o·vᵀ
    T* gradients;        ///< d_o as padded rows, for pᵀ·d_o
    T* statistic;        ///< D of each row
    T* dq;               ///< padded rows: the sum so far, of scaled queries
    index* turn;         ///< the block of keys whose turn it is to add to dq
    bool finite;         ///< whether prepared queries and d_o are
};

template <class T>
backward_keys<T> make_backward_keys(const attention_shape& shape, arena& scratch) {
    return {scratch.take<T>(packed_size<T>(panel_width<T>, shape.keys, shape.dim)),
            scratch.take<T>(shape.keys * padded<T>(shape.dim)),
            scratch.take<T>(packed_size<T>(panel_width<T>, shape.keys, shape.value_dim)),
            scratch.take<bool>(count_blocks(shape.keys, key_block<T>))};
}

/// Packs one block of keys and values; without `panels`, keys as padded rows alone.
template <class T, class Call, class Preparation>
void pack_backward_keys(const Call& call, const Preparation& preparation, index batch,
                        index kv_head, index block, bool panels, const backward_keys<T>& to,
                        arena& scratch) {
    const attention_shape& shape = call.shape;
    const index first = block * key_block<T>;
    const index count = std::min(key_block<T>, shape.keys - first);
    const arena::scope mark(scratch);
    T* buffer = scratch.take<T>(count * std::max(shape.dim, shape.value_dim));
    const auto keys = preparation.keys(batch, kv_head, first, count, buffer);
    pad_rows(keys, count, shape.dim, to.keys + first * padded<T>(shape.dim));
    if (!panels) return;
    pack_panels(keys, count, shape.dim, to.key_panels + first * shape.dim);
    to.finite[block] = all_finite(keys, count, shape.dim);
    const auto values = rows_of(call.v, batch, kv_head, first, count, buffer);
    pack_panels(values, count, shape.value_dim, to.value_panels + first * shape.value_dim);
}

/// All of a backward call but q, k, v and the parts.
template <class T, class Statistics>
struct backward_inputs {
    tensor_view<const T, 4> d_o, o;
    const Statistics* statistics;   ///< [batch, head, query]
    tensor_view<const T, 3> d_lse;  ///< [batch, head, query], or null
};

/// Memory for a block of queries is taken first, by one thread, and filled by any.
template <class T>
backward_queries<T> make_backward_queries(const attention_shape& shape, index count,
                                          arena& scratch) {
    return {take_tile<T>(shape, count, scratch),
            scratch.take<T>(count * padded<T>(shape.dim)),
            scratch.take<T>(packed_size<T>(query_tile<T>::strip, count, shape.value_dim)),
            scratch.take<T>(count * padded<T>(shape.value_dim)),
            scratch.take<T>(count),
            scratch.take<T>((count + tiles.value_rows) * padded<T>(shape.dim)),
            scratch.take<index>(1),
            true};
}

/// Packs queries first … first + count − 1 and their d_o, as padded rows alone without `strips`; dq
/// begins at zero.
template <class T, class Call, class Preparation>
void pack_backward_queries(const Call& call, const call_positions& where,
                           const Preparation& preparation, const tensor_view<const T, 4>& d_o,
                           index batch, index head, index first, index count, bool strips,
                           backward_queries<T>& block, arena& scratch) {
    const attention_shape& shape = call.shape;
    const index dim = shape.dim, value_dim = shape.value_dim;
    fill_tile(call, where, preparation, batch, head, first, count, block.tile);
    const contiguous_rows<T> queries{block.tile.plain, dim};
    pad_rows(queries, count, dim, block.queries);

    const arena::scope mark(scratch);
    T* buffer = scratch.take<T>(count * value_dim);
    const auto gradients = rows_of(d_o, batch, head, first, count, buffer);
    pad_rows(gradients, count, value_dim, block.gradients);
    if (strips) {
        pack_strips(gradients, count, value_dim, block.gradient_strips);
        block.finite = all_finite(gradients, count, value_dim) && all_finite(queries, count, dim);
    }
    std::fill_n(block.dq, static_cast<std::size_t>((count + tiles.value_rows) * padded<T>(dim)),
                T(0));
    *block.turn = block.tile.seen_by_all().first / key_block<T>;
}

template <class T, class Call, class Preparation, class Statistics>
void fill_backward_queries(const Call& call, const call_positions& where,
                           const Preparation& preparation,
                           const backward_inputs<T, Statistics>& inputs, index batch, index head,
                           index first, index count, backward_queries<T>& block, arena& scratch) {
    pack_backward_queries(call, where, preparation, inputs.d_o, batch, head, first, count, true,
                          block, scratch);
    const arena::scope mark(scratch);
    T* output = scratch.take<T>(call.shape.value_dim);
    const auto stream = call.normaliser().template streaming<T>(head);
    for (index r = 0; r < count; ++r) {
        const auto o = rows_of(inputs.o, batch, head, first + r, 1, output);
        block.statistic[r] = dot(block.gradients + r * padded<T>(call.shape.value_dim), o.data,
                                 call.shape.value_dim);
        if constexpr (requires { stream.with_log_sum_exp_gradient(T(0), T(0)); })
            if (inputs.d_lse.data != nullptr)
                block.statistic[r] = stream.with_log_sum_exp_gradient(
                    block.statistic[r], inputs.d_lse(batch, head, first + r));
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
