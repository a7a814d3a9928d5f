#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/chunk/chunk_rows.hpp>
#include <heed/linear/kernel/rules/program.hpp>
#include <heed/linear/kernel/state/state_ends.hpp>

/// \file
/// Rows on their way back: what o hands to its row, and what a row of features hands to q or k.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Rows from the last to the first.
template <class T>
contiguous_rows<T> reversed(contiguous_rows<T> rows, index count) {
    return {rows[count - 1], -rows.stride};
}
template <class T>
written_rows<T> reversed(written_rows<T> rows, index count) {
    return {rows[count - 1], -rows.stride};
}

/// to[c][r] = rows[r][c], whole vectors both ways: rows beyond `count` count as zeros.
template <class T>
void transpose_rows(contiguous_rows<T> rows, index count, index columns, written_rows<T> to) {
    constexpr index size = vec<T>::size;
    for (index r = 0; r < count; r += size) {
        for (index c = 0; c < columns; c += size) {
            array_of<vec<T>, size> block;
            for (index l = 0; l < size; ++l)
                block[l] = r + l < count ? vec<T>::load(rows[r + l] + c) : vec<T>(T(0));
            transpose<T>(block);
            for (index l = 0; l < std::min(size, columns - c); ++l) block[l].store(to[c + l] + r);
        }
    }
}

/// to[r][c] += factor_r·from[r][c]
template <class T>
void add_rows_times(const T* factor, contiguous_rows<T> from, index count, index width,
                    written_rows<T> to) {
    for (index r = 0; r < count; ++r)
        for (index f = 0; f < width; f += vec<T>::size)
            fma(vec<T>(factor[r]), vec<T>::load(from[r] + f), vec<T>::load(to[r] + f))
                .store(to[r] + f);
}

/// x[batch, head, first + r] = rows[r], or that added to what is there.
template <class T>
void put_rows(const tensor_view<T, 4>& x, index batch, index head, index first, index count,
              contiguous_rows<T> rows, bool adds) {
    if (!adds) {
        write_rows(x, batch, head, first, count, rows.data, rows.stride,
                   [](index) { return T(1); });
        return;
    }
    for (index r = 0; r < count; ++r)
        for (index c = 0; c < x.extents[3]; ++c) x(batch, head, first + r, c) += rows[r][c];
}

/// What backward is given beside its program.
template <class T>
struct linear_gradients {
    tensor_view<const T, 4> d_o, o;
    const T* z;  ///< [batch, head, query], where the call divides
    tensor_view<T, 4> dq, dk, dv;
    tensor_view<T, 3> d_log_decays{};  ///< [batch, head of o, key], 0 at first; null: not wanted
    tensor_view<T, 4> d_channel_decays{};  ///< [batch, head, key, channel], added to; or null
    tensor_view<T, 3> d_alike_decays{};    ///< or their sum over channels that decay alike
    tensor_view<double, 3> d_bonus{};      ///< [batch, head of o, channel], 0 at first; or null
    tensor_view<T, 3> d_deltas{};          ///< the same as d_log_decays, of β
    tensor_view<T, 4> d_erased{};    ///< [batch, head of o, key, channel], 0 at first; or null
    tensor_view<T, 4> d_written{};   ///< the same
    tensor_view<T, 4> d_a{}, d_b{};  ///< the same
    state_gradients<T> state{};
};

/// dN and dz of a chunk of queries: o = factor·N, factor = 1/max(z, ε) or a scale.
template <class T>
class output_gradients {
  public:
    output_gradients(const linear_program<T>& program, const linear_gradients<T>& of,
                     arena& scratch)
        : program_(program),
          of_(of),
          d_o_(scratch.take<T>(chunk_length * program.shape.value_dim)),
          o_(scratch.take<T>(chunk_length * program.shape.value_dim)),
          rows_(chunk_rows<T>::take(scratch, padded<T>(program.shape.value_dim))),
          dz_(scratch.take<T>(chunk_length)) {}

    void load(chunk_rows<T>& rows, index batch, index head, index query, index count) {
        const index width = program_.shape.value_dim;
        const bool divides = program_.denominator.divides;
        const T* z = nullptr;
        if (divides)
            z = of_.z + (batch * program_.shape.heads + head) * program_.shape.queries + query;
        const index steps = program_.steps(), all = count * steps;
        const T* factor = rows.factors(head, z, all);
        const auto d_o = step_rows_of(of_.d_o, batch, head, query, count, steps, steps - 1, d_o_);
        copy_padded<T>(d_o, all, width, rows_);
        for (index r = 0; r < all; ++r) {
            dz_[r] = T(0);
            if (divides && !(z[r] < rows.least(r)) && factor[r] != T(0)) {
                const auto o = rows_of(of_.o, batch, head, query + r, 1, o_);
                dz_[r] = -factor[r] * dot<T>(d_o[r], o.data, width);
            }
            multiply_row(rows_[r], rows_.stride, factor[r], rows_[r]);
        }
        finite_ = all_finite<T>(rows_, all, rows_.stride);
    }

    written_rows<T> rows() const { return rows_; }
    const T* dz() const { return dz_; }
    bool finite() const { return finite_; }

  private:
    const linear_program<T>& program_;
    const linear_gradients<T>& of_;
    T *d_o_, *o_;
    written_rows<T> rows_;
    T* dz_;
    bool finite_ = true;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
