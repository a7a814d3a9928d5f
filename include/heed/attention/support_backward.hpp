#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <tuple>
#include <utility>

#include <heed/attention/backward_rows.hpp>
#include <heed/attention/backward_tile.hpp>
#include <heed/attention/call.hpp>
#include <heed/attention/learning.hpp>
#include <heed/attention/query_tile.hpp>
#include <heed/attention/rows.hpp>
#include <heed/attention/support.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>

/// \file
/// Backward of a sparse attention where forward kept the supports: nothing else is touched.
///
/// With p a row's probabilities, g the normaliser's weights of them, all sums over the support:
///
///     dp = d_o·vᵀ   ds = g ⊙ (dp − Σg·dp/Σg)   dq = ds·k   dk += dsᵀ·q   dv += pᵀ·d_o
///
/// Built for the caches: a few dozen rows of k and v a query, read where they lie.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// a·b of padded rows.
template <class T>
T dot_padded(const T* a, const T* b, index width) {
    constexpr index size = vec<T>::size;
    vec<T> even(T(0)), odd(T(0));
    index c = 0;
    for (; c + 2 * size <= width; c += 2 * size) {
        even = fma(vec<T>::load(a + c), vec<T>::load(b + c), even);
        odd = fma(vec<T>::load(a + c + size), vec<T>::load(b + c + size), odd);
    }
    if (c < width) even = fma(vec<T>::load(a + c), vec<T>::load(b + c), even);
    return reduce_add(even + odd);
}

/// dp of a support, in place, becomes the gradient of its scores.
template <class T, class Kernel>
void normalise_support_back(const Kernel& normaliser, const row_support<T>& support, T* dp) {
    constexpr index size = vec<T>::size;
    const vec<T> zero(T(0));
    vec<T> origin(zero);
    if constexpr (requires { normaliser.origin(dp, dp, index(0)); })
        origin = vec<T>(normaliser.origin(support.probabilities, dp, support.count));
    const auto weight = [&](index s) {
        const vec<T> p = vec<T>::load_partial(support.probabilities + s, support.count - s);
        return select(p > zero, normaliser.weight(p), zero);
    };
    const auto gradient = [&](index s) {
        return vec<T>::load_partial(dp + s, support.count - s) - origin;
    };
    vec<T> weights = zero, weighted = zero;
    for (index s = 0; s < support.count; s += size) {
        const vec<T> g = weight(s);
        weights += g;
        weighted = fma(g, gradient(s), weighted);
    }
    const vec<T> mean(reduce_add(weighted) / reduce_add(weights));
    for (index s = 0; s < support.count; s += size)
        (weight(s) * (gradient(s) - mean)).store_partial(dp + s, support.count - s);
}

/// The gradient of one score, a key of a row, on its way back through the modifiers; `product` is
/// q·k before them.
template <class T, class Call>
T modify_back(const Call& call, const call_positions& where, const query_row& row, index key,
              T product, T gradient) {
    constexpr std::size_t count =
        std::tuple_size_v<std::remove_cvref_t<decltype(call.modifiers())>>;
    const auto modifiers = call.bound_modifiers(row);
    auto keys = make_lanes<T>(call, where, row.batch, key);
    keys.count = 1;
    std::array<vec<T>, count + 1> stage;
    stage[0] = vec<T>(product);
    vec<T> g(gradient);
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        ((stage[I + 1] = std::get<I>(modifiers)(stage[I], keys)), ...);
        ((g = multiply_derivative<T>(std::get<count - 1 - I>(call.modifiers()),
                                     std::get<count - 1 - I>(modifiers), stage[count - 1 - I],
                                     stage[count - I], keys, g)),
         ...);
    }
    (std::make_index_sequence<count>{});
    T result;
    g.store_partial(&result, 1);
    return result;
}

/// One row: ds from its support, and dq.
template <class T, class Call, class Kernel>
void differentiate_support(const Call& call, const call_positions& where, const Kernel& normaliser,
                           const backward_queries<T>& queries, index r, const key_maps<T*>& keys,
                           const contiguous_rows<T>& values, const row_support<T>& support, T* ds) {
    const index width = padded<T>(call.shape.dim);
    const index value_width = padded<T>(call.shape.value_dim);
    const T* d_o = queries.gradients + r * value_width;
    for (index s = 0; s < support.count; ++s)
        ds[s] = dot_padded(d_o, values[support.positions[s]], value_width);
    normalise_support_back(normaliser, support, ds);
    for (index s = 0; s < support.count; ++s) {
        const index at = support.positions[s];
        const encoding_map map = map_of(call, where, queries.tile.rows[r], at);
        const T* query = queries.queries[query_map(map)] + r * width;
        const T* key = keys[key_map(map)] + at * width;
        if constexpr (!Call::only_adds)
            ds[s] = modify_back(call, where, queries.tile.rows[r], at,
                                dot_padded(query, key, width), ds[s]);
        add_row(ds[s], key, width, queries.dq[query_map(map)] + r * width);
    }
}

/// dk and dv of the keys first … last − 1 get what one row adds to them.
template <class T, class Call>
void add_support(const Call& call, const call_positions& where, const row_support<T>& support,
                 const T* ds, key_interval range, const backward_queries<T>& queries, index r,
                 const key_maps<T*>& dk, T* dv) {
    const index width = padded<T>(call.shape.dim);
    const index value_width = padded<T>(call.shape.value_dim);
    const auto* begin = support.positions;
    const auto* end = begin + support.count;
    const auto from = std::lower_bound(begin, end, range.first) - begin;
    for (index s = from; s < support.count && support.positions[s] < range.last; ++s) {
        const index key = support.positions[s];
        const encoding_map map = map_of(call, where, queries.tile.rows[r], key);
        add_row(ds[s], queries.queries[query_map(map)] + r * width, width,
                dk[key_map(map)] + key * width);
        add_row(support.probabilities[s], queries.gradients + r * value_width, value_width,
                dv + key * value_width);
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
