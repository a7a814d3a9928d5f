#pragma once

#include <algorithm>

#include <heed/core/architecture.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/chunk/head_sums.hpp>
#include <heed/linear/kernel/rules/feature_rule.hpp>
#include <heed/linear/part.hpp>

/// \file
/// A call of linear attention as the kernel knows it, which is compiled before it knows its parts.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Queries and keys that see one another and nothing else: a sequence, or a document of one.
struct sequence_run {
    index query_first = 0, query_last = 0;
    index key_first = 0, key_last = 0;

    index queries() const { return query_last - query_first; }
    index keys() const { return key_last - key_first; }
    /// Where the first query stands among the keys: the last one stands with the last key.
    index offset() const { return keys() - queries(); }
};

/// What becomes of N_i = Σ_j φ(q_i)·φ(k_j) v_j and z_i = Σ_j φ(q_i)·φ(k_j).
template <class T>
struct denominator_rule {
    bool divides = true;
    T least = T(0);            ///< o = N/max(z, least)
    const T* scale = nullptr;  ///< where nothing divides: a factor for each head; null: 1
};

/// The sums of all heads of a call, [batch, state head], kept for the next.
template <class T>
struct kept_heads {
    T* numbers = nullptr;
    head_progress* progress = nullptr;
    T* older_numbers = nullptr;  ///< what they were before the chunk became part of S, if wanted
    head_progress* older_progress = nullptr;
};

template <class T>
struct linear_program {
    linear_shape shape;
    tensor_view<const T, 4> q, k, v;
    const feature_rule<T>* map;
    const row_turn<T>* turn;  ///< null where no encoding is
    encoded turned;           ///< what it turns
    denominator_rule<T> denominator;
    bool causal;
    const sequence_run* runs;
    index run_count;
    const index* lengths;  ///< keys of each sequence of the batch; null: all
    const index* firsts;   ///< tokens that each sequence has seen in earlier calls; null: none
    tensor_view<const T, 3> log_decays;      ///< [batch, head, key]; null: none
    tensor_view<const T, 4> channel_decays;  ///< or [batch, head, key, channel]; null: none
    tensor_view<const T, 2> bonus;           ///< u, [head, channel]; null: none
    tensor_view<const T, 3> deltas;   ///< β of the delta rule, [batch, head, key]; null: none
    tensor_view<const T, 4> erased;   ///< in its place [batch, head, key, channel of k]
    tensor_view<const T, 4> written;  ///< and [batch, head, key, channel of v]; null: none
    tensor_view<const T, 4> a, b;     ///< or of low rank, [batch, head, key, channel of k]
    kept_heads<T> state;
    on_pool threads;
    workspace* memory;

    head_layout<T> layout() const {
        return head_layout<T>::of(map->feature_count, shape.value_dim);
    }
    bool turns_features() const { return turned == encoded::features; }
    /// What turns features, null where nothing does.
    const row_turn<T>* feature_turn() const { return turns_features() ? turn : nullptr; }
    bool turns_inputs() const { return turned == encoded::inputs; }
    bool decays() const { return log_decays.data != nullptr; }
    bool decays_channels() const { return channel_decays.data != nullptr; }
    bool has_bonus() const { return bonus.data != nullptr; }
    bool updates() const { return deltas.data != nullptr || updates_channels() || low_rank(); }
    bool updates_channels() const { return erased.data != nullptr; }
    bool low_rank() const { return a.data != nullptr; }
    /// Whether a token reads S as it was before its own decay.
    bool reads_before_decay() const { return has_bonus() || low_rank(); }
    /// Columns of a chunk that a token takes. By an update of low rank it goes two steps: in the
    /// first b_t is written with what a_t reads, in the second k_t with v_t.
    index steps() const { return low_rank() ? 2 : 1; }
    /// Tokens between two lines of the grid.
    index line_tokens() const { return chunk_length / steps(); }

    index query_head(index head) const { return head * shape.query_heads / shape.heads; }
    index key_head(index head) const { return head * shape.key_heads / shape.heads; }
    index value_head(index head) const { return head * shape.value_heads / shape.heads; }
    index decay_head(index head) const { return head * shape.decay_heads / shape.heads; }
    index update_head(index head) const { return head * shape.update_heads / shape.heads; }
    /// u of a head of o, to whole vectors of the caller's.
    void read_bonus(index head, T* to) const {
        for (index f = 0; f < padded<T>(shape.dim); ++f)
            to[f] = f < shape.dim ? bonus(head * shape.bonus_heads / shape.heads, f) : T(0);
    }
    /// The log decay of a key; those behind it are strides[2] apart.
    const T* log_decay(index batch, index head, index key) const {
        const auto& [of_batch, of_head, step] = log_decays.strides;
        return log_decays.data + batch * of_batch + decay_head(head) * of_head + key * step;
    }
    /// The log decays of `count` keys, step by step: 0 but for a key's first one.
    void read_log_decays(index batch, index head, index key, index count, T* to) const {
        std::fill_n(to, count * steps(), T(0));
        for (index r = 0; r < count; ++r)
            to[r * steps()] = log_decays(batch, decay_head(head), key + r);
    }
    /// β of `count` keys, step by step; 1 where an update has other numbers.
    void read_deltas(index batch, index head, index key, index count, T* to) const {
        for (index r = 0; r < count * steps(); ++r)
            to[r] = deltas.data == nullptr ? T(1) : deltas(batch, update_head(head), key + r);
    }
    /// Heads of o that read one head of the state.
    index heads_a_state() const { return shape.heads / std::max<index>(1, shape.state_heads()); }

    sequence_run run(index batch, index number) const {
        sequence_run of = runs[number];
        if (lengths != nullptr) of.key_last = std::min(of.key_last, lengths[batch]);
        return of;
    }
    index first(index batch) const { return firsts == nullptr ? 0 : firsts[batch]; }

    /// Multiplications and additions of one head of o, forward.
    double flops_a_head() const {
        return 2.0 * static_cast<double>((shape.queries + shape.keys) * steps()) *
               static_cast<double>(map->feature_count) *
               static_cast<double>(shape.value_dim + shape.dim);
    }
};

/// How many threads a call is worth; each has enough to do.
template <class T>
index count_threads(const linear_program<T>& program, double flops) {
    const on_pool& threads = program.threads;
    if (threads.pool == nullptr || program.memory->loop().is_running()) return 1;
    const double all = static_cast<double>(threads.pool->NumThreads() + 1);
    return flops >= threads.least_work * all
               ? static_cast<index>(all)
               : static_cast<index>(std::max(1.0, flops / threads.least_work));
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
