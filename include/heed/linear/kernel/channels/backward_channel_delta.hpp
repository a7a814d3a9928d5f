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
#include <heed/linear/kernel/channels/channel_delta_forth.hpp>
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
class backward_channel_delta : public channel_delta_forth<T> {
    using forth = channel_delta_forth<T>;
    using forth::alone_;
    using forth::beta_;
    using forth::by_feature_;
    using forth::by_value_;
    using forth::chunk_;
    using forth::chunk_features_;
    using forth::chunk_values_;
    using forth::columns_;
    using forth::copy_rows_of;
    using forth::d_features_;
    using forth::d_values_;
    using forth::decay_;
    using forth::features_;
    using forth::gradient_;
    using forth::last_;
    using forth::outputs_;
    using forth::p_;
    using forth::program_;
    using forth::readers_;
    using forth::reading_;
    using forth::reads_alone;
    using forth::related_keys_;
    using forth::rows_;
    using forth::seen_by_readers;
    using forth::segment_;
    using forth::state_;
    using forth::turned_keys_;
    using forth::value_dim_;
    using forth::width_;

  public:
    backward_channel_delta(const linear_program<T>& program, const linear_gradients<T>& of,
                           arena& scratch)
        : forth(program, of, scratch),
          d_written_(chunk_rows<T>::take(scratch, columns_)),
          d_writing_(chunk_rows<T>::take(scratch, width_)) {}

    /// A run of a head of o.
    void run(index batch, index head, index number) {
        this->for_run(batch, head, number, [&] { walk(); });
    }

  private:
    /// A run that has begun.
    void walk() {
        this->walk_segments(
            [&](index first, index last) {
                this->for_channel_chunks(first, last, [&](index p, index limit) {
                    this->states_.keep(p);
                    const index count = this->load_written(p, limit, {nullptr, 0});
                    this->fold_written(count);
                    return count;
                });
            },
            [&](index first, index last, bool is_last) {
                this->for_channel_chunks(
                    first, last, [&](index p, index limit) { return this->go_forth(p, limit); });
                if (gradient_.learns() && (!is_last || this->ends_.has_last())) set_sums();
                if (is_last) queries_behind_keys();
                for (index end = last; end > first; end = this->line_before(end))
                    go_back(this->line_before(end), end);
            });
    }
    /// Those that stand behind all keys see S as it is at the end.
    void queries_behind_keys() {
        transpose_rows<T>(state_.s.sum, features_, value_dim_, by_value_.s.sum);
        this->d_queries_behind(by_value_.s.sum);
        this->fold_queries_behind();
    }

    /// What S and its gradient make of that of the decays.
    void set_sums() {
        for (index f = 0; f < features_; ++f)
            gradient_.set_sum(
                f, static_cast<double>(dot<T>(state_.s.sum[f], by_feature_.s.sum[f], columns_)));
    }
    /// Back from `end` to a line of the grid, and forth again.
    void go_back(index line, index end) {
        const auto chunks = this->chunks_from(line, end);
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
        this->load_rows(p, count);
        const index queries = this->take_related_queries(p, count);
        transpose_into_chunk<T>(reversed(chunk_features_, count), count, features_, 0, state_.keys);
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
        this->read_beta(p, count);
        std::reverse(beta_, beta_ + count);
        solve_chunk<T>({of.a, of.sum, 0, p_, beta_, reversed(d_values_, count), 0,
                        reversed(chunk_values_, count)},
                       count, columns_);
        this->put_d_deltas(p, count);
        this->put_d_values(p, count);
    }
    /// dk of what has been written; d_written is −dv.
    void d_writing(index p, index count, index queries, written_rows<T> d_written,
                   written_rows<T> to) {
        this->copy_values(segment_.written(p), count, chunk_values_);
        const auto u = reversed(contiguous_rows<T>(chunk_values_), count);
        transpose_rows<T>(by_feature_.s.sum, features_, value_dim_, by_value_.s.sum);
        multiply_all_rows(by_value_.s.sum, value_dim_, last_);
        chunk_operands<T> of{u, by_value_.s.sum, value_dim_};
        if (queries > 0) {
            of.sight = {0, queries};
            weigh_chunk<T>(u, count, value_dim_, this->outputs_transposed_, of.sight, p_);
            of.p = p_;
            of.c = reversed(rows_.turned_queries(), queries);
            of.finite = this->finite_queries_;
        }
        multiply_chunk<T>(of, {reversed(to, count), nullptr}, count, 0, width_);

        transpose_into_chunk<T>(reversed(d_written, count), count, value_dim_, 0, by_value_.keys);
        const chunk_sight later{0, count, 0};
        weigh_chunk<T>(u, count, value_dim_, by_value_.keys, later, p_);
        multiply_chunk<T>({u, by_value_.s.sum, 0, p_, reversed(chunk_features_, count), later},
                          {reversed(d_features_, count), nullptr}, count, 0, width_);
        this->add_features(d_features_, count, to);
        chunk_.divide(to, 0, count);
        gradient_.subtract(p, count, turned_keys_, to);
    }
    /// dr, dk, and the way to Sᵀ behind the chunk.
    void d_keys(index p, index count, index place) {
        this->load_rows(p, count);
        transpose_into_chunk<T>(segment_.written(p), count, value_dim_, 0, by_value_.keys);
        this->copy_values({d_written_[place], columns_}, count, chunk_values_);
        weigh_chunk<T>(chunk_values_, count, value_dim_, by_value_.keys, seen_by_readers(count),
                       p_);
        chunk_.leave_unit(chunk_values_, count);
        const written_rows<T> d_readers = reading_.any() ? reading_.d_readers() : d_features_;
        const auto read = [&](index from, index to) {
            multiply_chunk<T>(
                {this->place_of(chunk_values_, from), by_value_.s.sum, value_dim_,
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
        decay_and_add_products<T>(by_value_.s, value_dim_, by_value_.keys, related_keys_, count,
                                  width_, decays_of_columns(decay_));
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
            this->add_features(written, count, d_features_);
        }
        this->turn_and_put_d_keys(p, count);
    }

    written_rows<T> d_written_, d_writing_;  ///< −dv and dk of writing, of a line's keys
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
