#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/kernel/backward/backward_decays.hpp>
#include <heed/linear/kernel/backward/backward_readers.hpp>
#include <heed/linear/kernel/backward/backward_rows.hpp>
#include <heed/linear/kernel/backward/delta_segment.hpp>
#include <heed/linear/kernel/call/backward_results.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/chunk/chunk_rows.hpp>
#include <heed/linear/kernel/chunk/chunk_update.hpp>
#include <heed/linear/kernel/chunk/head_sums.hpp>
#include <heed/linear/kernel/rules/program.hpp>

/// \file
/// The way forth of an update's backward: S and u again, and dq. See backward_delta.hpp.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// S of one head of o, chunk by chunk, and what the way back needs of each.
template <class T>
class delta_forth : public backward_results<T> {
    using results = backward_results<T>;

  protected:
    using results::by_feature_;
    using results::by_value_;
    using results::columns_;
    using results::copy_rows_of;
    using results::d_features_;
    using results::decays_;
    using results::features_;
    using results::for_chunks;
    using results::offset_;
    using results::outputs_;
    using results::program_;
    using results::rows_;
    using results::run_;
    using results::scratch_;
    using results::turned_keys_;
    using results::value_dim_;
    using results::values_;
    using results::width_;

    delta_forth(const linear_program<T>& program, const linear_gradients<T>& of, arena& scratch)
        : backward_results<T>(program, of, scratch),
          state_(head_layout<T>::of(features_, value_dim_).take(scratch)),
          segment_(value_dim_, width_, scratch),
          reading_(program, of, scratch),
          outputs_transposed_(scratch.take<T>(transposed_size<T>(value_dim_))),
          p_(scratch.take<T>((chunk_length + spare_rows) * weight_stride<T>)),
          chunk_values_(chunk_rows<T>::take(scratch, columns_)),
          chunk_features_(chunk_rows<T>::take(scratch, width_)) {
        std::fill_n(outputs_transposed_, static_cast<std::size_t>(transposed_size<T>(value_dim_)),
                    T(0));
    }
    ~delta_forth() = default;

    /// Keys as S takes them and as they read it, and what they write.
    void load_chunk(index p, index count) {
        this->load_keys(p, count);
        readers_ =
            reading_.load(rows_, this->head_, this->key_tokens(p, count), turned_keys_, values_);
    }
    /// U and w of a chunk of keys, from S before it.
    void load_written(index p, index count, written_rows<T> missed) {
        load_chunk(p, count);
        if (decays_.any()) decays_.load(p, count);
        transpose_into_chunk<T>(turned_keys_, count, features_, 0, state_.keys);
        copy_rows_of(readers_, 0, count, chunk_features_, 0);
        weigh_before(chunk_features_, count, features_, state_.keys);
        if (decays_.any())
            decays_.scale(seen_by_readers(count).first, count, features_, chunk_features_);
        read_beta(p, count);
        solve_chunk<T>({chunk_features_, state_.s.sum, features_, p_, beta_, values_, 0, missed},
                       count, columns_);
    }
    void fold_written(index count) {
        decays_.fold(state_.s, features_, state_.keys, values_, count, columns_);
    }
    /// A chunk of a segment: what back needs of it is kept, and dq found.
    void go_forth(index p, index count) {
        load_written(p, count, segment_.missed(p));
        copy_values(values_, count, segment_.written(p));
        transpose_rows<T>(state_.s.sum, features_, value_dim_, segment_.turned_state(p));
        const index first = std::max<index>(0, p - offset_);
        const index last = std::min(run_.queries(), p + count - offset_);
        if (first < last) {
            const index queries = last - first;
            this->load_queries(first, queries);
            const chunk_sight sight{first + offset_ - p, count};
            transpose_into_chunk<T>(values_, count, value_dim_, 0, by_value_.keys);
            weigh_chunk<T>(outputs_.rows(), queries, value_dim_, by_value_.keys, sight, p_);
            if (decays_.any()) {
                decays_.weigh(sight, queries, p_);
                decays_.scale(sight.first, queries, value_dim_, outputs_.rows());
            }
            multiply_chunk<T>(
                {outputs_.rows(), segment_.turned_state(p), value_dim_, p_, turned_keys_, sight,
                 all_finite<T>(turned_keys_, sight.keys, width_)},
                {d_features_, nullptr}, queries, 0, width_);
            this->put_d_queries(first, queries, 0);
        }
        fold_written(count);
    }
    /// Those that stand behind all keys see S as it is at the end.
    void queries_behind_keys() {
        const index behind = std::max<index>(0, run_.keys() - offset_);
        if (behind >= run_.queries()) return;
        decays_.load_none();
        transpose_rows<T>(state_.s.sum, features_, value_dim_, by_value_.s.sum);
        for_chunks(behind, run_.queries(), [&](index i, index count) {
            this->load_queries(i, count);
            take_queries(count);
            decays_.fold(by_feature_.s, features_, by_feature_.keys,
                         reversed(outputs_.rows(), count), count, columns_);
            multiply_chunk<T>({outputs_.rows(), by_value_.s.sum, value_dim_},
                              {d_features_, nullptr}, count, 0, width_);
            this->put_d_queries(i, count, 0);
        });
    }

    /// Loaded queries as keys of the walk back, the last one first.
    void take_queries(index count) {
        transpose_into_chunk<T>(reversed(rows_.turned_queries(), count), count, features_, 0,
                                by_feature_.keys);
        transpose_into_chunk<T>(reversed(outputs_.rows(), count), count, value_dim_, 0,
                                outputs_transposed_);
        finite_queries_ = all_finite<T>(rows_.turned_queries(), count, width_);
    }
    /// What rows by which a chunk's keys read see.
    chunk_sight seen_by_readers(index count) const {
        return reading_sight(0, count, program_.low_rank());
    }
    /// p[r][j] = e^{G_r−G_j} a_r·b_j for j < r, G_r being that of a row that reads.
    void weigh_before(contiguous_rows<T> a, index count, index depth, const T* b_transposed) {
        weigh_chunk<T>(a, count, depth, b_transposed, seen_by_readers(count), p_);
        if (decays_.any()) decays_.weigh(seen_by_readers(count), count, p_);
    }
    void read_beta(index p, index count) {
        const chunk_tokens at = this->key_tokens(p, count);
        program_.read_deltas(this->batch_, this->head_, at.row, at.count, beta_);
    }
    void copy_values(contiguous_rows<T> from, index count, written_rows<T> to) const {
        for (index r = 0; r < count; ++r)
            std::copy_n(from[r], static_cast<std::size_t>(columns_), to[r]);
    }

    head_sums<T> state_;  ///< S on the way forth; by_feature_ has D
    delta_segment<T> segment_;
    backward_readers<T> reading_;
    written_rows<T> readers_{};  ///< of the loaded keys
    T* outputs_transposed_;
    T* p_;
    written_rows<T> chunk_values_, chunk_features_;  ///< copies of rows that change
    T beta_[chunk_length];
    bool finite_queries_ = true;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
