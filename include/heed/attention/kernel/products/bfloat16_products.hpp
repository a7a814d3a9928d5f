#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

#include <heed/attention/kernel/products/paired_products.hpp>
#include <heed/attention/kernel/products/row_keys.hpp>
#include <heed/attention/kernel/products/streamed_products.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/microkernel.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/simd/pairs.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>

/// \file
/// Products of bfloat16s by the instruction that takes pairs of them, where the machine has it.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// T is float; a template, so that it is compiled where it is used.
template <class T>
class bfloat16_products final : public paired_products<T> {
    static constexpr index size = vec<T>::size;

  public:
    void join_columns(const contiguous_rows<T>& rows, index count, index depth,
                      T* to) const override {
        for (index r = 0; r < count; ++r) {
            const T* from = rows[r];
            T* at = to + r * depth;
            index c = 0;
            for (; c + 2 * size <= depth; c += 2 * size)
                join_neighbours(vec<T>::load(from + c), vec<T>::load(from + c + size))
                    .store(at + c / 2);
            if (c == depth) continue;
            const index rest = depth - c;
            const vec<T> first = vec<T>::load_partial(from + c, rest);
            const vec<T> second =
                rest > size ? vec<T>::load_partial(from + c + size, rest - size) : vec<T>(T(0));
            join_neighbours(first, second).store_partial(at + c / 2, pairs_of(rest));
        }
    }

    void join_rows(const contiguous_rows<T>& rows, index count, index depth, T* to) const override {
        for (index r = 0; r < count; r += 2) {
            for (index c = 0; c < depth; c += size, to += size) {
                const vec<T> first = vec<T>::load_partial(rows[r] + c, depth - c);
                const vec<T> second =
                    r + 1 < count ? vec<T>::load_partial(rows[r + 1] + c, depth - c) : vec<T>(T(0));
                join_lanes(first, second).store(to);
            }
        }
    }

    void multiply_panel(const T* strips, index rows, const T* panel, index pairs, const T* factor,
                        T* to, index stride, T* lane_maximum) const override {
        if (factor == nullptr)
            multiply<false>(strips, rows, panel, pairs, factor, to, stride, lane_maximum);
        else
            multiply<true>(strips, rows, panel, pairs, factor, to, stride, lane_maximum);
    }

    const T* pack_row_queries(const contiguous_rows<T>& rows, index count, index dim, index row_dim,
                              arena& scratch) const override {
        const index row_quads = quads_of(row_dim), quads = row_quads + quads_of(dim - row_dim);
        auto* panels = scratch.take<double>(query_panels_size<double>(count, quads));
        const arena::scope mark(scratch);
        auto* all = scratch.take<double>(count * quads);
        std::fill_n(all, static_cast<std::size_t>(count * quads), 0.0);
        for (index r = 0; r < count; ++r) {
            const auto* from = reinterpret_cast<const std::byte*>(rows[r]);
            const auto bytes = [](index numbers) { return static_cast<std::size_t>(2 * numbers); };
            std::memcpy(all + r * quads, from, bytes(row_dim));
            std::memcpy(all + r * quads + row_quads, from + bytes(row_dim), bytes(dim - row_dim));
        }
        pack_query_panels<double>(all, count, quads, panels);
        return reinterpret_cast<const T*>(panels);
    }

    /// Two sums a query, of every other pair, the lanes of a quad, are added at the end: so eight
    /// queries fill a vector, and a number that is broadcast serves twice as many products.
    void multiply_row_keys(const T* queries, index count, const row_keys<T>& keys,
                           key_interval range, const key_interval* of_strips, const T* factor,
                           T* to, T* lane_maximum) const override {
        constexpr index width = panel_width<T>, lanes = vec<double>::size;
        const row_keys<double> quads{reinterpret_cast<const double*>(keys.rows),
                                     keys.stride / 2,
                                     quads_of(keys.row_dim),
                                     reinterpret_cast<const double*>(keys.panels),
                                     quads_of(keys.panel_dim),
                                     reinterpret_cast<const double*>(keys.next_rows)};
        alignas(64) array_of<double, width * panel_width<double>> products;
        for (index key = range.first; key < range.last; key += width) {
            const auto is_seen = [=](index strip) {
                return of_strips == nullptr ||
                       (of_strips[strip].first <= key && key < of_strips[strip].last);
            };
            for_query_panels<double>(count, [&]<int Vectors>(index first) {
                constexpr index columns = Vectors * lanes;
                const index last = std::min(first + columns, count);
                index strip = first / tiles.score_rows;
                while (strip * tiles.score_rows < last && !is_seen(strip)) ++strip;
                if (strip * tiles.score_rows >= last) return;
                multiply_query_panel<Vectors, width>(
                    rows_of_quads{reinterpret_cast<const double*>(queries) + first * quads.dim()},
                    quads, key, products);
                const auto* sums = reinterpret_cast<const T*>(products);
                turn_products<T>(
                    last - first,
                    [=](index of, index) __attribute__((always_inline)) {
                        const T* at = sums + of * 2 * columns;
                        const vec<T> low = vec<T>::load(at);
                        const vec<T> high = Vectors == 1 ? low : vec<T>::load(at + size);
                        return unzip<0>(low, high) + unzip<1>(low, high);
                    },
                    [=](index query, index of, vec<T> scores) __attribute__((always_inline)) {
                        const index r = first + query;
                        if (factor != nullptr) scores *= vec<T>(factor[r]);
                        scores.store(to + r * score_stride<T> + key + of);
                        if (lane_maximum != nullptr && is_seen(r / tiles.score_rows))
                            raise_lane_maximum<1>(&scores, lane_maximum + r * size);
                    });
            });
        }
    }

    T join_weights(T* row, key_interval range, bool of_squares) const override {
        const vec<T> ones = join_lanes(vec<T>(T(1)), vec<T>(T(1)));
        vec<T> sum(T(0));
        for (index j = range.first; j < range.last; j += 2 * size) {
            const vec<T> pairs =
                join_neighbours(vec<T>::load(row + j), vec<T>::load(row + j + size));
            pairs.store(row + j / 2);
            sum = multiply_pairs(pairs, of_squares ? pairs : ones, sum);
        }
        return reduce_add(sum);
    }

    void add_values(const T* weights, index rows, index pairs, const contiguous_rows<T>& values,
                    index value_dim, const T* factor, T* output,
                    index output_stride) const override {
        multiply_columns(
            rows, weights, fixed<score_stride<T>>(), fixed<1>(),
            contiguous_pairs{{values.data}, values.stride}, value_dim, pairs,
            [=]<int Vectors>(index r, index column, const vec<T>* sums)
                __attribute__((always_inline)) {
                    T* to = output + r * output_stride + column;
                    const vec<T> shrink(factor[r]);
                    unroll<Vectors>([&](int c) __attribute__((always_inline)) {
                        T* at = to + c * size;
                        fma(vec<T>::load_aligned(at), shrink, sums[c]).store_aligned(at);
                    });
                });
    }

    void add_seen_values(const T* weights, const bool* sees, index pairs,
                         const contiguous_rows<T>& values, index value_dim, T factor,
                         T* output) const override {
        for (index column = 0; column < value_dim; column += size) {
            vec<T> sum(T(0));
            for (index p = 0; p < pairs; ++p) {
                const bool first = sees[2 * p], second = sees[2 * p + 1];
                if (!first && !second) continue;
                const vec<T> seen = keep_of_pairs(vec<T>::load(values[p] + column), first, second);
                sum = multiply_pairs(vec<T>(weights[p]), seen, sum);
            }
            fma(vec<T>::load(output + column), vec<T>(factor), sum).store(output + column);
        }
    }

  private:
    template <bool Scales>
    static void multiply(const T* strips, index rows, const T* panel, index pairs, const T* factor,
                         T* to, index stride, T* lane_maximum) {
        constexpr int vectors = tiles.score_vectors;
        multiply_rows<tiles.score_rows, vectors>(
            rows, strips, tiles.score_rows * pairs, fixed<1>(), fixed<tiles.score_rows>(),
            rows_of_pairs{panel}, fixed<panel_width<T>>(),
            pairs, [=](index r, const vec<T>* products) __attribute__((always_inline)) {
                array_of<vec<T>, vectors> scores;
                unroll<vectors>([&](int c) __attribute__((always_inline)) {
                    scores[c] = products[c];
                    if constexpr (Scales) scores[c] *= vec<T>(factor[r]);
                    scores[c].store(to + r * stride + c * size);
                });
                raise_lane_maximum<vectors>(scores, lane_maximum + r * size);
            });
    }
};

/// What computes the products of tensors of S in pairs; null where the machine does not.
template <class T, class S>
const paired_products<T>* products_of() {
    if constexpr (is_multiplied_by_pairs<S>) {
        static constexpr bfloat16_products<T> products{};
        return &products;
    } else {
        return nullptr;
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
