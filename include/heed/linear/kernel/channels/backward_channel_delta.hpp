#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/kernel/backward/backward_decays.hpp>
#include <heed/linear/kernel/backward/backward_readers.hpp>
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
/// An update backward beside decays a channel. dv and du are those of backward_delta.hpp, r is k or
/// what reads in its place, and the ways over segments of tokens are the same; dk and dr are apart,
/// since the factors of a row that reads are others than those of one that writes:
///
///     dk_j = (E⊙(D u_j) + Σ_{i≥j} (dN_i·u_j) E_i⊙q_i − Σ_{i>j} (dv_i·u_j) E_i⊙r_i) / E_j
///     dr_j = −E_j ⊙ (S dv_j/2^58 + Σ_{i<j} (dv_j·u_i) k_i/E_i)
///
/// dk comes on the way back, dr on a way forth again between two lines of the grid, at the first of
/// which Sᵀ is known. By an update of low rank r_i goes with E_{i−1}, since it reads before its own
/// decay; and so, by itself, does the first of a chunk before decays that S takes at once.

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
          reading_(program, of, scratch),
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
        const index count = load_rows(p, limit);
        transpose_into_chunk<T>(related_keys_, count, features_, 0, state_.keys);
        weigh_chunk<T>(rows_features_, count, features_, state_.keys, seen_by_readers(count), p_);
        chunk_.leave_unit(rows_features_, count);
        read_beta(p, count);
        const auto solve = [&](index from, index to) {
            solve_chunk<T>({this->place_of(rows_features_, from), state_.s.sum, features_,
                            p_ + from * weight_stride<T>, beta_ + from, values_, from, missed},
                           to - from, columns_);
        };
        if (reads_alone()) {
            clear_rows(state_.s, features_, *alone_);
            solve(0, 1);
        }
        if (alone_ != nullptr) decay_rows(state_.s, features_, *alone_);
        solve(reads_alone() ? 1 : 0, count);
        return count;
    }
    /// The chunk's keys; and in rows_features_ E⊙r, by which they read.
    index load_rows(index p, index limit) {
        const index count = this->load_chunk(p, limit);
        readers_ =
            reading_.load(rows_, this->head_, this->key_tokens(p, count), turned_keys_, values_);
        copy_rows_of(readers_, 0, count, rows_features_, 0);
        chunk_.multiply(rows_features_, seen_by_readers(count).first, count, count - 1);
        return count;
    }
    /// What rows by which a chunk's keys read see.
    chunk_sight seen_by_readers(index count) const {
        return reading_sight(0, count, program_.low_rank());
    }
    /// Whether the chunk's first row reads S before decays that it takes at once.
    bool reads_alone() const { return alone_ != nullptr && program_.low_rank(); }
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
        load_rows(p, count);
        const index queries = this->load_queries_of(p, count);
        transpose_into_chunk<T>(reversed(rows_features_, count), count, features_, 0, state_.keys);
        d_values(p, count, queries);
        const written_rows<T> d_written{d_written_[place], columns_};
        for (index r = 0; r < count; ++r) multiply_row(d_values_[r], columns_, T(-1), d_written[r]);
        d_writing(p, count, queries, d_written, {d_writing_[place], width_});
        this->fold_queries(queries);
        multiply_transposed<T>(state_.keys, features_, count, nullptr, T(1) / channel_unit<T>);
        const index last = count - (reads_alone() ? 1 : 0);
        add_chunk<T>(by_feature_.s, features_, state_.keys, reversed(d_written, count), last, 0,
                     columns_);
        this->fold_alone(queries);
        if (!reads_alone()) return;
        add_chunk<T>(by_feature_.s, features_, state_.keys + last, d_written, 1, 0, columns_);
        clear_rows(by_feature_.s, features_, *alone_);
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
        put_d_values(p, count);
        if (this->of_.d_deltas.data == nullptr) return;
        for (index r = 0; r < count; ++r)
            this->of_.d_deltas(this->batch_, this->head_, run_.key_first + p + r) =
                dot<T>(rows_values_[r], segment_.missed(p)[r], value_dim_);
    }
    void put_d_values(index p, index count) {
        if (!reading_.writes()) return walk::put_d_values(p, count);
        reading_.take_values(this->head_, this->key_tokens(p, count), d_values_, values_);
        walk::put_d_values(p, count, values_);
    }
    /// dk of what has been written; d_written is −dv.
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
    /// dr, dk, and the way to Sᵀ behind the chunk.
    void d_keys(index p, index count, index place) {
        load_rows(p, count);
        transpose_into_chunk<T>(segment_.written(p), count, value_dim_, 0, by_value_.keys);
        copy_values({d_written_[place], columns_}, count, rows_values_);
        weigh_chunk<T>(rows_values_, count, value_dim_, by_value_.keys, seen_by_readers(count), p_);
        chunk_.leave_unit(rows_values_, count);
        const written_rows<T> d_readers = reading_.any() ? reading_.d_readers() : d_features_;
        const auto read = [&](index from, index to) {
            multiply_chunk<T>(
                {this->place_of(rows_values_, from), by_value_.s.sum, value_dim_,
                 p_ + from * weight_stride<T>, related_keys_, chunk_sight{from, count, 0}},
                {{d_readers[from], width_}, nullptr}, to - from, 0, width_);
        };
        if (reads_alone()) {
            clear_columns(by_value_.s, value_dim_, *alone_);
            read(0, 1);
        }
        if (alone_ != nullptr) decay_columns(by_value_.s, value_dim_, *alone_);
        read(reads_alone() ? 1 : 0, count);
        chunk_.multiply(d_readers, seen_by_readers(count).first, count, count - 1);
        put_d_keys(p, count, {d_writing_[place], width_}, d_readers);
        multiply_all_rows(related_keys_, count, last_);
        decay_columns_and_add<T>(by_value_.s, value_dim_, by_value_.keys, related_keys_, count,
                                 width_, decay_);
    }

    /// dk, of which `written` is what has been written, and d_readers all else or dr.
    void put_d_keys(index p, index count, contiguous_rows<T> written,
                    contiguous_rows<T> d_readers) {
        if (program_.low_rank())
            gradient_.add_before(p, count, readers_, d_readers);
        else
            gradient_.add(p, count, readers_, d_readers);
        if (reading_.any()) {
            copy_rows_of(written, 0, count, d_features_, 0);
            reading_.take_keys(this->head_, this->key_tokens(p, count), turned_keys_, d_features_);
        } else {
            add_rows(written, count, d_features_);
        }
        this->turn_and_put_d_keys(p, count);
    }

    void read_beta(index p, index count) {
        const chunk_tokens at = this->key_tokens(p, count);
        program_.read_deltas(this->batch_, this->head_, at.row, at.count, beta_);
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
    backward_readers<T> reading_;
    written_rows<T> readers_{};                    ///< of the loaded keys
    written_rows<T> rows_values_, rows_features_;  ///< copies of rows that change
    written_rows<T> d_written_, d_writing_;        ///< −dv and dk of writing, of a line's keys
    T beta_[chunk_length];
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
