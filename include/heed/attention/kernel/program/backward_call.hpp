#pragma once

#include <cstddef>

#include <heed/attention/kernel/products/packed_backward.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/attention/wanted_gradients.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/view.hpp>

/// \file
/// One call of backward as the kernels know it, and how rows of dq, dk and dv leave them.

namespace heed::inline HEED_ARCHITECTURE::detail {

template <class T>
struct backward_call {
    const attention_program<T>& program;
    tensor_view<const T, 4> d_o;
    tensor_view<T, 4> dq, dk, dv;  ///< null where nobody wants them
    /// [batch, head, query], null unless a scale is learned: Σ_j (∂L/∂s_ij)·(q_i·k_j), times the
    /// scale's own derivative.
    double* scale_dots;
    /// [batch, head, query], null unless a normaliser is learned: what its gradient needs of a row.
    T* row_numbers;
    /// A learned modifier writes into its gradient directly: a block of keys is one task's for all
    /// batches and heads.
    bool all_heads_at_once;

    const attention_shape& shape() const { return program.shape(); }
    /// Which sums over scores are to be taken. Those of queries are a learned scale's too, and
    /// rectified encodings find on the way to them what keys need.
    gradient_choice sums() const {
        return {dq.data != nullptr || scale_dots != nullptr || program.source.is_rectified(),
                dk.data != nullptr, dv.data != nullptr};
    }
    /// Heads of k that go together.
    index heads_a_bundle() const {
        return all_heads_at_once ? shape().batch * shape().kv_heads : 1;
    }
    /// Where the rows of a tile begin among [batch, head, query].
    index row_of(const query_tile<T>& tile) const {
        return (tile.batch * shape().heads + tile.head) * shape().queries + tile.first;
    }
};

/// The sums of a block of queries become rows of dq.
template <class T>
void finish_queries(const backward_call<T>& call, const backward_queries<T>& queries,
                    arena& scratch) {
    if (!call.sums().q) return;
    const query_tile<T>& tile = queries.tile;
    const index dim = call.shape().dim;
    const index stride = padded<T>(dim);
    const std::size_t maps = call.program.source.query_map_count;
    const arena::scope mark(scratch);
    T* buffer = scratch.take<T>(dim);
    for (index r = 0; r < tile.count; ++r) {
        const auto gradients = rows_at(queries.dq, r * stride);
        if (call.scale_dots != nullptr) {
            double dots = 0;
            for (std::size_t m = 0; m < maps; ++m) {
                if (is_zero(gradients[m], dim)) continue;  // of a query that may hold NaN
                call.program.back->query(tile.rows[r], static_cast<encoding_map>(m), buffer);
                dots += static_cast<double>(dot(gradients[m], buffer, dim));
            }
            call.scale_dots[call.row_of(tile) + r] = dots * call.program.scale.derivative(tile, r);
        }
        for (std::size_t m = 0; m < maps; ++m)
            multiply_row(gradients[m], dim, tile.scale[r], gradients[m]);
        call.program.back->query_back(tile.rows[r], gradients, buffer);
    }
    if (call.dq.data != nullptr)
        write_rows(call.dq, tile.batch, tile.head, tile.first, tile.count, queries.dq[0], stride,
                   [](index) { return T(1); });
}

/// The sums of a block of keys, rows of `dk` and `dv`, become rows of dk and dv.
template <class T>
void finish_keys(const backward_call<T>& call, const key_place& at, const key_maps<T*>& dk,
                 const T* dv, arena& scratch) {
    const index stride = padded<T>(call.shape().dim);
    const arena::scope mark(scratch);
    T* buffer = scratch.take<T>(call.shape().dim);
    const auto write = [&](const tensor_view<T, 4>& to, const T* rows, index row_stride) {
        write_rows(to, at.batch, at.kv_head, at.first, at.count, rows, row_stride,
                   [](index) { return T(1); });
    };
    if (call.dk.data != nullptr) {
        for (index j = 0; j < at.count; ++j)
            call.program.back->key_back(at.batch, at.kv_head, at.first + j, rows_at(dk, j * stride),
                                        buffer);
        write(call.dk, dk[0], stride);
    }
    if (call.dv.data != nullptr) write(call.dv, dv, padded<T>(call.shape().value_dim));
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
