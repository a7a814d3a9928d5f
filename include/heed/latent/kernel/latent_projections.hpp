#pragma once

#include <algorithm>
#include <array>
#include <optional>

#include <heed/attention/kernel/schedule/each_row.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/shape.hpp>
#include <heed/init/rms_norm.hpp>
#include <heed/latent/detail/latent_model.hpp>
#include <heed/latent/kernel/latent_gate.hpp>
#include <heed/latent/kernel/latent_rows.hpp>
#include <heed/latent/latent_weights.hpp>
#include <heed/projection/packed_weights.hpp>
#include <heed/projection/project.hpp>
#include <heed/projection/weights.hpp>
#include <heed/rope/rotate.hpp>

/// \file
/// What stands before and behind attention in a latent attention: each row by itself.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// y = x·Wᵀ + b, with a bias if it is given, of weights as they are packed, or where they lie.
template <class T>
void project_rows(const tensor_view<T, 3>& y, const tensor_view<const T, 3>& x,
                  const weight_view<T, 2>& w, const weight_view<T, 1>& bias,
                  const std::optional<packed_weights<T>>& packed, const latent_resources& to) {
    const auto project = [&](const auto& layer) {
        project_into(y, x, layer, to.threads, to.memory);
    };
    const auto weight = w.view();
    const auto b = bias.view();
    if (packed)
        project(*packed);
    else if (bias.is_given())
        project(heed::weights(weight, b));
    else
        project(heed::weights(weight));
}

/// Where the rows of each sequence stand: those of sequence b at firsts[b] and on.
template <class T>
void turn_by_position(const latent_model<T>& model, const tensor_view<T, 4>& rotated,
                      const index* firsts, const latent_resources& to) {
    if (!model.rope || rotated.extents[3] == 0) return;
    for (index b = 0; b < rotated.extents[0]; ++b) {
        const tensor_view<T, 3> sequence{
            rotated.data + b * rotated.strides[0],
            {rotated.extents[1], rotated.extents[2], rotated.extents[3]},
            {rotated.strides[1], rotated.strides[2], rotated.strides[3]}};
        rotate_into(sequence, sequence, *model.rope, firsts[b], to.threads, to.memory);
    }
}

/// y = x, of rows whose numbers lie side by side.
template <class T>
void copy_rows(const tensor_view<T, 3>& y, const tensor_view<const T, 3>& x,
               const latent_resources& to) {
    to.each_row(y, [&](index row) { std::copy_n(row_at(x, row), x.extents[2], row_at(y, row)); });
}

/// RMS(x)⊙γ of rows.
template <class T>
void norm_rows_into(const tensor_view<T, 3>& y, const tensor_view<const T, 3>& x,
                    const weight_view<T, 1>& gamma, double epsilon, const latent_resources& to) {
    const auto factors = gamma.view();
    rms_norm(factors, epsilon).into(y, x, to.threads, to.memory);
}

/// [q_c, q_r] of each head, q_r rotated. `compressed` are rows for x·W_c'ᵀ; none without q_a_proj.
template <class T>
void make_queries(const latent_model<T>& model, const tensor_view<const T, 3>& x,
                  const index* firsts, const tensor_view<T, 3>& compressed,
                  const tensor_view<T, 3>& queries, const latent_resources& to) {
    const auto& w = model.weights;
    const auto& sizes = model.options;
    const arena::scope mark(to.scratch());
    if (model.compresses_queries()) {
        project_rows(compressed, x, w.q_a_proj, w.q_a_proj_bias, model.packed.q_a_proj, to);
        const auto c = scratch_rows<T>(to.scratch(), compressed.extents);
        norm_rows_into<T>(c, compressed, w.q_a_layernorm, sizes.epsilon.value, to);
        project_rows<T>(queries, c, w.q_b_proj, {}, model.packed.q_b_proj, to);
    } else {
        project_rows<T>(queries, x, w.q_proj, {}, model.packed.q_proj, to);
    }
    turn_by_position(model,
                     heads_in(queries, sizes.heads.value, sizes.content.value, sizes.rotated.value),
                     firsts, to);
}

/// x·W_cᵀ before its norm, and k_r, rotated.
template <class T>
void make_compressed(const latent_model<T>& model, const tensor_view<const T, 3>& x,
                     const index* firsts, const tensor_view<T, 3>& compressed,
                     const latent_resources& to) {
    const auto& w = model.weights;
    project_rows(compressed, x, w.kv_a_proj_with_mqa, w.kv_a_proj_with_mqa_bias,
                 model.packed.kv_a_proj_with_mqa, to);
    const auto rotated =
        columns_in(compressed, model.options.rank.value, model.options.rotated.value);
    turn_by_position(model, one_head(rotated), firsts, to);
}

/// c = RMS(x·W_cᵀ)⊙γ of what make_compressed made, or x·W_cᵀ where c is not normed.
template <class T>
void norm_compressed(const latent_model<T>& model, const tensor_view<const T, 3>& compressed,
                     const tensor_view<T, 3>& c, const latent_resources& to) {
    const auto from = columns_in(compressed, 0, model.options.rank.value);
    if (model.options.normed)
        norm_rows_into<T>(c, from, model.weights.kv_a_layernorm, model.options.epsilon.value, to);
    else if (c.data != from.data)
        copy_rows<T>(c, from, to);
}

/// Keys [k_c, k_r] of each head: dense [batch, heads, sequence, content + rotated].
template <class T>
tensor_view<T, 4> join_keys(const latent_model<T>& model, const tensor_view<const T, 3>& expanded,
                            const tensor_view<const T, 3>& rotated, const latent_resources& to) {
    const auto& sizes = model.options;
    const index heads = sizes.heads.value, content = sizes.content.value, dim = sizes.dim();
    const std::array<index, 4> extents{expanded.extents[0], heads, expanded.extents[1], dim};
    const tensor_view<T, 4> keys{
        to.scratch().template take<T>(extents[0] * extents[1] * extents[2] * extents[3]), extents,
        row_major_strides(extents)};
    const auto from = heads_in(expanded, heads, 0, content);
    for_each_row(to.threads.pool, *to.memory.memory, extents, [&](index row) {
        T* const k = row_at(keys, row);
        const T* const k_c = row_at(from, row);
        const index token = row / (heads * extents[2]) * extents[2] + row % extents[2];
        const T* const k_r = row_at(rotated, token);
        std::copy_n(k_c, content, k);
        std::copy_n(k_r, dim - content, k + content);
    });
    return keys;
}

/// y = [o_1 … o_H]·W_oᵀ + b, each o_h through the gate; `gate` are rows for x·W_gᵀ.
template <class T>
void project_output(const latent_model<T>& model, const tensor_view<const T, 3>& x,
                    const tensor_view<const T, 3>& o, const tensor_view<T, 3>& gate,
                    const tensor_view<T, 3>& y, const latent_resources& to) {
    const auto& w = model.weights;
    const arena::scope mark(to.scratch());
    tensor_view<const T, 3> passed = o;
    if (model.has_gate()) {
        project_rows<T>(gate, x, w.g_proj, {}, model.packed.g_proj, to);
        const auto opened = scratch_rows<T>(to.scratch(), gate.extents);
        const auto gated = scratch_rows<T>(to.scratch(), o.extents);
        open_gate<T>(opened, gate, to);
        pass_gate<T>(gated, o, opened, model.options.heads.value, to);
        passed = gated;
    }
    project_rows(y, passed, w.o_proj, w.o_proj_bias, model.packed.o_proj, to);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
