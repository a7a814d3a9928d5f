#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/products/panels_of_keys.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// What forward reads, packed: the keys and values of a head, whole or a block at a time.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The keys and values of one head as the microkernels read them. Where few queries read a head,
/// its blocks are packed one after the other into the same memory, which the caches hold.
template <class T>
struct packed_head {
    key_maps<T*> key_panels;  ///< pack_panels, of each map
    T* padded_values;         ///< padded rows; null if v's own memory will do
    contiguous_rows<T> own_values;
    bool* finite_values;    ///< [blocks]: whether a block of v is free of NaN and infinities
    bool* moderate_values;  ///< [blocks]: whether no sum of weighted values can overflow
    index dim;
    index* streamed;  ///< the block that is packed now, −1 for none; null if all are

    /// The first key that is packed.
    index origin() const { return streamed == nullptr ? 0 : *streamed * key_block<T>; }
    /// The keys that are packed.
    panels_of_keys<T> keys() const { return {key_panels, origin(), dim}; }
    /// The values from a key on.
    contiguous_rows<T> values(index key) const {
        if (padded_values == nullptr) return {own_values[key], own_values.stride};
        return {padded_values + (key - origin()) * own_values.stride, own_values.stride};
    }
};

/// Memory for keys of a head as panels, of each map.
template <class T>
key_maps<T*> take_key_panels(index keys, index dim, std::size_t maps, arena& scratch) {
    key_maps<T*> panels{};
    for (std::size_t m = 0; m < maps; ++m)
        panels[m] = scratch.take<T>(packed_size<T>(panel_width<T>, keys, dim));
    return panels;
}

/// Memory for a head, or, `streamed`, for a block of it.
template <class T>
packed_head<T> make_packed_head(const attention_shape& shape, std::size_t maps, bool pads_values,
                                bool streamed, arena& scratch) {
    const index keys = streamed ? std::min(shape.keys, key_block<T>) : shape.keys;
    packed_head<T> head{take_key_panels<T>(keys, shape.dim, maps, scratch),
                        pads_values ? scratch.take<T>(keys * padded<T>(shape.value_dim)) : nullptr,
                        {},
                        scratch.take<bool>(count_blocks(shape.keys, key_block<T>)),
                        scratch.take<bool>(count_blocks(shape.keys, key_block<T>)),
                        shape.dim,
                        streamed ? scratch.take<index>(1) : nullptr};
    if (streamed) *head.streamed = -1;
    return head;
}

/// Where the values of a head will be once they are packed.
template <class T>
void locate_values(const tensor_view<const T, 4>& v, index batch, index kv_head,
                   packed_head<T>& head) {
    head.own_values = head.padded_values == nullptr
                          ? rows_of<T>(v, batch, kv_head, 0, v.extents[2], nullptr)
                          : contiguous_rows<T>{nullptr, padded<T>(v.extents[3])};
}

/// Keys first … first + count − 1 of a kv head, the `block`-th block.
struct key_place {
    index batch, kv_head;
    index block;
    index first, count;
};

/// A block of the `number`-th kv head of a call, [batch, kv_head].
template <class T>
key_place locate_keys(const attention_shape& shape, index number, index block) {
    const index first = block * key_block<T>;
    return {number / shape.kv_heads, number % shape.kv_heads, block, first,
            std::min(key_block<T>, shape.keys - first)};
}

/// Queries of the heads that read the `number`-th kv head, cut into blocks of `height`: the
/// `piece`-th of [head, block].
inline query_place locate_queries(const attention_shape& shape, index number, index piece,
                                  index height) {
    const index blocks = count_blocks(shape.queries, height);
    const index first = piece % blocks * height;
    const index head = number % shape.kv_heads * (shape.heads / shape.kv_heads) + piece / blocks;
    return {number / shape.kv_heads, head, first, std::min(height, shape.queries - first)};
}

/// f(map, keys prepared by it) for the maps that a block of keys takes, and for the first in any
/// case if `always`. The keys may be in `buffer`.
template <class T, class F>
void for_key_maps(const attention_program<T>& program, const key_place& at, bool always, T* buffer,
                  F&& f) {
    const row_source<T>& source = program.source;
    for (std::size_t m = 0; m < source.key_map_count; ++m) {
        const auto map = static_cast<encoding_map>(m);
        if (!(always && m == 0) && !source.takes(map, at.first, at.count)) continue;
        f(m, source.keys(at.batch, at.kv_head, at.first, at.count, map, buffer));
    }
}

/// Packs one block of keys and values.
template <class T>
void pack_block(const attention_program<T>& program, const key_place& at, const packed_head<T>& to,
                arena& scratch) {
    const attention_shape& shape = program.shape();
    const index count = at.count, first = at.first;
    const arena::scope mark(scratch);
    T* buffer = scratch.take<T>(count * std::max(shape.dim, shape.value_dim));
    for_key_maps(program, at, false, buffer, [&](std::size_t m, const contiguous_rows<T>& keys) {
        pack_panels(keys, count, shape.dim, to.key_panels[m] + (first - to.origin()) * shape.dim);
    });
    const auto values = rows_of(program.v, at.batch, at.kv_head, first, count, buffer);
    if (to.padded_values != nullptr)
        pad_rows(values, count, shape.value_dim,
                 to.padded_values + (first - to.origin()) * padded<T>(shape.value_dim));
    to.moderate_values[at.block] = all_moderate(values, count, shape.value_dim);
    to.finite_values[at.block] =
        to.moderate_values[at.block] || all_finite(values, count, shape.value_dim);
}

/// A block that a tile is about to read is packed, if it is not.
template <class T>
void open_block(const attention_program<T>& program, const query_tile<T>& tile, index block,
                const packed_head<T>& head, arena& scratch) {
    if (head.streamed == nullptr || *head.streamed == block) return;
    *head.streamed = block;
    const attention_shape& shape = program.shape();
    const index kv_head = tile.head / (shape.heads / shape.kv_heads);
    pack_block(program, locate_keys<T>(shape, tile.batch * shape.kv_heads + kv_head, block), head,
               scratch);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
