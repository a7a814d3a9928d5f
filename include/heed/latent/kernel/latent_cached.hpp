#pragma once

#include <algorithm>
#include <array>
#include <optional>

#include <heed/attention/attention.hpp>
#include <heed/attention/caches/cached_attention.hpp>
#include <heed/attention/caches/kv_cache.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/sliding_window.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/tiles.hpp>
#include <heed/latent/detail/latent_model.hpp>
#include <heed/latent/detail/packed_layer.hpp>
#include <heed/latent/kernel/latent_projections.hpp>
#include <heed/latent/kernel/latent_rows.hpp>
#include <heed/projection/project.hpp>
#include <heed/projection/weights.hpp>

/// \file
/// Latent attention over a cache of c and k_r, of which c is the value: expanded, and absorbed.
///
/// Absorbed, W_kc moves from the keys to the queries and W_v behind attention: q·k = (q_c·W_kc)·c +
/// q_r·k_r and o = (Σ p·c)·W_vᵀ. All heads then read the same rows [c, k_r].

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Refuses a cache that heed::latent_attention::make_cache could not have made for such a layer and
/// as many sequences: by shape_error, or where it forgets by argument_error.
template <class T, class Storage>
void check_latent_cache(const latent_model<T>& model, const kv_cache<Storage>& cache, index batch) {
    const std::array<index, 3> held{cache.kv_heads(), cache.dim(), cache.value_dim()};
    const std::array<index, 3> needed{1, model.options.latent_dim(), model.options.rank.value};
    require_shape(cache.values_in_keys() && held == needed,
                  "the cache has heads, key and value dimensions ", held,
                  ", but make_cache of this layer has ", needed, " with values in keys");
    require_shape(cache.batch() == batch, "x has ", batch, " sequences, but the cache has ",
                  cache.batch());
    require_argument(cache.window() == unlimited, "the cache has a window of ", cache.window(),
                     ", but latent attention sees all tokens: it must be heed::unlimited");
}

/// What a call over a cache begins with: rows are appended, and queries made.
template <class T, class Storage>
tensor_view<T, 3> append_and_query(const latent_model<T>& model, const tensor_view<const T, 3>& x,
                                   kv_cache<Storage>& cache, const latent_resources& to) {
    arena& scratch = to.scratch();
    const index batch = x.extents[0], tokens = x.extents[1];
    const auto queries = scratch_rows<T>(scratch, {batch, tokens, model.query_columns()});
    const arena::scope mark(scratch);
    index* const firsts = scratch.take<index>(batch);
    for (index b = 0; b < batch; ++b) firsts[b] = cache.length(b);
    const auto compressed = scratch_rows<T>(scratch, {batch, tokens, model.query_rank()});
    make_queries(model, x, firsts, compressed, queries, to);
    const auto latent = scratch_rows<T>(scratch, {batch, tokens, model.options.latent_dim()});
    make_compressed(model, x, firsts, latent, to);
    norm_compressed<T>(model, latent, columns_in(latent, 0, model.options.rank.value), to);
    cache.append(one_head(latent));
    return queries;
}

/// Sequence b of several.
template <class T>
tensor_view<T, 3> sequence_in(const tensor_view<T, 3>& x, index b) {
    return {x.data + b * x.strides[0], {1, x.extents[1], x.extents[2]}, x.strides};
}

/// y of x behind what the cache holds, whose keys and values are made for every head, a sequence
/// after the other.
template <class T, class Storage>
void latent_prefill(const latent_model<T>& model, const tensor_view<const T, 3>& x,
                    const tensor_view<T, 3>& y, kv_cache<Storage>& cache,
                    const latent_resources& to) {
    const auto& sizes = model.options;
    const index batch = x.extents[0], tokens = x.extents[1], heads = sizes.heads.value;
    if (batch * tokens == 0) return;
    arena& scratch = to.scratch();
    const arena::scope mark(scratch);
    const auto queries = append_and_query(model, x, cache, to);
    const auto output = scratch_rows<T>(scratch, {batch, tokens, model.output_columns()});
    for (index b = 0; b < batch; ++b) {
        const arena::scope of_sequence(scratch);
        const index keys = cache.length(b), rank = sizes.rank.value;
        const auto latent = scratch_rows<T>(scratch, {1, keys, sizes.latent_dim()});
        const auto values = scratch_rows<T>(scratch, {1, keys, rank});
        cache.read(b, 0, index(0), keys, heed::view(latent.data, {keys, sizes.latent_dim()}),
                   heed::view(values.data, {keys, rank}));
        const auto expanded = scratch_rows<T>(scratch, {1, keys, model.expanded_columns()});
        project_rows<T>(expanded, values, model.weights.kv_b_proj, {}, {}, to);
        const auto joined =
            join_keys<T>(model, expanded, columns_in(latent, rank, sizes.rotated.value), to);
        attention_into(heads_in(sequence_in(output, b), heads, 0, sizes.value.value),
                       heads_in(sequence_in(queries, b), heads, 0, sizes.dim()), joined,
                       heads_in(expanded, heads, sizes.content.value, sizes.value.value), causal,
                       heed::scale(sizes.scale()), to.threads, to.memory);
    }
    const auto gate = scratch_rows<T>(scratch, {batch, tokens, model.gate_columns()});
    project_output<T>(model, x, output, gate, y, to);
}

/// W_kc or W_v of a head: rows first … first + count − 1 of its part of kv_b_proj.
template <class T>
tensor_view<const T, 2> head_weight(const latent_model<T>& model, index head, index first,
                                    index count) {
    const auto all = model.weights.kv_b_proj.view();
    const index rows = model.options.content.value + model.options.value.value;
    return {
        all.data + (head * rows + first) * all.strides[0], {count, all.extents[1]}, all.strides};
}

/// y = x·Wᵀ of a head's weights as they are packed, or where they lie.
template <class T>
void project_head(const tensor_view<T, 3>& y, const tensor_view<const T, 3>& x,
                  const tensor_view<const T, 2>& weight,
                  const std::optional<weights_of_heads<T>>& packed, index head,
                  const latent_resources& to) {
    if (packed)
        project_into(y, x, (*packed)[head], to.threads, to.memory);
    else
        project_into(y, x, heed::weights(weight), to.threads, to.memory);
}

/// What W_kc or W_v of all heads are worth in operations: their products with these rows, and
/// reading them.
template <class T>
double work_of_heads(const latent_model<T>& model, const tensor_view<const T, 3>& rows,
                     index outputs) {
    const auto weights = static_cast<double>(model.options.heads.value * model.options.rank.value) *
                         static_cast<double>(outputs);
    return weights * static_cast<double>(2 * rows.extents[0] * rows.extents[1] +
                                         4 * static_cast<index>(sizeof(T)));
}

/// [q_c·W_kc, q_r] of each head, as queries against rows [c, k_r].
template <class T>
void absorb_queries(const latent_model<T>& model, const tensor_view<const T, 3>& queries,
                    const tensor_view<T, 3>& absorbed, const latent_resources& to) {
    const auto& sizes = model.options;
    const index content = sizes.content.value, rank = sizes.rank.value, dim = sizes.dim();
    const auto absorb = [&](index h, const latent_resources& on) {
        const auto w = head_weight(model, h, 0, content);
        const tensor_view<const T, 2> transposed{
            w.data, {w.extents[1], w.extents[0]}, {w.strides[1], w.strides[0]}};
        project_head<T>(columns_in(absorbed, h * sizes.latent_dim(), rank),
                        columns_in(queries, h * dim, content), transposed, model.packed.keys, h,
                        on);
    };
    to.share(sizes.heads.value, work_of_heads(model, queries, content), absorb);
    to.each_row(absorbed, [&](index row) {
        const T* from = row_at(queries, row) + content;
        T* at = row_at(absorbed, row) + rank;
        for (index h = 0; h < sizes.heads.value; ++h, from += dim, at += sizes.latent_dim())
            std::copy_n(from, sizes.rotated.value, at);
    });
}

/// o of each head from Σ p·c.
template <class T>
void make_values(const latent_model<T>& model, const tensor_view<const T, 3>& seen,
                 const tensor_view<T, 3>& output, const latent_resources& to) {
    const auto& sizes = model.options;
    const index rank = sizes.rank.value, value = sizes.value.value;
    const auto make = [&](index h, const latent_resources& on) {
        project_head<T>(columns_in(output, h * value, value), columns_in(seen, h * rank, rank),
                        head_weight(model, h, sizes.content.value, value), model.packed.values, h,
                        on);
    };
    to.share(sizes.heads.value, work_of_heads(model, seen, value), make);
}

/// Σ p·c of each head, which all read the rows of the cache. The heads of one token see the same
/// keys: as rows of one head they share tiles. Attention shares sequences and blocks of tokens out
/// to threads; where they are fewer, heads are.
template <class T, class Storage>
void attend_absorbed(const latent_model<T>& model, const tensor_view<const T, 3>& absorbed,
                     const tensor_view<T, 3>& seen, const kv_cache<Storage>& cache,
                     const latent_resources& to) {
    const auto& sizes = model.options;
    const index batch = absorbed.extents[0], tokens = absorbed.extents[1];
    const index heads = sizes.heads.value, rank = sizes.rank.value;
    const double work = 2.0 * static_cast<double>(batch * tokens * heads) *
                        static_cast<double>(cache.length()) *
                        static_cast<double>(sizes.latent_dim() + rank);
    const index helpers = to.helpers_for(work),
                others = batch * count_blocks(tokens, tiles.query_block);
    const index pieces =
        others > helpers ? 1 : std::min(helpers + 1, count_blocks(heads, tiles.value_rows));
    const index piece = count_blocks(heads, pieces);
    to.share(count_blocks(heads, piece), work, [&](index number, const latent_resources& on) {
        const index first = number * piece, count = std::min(piece, heads - first);
        const auto attend = [&](const auto& o, const auto& q, const auto&... masks) {
            attention_into(o, q, cache, masks..., heed::scale(sizes.scale()), on.threads,
                           on.memory);
        };
        if (tokens == 1)
            attend(rows_of_heads(seen, heads, first, count),
                   rows_of_heads(absorbed, heads, first, count));
        else
            attend(some_heads(heads_in(seen, heads, 0, rank), first, count),
                   some_heads(heads_in(absorbed, heads, 0, sizes.latent_dim()), first, count),
                   causal);
    });
}

/// y of x behind what the cache holds, whose rows all heads read as they are.
template <class T, class Storage>
void latent_decode(const latent_model<T>& model, const tensor_view<const T, 3>& x,
                   const tensor_view<T, 3>& y, kv_cache<Storage>& cache,
                   const latent_resources& to) {
    const auto& sizes = model.options;
    const index batch = x.extents[0], tokens = x.extents[1], heads = sizes.heads.value;
    const index rank = sizes.rank.value, latent_dim = sizes.latent_dim();
    if (batch * tokens == 0) return;
    arena& scratch = to.scratch();
    const arena::scope mark(scratch);
    const auto queries = append_and_query(model, x, cache, to);
    const auto absorbed = scratch_rows<T>(scratch, {batch, tokens, heads * latent_dim});
    absorb_queries<T>(model, queries, absorbed, to);
    const auto seen = scratch_rows<T>(scratch, {batch, tokens, heads * rank});
    attend_absorbed<T>(model, absorbed, seen, cache, to);
    const auto output = scratch_rows<T>(scratch, {batch, tokens, model.output_columns()});
    make_values<T>(model, seen, output, to);
    const auto gate = scratch_rows<T>(scratch, {batch, tokens, model.gate_columns()});
    project_output<T>(model, x, output, gate, y, to);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
