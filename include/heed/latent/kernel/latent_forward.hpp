#pragma once

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/shape.hpp>
#include <heed/latent/detail/latent_model.hpp>
#include <heed/latent/kernel/latent_projections.hpp>
#include <heed/latent/kernel/latent_rows.hpp>
#include <heed/latent/latent_saved.hpp>

/// \file
/// Latent attention of whole sequences, expanded: keys and values of every head.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// y of x, whose shapes have been checked, and all that backward needs.
template <class T>
void latent_forward(const latent_model<T>& model, const tensor_view<const T, 3>& x,
                    const tensor_view<T, 3>& y, latent_saved<T>& saved,
                    const latent_resources& to) {
    const auto& sizes = model.options;
    const index batch = x.extents[0], tokens = x.extents[1];
    const index heads = sizes.heads.value, content = sizes.content.value;
    const auto rows = [&](auto& tensor, index columns) {
        return resized_rows<T>(tensor, {batch, tokens, columns});
    };
    const auto compressed_queries = rows(saved.compressed_queries, model.query_rank());
    const auto queries = rows(saved.queries, model.query_columns());
    const auto compressed = rows(saved.compressed, sizes.latent_dim());
    const auto expanded = rows(saved.expanded, model.expanded_columns());
    const auto output = rows(saved.output, model.output_columns());
    const auto gate = rows(saved.gate, model.gate_columns());
    if (batch * tokens == 0) return;

    arena& scratch = to.scratch();
    const arena::scope mark(scratch);
    const index* const firsts = zero_positions(scratch, batch);
    make_queries(model, x, firsts, compressed_queries, queries, to);
    make_compressed(model, x, firsts, compressed, to);
    const auto c = scratch_rows<T>(scratch, {batch, tokens, sizes.rank.value});
    norm_compressed<T>(model, compressed, c, to);
    project_rows<T>(expanded, c, model.weights.kv_b_proj, {}, {}, to);

    const auto keys = join_keys<T>(
        model, expanded, columns_in(compressed, sizes.rank.value, sizes.rotated.value), to);
    attention_forward_into(heads_in(output, heads, 0, sizes.value.value), saved.stats,
                           heads_in(queries, heads, 0, sizes.dim()), keys,
                           heads_in(expanded, heads, content, sizes.value.value), causal,
                           heed::scale(sizes.scale()), to.threads, to.memory);
    project_output<T>(model, x, output, gate, y, to);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
