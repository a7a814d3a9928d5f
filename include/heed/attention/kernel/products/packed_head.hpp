#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/products/key_blocks.hpp>
#include <heed/attention/kernel/products/panels_of_keys.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/products/row_keys.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// What forward reads: the keys and values of a head, packed whole or opened a block at a time.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The keys and values of one head as the microkernels read them: all of them packed, or, where few
/// queries read a head or a cache holds it, one block after the other opened.
template <class T>
struct packed_head {
    key_maps<T*> key_panels;  ///< pack_panels, of each map
    T* padded_values;         ///< padded rows; null if v's own memory will do
    contiguous_rows<T> own_values;
    bool* finite_values;     ///< [blocks]: whether a block of v is free of NaN and infinities
    bool* moderate_values;   ///< [blocks]: whether no sum of weighted values can overflow
    index dim;               ///< numbers of a packed key
    head_block<T>* open;     ///< the block that was opened last; null if all are packed
    index values_a_row = 1;  ///< values whose numbers lie in one padded row: 2 of pairs

    /// The keys that may be read.
    panels_of_keys<T> keys() const {
        if (open == nullptr) return {key_panels, 0, dim};
        return {open->key_panels, open->number * key_block<T>, dim};
    }
    /// The keys of the open block where they are read as rows.
    row_keys<T> rows() const {
        return {open->key_rows,   own_values.stride / values_a_row,
                open->shared_dim, open->other_keys,
                open->other_dim,  open->next_rows};
    }
    /// What is known of a block that may be read, or was: whether its values are finite, and
    /// whether no sum of them can overflow.
    bool is_finite(index block) const {
        return open == nullptr ? finite_values[block] : open->finite;
    }
    bool is_moderate(index block) const {
        return open == nullptr ? moderate_values[block] : open->all_moderate;
    }
    /// The values from a key on.
    contiguous_rows<T> values(index key) const {
        const index stride = own_values.stride;
        if (open != nullptr && open->values != nullptr)
            return {open->values + (key - open->number * key_block<T>) / values_a_row * stride,
                    stride};
        if (padded_values == nullptr) return {own_values[key], stride};
        return {padded_values + key / values_a_row * stride, stride};
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

/// How many values lie in one padded row.
template <class T>
index values_a_row(const attention_program<T>& program) {
    return program.pairs == nullptr ? 1 : 2;
}

/// Whether v's own memory will do for the products.
template <class T>
bool reads_own_values(const attention_program<T>& program) {
    return program.pairs == nullptr && are_padded(program.v);
}

/// Memory for a head whose blocks are all packed.
template <class T>
packed_head<T> make_packed_head(const attention_program<T>& program, arena& scratch) {
    const attention_shape& shape = program.shape();
    const index blocks = count_blocks(shape.keys, key_block<T>);
    packed_head<T> head{
        take_key_panels<T>(shape.keys, program.packed_dim(), program.source.key_map_count, scratch),
        nullptr,
        {},
        scratch.take<bool>(blocks),
        scratch.take<bool>(blocks),
        program.packed_dim(),
        nullptr,
        values_a_row(program)};
    if (!reads_own_values(program))
        head.padded_values = scratch.take<T>(count_blocks(shape.keys, head.values_a_row) *
                                             padded<T>(shape.value_dim));
    return head;
}

/// Memory for one whose blocks are opened one after the other; of a cache's, what is wanted.
template <class T>
packed_head<T> make_open_head(const attention_program<T>& program, arena& scratch,
                              block_part wanted = block_part::all) {
    const attention_shape& shape = program.shape();
    packed_head<T> head{{},
                        nullptr,
                        {},
                        nullptr,
                        nullptr,
                        program.packed_dim(),
                        &scratch.make<head_block<T>>(),
                        values_a_row(program)};
    if (program.cache != nullptr) {
        *head.open = program.cache->take(scratch, wanted, program.pairs != nullptr);
        head.own_values.stride = padded<T>(shape.value_dim);
        return head;
    }
    const index keys = std::min(shape.keys, key_block<T>);
    head.open->key_panels =
        take_key_panels<T>(keys, program.packed_dim(), program.source.key_map_count, scratch);
    if (!reads_own_values(program))
        head.open->values =
            scratch.take<T>(count_blocks(keys, head.values_a_row) * padded<T>(shape.value_dim));
    return head;
}

/// Where the values of a head are, or will be once they are packed.
template <class T>
void locate_values(const attention_program<T>& program, index batch, index kv_head,
                   packed_head<T>& head) {
    const auto& v = program.v;
    head.own_values = reads_own_values(program)
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

/// Packs a block of keys, its first at `panels`, and of values, its first at `padded_values` unless
/// that is null; tells what is known of it.
template <class T>
void pack_block(const attention_program<T>& program, const key_place& at,
                const key_maps<T*>& panels, T* padded_values, bool& finite, bool& moderate,
                arena& scratch) {
    const attention_shape& shape = program.shape();
    const index count = at.count, first = at.first;
    const arena::scope mark(scratch);
    T* buffer = scratch.take<T>(count * std::max(shape.dim, shape.value_dim));
    for_key_maps(program, at, false, buffer, [&](std::size_t m, contiguous_rows<T> keys) {
        if (program.pairs != nullptr) {
            program.pairs->join_columns(keys, count, shape.dim, buffer);
            keys = {buffer, shape.dim};
        }
        pack_panels(keys, count, program.packed_dim(), panels[m]);
    });
    const auto values = rows_of(program.v, at.batch, at.kv_head, first, count, buffer);
    if (program.pairs != nullptr)
        program.pairs->join_rows(values, count, shape.value_dim, padded_values);
    else if (padded_values != nullptr)
        pad_rows(values, count, shape.value_dim, padded_values);
    moderate = all_moderate(values, count, shape.value_dim);
    finite = moderate || all_finite(values, count, shape.value_dim);
}

/// Packs one block of a head whose blocks are all packed.
template <class T>
void pack_block(const attention_program<T>& program, const key_place& at, const packed_head<T>& to,
                arena& scratch) {
    key_maps<T*> panels = to.key_panels;
    for (std::size_t m = 0; m < program.source.key_map_count; ++m) panels[m] += at.first * to.dim;
    T* values = to.padded_values;
    if (values != nullptr)
        values += at.first / to.values_a_row * padded<T>(program.shape().value_dim);
    pack_block(program, at, panels, values, to.finite_values[at.block],
               to.moderate_values[at.block], scratch);
}

/// A block that a tile is about to read is found, and known, if it is not yet; that of a tensor is
/// packed.
template <class T>
void find_block(const attention_program<T>& program, const query_tile<T>& tile, index number,
                const packed_head<T>& head, arena& scratch) {
    if (head.open == nullptr || head.open->number == number) return;
    head_block<T>& block = *head.open;
    const attention_shape& shape = program.shape();
    const index kv_head = tile.head / (shape.heads / shape.kv_heads);
    block.number = number;
    if (program.cache != nullptr) return program.cache->find(tile.batch, kv_head, number, block);
    const index head_number = tile.batch * shape.kv_heads + kv_head;
    bool moderate = true;
    pack_block(program, locate_keys<T>(shape, head_number, number), block.key_panels, block.values,
               block.finite, moderate, scratch);
    block.all_moderate = block.all_moderate && moderate;
    block.is_ready = true;
}

/// A block that a tile is about to read is found, and its numbers are T.
template <class T>
void open_block(const attention_program<T>& program, const query_tile<T>& tile, index number,
                const packed_head<T>& head, arena& scratch) {
    find_block(program, tile, number, head, scratch);
    if (head.open != nullptr && !head.open->is_ready) program.cache->make_ready(*head.open);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
