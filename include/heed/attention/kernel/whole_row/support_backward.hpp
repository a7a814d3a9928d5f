#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/products/packed_backward.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/kernel/whole_row/row_gradient_rule.hpp>
#include <heed/attention/kernel/whole_row/support.hpp>
#include <heed/attention/wanted_gradients.hpp>
#include <heed/core/architecture.hpp>
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

/// Row r of a block of queries, and the gradients of its support's scores.
template <class T>
struct support_gradient {
    const attention_program<T>& program;
    const backward_queries<T>& queries;
    index r;
    row_support<T> support;
    T* ds;                   ///< [count]
    gradient_choice wanted;  ///< of dq, dk and dv

    /// ds, and dq. `kernel` is the rule's of this head.
    void differentiate(const row_gradient_rule<T>& rule, const void* kernel,
                       const key_maps<T*>& keys, const contiguous_rows<T>& values) const {
        const query_row& row = queries.tile.rows[r];
        for (index s = 0; s < support.count; ++s)
            ds[s] = dropped(s, dot_padded(d_o(), values[support.positions[s]], value_width()));
        rule.differentiate_support(kernel, support, ds);
        for (index s = 0; s < support.count; ++s) {
            const index at = support.positions[s];
            const encoding_map map = map_of(program, row, at);
            const T* key = keys[key_map(map)] + at * width();
            if (!rule.modifiers.only_adds)
                ds[s] = rule.modifiers.modify_back(row, at, dot_padded(query(map), key, width()),
                                                   ds[s]);
            if (wanted.q) add_row(ds[s], key, width(), queries.dq[query_map(map)] + r * width());
        }
    }

    /// dk and dv of the keys first … last − 1 get what the row adds to them.
    void add_to_keys(key_interval range, const key_maps<T*>& dk, T* dv) const {
        const auto* begin = support.positions;
        const auto* end = begin + support.count;
        const auto from = std::lower_bound(begin, end, range.first) - begin;
        for (index s = from; s < support.count && support.positions[s] < range.last; ++s) {
            const index key = support.positions[s];
            const encoding_map map = map_of(program, queries.tile.rows[r], key);
            if (wanted.k) add_row(ds[s], query(map), width(), dk[key_map(map)] + key * width());
            if (wanted.v)
                add_row(dropped(s, support.probabilities[s]), d_o(), value_width(),
                        dv + key * value_width());
        }
    }

  private:
    index width() const { return padded<T>(program.shape().dim); }
    index value_width() const { return padded<T>(program.shape().value_dim); }
    const T* query(encoding_map map) const { return queries.queries[query_map(map)] + r * width(); }
    T dropped(index s, T x) const {
        return x * drop_factor(program, queries.tile.rows[r], support.positions[s]);
    }
    const T* d_o() const { return queries.gradients + r * value_width(); }
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
