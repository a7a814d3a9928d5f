#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/linear/kernel/backward/backward_rows.hpp>
#include <heed/linear/kernel/channels/channel_walk.hpp>
#include <heed/linear/kernel/channels/chunk_channels.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/rules/program.hpp>

/// \file
/// Backward with decays a channel. With D the gradient of S behind a chunk, E_i and G as in
/// chunk_channels.hpp and u = 2^58,
///
///     dq_i = E_i ⊙ (S dN_i/u + Σ_{j≤i} (dN_i·v_j) k_j/E_j)                    the walk forth
///     dv_j = Dᵀ(E⊙k_j/E_j) + Σ_{i≥j} ((E_i⊙q_i)·(k_j/E_j)) dN_i               the walk back
///     dk_j = (E⊙(D v_j) + Σ_{i≥j} (dN_i·v_j) E_i⊙q_i) / E_j
///     D ← Diag(e^G) D + Σ_i (E_i⊙q_i/u) dN_iᵀ
///
/// Queries and keys change places on the way back, and so do their factors.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Backward of one head of o at a time, in scratch memory of its own.
template <class T>
class backward_channels : public channel_walk<T> {
    using walk = channel_walk<T>;
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
    using walk::own_;
    using walk::p_;
    using walk::program_;
    using walk::related_keys_;
    using walk::rows_;
    using walk::run_;
    using walk::turned_keys_;
    using walk::value_dim_;
    using walk::values_;
    using walk::width_;

  public:
    backward_channels(const linear_program<T>& program, const linear_gradients<T>& of,
                      arena& scratch)
        : channel_walk<T>(program, of, scratch),
          turned_sum_{scratch.take<T>(columns_ * width_), width_} {}

    /// A run of a head of o.
    void run(index batch, index head, index number) {
        this->for_run(batch, head, number, [&] {
            go_forth();
            go_back();
            own_.finish(batch, head);
        });
    }

  private:
    void go_forth() {
        this->put_queries_before();
        this->for_channel_chunks(0, run_.keys(), [&](index p, index limit) {
            const index count = this->load_chunk(p, limit);
            gradient_.keep(p, by_value_.s.sum);
            transpose_into_chunk<T>(values_, count, value_dim_, 0, by_value_.keys);
            const bool before = alone_ != nullptr && own_.any();  // the first reads S as it was
            const auto read = [&](index from, index to) {
                this->d_queries_of(p, from, to, count, by_value_.s.sum, by_value_.keys);
            };
            if (before) read(0, 1);
            if (alone_ != nullptr) decay_columns(by_value_.s, value_dim_, *alone_);
            read(before ? 1 : 0, count);
            multiply_all_rows(related_keys_, count, last_);
            decay_and_add_products<T>(by_value_.s, value_dim_, by_value_.keys, related_keys_, count,
                                      width_, decays_of_columns(decay_));
            return count;
        });
        this->d_queries_behind(by_value_.s.sum);
    }
    void go_back() {
        this->begin_back();
        if (this->ends_.has_last() && gradient_.learns()) set_last_sum();
        this->fold_queries_behind();
        for (index end = run_.keys(); end > 0; end = this->line_before(end)) {
            const auto chunks = this->chunks_from(this->line_before(end), end);
            for (index c = chunks.count; c-- > 0;) go_back(chunks.first(c), chunks.keys(c));
            const index line = this->line_before(end);
            gradient_.finish(line, end - line, this->logs_at(line, end - line));
        }
        this->end_back();
    }
    /// What S and its gradient make of that of the decays at the end.
    void set_last_sum() {
        transpose_rows<T>(by_feature_.s.sum, features_, columns_, turned_sum_);
        for (index f = 0; f < features_; ++f) {
            double sum = 0;
            for (index c = 0; c < value_dim_; ++c)
                sum += static_cast<double>(by_value_.s.sum[c][f]) *
                       static_cast<double>(turned_sum_[c][f]);
            gradient_.set_sum(f, sum);
        }
    }
    /// A chunk on the way back.
    void go_back(index p, index count) {
        this->load_chunk(p, count);
        const index queries = this->take_related_queries(p, count);
        d_values(p, count, queries);
        d_keys(p, count, queries);
        this->fold_queries(queries);
        this->fold_alone(queries);
    }

    /// dv of the chunk's keys, of which the last `queries` stand with loaded queries.
    void d_values(index p, index count, index queries) {
        copy_rows_of(related_keys_, 0, count, d_features_, 0);  // which are not known yet
        multiply_all_rows(d_features_, count, last_);
        chunk_operands<T> of{reversed(contiguous_rows<T>(d_features_), count), by_feature_.s.sum,
                             features_};
        if (queries > 0) {
            of.sight = {0, queries, 1 - own_.shift()};
            weigh_chunk<T>(reversed(related_keys_, count), count, features_, by_feature_.keys,
                           of.sight, p_);
            of.p = p_;
            of.c = reversed(outputs_.rows(), queries);
            of.finite = outputs_.finite();
        }
        multiply_chunk<T>(of, {reversed(d_values_, count), nullptr}, count, 0, columns_);
        const index first = count - queries;
        if (own_.any())
            own_.add_outputs(this->place_of(turned_keys_, first), outputs_.rows(), queries,
                             {d_values_[first], d_values_.stride});
        this->put_d_values(p, count);
    }
    /// dk of the same.
    void d_keys(index p, index count, index queries) {
        transpose_rows<T>(by_feature_.s.sum, features_, columns_, turned_sum_);
        gradient_.take_sum(p + count, turned_sum_);
        multiply_all_rows(turned_sum_, value_dim_, last_);
        const auto v = reversed(contiguous_rows<T>(values_), count);
        chunk_operands<T> of{v, turned_sum_, value_dim_};
        if (queries > 0) {
            of.sight = {0, queries, 1 - own_.shift()};
            weigh_chunk<T>(v, count, value_dim_, this->outputs_transposed_, of.sight, p_);
            of.p = p_;
            of.c = reversed(rows_.turned_queries(), queries);
            of.finite = this->finite_queries_;
        }
        multiply_chunk<T>(of, {reversed(d_features_, count), nullptr}, count, 0, width_);
        chunk_.divide(d_features_, 0, count);
        gradient_.subtract(p, count, turned_keys_, d_features_);
        const index first = count - queries;
        if (own_.any()) own_.add_queries(queries, {d_features_[first], d_features_.stride});
        this->turn_and_put_d_keys(p, count);
    }

    written_rows<T> turned_sum_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
