#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include <heed/attention/kernel/products/packed_head.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>

/// \file
/// What backward reads, packed: keys and values of a head, blocks of queries and of d_o.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Keys and values of one head as backward reads them.
template <class T>
struct backward_keys {
    key_maps<T*> key_panels;  ///< of each map, for q·kᵀ
    key_maps<T*> keys;        ///< of each map, padded rows, for ds·k
    T* value_panels;          ///< for d_o·vᵀ
    bool* finite;             ///< [blocks]: whether the prepared keys of a block are
};

/// A block of queries of one head as backward reads it.
template <class T>
struct backward_queries {
    query_tile<T> tile;      ///< strips for q·kᵀ
    query_maps<T*> queries;  ///< of each map, padded rows, for dsᵀ·q
    T* gradient_strips;      ///< d_o, for d_o·vᵀ
    T* gradients;            ///< d_o as padded rows, for pᵀ·d_o
    T* statistic;            ///< D of each row
    query_maps<T*> dq;       ///< of each map, padded rows: the sum so far, of scaled queries
    index* turn;             ///< the block of keys whose turn it is to add to dq
    key_interval seen;       ///< by any of its rows
    bool finite;             ///< whether prepared queries and d_o are
};

/// The rows of each map at an offset.
template <class T, std::size_t Most>
std::array<T*, Most> rows_at(const std::array<T*, Most>& rows, index offset) {
    std::array<T*, Most> at{};
    for (std::size_t m = 0; m < Most; ++m)
        if (rows[m] != nullptr) at[m] = rows[m] + offset;
    return at;
}

/// Memory for padded rows, of each of the maps.
template <class T, std::size_t Most>
std::array<T*, Most> take_rows(index count, index dim, std::size_t maps, arena& scratch) {
    std::array<T*, Most> rows{};
    for (std::size_t m = 0; m < maps; ++m) rows[m] = scratch.take<T>(count * padded<T>(dim));
    return rows;
}

template <class T>
backward_keys<T> make_backward_keys(const attention_shape& shape, std::size_t maps,
                                    arena& scratch) {
    return {take_key_panels<T>(shape.keys, shape.dim, maps, scratch),
            take_rows<T, most_key_maps>(shape.keys, shape.dim, maps, scratch),
            scratch.take<T>(packed_size<T>(panel_width<T>, shape.keys, shape.value_dim)),
            scratch.take<bool>(count_blocks(shape.keys, key_block<T>))};
}

/// Packs one block of keys and values; without `panels`, keys as padded rows alone.
template <class T>
void pack_backward_keys(const attention_program<T>& program, const key_place& at, bool panels,
                        const backward_keys<T>& to, arena& scratch) {
    const attention_shape& shape = program.shape();
    const index count = at.count, first = at.first;
    const arena::scope mark(scratch);
    T* buffer = scratch.take<T>(count * std::max(shape.dim, shape.value_dim));
    for_key_maps(program, at, true, buffer, [&](std::size_t m, const contiguous_rows<T>& keys) {
        pad_rows(keys, count, shape.dim, to.keys[m] + first * padded<T>(shape.dim));
        if (!panels) return;
        pack_panels(keys, count, shape.dim, to.key_panels[m] + first * shape.dim);
        const bool finite = all_finite(keys, count, shape.dim);
        to.finite[at.block] = finite && (m == 0 || to.finite[at.block]);
    });
    if (!panels) return;
    const auto values = rows_of(program.v, at.batch, at.kv_head, first, count, buffer);
    pack_panels(values, count, shape.value_dim, to.value_panels + first * shape.value_dim);
}

/// Memory for a block of queries is taken first, by one thread, and filled by any.
template <class T>
backward_queries<T> make_backward_queries(const attention_shape& shape, std::size_t maps,
                                          index count, arena& scratch) {
    return {take_tile<T>(shape, maps, count, scratch),
            take_rows<T, most_query_maps>(count, shape.dim, maps, scratch),
            scratch.take<T>(packed_size<T>(query_tile<T>::strip, count, shape.value_dim)),
            scratch.take<T>(count * padded<T>(shape.value_dim)),
            scratch.take<T>(count),
            take_rows<T, most_query_maps>(count + tiles.value_rows, shape.dim, maps, scratch),
            scratch.take<index>(1),
            {},
            true};
}

/// Packs a block of queries and their d_o, as padded rows alone without `strips`; dq begins at
/// zero.
template <class T>
void pack_backward_queries(const attention_program<T>& program, const tensor_view<const T, 4>& d_o,
                           const query_place& at, bool strips, backward_queries<T>& block,
                           arena& scratch) {
    const attention_shape& shape = program.shape();
    const index dim = shape.dim, value_dim = shape.value_dim, count = at.count;
    fill_tile(program, at, block.tile);
    block.seen = block.tile.seen_by_all();
    const auto sums = static_cast<std::size_t>((count + tiles.value_rows) * padded<T>(dim));
    for (std::size_t m = 0; m < program.source.query_map_count; ++m) {
        pad_rows({block.tile.plain[m], dim}, count, dim, block.queries[m]);
        std::fill_n(block.dq[m], sums, T(0));
    }

    const arena::scope mark(scratch);
    T* buffer = scratch.take<T>(count * value_dim);
    const auto gradients = rows_of(d_o, at.batch, at.head, at.first, count, buffer);
    pad_rows(gradients, count, value_dim, block.gradients);
    if (strips) {
        pack_strips(gradients, count, value_dim, block.gradient_strips);
        block.finite = all_finite(gradients, count, value_dim);
        for (std::size_t m = 0; m < program.source.query_map_count; ++m)
            block.finite = block.finite && all_finite<T>({block.tile.plain[m], dim}, count, dim);
    }
    *block.turn = block.seen.first / key_block<T>;
}

/// to[row, …] += Σ_k a[row, k]·b[k, …], `to` and b being padded rows of `width` numbers.
template <class T, class RowStride, class Step>
void add_product(index rows, const T* a, RowStride a_row, Step a_step, const T* b, index width,
                 index depth, T* to) {
    const index stride = padded<T>(width);
    multiply_columns(
        rows, a, a_row, a_step, contiguous_rows<T>{b, stride}, width, depth,
        [=]<int Vectors>(index r, index column, const vec<T>* sums) __attribute__((always_inline)) {
            unroll<Vectors>([&](int c) __attribute__((always_inline)) {
                T* at = to + r * stride + column + c * vec<T>::size;
                (vec<T>::load_aligned(at) + sums[c]).store_aligned(at);
            });
        });
}

/// to += weight·row, of padded rows.
template <class T>
void add_row(T weight, const T* row, index width, T* to) {
    for (index c = 0; c < width; c += vec<T>::size)
        fma(vec<T>(weight), vec<T>::load(row + c), vec<T>::load(to + c)).store(to + c);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
