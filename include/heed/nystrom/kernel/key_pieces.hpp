#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <heed/attention/kernel/call/call.hpp>
#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/kernel/online/forward.hpp>
#include <heed/attention/kernel/online/weight_rule.hpp>
#include <heed/attention/kernel/program/make_program.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/part.hpp>
#include <heed/attention/stats.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/view.hpp>
#include <heed/nystrom/kernel/segments.hpp>
#include <heed/softmax/softmax.hpp>

/// \file
/// Exact attention of few queries over many keys, piece by piece of the keys.
///
/// Built for the caches: attention packs all keys of a head before its queries pass them, which
/// pays where queries are many. With some 64 of them what is packed should still be in the cache
/// when they come.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Keys of a piece: a head's, packed and as they are, lie in the last cache, and a call for so many
/// costs little beside them. Pieces begin at multiples of it.
inline constexpr index keys_a_piece = 2048;

/// A row over two pieces: o = (a·o + b·o')/(a + b), a and b the pieces' sums of e^{s/τ} below one
/// maximum.
template <class T>
void merge_row(T* o, index step, softmax_statistics<T>& row, const T* other_o,
               const softmax_statistics<T>& other, index columns, double temperature) {
    if (other.sum == T(0)) return;
    const double maximum =
        std::max(static_cast<double>(row.maximum), static_cast<double>(other.maximum));
    const auto weight = [&](const softmax_statistics<T>& of) {
        if (of.sum == T(0)) return 0.0;
        return static_cast<double>(of.sum) *
               std::exp((static_cast<double>(of.maximum) - maximum) / temperature);
    };
    const double a = weight(row), b = weight(other), sum = a + b;
    const vec<T> of_row(static_cast<T>(a / sum)), of_other(static_cast<T>(b / sum));
    for (index c = 0; c < columns; c += vec<T>::size) {
        const vec<T> x = load_columns<T>(o, step, c, columns - c) * of_row;
        const vec<T> y = vec<T>::load_partial(other_o + c, columns - c);
        store_columns(fma(y, of_other, x), o, step, c, columns - c);
    }
    row = {static_cast<T>(maximum), static_cast<T>(sum)};
}

/// Rows first … first + count − 1 of every head.
template <class T>
tensor_view<const T, 4> rows_from(tensor_view<const T, 4> x, index first, index count) {
    x.data += first * x.strides[2];
    x.extents[2] = count;
    return x;
}

/// o = attention(q, k, v, parts…), whose normaliser is softmax; fills `kept`, the stats of a call
/// with these parts, unless it is null.
template <class T, class Stats, class... Parts>
void attend_in_pieces(const tensor_view<T, 4>& o, Stats* kept, const tensor_view<const T, 4>& q,
                      const tensor_view<const T, 4>& k, const tensor_view<const T, 4>& v,
                      const Parts&... parts) {
    using statistics = softmax_statistics<T>;
    const attention_call<T, Parts...> all(q, k, v, parts...);
    all.template resolve<role::normaliser>([&](const auto&... chosen) {
        const softmax_normaliser& normaliser =
            unwrap(the_part<role::normaliser>(softmax, chosen...));
        arena& own = all.memory().slot(0);
        const arena::scope mark(own);
        const index heads = all.shape.heads, queries = all.shape.queries, columns = v.extents[3];
        const index rows = all.shape.batch * heads * queries;
        auto* stats = kept == nullptr ? nullptr : &open_stats<softmax_normaliser>(*kept);
        statistics* of_all =
            stats != nullptr ? stats->begin(all.shape, normaliser) : own.take<statistics>(rows);
        statistics* of_piece = own.take<statistics>(rows);
        const tensor_view<T, 4> piece{own.take<T>(rows * columns), o.extents,
                                      row_major_strides(o.extents)};
        const weight_rule_of<T, softmax_normaliser, false> weights(normaliser);
        for (index first = 0; first < all.shape.keys; first += keys_a_piece) {
            const index count = std::min(keys_a_piece, all.shape.keys - first);
            const attention_call<T, Parts...> call(q, rows_from(k, first, count),
                                                   rows_from(v, first, count), parts...);
            const arena::scope until_the_end(own);
            const attention_program<T> program = make_program<T, false>(call, own);
            const bool is_first = first == 0;
            forward(program, weights, is_first ? o : piece,
                    reinterpret_cast<std::byte*>(is_first ? of_all : of_piece));
            for (index row = 0; row < rows && !is_first; ++row)
                merge_row(&o(row / queries / heads, row / queries % heads, row % queries, 0),
                          o.strides[3], of_all[row], piece.data + row * columns, of_piece[row],
                          columns, normaliser.tau());
        }
        if (stats != nullptr) stats->end(all.shape);
    });
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
