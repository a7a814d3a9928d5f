#pragma once

#include <array>

#include <heed/attention/attention.hpp>
#include <heed/attention/gradient.hpp>
#include <heed/attention/kernel/schedule/each_row.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/shape.hpp>
#include <heed/init/rms_norm.hpp>
#include <heed/latent/detail/latent_model.hpp>
#include <heed/latent/kernel/latent_gate.hpp>
#include <heed/latent/kernel/latent_projections.hpp>
#include <heed/latent/kernel/latent_rows.hpp>
#include <heed/latent/latent_saved.hpp>
#include <heed/projection/project_backward.hpp>
#include <heed/rope/rotate.hpp>

/// \file
/// The gradients of an expanded latent attention: of x and of every weight.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The way back through a layer: dx, and the gradients of its weight and, if it is given, its bias.
template <class T, class Matrix, class Vector>
void project_back(const weight_view<T, 2>& w, const weight_view<T, 1>& bias, Matrix& d_weight,
                  Vector& d_bias, const tensor_view<T, 3>& dx, const tensor_view<const T, 3>& dy,
                  const tensor_view<const T, 3>& x, const latent_resources& to) {
    const auto weight = w.view();
    d_weight.resize(weight.extents[0], weight.extents[1]);
    if (bias.is_given()) {
        d_bias.resize(weight.extents[0]);
        project_backward_into(dx, d_weight, d_bias, dy, x, heed::weights(weight), to.threads,
                              to.memory);
    } else {
        project_backward_into(dx, d_weight, dy, x, heed::weights(weight), to.threads, to.memory);
    }
}

/// The same of a layer that never has a bias.
template <class T, class Matrix>
void project_back(const weight_view<T, 2>& w, Matrix& d_weight, const tensor_view<T, 3>& dx,
                  const tensor_view<const T, 3>& dy, const tensor_view<const T, 3>& x,
                  const latent_resources& to) {
    typename latent_weight_gradients<T>::vector none;
    project_back(w, {}, d_weight, none, dx, dy, x, to);
}

/// The way back through RMS(x)⊙γ.
template <class T, class Vector>
void norm_back(const weight_view<T, 1>& gamma, double epsilon, Vector& d_gamma,
               const tensor_view<T, 3>& dx, const tensor_view<const T, 3>& x,
               const tensor_view<const T, 3>& dy, const latent_resources& to) {
    const auto factors = gamma.view();
    d_gamma.resize(factors.extents[0]);
    rms_norm(factors, epsilon).backward_into(dx, d_gamma, x, dy, to.threads, to.memory);
}

/// The way back through turn_by_position, in place.
template <class T>
void turn_back(const latent_model<T>& model, const tensor_view<T, 4>& rotated,
               const latent_resources& to) {
    if (model.rope) rotate_back_into(rotated, rotated, *model.rope, to.threads, to.memory);
}

template <class T>
void add_to_rows(const tensor_view<T, 3>& sum, const tensor_view<const T, 3>& x,
                 const latent_resources& to) {
    to.each_row(sum, [&](index row) {
        T* const y = row_at(sum, row);
        const T* const from = row_at(x, row);
        for (index c = 0; c < sum.extents[2]; ++c) y[c * sum.strides[2]] += from[c * x.strides[2]];
    });
}

/// The way back through join_keys: the content's gradient is written to its place beside that of
/// the values, and k_r, which all heads share, gets their sum, in the order of the heads.
template <class T>
void part_keys(const latent_model<T>& model, const tensor_view<const T, 4>& d_keys,
               const tensor_view<T, 3>& d_expanded, const tensor_view<T, 3>& d_rotated,
               const latent_resources& to) {
    const index heads = model.options.heads.value, content = model.options.content.value;
    const auto d_content = heads_in(d_expanded, heads, 0, content);
    to.each_row(d_rotated, [&](index row) {
        const index b = row / d_rotated.extents[1], i = row % d_rotated.extents[1];
        for (index h = 0; h < heads; ++h)
            for (index c = 0; c < content; ++c) d_content(b, h, i, c) = d_keys(b, h, i, c);
        for (index c = 0; c < d_rotated.extents[2]; ++c) {
            double sum = 0;
            for (index h = 0; h < heads; ++h)
                sum += static_cast<double>(d_keys(b, h, i, content + c));
            d_rotated(b, i, c) = static_cast<T>(sum);
        }
    });
}

/// Gradients that all rows add to, where there are none.
template <class T>
void clear_gradients(const latent_model<T>& model, latent_weight_gradients<T>& d) {
    for_each_latent_weight(model.weights, d, [](auto, const auto& weight, auto& gradient) {
        if (!weight.is_given()) return;
        const auto extents = weight.view().extents;
        if constexpr (extents.size() == 2)
            gradient.setZero(extents[0], extents[1]);
        else
            gradient.setZero(extents[0]);
    });
}

/// dx and the gradients of all weights that are given, from dy and what latent_forward saved.
template <class T>
void latent_backward(const latent_model<T>& model, const tensor_view<const T, 3>& dy,
                     const tensor_view<const T, 3>& x, const latent_saved<T>& saved,
                     const tensor_view<T, 3>& dx, latent_weight_gradients<T>& d,
                     const latent_resources& to) {
    const auto& w = model.weights;
    const auto& sizes = model.options;
    const index batch = x.extents[0], tokens = x.extents[1];
    if (batch * tokens == 0) return clear_gradients(model, d);
    arena& scratch = to.scratch();
    const arena::scope mark(scratch);
    const auto rows = [&](index columns) {
        return scratch_rows<T>(scratch, {batch, tokens, columns});
    };
    const index heads = sizes.heads.value, content = sizes.content.value, rank = sizes.rank.value;
    const auto output = rows_in(saved.output);
    const auto compressed = rows_in(saved.compressed);

    // y = o·W_oᵀ, and the gate.
    const auto d_output = rows(model.output_columns());
    const auto also_dx = rows(model.width());
    if (model.has_gate()) {
        const auto opened = rows(model.gate_columns()), d_gate = rows(model.gate_columns());
        const auto gated = rows(model.output_columns());
        open_gate<T>(opened, rows_in(saved.gate), to);
        pass_gate<T>(gated, output, opened, heads, to);
        project_back<T>(w.o_proj, w.o_proj_bias, d.o_proj, d.o_proj_bias, d_output, dy, gated, to);
        pass_gate_back<T>(d_gate, d_output, output, opened, heads, to);
        project_back<T>(w.g_proj, d.g_proj, dx, d_gate, x, to);
    } else {
        project_back<T>(w.o_proj, w.o_proj_bias, d.o_proj, d.o_proj_bias, d_output, dy, output, to);
        fill(to.threads.pool, *to.memory.memory, dx, T(0));
    }

    // Attention.
    const auto queries = rows_in(saved.queries);
    const auto expanded = rows_in(saved.expanded);
    const auto d_queries = rows(model.query_columns()), d_expanded = rows(model.expanded_columns());
    const auto d_compressed = rows(sizes.latent_dim());
    const auto keys =
        join_keys<T>(model, expanded, columns_in(compressed, rank, sizes.rotated.value), to);
    const tensor_view<T, 4> d_keys{scratch.take<T>(keys.size()), keys.extents, keys.strides};
    const auto values_of = [&](const auto& x3) {
        return heads_in(x3, heads, content, sizes.value.value);
    };
    attention_backward_into(
        into(heads_in(d_queries, heads, 0, sizes.dim()), d_keys, values_of(d_expanded)),
        heads_in(d_output, heads, 0, sizes.value.value),
        heads_in(output, heads, 0, sizes.value.value), saved.stats,
        heads_in(queries, heads, 0, sizes.dim()), keys, values_of(expanded), causal,
        heed::scale(sizes.scale()), to.threads, to.memory);
    const auto d_rotated = columns_in(d_compressed, rank, sizes.rotated.value);
    part_keys<T>(model, d_keys, d_expanded, d_rotated, to);
    turn_back(model, one_head(d_rotated), to);
    turn_back(model, heads_in(d_queries, heads, content, sizes.rotated.value), to);

    // Keys and values: [k_c, v] = c·W_kvᵀ, c = RMS(x·W_cᵀ)⊙γ.
    const auto c = rows(rank), d_c = rows(rank);
    norm_compressed<T>(model, compressed, c, to);
    project_back<T>(w.kv_b_proj, d.kv_b_proj, d_c, d_expanded, c, to);
    if (sizes.normed)
        norm_back<T>(w.kv_a_layernorm, sizes.epsilon.value, d.kv_a_layernorm,
                     columns_in(d_compressed, 0, rank), columns_in(compressed, 0, rank), d_c, to);
    else
        copy_rows<T>(columns_in(d_compressed, 0, rank), d_c, to);
    project_back<T>(w.kv_a_proj_with_mqa, w.kv_a_proj_with_mqa_bias, d.kv_a_proj_with_mqa,
                    d.kv_a_proj_with_mqa_bias, also_dx, d_compressed, x, to);
    add_to_rows<T>(dx, also_dx, to);

    // Queries.
    if (model.compresses_queries()) {
        const auto compressed_queries = rows_in(saved.compressed_queries);
        const auto c_q = rows(model.query_rank()), d_c_q = rows(model.query_rank());
        norm_rows_into<T>(c_q, compressed_queries, w.q_a_layernorm, sizes.epsilon.value, to);
        project_back<T>(w.q_b_proj, d.q_b_proj, d_c_q, d_queries, c_q, to);
        norm_back<T>(w.q_a_layernorm, sizes.epsilon.value, d.q_a_layernorm, d_c_q,
                     compressed_queries, d_c_q, to);
        project_back<T>(w.q_a_proj, w.q_a_proj_bias, d.q_a_proj, d.q_a_proj_bias, also_dx, d_c_q, x,
                        to);
    } else {
        project_back<T>(w.q_proj, d.q_proj, also_dx, d_queries, x, to);
    }
    add_to_rows<T>(dx, also_dx, to);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
