#pragma once

#include <numbers>

#include <heed/attention/kernel/schedule/each_row.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/math.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/simd.hpp>
#include <heed/latent/kernel/latent_rows.hpp>

/// \file
/// The gate of a latent attention: o_h·σ(g_h), g of a number a head, or of one for each value.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Rows of g become those of σ(g).
template <class T>
void open_gate(const tensor_view<T, 3>& to, const tensor_view<const T, 3>& gate,
               const latent_resources& resources) {
    resources.each_row(to, [&](index row) {
        constexpr index size = vec<T>::size;
        T* const y = row_at(to, row);
        const T* const x = row_at(gate, row);
        const vec<T> one(T(1));
        for (index c = 0; c < to.extents[2]; c += size) {
            const vec<T> g = vec<T>::load_partial(x + c, to.extents[2] - c);
            (one / (one + heed::exp(-g))).store_partial(y + c, to.extents[2] - c);
        }
    });
}

/// The factors of a row, of which one or as many as it has values are a head's.
template <class T>
struct gate_row {
    const T* factors;
    index values;  ///< a head
    index gates;   ///< a head: 1 or `values`

    T operator()(index column) const { return factors[gates == 1 ? column / values : column]; }
};

/// to = o·σ(g) of `opened` rows σ(g); `to` may be o.
template <class T>
void pass_gate(const tensor_view<T, 3>& to, const tensor_view<const T, 3>& o,
               const tensor_view<const T, 3>& opened, index heads,
               const latent_resources& resources) {
    const index values = o.extents[2] / heads, gates = opened.extents[2] / heads;
    resources.each_row(to, [&](index row) {
        T* const y = row_at(to, row);
        const T* const x = row_at(o, row);
        const gate_row<T> factor{row_at(opened, row), values, gates};
        for (index c = 0; c < to.extents[2]; ++c) y[c] = x[c] * factor(c);
    });
}

/// The way back of y = o·s, s = σ(g): dg = s(1 − s)·Σ dy·o over what s multiplies, and do = dy·s in
/// the place of dy.
template <class T>
void pass_gate_back(const tensor_view<T, 3>& d_gate, const tensor_view<T, 3>& dy,
                    const tensor_view<const T, 3>& o, const tensor_view<const T, 3>& opened,
                    index heads, const latent_resources& resources) {
    const index values = o.extents[2] / heads, gates = opened.extents[2] / heads;
    const index multiplied = gates == 1 ? values : 1;
    resources.each_row(dy, [&](index row) {
        T* const d = row_at(dy, row);
        T* const dg = row_at(d_gate, row);
        const T* const x = row_at(o, row);
        const T* const s = row_at(opened, row);
        for (index g = 0; g < opened.extents[2]; ++g) {
            double sum = 0;
            for (index c = g * multiplied; c < (g + 1) * multiplied; ++c) {
                sum += static_cast<double>(d[c]) * static_cast<double>(x[c]);
                d[c] *= s[g];
            }
            const auto factor = static_cast<double>(s[g]);
            dg[g] = static_cast<T>(factor * (1 - factor) * sum);
        }
    });
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
