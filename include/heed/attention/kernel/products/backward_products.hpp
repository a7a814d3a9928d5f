#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/products/block_view.hpp>
#include <heed/attention/kernel/products/encoding_maps.hpp>
#include <heed/attention/kernel/products/packed_backward.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/products/rectified_products.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/wanted_gradients.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// The three products of backward out of a tile and a block of keys, once p and ds are known:
/// dq += ds·k, dv += pᵀ·d_o, dk += dsᵀ·q.

namespace heed::inline HEED_ARCHITECTURE::detail {

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

/// The products of one tile and block. p and ds are rows `stride` apart (an index, or fixed<…>),
/// column 0 of which is the block's first key; what is not seen is 0 in both. dk and dv are those
/// of the block's first key.
template <class T, class Stride>
struct backward_products {
    const attention_program<T>& program;
    const backward_queries<T>& queries;
    const key_maps<T*>& keys;  ///< of the head, padded rows
    const block_view<T>& block;
    key_interval all;  ///< the keys of the block that any row sees
    const T* p;
    T* ds;
    Stride stride;
    T* mixed;  ///< what rectified_products keeps of ds; null without such an encoding
    key_maps<T*> dk;
    T* dv;
    gradient_choice wanted;  ///< of dq, dk and dv

    void add_to_queries() const {
        if (!wanted.q) return;
        if (program.source.is_rectified()) return rectified().add_to_queries(keys, queries.dq);
        const query_tile<T>& tile = queries.tile;
        const index dim = program.shape().dim, width = padded<T>(dim);
        for (index s = 0; s < tile.strip_count(); ++s) {
            const index first = s * tile.strip;
            const key_interval range{block.range[s].first, std::min(block.range[s].last, all.last)};
            if (range.first >= range.last) continue;
            add_product(std::min(tile.strip, tile.count - first), ds + first * stride + range.first,
                        stride, fixed<1>(), keys[0] + (block.first + range.first) * width, dim,
                        range.last - range.first, queries.dq[0] + first * width);
        }
    }

    /// After add_to_queries.
    void add_to_keys() const {
        const bool is_rectified = program.source.is_rectified();
        const index dim = program.shape().dim, width = padded<T>(dim);
        const index value_dim = program.shape().value_dim, value_width = padded<T>(value_dim);
        for_key_chunks(
            queries.tile, block, all, [&](index key, index count, index row, index rows) {
                const index at = row * stride + key;
                if (wanted.v)
                    add_product(count, p + at, fixed<1>(), stride,
                                queries.gradients + row * value_width, value_dim, rows,
                                dv + key * value_width);
                if (wanted.k && !is_rectified)
                    add_product(count, ds + at, fixed<1>(), stride,
                                queries.queries[0] + row * width, dim, rows, dk[0] + key * width);
            });
        if (wanted.k && is_rectified) rectified().add_to_keys(queries.queries, dk);
    }

    /// All three where there are NaN or infinities: only what is seen is added, since 0·NaN is NaN.
    /// list_seen(r, sees) marks keys of the block, and returns between which they lie.
    template <class ListSeen>
    void add_seen(ListSeen&& list_seen, arena& scratch) const {
        const attention_shape& shape = program.shape();
        const query_tile<T>& tile = queries.tile;
        const index width = padded<T>(shape.dim), value_width = padded<T>(shape.value_dim);
        const std::size_t maps = program.source.query_map_count;
        const arena::scope mark(scratch);
        bool* sees = scratch.template take<bool>(key_block<T>);
        const auto row_sum = take_rows<T, most_query_maps>(1, shape.dim, maps, scratch);
        for (index r = 0; r < tile.count; ++r) {
            const key_interval range = list_seen(r, sees);
            if (range.first >= range.last) continue;
            for (std::size_t m = 0; m < maps; ++m)
                std::fill_n(row_sum[m], static_cast<std::size_t>(width), T(0));
            for (index j = range.first; j < range.last; ++j) {
                if (!sees[j]) continue;
                const T of_p = p[r * stride + j], of_ds = ds[r * stride + j];
                const encoding_map map = map_of(program, tile.rows[r], block.first + j);
                const std::size_t query = query_map(map), key = key_map(map);
                if (wanted.q)
                    add_row(of_ds, keys[key] + (block.first + j) * width, shape.dim,
                            row_sum[query]);
                if (wanted.v)
                    add_row(of_p, queries.gradients + r * value_width, shape.value_dim,
                            dv + j * value_width);
                if (wanted.k)
                    add_row(of_ds, queries.queries[query] + r * width, shape.dim,
                            dk[key] + j * width);
            }
            for (std::size_t m = 0; m < maps && wanted.q; ++m)
                for (index c = 0; c < shape.dim; ++c) queries.dq[m][r * width + c] += row_sum[m][c];
        }
    }

  private:
    rectified_products<T, Stride> rectified() const {
        return {program, queries.tile, block, all, ds, stride, mixed};
    }
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
