#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/math.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/kernel/backward/backward_decays.hpp>
#include <heed/linear/kernel/backward/backward_rows.hpp>
#include <heed/linear/kernel/backward/backward_steps.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/chunk/chunk_rows.hpp>
#include <heed/linear/kernel/chunk/head_sums.hpp>
#include <heed/linear/kernel/chunk/references.hpp>
#include <heed/linear/kernel/rules/program.hpp>
#include <heed/linear/kernel/state/state_ends.hpp>

/// \file
/// The ways that backward goes over a run, forth and back: its rows, its sums, its references.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A run of one head, chunk by chunk.
template <class T>
class backward_walk : protected backward_steps {
  protected:
    backward_walk(const linear_program<T>& program, const linear_gradients<T>& of, arena& scratch)
        : backward_steps(program.steps()),
          program_(program),
          scratch_(scratch),
          features_(program.map->feature_count),
          width_(padded<T>(features_)),
          value_dim_(program.shape.value_dim),
          columns_(padded<T>(value_dim_)),
          rows_(program, scratch),
          outputs_(program, of, scratch),
          keys_(chunk_rows<T>::take(scratch, width_)),
          values_(chunk_rows<T>::take(scratch, columns_)),
          by_value_(head_layout<T>::of(value_dim_, features_).take(scratch)),
          by_feature_(head_layout<T>::of(features_, value_dim_).take(scratch)),
          ends_(program, of.state),
          decays_(program, of.d_log_decays, scratch),
          outputs_transposed_(scratch.take<T>(transposed_size<T>(value_dim_))),
          p_(scratch.take<T>((chunk_length + spare_rows) * weight_stride<T>)),
          reference_(scratch.take<T>(width_)),
          gathered_(scratch.take<T>(chunk_length * value_dim_)),
          factor_(scratch.take<T>(width_)) {
        std::fill_n(outputs_transposed_, static_cast<std::size_t>(transposed_size<T>(value_dim_)),
                    T(0));
    }
    ~backward_walk() = default;

    /// f() for the pieces of a causal run that forget one another, each of which has begun.
    template <class F>
    void for_each_piece(index batch, index head, index number, const F& f) {
        for_each_memory(program_, batch, head, program_.run(batch, number),
                        program_.runs[number].offset(),
                        [&](const sequence_run& run, index offset, index first, run_ends ends) {
                            const arena::scope mark(scratch_);
                            ends.first = ends.first && number == 0;
                            ends.last = ends.last && number + 1 == program_.run_count;
                            begin(batch, head, run, offset, first, ends);
                            f();
                        });
    }

    /// f(p, count) for the run's keys, chunk by chunk, each of which becomes part of Sᵀ and Z
    /// afterwards. Chunks end where a key rises above the references.
    template <class F>
    void for_keys(const F& f) {
        for (index p = 0; p < run_.keys();) {
            const index wanted = std::min(chunk_length, run_.keys() - p);
            index count = load_keys(p, wanted);
            if (count == 0) {
                raise(p);
                count = load_keys(p, wanted);
            }
            transpose_into_chunk<T>(values_, count, value_dim_, 0, by_value_.keys);
            rows_.sum_keys(by_feature_, keys_, count);
            if (decays_.any()) decays_.load(p, count);
            decays_.keep(p, by_value_.s.sum);
            f(p, count);
            by_value_.progress->keys = count;
            fold_values();
            p += count;
        }
    }
    /// The same from the last chunk to the first, references going down again; G and Σ dz φ(q) with
    /// them. Beside decays, which have no references, they are the very chunks of the walk forth.
    template <class F>
    void for_keys_back(const F& f) {
        index end = run_.keys();
        if (decays_.any()) {
            for (; end > 0; end = (end - 1) / chunk_length * chunk_length) {
                const index first = (end - 1) / chunk_length * chunk_length;
                decays_.load_back(first, end - first);
                f(first, end - first);
            }
            return;
        }
        for (const rise* r = last_rise_;; r = r->earlier) {
            const index first = r == nullptr ? 0 : r->position;
            for_chunks_back(first, end, f);
            if (r == nullptr) return;
            constexpr index size = vec<T>::size;
            for (index c = 0; c < width_; c += size) {
                const vec<T> earlier = vec<T>::load(r->before + c);
                exp2(earlier - vec<T>::load(reference_ + c)).store(factor_ + c);
                earlier.store(reference_ + c);
            }
            rescale_head(by_feature_, features_, factor_);
            end = first;
        }
    }

    /// A key that rises above the references, what those were, and the one before it.
    struct rise {
        index position;
        const T* before;
        const rise* earlier;
    };
    /// keys_[0] holds the logits of a key that does.
    void raise(index position) {
        T* before = scratch_.take<T>(width_);
        std::copy_n(reference_, static_cast<std::size_t>(width_), before);
        last_rise_ = &scratch_.make<rise>(rise{position, before, last_rise_});
        raise_references(keys_[0], features_, reference_, factor_, program_.feature_turn());
        multiply_columns_by(by_value_.s.sum, value_dim_, factor_);
        multiply_columns_by(by_value_.s.lost, value_dim_, factor_);
        for (T* total : {by_feature_.total, by_feature_.total_lost})
            multiply_columns_by<T>({total, width_}, 1, factor_);
    }

    /// A run, as set() takes it, and which ends of its sequence it has.
    void begin(index batch, index head, const sequence_run& run, index offset, index first = 0,
               run_ends ends = {}) {
        set(batch, head, run, offset, first);
        ends_.begin(batch, head, run, ends);
        // By the delta rule states are kept, and looked at, by backward_delta.hpp.
        decays_.begin(batch, head, run, ends_.goes_on(), program_.updates() ? 0 : value_dim_,
                      width_);
        clear(by_value_, value_dim_, width_);
        clear(by_feature_, features_, columns_);
        std::fill_n(reference_, static_cast<std::size_t>(width_), T(0));
        if (program_.map->divides_features) {
            divided_ = {scratch_.take<T>(run_.queries() * width_), width_};
            d_sums_ = {scratch_.take<T>(run_.queries() * width_), width_};
        }
        begun_ = goes_back_ = false;
        last_rise_ = nullptr;
        if (ends_.goes_on() && !program_.updates()) go_on();
    }
    /// Sᵀ, Z and the references of the state that the run goes on from.
    void go_on() {
        const head_sums<T> before = ends_.before(scratch_);
        transpose_rows<T>(before.s.sum, features_, value_dim_, by_value_.s.sum);
        transpose_rows<T>(before.s.lost, features_, value_dim_, by_value_.s.lost);
        const auto width = static_cast<std::size_t>(width_);
        std::copy_n(before.total, width, by_feature_.total);
        std::copy_n(before.total_lost, width, by_feature_.total_lost);
        std::copy_n(before.reference, width, reference_);
        begun_ = before.progress->begun;
    }
    /// G and Σ dz_i φ(q_i), in the place of the sums of keys: what reaches the last state.
    void begin_back() {
        clear(by_feature_, features_, columns_);
        ends_.put_last(by_feature_, reference_);
        goes_back_ = true;
    }
    /// The gradient of the state that the run goes on from.
    void end_back() { ends_.take_first(by_feature_, reference_); }
    static void clear(const head_sums<T>& sums, index depth, index columns) {
        for (T* x : {sums.s.sum.data, sums.s.lost.data})
            std::fill_n(x, static_cast<std::size_t>(depth * columns), T(0));
        for (T* x : {sums.total, sums.total_lost, sums.running})
            std::fill_n(x, static_cast<std::size_t>(padded<T>(depth)), T(0));
        *sums.progress = {};
    }

    /// How many of them: as many as stay below the references.
    index load_keys(index p, index count) {
        rows_.map_keys(head_, key_tokens(p, count), keys_);
        if (program_.map->keeps_reference) {
            count =
                relate_keys(keys_, count, features_, reference_, begun_, program_.feature_turn());
            if (count == 0) return 0;
        }
        const chunk_tokens at = key_tokens(p, count);
        turned_keys_ = rows_.step_keys(head_, at, rows_.turn_keys(keys_, at));
        const auto v = step_rows_of(program_.v, batch_, program_.value_head(head_), at.row,
                                    at.count, steps_, steps_ - 1, gathered_);
        copy_padded<T>(v, count, value_dim_, values_);
        return count;
    }
    void load_queries(index i, index count) {
        const chunk_tokens at = query_tokens(i, count);
        rows_.map_queries(head_, at, reference_);
        loaded_ = i;
        if (program_.map->divides_features && goes_back_)  // by sums that only the walk forward has
            copy_rows_of(divided_, i, count, rows_.queries(), 0);
        outputs_.load(rows_, batch_, head_, at.row, at.count);
    }

    /// Loaded queries in the places of keys on the walk back, the last one first.
    void take_queries(index count) {
        transpose_into_chunk<T>(reversed(rows_.turned_queries(), count), count, features_, 0,
                                by_feature_.keys);
        transpose_into_chunk<T>(reversed(outputs_.rows(), count), count, value_dim_, 0,
                                outputs_transposed_);
        finite_queries_ = all_finite<T>(rows_.turned_queries(), count, width_);
    }
    /// The same of those that stand with keys p …, which are loaded first; of how many.
    index take_queries_with(index p, index count) {
        const some_queries queries = queries_with(p, count);
        if (queries.count == 0) return 0;
        load_queries(queries.first, queries.count);
        take_queries(queries.count);
        return queries.count;
    }

    void copy_rows_of(contiguous_rows<T> from, index first, index count, written_rows<T> to,
                      index at) const {
        for (index r = 0; r < count; ++r)
            std::copy_n(from[first + r], static_cast<std::size_t>(width_), to[at + r]);
    }

    /// The chunk's keys become part of Sᵀ and Z.
    void fold_values() {
        const index keys = by_value_.progress->keys;
        if (decays_.any()) {
            decays_.fold(by_value_.s, value_dim_, by_value_.keys, turned_keys_, keys, width_);
            return;
        }
        add_chunk<T>(by_value_.s, value_dim_, by_value_.keys, turned_keys_, keys, 0, width_);
        fold_total(by_feature_);
    }
    void fold_total(const head_sums<T>& sums) const {
        for (index f = 0; f < width_; f += vec<T>::size) {
            add_compensated(sums.total + f, sums.total_lost + f, vec<T>::load(sums.running + f));
            vec<T>(T(0)).store(sums.running + f);
        }
    }

    const linear_program<T>& program_;
    arena& scratch_;
    index features_, width_, value_dim_, columns_;
    chunk_rows<T> rows_;
    output_gradients<T> outputs_;
    written_rows<T> keys_, values_;
    head_sums<T> by_value_;    ///< Sᵀ
    head_sums<T> by_feature_;  ///< Z, then G and Σ dz φ(q)

    state_ends<T> ends_;
    backward_decays<T> decays_;

    T* outputs_transposed_;  ///< dN of queries in the places of keys
    T* p_;
    written_rows<T> turned_keys_{};
    bool finite_queries_ = true;            ///< whether φ(q) of those queries are
    index loaded_ = 0;                      ///< the first of the loaded queries
    written_rows<T> divided_{}, d_sums_{};  ///< of each query, where its features are divided

  private:
    T *reference_, *gathered_, *factor_;
    bool begun_ = false, goes_back_ = false;
    const rise* last_rise_ = nullptr;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
