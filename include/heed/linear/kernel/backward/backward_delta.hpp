#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/kernel/backward/backward_decays.hpp>
#include <heed/linear/kernel/backward/backward_rows.hpp>
#include <heed/linear/kernel/backward/delta_forth.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/chunk/chunk_update.hpp>
#include <heed/linear/kernel/chunk/head_sums.hpp>
#include <heed/linear/kernel/chunk/rows_ahead.hpp>
#include <heed/linear/kernel/rules/program.hpp>
#include <heed/linear/kernel/state/state_ends.hpp>

/// \file
/// An update backward: k reads, or r = e⊙k in its place (backward_readers.hpp), and k writes. With
/// u and w as in chunk_update.hpp, D the gradient of S behind a chunk and G_i sums of log decays
/// from its first token to i, in each chunk from the last to the first
///
///     du_j = e^{G−G_j} Dᵀk_j + Σ_{i≥j} e^{G_i−G_j} (q_i·k_j) dN_i
///            − Σ_{i>j} e^{G_i−G_j} (r_i·k_j) dv_i
///     dv_j = β_j du_j        dβ_j = du_j·w_j
///     dk_j = e^{G−G_j} D u_j + Σ_{i≥j} e^{G_i−G_j} (dN_i·u_j) q_i
///            − Σ_{i>j} e^{G_i−G_j} (dv_i·u_j) r_i
///     dr_j = −e^{G_j} S dv_j − Σ_{i<j} e^{G_j−G_i} (dv_j·u_i) k_i, part of dk_j where r is k
///     D ← e^G D + Σ_i e^{G_i} (q_i dN_iᵀ − r_i dv_iᵀ)
///
/// So du is found by forward's substitution from the last row to the first. S before each chunk is
/// needed: a walk forth keeps it every `kept_tokens`, and from there, segment after segment back,
/// it and u are found again; dq on the way.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Backward by an update of one head of o at a time, in scratch memory of its own.
template <class T>
class backward_delta : public delta_forth<T> {
    using forth = delta_forth<T>;
    using forth::beta_;
    using forth::by_feature_;
    using forth::by_value_;
    using forth::chunk_features_;
    using forth::chunk_values_;
    using forth::columns_;
    using forth::copy_rows_of;
    using forth::d_features_;
    using forth::d_values_;
    using forth::decays_;
    using forth::features_;
    using forth::finite_queries_;
    using forth::for_chunks;
    using forth::outputs_;
    using forth::outputs_transposed_;
    using forth::p_;
    using forth::readers_;
    using forth::reading_;
    using forth::rows_;
    using forth::segment_;
    using forth::state_;
    using forth::turned_keys_;
    using forth::value_dim_;
    using forth::values_;
    using forth::weigh_before;
    using forth::width_;

  public:
    backward_delta(const linear_program<T>& program, const linear_gradients<T>& of, arena& scratch)
        : delta_forth<T>(program, of, scratch) {}

    /// A run of a head of o.
    void run(index batch, index head, index number) {
        this->for_each_piece(batch, head, number, [&] { walk(); });
    }

  private:
    /// A run that has begun.
    void walk() {
        this->walk_segments(
            [&](index first, index last) {
                for_chunks(first, last, [&](index p, index count) {
                    this->states_.keep(p);
                    this->load_written(p, count, {nullptr, 0});
                    this->fold_written(count);
                });
            },
            [&](index first, index last, bool is_last) {
                for_chunks(first, last, [&](index p, index count) { this->go_forth(p, count); });
                if (decays_.learns() && (!is_last || this->ends_.has_last()))
                    decays_.set_behind(state_by_gradient());
                if (is_last) this->queries_behind_keys();
                for (index p = last; p > first;) {
                    const index count = (p - 1) % chunk_length + 1;
                    p -= count;
                    go_back(p, count);
                }
            });
    }

    /// A chunk on the way back.
    void go_back(index p, index count) {
        this->load_chunk(p, count);
        if (decays_.any()) decays_.load_back(p, count);
        const index queries = this->take_queries_with(p, count);
        transpose_into_chunk<T>(reversed(readers_, count), count, features_, 0, state_.keys);
        lines_ahead ahead = this->look_back(p, queries > 0);
        d_written(p, count, queries, ahead);
        decays_.take_values(p, count, values_, d_values_, segment_.written(p));
        this->put_d_values(p, count);
        d_keys_of_writing(p, count, queries, ahead);
        fold_gradient(count, queries);
        d_keys_of_reading(p, count);
        this->turn_and_put_d_keys(p, count);
    }
    /// dv, and dβ.
    void d_written(index p, index count, index queries, lines_ahead& ahead) {
        const auto keys = reversed(chunk_features_, count);
        const chunk_sight sight{0, queries};
        copy_rows_of(turned_keys_, 0, count, chunk_features_, 0);
        chunk_operands<T> of{keys, by_feature_.s.sum, features_};
        of.ahead = &ahead;
        if (queries > 0) {
            weigh_chunk<T>(keys, count, features_, by_feature_.keys, sight, p_);
            of.p = p_;
            of.c = reversed(outputs_.rows(), queries);
            of.sight = sight;
            of.finite = outputs_.finite();
            if (decays_.any()) decays_.weigh(sight, count, p_);
        }
        if (decays_.any()) decays_.scale(0, count, features_, keys);
        multiply_chunk<T>(of, {reversed(d_values_, count), nullptr}, count, 0, columns_);

        const chunk_sight later{0, count, 0};
        weigh_chunk<T>(reversed(turned_keys_, count), count, features_, state_.keys, later, p_);
        if (decays_.any()) decays_.weigh_readers(later, count, p_);
        this->read_beta(p, count);
        std::reverse(beta_, beta_ + count);
        solve_chunk<T>({of.a, of.sum, 0, p_, beta_, reversed(d_values_, count), 0,
                        reversed(chunk_values_, count)},
                       count, columns_);
        this->put_d_deltas(p, count);
    }
    /// The first line of dk_j: what u_j k_jᵀ has written.
    void d_keys_of_writing(index p, index count, index queries, lines_ahead& ahead) {
        const auto u = reversed(chunk_values_, count);
        const chunk_sight sight{0, queries};
        this->copy_values(segment_.written(p), count, chunk_values_);
        transpose_rows<T>(by_feature_.s.sum, features_, value_dim_, by_value_.s.sum);
        chunk_operands<T> of{u, by_value_.s.sum, value_dim_};
        of.ahead = &ahead;
        if (queries > 0) {
            weigh_chunk<T>(u, count, value_dim_, outputs_transposed_, sight, p_);
            of.p = p_;
            of.c = reversed(rows_.turned_queries(), queries);
            of.sight = sight;
            of.finite = finite_queries_;
            if (decays_.any()) decays_.weigh(sight, count, p_);
        }
        if (decays_.any()) decays_.scale(0, count, value_dim_, u);
        multiply_chunk<T>(of, {reversed(d_features_, count), nullptr}, count, 0, width_);
    }
    /// D before the chunk.
    void fold_gradient(index count, index queries) {
        for (index r = 0; r < count; ++r)
            multiply_row(d_values_[r], columns_, T(-1), chunk_values_[r]);
        decays_.fold(by_feature_.s, features_, by_feature_.keys, reversed(outputs_.rows(), queries),
                     queries, columns_);
        decays_.weigh_columns(features_, state_.keys, count);
        add_chunk<T>(by_feature_.s, features_, state_.keys, reversed(chunk_values_, count), count,
                     0, columns_);
    }
    /// What k_j, or r_j, has read, and what others have read of k_j. Rows are −dv.
    void d_keys_of_reading(index p, index count) {
        if (decays_.any()) decays_.load(p, count);
        transpose_into_chunk<T>(segment_.written(p), count, value_dim_, 0, by_value_.keys);
        weigh_before(chunk_values_, count, value_dim_, by_value_.keys);
        if (reading_.any()) return d_readers(p, count);
        for (index r = 0; r < count; ++r) {
            p_[r * weight_stride<T> + r] = T(0);
            for (index later = r + 1; later < count; ++later)
                p_[r * weight_stride<T> + later] = p_[later * weight_stride<T> + r];
        }
        if (decays_.any()) decays_.scale(0, count, value_dim_, chunk_values_);
        const chunk_sight all{count, count};
        multiply_chunk<T>(
            {chunk_values_, segment_.turned_state(p), value_dim_, p_, turned_keys_, all},
            {chunk_features_, nullptr}, count, 0, width_);
        this->add_features(chunk_features_, count, d_features_);
    }
    /// The same where others read by other rows than k: dr by itself.
    void d_readers(index p, index count) {
        if (decays_.any())
            decays_.scale(this->seen_by_readers(count).first, count, value_dim_, chunk_values_);
        multiply_chunk<T>({chunk_values_, segment_.turned_state(p), value_dim_, p_, turned_keys_,
                           chunk_sight{0, count, 0}},
                          {reading_.d_readers(), nullptr}, count, 0, width_);
        for (index r = 0; r < count; ++r) {
            p_[r * weight_stride<T> + r] = T(0);
            for (index later = r + 1; later < count; ++later) {
                p_[r * weight_stride<T> + later] = p_[later * weight_stride<T> + r];
                p_[later * weight_stride<T> + r] = T(0);
            }
        }
        multiply_chunk<T>(
            {chunk_values_, segment_.turned_state(p), 0, p_, readers_, chunk_sight{count, count}},
            {chunk_features_, nullptr}, count, 0, width_);
        this->add_features(chunk_features_, count, d_features_);
        reading_.take_keys(this->head_, this->key_tokens(p, count), turned_keys_, d_features_);
    }
    /// ⟨S, D⟩
    double state_by_gradient() const {
        double sum = 0;
        for (index r = 0; r < features_; ++r)
            sum += static_cast<double>(dot<T>(state_.s.sum[r], by_feature_.s.sum[r], columns_));
        return sum;
    }
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
