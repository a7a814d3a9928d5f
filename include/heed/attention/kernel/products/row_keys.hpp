#pragma once

#include <algorithm>
#include <cstdint>

#include <heed/attention/kernel/products/streamed_products.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/microkernel.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>

/// \file
/// The product q·kᵀ with a query a lane, for keys that lie as rows: those that begin with their
/// values, of which a page has rows for p·v and no panels.
///
/// Built for the peak of the multiply-add units. Few queries do not pay for turning many keys: so
/// the queries are the panels, once for all blocks, a key's numbers are broadcast, and the products
/// of a panel of keys are turned, which are as few as the queries. Each product is the same chain
/// of multiply-adds over the same factors as in products/scores.hpp, with the same bits.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Keys from the first of a block on: rows of their first numbers, then panels of the others. T may
/// stand for several numbers.
template <class T>
struct row_keys {
    const T* rows;
    index stride;
    index row_dim;
    const T* panels;
    index panel_dim;
    const T* next_rows = nullptr;  ///< where the next block's lie, if this one's are in a cache

    index dim() const { return row_dim + panel_dim; }
};

/// Numbers that `count` queries take as panels, a query a lane: whole panels, and a vector for each
/// vector of queries that is left.
template <class T>
constexpr index query_panels_size(index count, index dim) {
    return packed_size<T>(vec<T>::size, count, dim);
}

/// f<Vectors>(first query) for each of those panels.
template <class T, class F>
void for_query_panels(index count, F&& f) {
    index first = 0;
    for (; first + panel_width<T> <= count; first += panel_width<T>)
        f.template operator()<tiles.score_vectors>(first);
    for (; first < count; first += vec<T>::size) f.template operator()<1>(first);
}

/// Packs rows of `dim` numbers so.
template <class T>
void pack_query_panels(const T* rows, index count, index dim, T* panels) {
    for_query_panels<T>(count, [&]<int Vectors>(index first) {
        constexpr index width = Vectors * vec<T>::size;
        pack_transposed<width>(rows + first * dim, dim, std::min(width, count - first), dim,
                               panels + first * dim);
    });
}

/// The stride of a panel of queries, at each step of which cache lines are fetched of the keys that
/// are met next: those come from far, and side by side in too many rows for a processor to foresee.
template <class T, index Width>
struct fetching_keys {
    const T* queries;     ///< where the steps begin
    std::uintptr_t from;  ///< what is fetched first: a number, as it may lie beyond what there is

    constexpr operator index() const { return Width; }
};
template <int Columns, class Row, class T, index Width>
[[gnu::always_inline]] inline void fetch_ahead(const Row& row, const fetching_keys<T, Width>& by) {
    constexpr index line = 64;
    constexpr index a_step = tiles.score_rows * static_cast<index>(sizeof(T));
    constexpr int lines = static_cast<int>(count_blocks(a_step, line));
    const index step = (memory_of(row) - by.queries) / Width;
    unroll<lines>([&](int l) __attribute__((always_inline)) {
        const auto ahead = static_cast<std::uintptr_t>((step * lines + l) * line);
        prefetch(reinterpret_cast<const void*>(by.from + ahead));
    });
}

/// The products of a panel of Width keys with Vectors vectors of queries: to[key][query].
template <int Vectors, index Width, class Queries, class T>
void multiply_query_panel(Queries queries, const row_keys<T>& keys, index key, T* to) {
    constexpr index size = vec<T>::size, width = Width, columns = Vectors * size;
    constexpr index height = tiles.score_rows, rest = width % height;
    static_assert(3 * rest % height == 0, "a panel of keys is whole tiles, none too high");
    const auto store = [=](index r, const vec<T>* products) __attribute__((always_inline)) {
        unroll<Vectors>([&](int c) __attribute__((always_inline)) {
            products[c].store_aligned(to + r * columns + c * size);
        });
    };
    for (index first = 0; first < width; first += height) {
        const index offset = (key + first) * keys.stride;
        const T* const rows = keys.rows + offset;
        const auto next = keys.next_rows != nullptr
                              ? reinterpret_cast<std::uintptr_t>(keys.next_rows + offset)
                              : reinterpret_cast<std::uintptr_t>(rows) +
                                    static_cast<std::uintptr_t>(width * keys.stride) * sizeof(T);
        multiply_rows<height, Vectors>(
            std::min(height, width - first), rows, index(0), keys.stride, fixed<1>(), queries,
            fetching_keys<T, columns>{memory_of(queries), next},
            keys.row_dim, [=](index r, const vec<T>* products) __attribute__((always_inline)) {
                store(first + r, products);
            });
    }
    if (keys.panel_dim == 0) return;
    multiply_rows<height, Vectors>(
        width, keys.panels + key * keys.panel_dim, height, fixed<1>(), fixed<width>(),
        queries + keys.row_dim * columns, fixed<columns>(), keys.panel_dim,
        store, [=](index r) __attribute__((always_inline)) { return to + r * columns; });
}

/// The products of a panel of keys with `count` queries, read(key, first query) being a vector of
/// one key's, a query a lane, are turned: finish(query, first key, vector) gets them a key a lane.
template <class T, class Read, class Finish>
[[gnu::always_inline]] inline void turn_products(index count, Read read, Finish finish) {
    constexpr index size = vec<T>::size;
    for (index first = 0; first < count; first += size)
        for (index key = 0; key < panel_width<T>; key += size) {
            array_of<vec<T>, size> block;
            unroll<size>([&](int l)
                             __attribute__((always_inline)) { block[l] = read(key + l, first); });
            transpose(block);
            for (index r = 0; r < std::min(size, count - first); ++r)
                finish(first + r, key, block[r]);
        }
}

/// to[r, key] = the products of `count` packed queries with the keys of a range of panels, rows
/// score_stride apart; the largest of each lane so far, a vector a row, unless null.
template <class T>
void multiply_row_keys(const T* queries, index count, const row_keys<T>& keys, key_interval range,
                       T* to, T* lane_maximum) {
    constexpr index size = vec<T>::size, width = panel_width<T>;
    alignas(64) array_of<T, width * width> products;
    for (index key = range.first; key < range.last; key += width)
        for_query_panels<T>(count, [&]<int Vectors>(index first) {
            multiply_query_panel<Vectors, width>(queries + first * keys.dim(), keys, key, products);
            turn_products<T>(
                std::min(Vectors * size, count - first),
                [&](index of, index query) __attribute__((always_inline)) {
                    return vec<T>::load_aligned(products + of * Vectors * size + query);
                },
                [=](index r, index of, vec<T> scores) __attribute__((always_inline)) {
                    scores.store(to + (first + r) * score_stride<T> + key + of);
                    raise_lane_maximum<1>(&scores, lane_maximum == nullptr
                                                       ? nullptr
                                                       : lane_maximum + (first + r) * size);
                });
        });
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
