#pragma once

#include <algorithm>

#include <heed/attention/kernel/products/block_view.hpp>
#include <heed/attention/kernel/products/encoding_maps.hpp>
#include <heed/attention/kernel/products/packed_backward.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// Backward of a tile under a rectified position encoding: dq = ds·k and dk = dsᵀ·q, each score
/// with the rows of q and k that its map made.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The products of one tile with the gradient `ds` of its scores, column 0 of which is the first
/// key of the block. Most panels take one map; of those that take several, `mixed` (as large as ds)
/// keeps the numbers while ds has one map's, and 0 for the others.
template <class T, class Stride>
struct rectified_products {
    const attention_program<T>& program;
    const query_tile<T>& tile;
    const block_view<T>& block;
    key_interval all;  ///< the keys of the block that any row sees
    T* ds;
    Stride stride;
    T* mixed;

    /// dq[map] += ds·keys[map]
    void add_to_queries(const key_maps<T*>& keys, const query_maps<T*>& dq) const {
        const index width = padded<T>(program.shape().dim);
        for_each_panel([&](index s, index key) { copy_panel(s, key); });
        for (const encoding_map map : all_encoding_maps) {
            leave(map);
            for (index s = 0; s < tile.strip_count(); ++s) {
                const index first_row = s * tile.strip;
                const key_interval range = taken_by_strip(s, map);
                if (range.first >= range.last) continue;
                add_product(std::min(tile.strip, tile.count - first_row),
                            ds + first_row * stride + range.first, stride, fixed<1>(),
                            keys[key_map(map)] + (block.first + range.first) * width,
                            program.shape().dim, range.last - range.first,
                            dq[query_map(map)] + first_row * width);
            }
        }
    }

    /// dk[map] += dsᵀ·queries[map]; after add_to_queries.
    void add_to_keys(const query_maps<T*>& queries, const key_maps<T*>& dk) const {
        const index width = padded<T>(program.shape().dim);
        for (const encoding_map map : all_encoding_maps) {
            leave(map);
            for (index key = all.first / panel_width<T> * panel_width<T>; key < all.last;
                 key += panel_width<T>) {
                index first = tile.strip_count(), last = 0;
                for (index s = 0; s < tile.strip_count(); ++s) {
                    if (!block.maps_of(s, key).has(map)) continue;
                    first = std::min(first, s);
                    last = s + 1;
                }
                if (first >= last) continue;
                const index first_row = first * tile.strip;
                add_product(std::min(panel_width<T>, all.last - key), ds + first_row * stride + key,
                            fixed<1>(), stride, queries[query_map(map)] + first_row * width,
                            program.shape().dim,
                            std::min(last * tile.strip, tile.count) - first_row,
                            dk[key_map(map)] + key * width);
            }
        }
    }

  private:
    /// f(strip, key) for the panels that take several maps.
    template <class F>
    void for_each_panel(F&& f) const {
        for (index s = 0; s < tile.strip_count(); ++s)
            for (index key = all.first / panel_width<T> * panel_width<T>; key < all.last;
                 key += panel_width<T>)
                if (block.maps_of(s, key).is_mixed()) f(s, key);
    }

    void copy_panel(index s, index key) const {
        for_each_vector(s, key, [&](index, index at) { vec<T>::load(ds + at).store(mixed + at); });
    }

    /// Leaves the gradients of the scores that take this map in ds.
    void leave(encoding_map map) const {
        for_each_panel([&](index s, index key) {
            if (!block.maps_of(s, key).has(map)) return;
            for_each_vector(s, key, [&](index r, index at) {
                const auto keys =
                    make_lanes<T>(program.place, tile.batch, block.first + at - r * stride);
                select(take_map<T>(program.source.window, tile.rows[r], keys, map),
                       vec<T>::load(mixed + at), vec<T>(T(0)))
                    .store(ds + at);
            });
        });
    }

    template <class F>
    void for_each_vector(index s, index key, F&& f) const {
        const index last = std::min((s + 1) * tile.strip, tile.count);
        for (index r = s * tile.strip; r < last; ++r)
            for (index c = 0; c < panel_width<T>; c += vec<T>::size) f(r, r * stride + key + c);
    }

    /// The keys of a strip's panels that take this map.
    key_interval taken_by_strip(index s, encoding_map map) const {
        const auto [begin, end] = block.range[s];
        key_interval taken{end, begin};
        for (index key = begin; key < end; key += panel_width<T>) {
            if (!block.maps_of(s, key).has(map)) continue;
            taken.first = std::min(taken.first, key);
            taken.last = key + panel_width<T>;
        }
        taken.last = std::min(taken.last, all.last);
        return taken;
    }
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
