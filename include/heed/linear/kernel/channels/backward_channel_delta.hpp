#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/kernel/backward/backward_decays.hpp>
#include <heed/linear/kernel/backward/backward_rows.hpp>
#include <heed/linear/kernel/backward/delta_segment.hpp>
#include <heed/linear/kernel/channels/channel_walk.hpp>
#include <heed/linear/kernel/channels/chunk_channels.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/chunk/chunk_rows.hpp>
#include <heed/linear/kernel/chunk/chunk_update.hpp>
#include <heed/linear/kernel/chunk/head_sums.hpp>
#include <heed/linear/kernel/rules/program.hpp>

/// \file
/// The delta rule backward beside decays a channel. dv and du are those of backward_delta.hpp, and
/// so are the ways over segments of tokens; dk is of two kinds, since the factors of a key that
/// reads are others than those of one that writes:
///
///     dk_j = (E⊙(D u_j) + Σ_{i≥j} (dN_i·u_j) E_i⊙q_i − Σ_{i>j} (dv_i·u_j) E_i⊙k_i) / E_j
///          − E_j ⊙ (S dv_j/2^58 + Σ_{i<j} (dv_j·u_i) k_i/E_i)
///
/// The first line comes on the way back, the second on a way forth again between two lines of the
/// grid, at the first of which Sᵀ is known.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Backward of one head of o at a time, in scratch memory of its own.
template <class T>
class backward_channel_delta : public channel_walk<T> {
    using walk = channel_walk<T>;
    using typename walk::line_chunks;
    using walk::alone_;
    using walk::by_feature_;
    using walk::by_value_;
    using walk::chunk_;
    using walk::columns_;
    using walk::copy_rows_of;
    using walk::d_features_;
    using walk::d_values_;
    using walk::decay_;
    using walk::features_;
    using walk::gradient_;
    using walk::last_;
    using walk::outputs_;
    using walk::p_;
    using walk::program_;
    using walk::related_keys_;
    using walk::rows_;
    using walk::run_;
    using walk::scratch_;
    using walk::turned_keys_;
    using walk::value_dim_;
    using walk::values_;
    using walk::width_;

  public:
    backward_channel_delta(const linear_program<T>& program, const linear_gradients<T>& of,
                           arena& scratch)
        : channel_walk<T>(program, of, scratch),
          state_(head_layout<T>::of(features_, value_dim_).take(scratch)),
          segment_(value_dim_, width_, scratch),
          rows_values_(chunk_rows<T>::take(scratch, columns_)),
          rows_features_(chunk_rows<T>::take(scratch, width_)),
          d_written_(chunk_rows<T>::take(scratch, columns_)),
          d_writing_(chunk_rows<T>::take(scratch, width_)) {}

    /// A run of a head of o.
    void run(index batch, index head, index number) {
        const arena::scope mark(scratch_);
        this->begin_run(batch, head, number);
        go();
    }

  private:
    /// A run that has been begun.
    void go() {
        this->put_queries_before();
        const index keys = run_.keys();
        const index last = std::max<index>(0, keys - 1) / kept_tokens * kept_tokens;
        T* const kept = scratch_.template take<T>(last / kept_tokens * features_ * columns_);
        const auto size = static_cast<std::size_t>(features_ * columns_);
        const auto kept_at = [&](index p) { return kept + p / kept_tokens * features_ * columns_; };
        this->clear(state_, features_, columns_);
        if (this->ends_.goes_on()) {
            const head_sums<T> carried = this->ends_.before(scratch_);
            std::copy_n(carried.s.sum.data, size, state_.s.sum.data);
            std::copy_n(carried.s.lost.data, size, state_.s.lost.data);
        }
        this->for_channel_chunks(0, last, [&](index p, index limit) {
            if (p % kept_tokens == 0) std::copy_n(state_.s.sum.data, size, kept_at(p));
            const index count = load_written(p, limit, {nullptr, 0});
            fold_written(count);
            return count;
        });
        this->begin_back();
        for (index first = last; first >= 0; first -= kept_tokens) {
            if (first != last) {
                this->clear(state_, features_, columns_);
                std::copy_n(kept_at(first), size, state_.s.sum.data);
            }
            index end = std::min(first + kept_tokens, keys);
            this->for_channel_chunks(first, end,
                                     [&](index p, index limit) { return go_forth(p, limit); });
            if (gradient_.learns() && (first != last || this->ends_.has_last())) set_sums();
            if (first == last) {
                transpose_rows<T>(state_.s.sum, features_, value_dim_, by_value_.s.sum);
                this->d_queries_behind(by_value_.s.sum);
                this->fold_queries_behind();
            }
            for (; end > first; end = this->line_before(end)) go_back(this->line_before(end), end);
        }
        this->end_back();
    }

    /// What S and its gradient make of that of the decays.
    void set_sums() {
        for (index f = 0; f < features_; ++f)
            gradient_.set_sum(
                f, static_cast<double>(dot<T>(state_.s.sum[f], by_feature_.s.sum[f], columns_)));
    }
    /// U and w of the chunk that begins with key p, from S before it; of how many keys.
    index load_written(index p, index limit, written_rows<T> missed) {
        const index count = this->load_chunk(p, limit);
        if (alone_ != nullptr) decay_rows(state_.s, features_, *alone_);
        transpose_into_chunk<T>(related_keys_, count, features_, 0, state_.keys);
        copy_rows_of(turned_keys_, 0, count, rows_features_, 0);
        chunk_.multiply(rows_features_, 0, count, count - 1);
        weigh_chunk<T>(rows_features_, count, features_, state_.keys, {0, count, 0}, p_);
        chunk_.leave_unit(rows_features_, count);
        read_beta(p, count);
        solve_chunk<T>({rows_features_, state_.s.sum, features_, p_, beta_, values_, 0, missed},
                       count, columns_);
        return count;
    }
    void fold_written(index count) {
        multiply_transposed<T>(state_.keys, features_, count, last_, T(1));
        decay_rows_and_add<T>(state_.s, features_, state_.keys, values_, count, columns_, decay_);
    }
    /// A chunk of a segment: what back needs of it is kept, and dq found.
    index go_forth(index p, index limit) {
        if (p % chunk_length == 0)
            transpose_rows<T>(state_.s.sum, features_, value_dim_, segment_.turned_state(p));
        const index count = load_written(p, limit, segment_.missed(p));
        copy_values(values_, count, segment_.written(p));
        transpose_rows<T>(state_.s.sum, features_, value_dim_, by_value_.s.sum);
        transpose_into_chunk<T>(values_, count, value_dim_, 0, by_value_.keys);
        this->d_queries_of(p, 0, count, count, by_value_.s.sum, by_value_.keys);
        fold_written(count);
        return count;
    }

    /// Back from `end` to a line of the grid, and forth again.
    void go_back(index line, index end) {
        const line_chunks chunks = this->chunks_from(line, end);
        for (index c = chunks.count; c-- > 0;)
            d_chunk(chunks.first(c), chunks.keys(c), chunks.first(c) - line);
        for (index r = 0; r < value_dim_; ++r)
            std::copy_n(segment_.turned_state(line)[r], static_cast<std::size_t>(width_),
                        by_value_.s.sum[r]);
        std::fill_n(by_value_.s.lost.data, static_cast<std::size_t>(value_dim_ * width_), T(0));
        for (index c = 0; c < chunks.count; ++c)
            d_keys(chunks.first(c), chunks.keys(c), chunks.first(c) - line);
        gradient_.finish(line, end - line, this->logs_at(line, end - line));
    }
    /// dv and dβ of a chunk, dk as far as it writes, and D before it; the chunk's first key is the
    /// `place`-th behind the line.
    void d_chunk(index p, index count, index place) {
        this->load_chunk(p, count);
        const index queries = this->load_queries_of(p, count);
        copy_rows_of(turned_keys_, 0, count, rows_features_, 0);
        chunk_.multiply(rows_features_, 0, count, count - 1);  // E⊙k
        transpose_into_chunk<T>(reversed(rows_features_, count), count, features_, 0, state_.keys);
        d_values(p, count, queries);
        const written_rows<T> d_written{d_written_[place], columns_};
        for (index r = 0; r < count; ++r) multiply_row(d_values_[r], columns_, T(-1), d_written[r]);
        d_writing(p, count, queries, d_written, {d_writing_[place], width_});
        this->fold_queries(queries);
        multiply_transposed<T>(state_.keys, features_, count, nullptr, T(1) / channel_unit<T>);
        add_chunk<T>(by_feature_.s, features_, state_.keys, reversed(d_written, count), count, 0,
                     columns_);
        this->fold_alone(queries);
    }
    /// dv, and dβ.
    void d_values(index p, index count, index queries) {
        const auto keys = reversed(contiguous_rows<T>(related_keys_), count);
        copy_rows_of(related_keys_, 0, count, d_features_, 0);
        multiply_all_rows(d_features_, count, last_);
        chunk_operands<T> of{reversed(contiguous_rows<T>(d_features_), count), by_feature_.s.sum,
                             features_};
        if (queries > 0) {
            of.sight = {0, queries};
            weigh_chunk<T>(keys, count, features_, by_feature_.keys, of.sight, p_);
            of.p = p_;
            of.c = reversed(outputs_.rows(), queries);
            of.finite = outputs_.finite();
        }
        multiply_chunk<T>(of, {reversed(d_values_, count), nullptr}, count, 0, columns_);

        weigh_chunk<T>(keys, count, features_, state_.keys, {0, count, 0}, p_);
        read_beta(p, count);
        std::reverse(beta_, beta_ + count);
        solve_chunk<T>({of.a, of.sum, 0, p_, beta_, reversed(d_values_, count), 0,
                        reversed(rows_values_, count)},
                       count, columns_);
        this->put_d_values(p, count);
        if (this->of_.d_deltas.data == nullptr) return;
        for (index r = 0; r < count; ++r)
            this->of_.d_deltas(this->batch_, this->head_, run_.key_first + p + r) =
                dot<T>(rows_values_[r], segment_.missed(p)[r], value_dim_);
    }
    /// The first line of dk; d_written is −dv.
    void d_writing(index p, index count, index queries, written_rows<T> d_written,
                   written_rows<T> to) {
        copy_values(segment_.written(p), count, rows_values_);
        const auto u = reversed(contiguous_rows<T>(rows_values_), count);
        transpose_rows<T>(by_feature_.s.sum, features_, value_dim_, by_value_.s.sum);
        multiply_all_rows(by_value_.s.sum, value_dim_, last_);
        chunk_operands<T> of{u, by_value_.s.sum, value_dim_};
        if (queries > 0) {
            of.sight = {0, queries};
            weigh_chunk<T>(u, count, value_dim_, this->outputs_transposed_, of.sight, p_);
            of.p = p_;
            of.c = reversed(rows_.turned_queries(), queries);
            of.finite = all_finite<T>(rows_.turned_queries(), queries, width_);
        }
        multiply_chunk<T>(of, {reversed(to, count), nullptr}, count, 0, width_);

        transpose_into_chunk<T>(reversed(d_written, count), count, value_dim_, 0, by_value_.keys);
        const chunk_sight later{0, count, 0};
        weigh_chunk<T>(u, count, value_dim_, by_value_.keys, later, p_);
        multiply_chunk<T>({u, by_value_.s.sum, 0, p_, reversed(rows_features_, count), later},
                          {reversed(d_features_, count), nullptr}, count, 0, width_);
        add_rows(d_features_, count, to);
        chunk_.divide(to, 0, count);
        gradient_.subtract(p, count, turned_keys_, to);
    }
    /// The second line of dk, and the way to Sᵀ behind the chunk.
    void d_keys(index p, index count, index place) {
        this->load_chunk(p, count);
        if (alone_ != nullptr) decay_columns(by_value_.s, value_dim_, *alone_);
        transpose_into_chunk<T>(segment_.written(p), count, value_dim_, 0, by_value_.keys);
        copy_values({d_written_[place], columns_}, count, rows_values_);
        const chunk_sight before{0, count, 0};
        weigh_chunk<T>(rows_values_, count, value_dim_, by_value_.keys, before, p_);
        chunk_.leave_unit(rows_values_, count);
        multiply_chunk<T>({rows_values_, by_value_.s.sum, value_dim_, p_, related_keys_, before},
                          {d_features_, nullptr}, count, 0, width_);
        chunk_.multiply(d_features_, 0, count, count - 1);
        gradient_.add(p, count, turned_keys_, d_features_);
        add_rows({d_writing_[place], width_}, count, d_features_);
        this->turn_and_put_d_keys(p, count);
        multiply_all_rows(related_keys_, count, last_);
        decay_columns_and_add<T>(by_value_.s, value_dim_, by_value_.keys, related_keys_, count,
                                 width_, decay_);
    }

    void read_beta(index p, index count) {
        program_.read_deltas(this->batch_, this->head_, run_.key_first + p, count, beta_);
    }
    static void add_rows(contiguous_rows<T> from, index count, written_rows<T> to) {
        for (index r = 0; r < count; ++r)
            for (index f = 0; f < to.stride; f += vec<T>::size)
                (vec<T>::load(to[r] + f) + vec<T>::load(from[r] + f)).store(to[r] + f);
    }
    void copy_values(contiguous_rows<T> from, index count, written_rows<T> to) const {
        for (index r = 0; r < count; ++r)
            std::copy_n(from[r], static_cast<std::size_t>(columns_), to[r]);
    }

    head_sums<T> state_;  ///< S on the way forth; by_feature_ has D
    delta_segment<T> segment_;
    written_rows<T> rows_values_, rows_features_;  ///< copies of rows that change
    written_rows<T> d_written_, d_writing_;        ///< −dv and dk of writing, of a line's keys
    T beta_[chunk_length];
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
