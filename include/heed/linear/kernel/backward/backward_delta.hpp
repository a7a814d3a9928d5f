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
    using results = backward_results<T>;
    using forth = delta_forth<T>;
    using forth::beta_;
    using forth::by_feature_;
    using forth::by_value_;
    using forth::chunk_features_;
    using forth::chunk_values_;
    using forth::columns_;
    using forth::copy_rows_of;
    using forth::copy_values;
    using forth::d_features_;
    using forth::d_values_;
    using forth::decays_;
    using forth::ends_;
    using forth::features_;
    using forth::finite_queries_;
    using forth::fold_written;
    using forth::for_chunks;
    using forth::go_forth;
    using forth::load_chunk;
    using forth::load_written;
    using forth::offset_;
    using forth::outputs_;
    using forth::outputs_transposed_;
    using forth::p_;
    using forth::program_;
    using forth::queries_behind_keys;
    using forth::read_beta;
    using forth::readers_;
    using forth::reading_;
    using forth::rows_;
    using forth::run_;
    using forth::scratch_;
    using forth::seen_by_readers;
    using forth::segment_;
    using forth::state_;
    using forth::take_queries;
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
        for_each_memory(program_, batch, head, program_.run(batch, number),
                        program_.runs[number].offset(),
                        [&](const sequence_run& run, index offset, index first, run_ends ends) {
                            const arena::scope mark(scratch_);
                            ends.first = ends.first && number == 0;
                            ends.last = ends.last && number + 1 == program_.run_count;
                            this->begin(batch, head, run, offset, first, ends);
                            walk();
                        });
    }

  private:
    /// A run that has been begun.
    void walk() {
        const index before = std::min(run_.queries(), std::max<index>(0, -offset_));
        for_chunks(0, before, [&](index i, index count) { this->put_no_queries(i, count); });
        const index keys = run_.keys();
        const index last = std::max<index>(0, keys - 1) / kept_tokens * kept_tokens;
        kept_ = scratch_.template take<T>(last / kept_tokens * features_ * columns_);
        this->clear(state_, features_, columns_);
        if (ends_.goes_on()) {
            const head_sums<T> carried = ends_.before(scratch_);
            copy_state(carried.s.sum.data, state_.s.sum.data);
            copy_state(carried.s.lost.data, state_.s.lost.data);
        }
        for_chunks(0, last, [&](index p, index count) {
            if (p % kept_tokens == 0) copy_state(state_.s.sum.data, kept_at(p));
            load_written(p, count, {nullptr, 0});
            fold_written(count);
        });
        for (index first = last; first >= 0; first -= kept_tokens) {
            if (first != last) {
                this->clear(state_, features_, columns_);
                copy_state(kept_at(first), state_.s.sum.data);
            }
            const index end = std::min(first + kept_tokens, keys);
            for_chunks(first, end, [&](index p, index count) { go_forth(p, count); });
            if (first == last) this->begin_back();
            if (decays_.learns() && (first != last || ends_.has_last()))
                decays_.set_behind(state_by_gradient());
            if (first == last) queries_behind_keys();
            for (index p = end; p > first;) {
                const index count = (p - 1) % chunk_length + 1;
                p -= count;
                go_back(p, count);
            }
        }
        this->end_back();
    }

    /// A chunk on the way back.
    void go_back(index p, index count) {
        load_chunk(p, count);
        if (decays_.any()) decays_.load_back(p, count);
        // The queries that stand with these keys: none before the first one.
        const index first = std::max(p, std::max<index>(0, offset_));
        const index last = std::min(p + count, run_.queries() + offset_);
        const index queries = std::max<index>(0, last - first);
        if (queries > 0) {
            this->load_queries(first - offset_, queries);
            take_queries(queries);
        }
        transpose_into_chunk<T>(reversed(readers_, count), count, features_, 0, state_.keys);
        d_written(p, count, queries);
        decays_.take_values(p, count, values_, d_values_, segment_.written(p));
        put_d_values(p, count);
        d_keys_of_writing(p, count, queries);
        fold_gradient(count, queries);
        d_keys_of_reading(p, count);
        this->turn_and_put_d_keys(p, count);
    }
    void put_d_values(index p, index count) {
        if (!reading_.writes()) return results::put_d_values(p, count);
        reading_.take_values(this->head_, this->key_tokens(p, count), d_values_, chunk_values_);
        results::put_d_values(p, count, chunk_values_);
    }
    /// dv, and dβ.
    void d_written(index p, index count, index queries) {
        const auto keys = reversed(chunk_features_, count);
        const chunk_sight sight{0, queries};
        copy_rows_of(turned_keys_, 0, count, chunk_features_, 0);
        chunk_operands<T> of{keys, by_feature_.s.sum, features_};
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
        read_beta(p, count);
        std::reverse(beta_, beta_ + count);
        solve_chunk<T>({of.a, of.sum, 0, p_, beta_, reversed(d_values_, count), 0,
                        reversed(chunk_values_, count)},
                       count, columns_);
        if (results::of_.d_deltas.data == nullptr) return;
        for (index r = 0; r < count; ++r)
            results::of_.d_deltas(this->batch_, this->head_, run_.key_first + p + r) =
                dot<T>(chunk_values_[r], segment_.missed(p)[r], value_dim_);
    }
    /// The first line of dk_j: what u_j k_jᵀ has written.
    void d_keys_of_writing(index p, index count, index queries) {
        const auto u = reversed(chunk_values_, count);
        const chunk_sight sight{0, queries};
        copy_values(segment_.written(p), count, chunk_values_);
        transpose_rows<T>(by_feature_.s.sum, features_, value_dim_, by_value_.s.sum);
        chunk_operands<T> of{u, by_value_.s.sum, value_dim_};
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
        add_to_d_features(count);
    }
    /// The same where others read by other rows than k: dr by itself.
    void d_readers(index p, index count) {
        if (decays_.any())
            decays_.scale(seen_by_readers(count).first, count, value_dim_, chunk_values_);
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
        add_to_d_features(count);
        reading_.take_keys(this->head_, this->key_tokens(p, count), turned_keys_, d_features_);
    }
    void add_to_d_features(index count) const {
        for (index r = 0; r < count; ++r)
            for (index f = 0; f < width_; f += vec<T>::size)
                (vec<T>::load(d_features_[r] + f) + vec<T>::load(chunk_features_[r] + f))
                    .store(d_features_[r] + f);
    }

    /// ⟨S, D⟩
    double state_by_gradient() const {
        double sum = 0;
        for (index r = 0; r < features_; ++r)
            sum += static_cast<double>(dot<T>(state_.s.sum[r], by_feature_.s.sum[r], columns_));
        return sum;
    }

    T* kept_at(index p) const { return kept_ + p / kept_tokens * features_ * columns_; }
    void copy_state(const T* from, T* to) const {
        std::copy_n(from, static_cast<std::size_t>(features_ * columns_), to);
    }

    T* kept_ = nullptr;  ///< S before each segment
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
