#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/kernel/chunk/chunk_decays.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/chunk/chunk_rows.hpp>
#include <heed/linear/kernel/rules/feature_rule.hpp>
#include <heed/linear/kernel/rules/program.hpp>
#include <heed/linear/kernel/state/state_ends.hpp>

/// \file
/// Decays on the way back, and their own gradient. With w_ij what the pair (i, j) adds to Σ d_o·o,
///
///     d log α_t = Σ_{j<t≤i} w_ij = Σ_{s=t…e} (q_s·dq_s − k_s·dk_s) + ⟨S_e, dS_e⟩
///
/// for any e ≥ t. e is the next of the tokens, `kept_tokens` apart, behind which the walk forth
/// keeps S: over the whole sequence the differences would lose what they are made of. With the
/// delta rule v_s·dv_s stands in the place of k_s·dk_s. By an update of low rank too, and of t
/// itself u_t·du_t is taken off, u_t being what a_t has read before α_t.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Tokens between two states that are kept.
inline constexpr index kept_tokens = 8 * chunk_length;

/// f(run, offset, first, ends) for the pieces of a run that forget one another: their tokens, where
/// the first query stands among the keys, where the keys begin in the run, and whether they have
/// its ends.
template <class T, class F>
void for_each_memory(const linear_program<T>& program, index batch, index head,
                     const sequence_run& run, index offset, const F& f) {
    index first = 0;
    const auto put = [&](index last) {
        const bool ends = last == run.keys();
        const index from = first == 0 ? 0 : std::clamp<index>(first - offset, 0, run.queries());
        const index to = ends ? run.queries() : std::clamp<index>(last - offset, 0, run.queries());
        f(sequence_run{run.query_first + from, run.query_first + to, run.key_first + first,
                       run.key_first + last},
          offset + from - first, first, run_ends{first == 0, ends});
        first = last;
    };
    if (program.decays() && run.keys() > 0) {
        const T* logs = program.log_decay(batch, head, run.key_first);
        for (index p = 1; p < run.keys(); ++p)
            if (begins_anew(logs[p * program.log_decays.strides[2]])) put(p);
    }
    put(run.keys());
}

/// The decays of one head of o, in a run in which only the first token may begin anew.
template <class T>
class backward_decays {
  public:
    backward_decays(const linear_program<T>& program, const tensor_view<T, 3>& gradient,
                    arena& scratch)
        : program_(program),
          gradient_(gradient),
          scratch_(scratch),
          steps_(program.steps()),
          sums_(decay_sums<T>::at(scratch.take<T>(decay_sums<T>::size))),
          readers_(program.low_rank() ? decay_sums<T>::at(scratch.take<T>(decay_sums<T>::size))
                                      : sums_) {
        std::fill_n(sums_.high, static_cast<std::size_t>(decay_sums<T>::size), T(0));
    }

    bool any() const { return program_.decays(); }
    /// Whether their gradient is wanted.
    bool learns() const { return gradient_.data != nullptr; }

    /// A run of tokens, whose chunks will be of steps; and memory for the gradient: `rows` rows of
    /// S, `columns` padded columns. `goes_on`: S is not 0 before the first token.
    void begin(index batch, index head, const sequence_run& run, bool goes_on, index rows,
               index columns) {
        batch_ = batch;
        head_ = head;
        run_ = run;
        goes_on_ = goes_on;
        rows_ = rows;
        columns_ = columns;
        behind_ = 0;
        if (!learns()) return;
        differences_ = scratch_.take<double>(run.keys());
        std::fill_n(differences_, static_cast<std::size_t>(run.keys()), 0.0);
        kept_ = scratch_.take<T>(std::max<index>(0, run.keys() - 1) / kept_tokens * rows * columns);
    }

    /// Forth: G_i of keys p … p + count − 1.
    void load(index p, index count) {
        bool anew = false;
        read(p, count);
        add_decays<T>(logs_, count, index(0), sums_, anew);
        whole_ = sums_[count - 1];
        tokens_ = count;
    }
    /// Back: of row r, the r-th from the end, the sum of what is behind it in the chunk.
    void load_back(index p, index count) {
        two_parts<T> sum;
        read(p, count);
        for (index r = 0; r < count; ++r) {
            sums_.set(r, sum);
            const T log_decay = logs_[count - 1 - r];
            if (!begins_anew(log_decay))
                sum = two_parts<T>::of(sum.value() + static_cast<double>(log_decay));
            if (program_.low_rank()) readers_.set(r, sum);
        }
        whole_ = sum;
        tokens_ = count;
    }
    /// Rows that stand behind all keys.
    void load_none() {
        sums_.set(0, {});
        whole_ = {};
        tokens_ = 0;
    }

    /// Weights of rows of which the first stands at the chunk's place sight.first.
    void weigh(chunk_sight sight, index rows, T* p) const { chunk().weigh(sight, rows, p); }
    /// Back: those of columns by which an update reads.
    void weigh_readers(chunk_sight sight, index rows, T* p) const {
        chunk_decays<T>{sums_, tokens_, readers_}.weigh(sight, rows, p);
    }
    void scale(index first, index rows, index columns, written_rows<T> x) const {
        chunk().scale(first, rows, columns, x);
    }
    /// Columns by which an update reads, each times what decays do to it until the end of the
    /// chunk.
    void weigh_columns(index depth, T* b_transposed, index keys) const {
        if (tokens_ != 0) decay_columns<T>(depth, b_transposed, keys, readers_, whole_);
    }
    /// The chunk of `keys` columns becomes part of the sum, which decays.
    void fold(const compensated_rows<T>& to, index depth, T* b_transposed, contiguous_rows<T> c,
              index keys, index columns) const {
        if (tokens_ == 0)
            add_chunk<T>(to, depth, b_transposed, c, keys, 0, columns);
        else
            decay_and_add_chunk<T>(to, depth, b_transposed, c, keys, columns, sums_, whole_);
    }

    /// Forth: S before key p, if it is one that is kept.
    void keep(index p, contiguous_rows<T> sum) {
        if (!learns() || p == 0 || p % kept_tokens != 0) return;
        for (index r = 0; r < rows_; ++r)
            std::copy_n(sum[r], static_cast<std::size_t>(columns_), kept_at(p) + r * columns_);
    }
    /// Forth: q·dq of queries that stand with keys p …
    void take_queries(index p, index count, contiguous_rows<T> q, contiguous_rows<T> dq) {
        if (!learns() || run_.keys() == 0) return;
        for (index r = 0; r < count / steps_; ++r)
            differences_[std::min(p / steps_ + r, run_.keys() - 1)] +=
                static_cast<double>(dot<T>(q[r], dq[r], program_.shape.dim));
    }
    /// Back: −k·dk of keys p …, which complete their gradient; `d_sum` is that of S behind them.
    void take_keys(index p, index count, contiguous_rows<T> k, contiguous_rows<T> dk,
                   contiguous_rows<T> d_sum) {
        if (!learns()) return;
        const index end = p + count;
        if (end < run_.keys() && end % kept_tokens == 0) {
            behind_ = 0;
            for (index r = 0; r < rows_; ++r)
                behind_ +=
                    static_cast<double>(dot<T>(kept_at(end) + r * columns_, d_sum[r], columns_));
        }
        subtract(p, count, k, dk, program_.shape.dim, [](index) { return 0.0; });
    }
    /// The same with an update: −v·dv, u being what is written in the place of v. Behind them
    /// ⟨S, dS⟩ has been set where S was kept.
    void take_values(index p, index count, contiguous_rows<T> v, contiguous_rows<T> dv,
                     contiguous_rows<T> u) {
        if (!learns()) return;
        const index width = program_.shape.value_dim;
        subtract(p / steps_, count / steps_, rows_of_tokens(v, steps_), rows_of_tokens(dv, steps_),
                 width, [&](index r) {
                     if (!program_.low_rank()) return 0.0;
                     return static_cast<double>(dot<T>(u[r * steps_], dv[r * steps_], width));
                 });
    }
    void set_behind(double product) { behind_ = product; }

  private:
    /// own(r) is taken off the gradient of row r alone.
    template <class Own>
    void subtract(index p, index count, contiguous_rows<T> x, contiguous_rows<T> dx, index width,
                  const Own& own) {
        for (index r = count; r-- > 0;) {
            behind_ += differences_[p + r] - static_cast<double>(dot<T>(x[r], dx[r], width));
            if (p + r == 0 && !goes_on_) return;  // nothing is before it
            gradient_(batch_, head_, run_.key_first + p + r) = static_cast<T>(behind_ - own(r));
        }
    }
    void read(index p, index count) {
        program_.read_log_decays(batch_, head_, run_.key_first + p / steps_, count / steps_, logs_);
    }
    chunk_decays<T> chunk() const { return {sums_, tokens_}; }
    T* kept_at(index p) const { return kept_ + (p / kept_tokens - 1) * rows_ * columns_; }

    const linear_program<T>& program_;
    tensor_view<T, 3> gradient_;
    arena& scratch_;
    index steps_;
    decay_sums<T> sums_;
    decay_sums<T> readers_;  ///< back: of the columns by which an update reads
    T logs_[chunk_length];   ///< of the chunk's tokens
    two_parts<T> whole_;
    index tokens_ = 0;

    index batch_ = 0, head_ = 0, rows_ = 0, columns_ = 0;
    sequence_run run_{};
    bool goes_on_ = false;
    double* differences_ = nullptr;  ///< q·dq of each token
    T* kept_ = nullptr;              ///< S of each token that is kept
    double behind_ = 0;              ///< what of the gradient the tokens behind make
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
