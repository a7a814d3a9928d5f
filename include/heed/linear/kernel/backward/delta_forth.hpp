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
#include <heed/linear/kernel/backward/update_walk.hpp>
#include <heed/linear/kernel/call/backward_results.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/chunk/chunk_rows.hpp>
#include <heed/linear/kernel/chunk/chunk_update.hpp>
#include <heed/linear/kernel/chunk/head_sums.hpp>
#include <heed/linear/kernel/chunk/rows_ahead.hpp>
#include <heed/linear/kernel/rules/program.hpp>

/// \file
/// The way forth of an update's backward: S and u again, and dq. See backward_delta.hpp.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// S of one head of o, chunk by chunk, and what the way back needs of each.
template <class T>
class delta_forth : public update_walk<T, backward_results<T>> {
    using walk = update_walk<T, backward_results<T>>;

  protected:
    using walk::beta_;
    using walk::by_feature_;
    using walk::by_value_;
    using walk::chunk_features_;
    using walk::columns_;
    using walk::copy_rows_of;
    using walk::d_features_;
    using walk::decays_;
    using walk::features_;
    using walk::for_chunks;
    using walk::offset_;
    using walk::outputs_;
    using walk::p_;
    using walk::program_;
    using walk::readers_;
    using walk::run_;
    using walk::seen_by_readers;
    using walk::segment_;
    using walk::state_;
    using walk::turned_keys_;
    using walk::value_dim_;
    using walk::values_;
    using walk::width_;

    delta_forth(const linear_program<T>& program, const linear_gradients<T>& of, arena& scratch)
        : walk(program, of, scratch) {}
    ~delta_forth() = default;

    /// Keys as S takes them and as they read it, and what they write.
    void load_chunk(index p, index count) {
        this->load_keys(p, count);
        this->load_readers(p, count);
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
        this->read_beta(p, count);
        solve_chunk<T>({chunk_features_, state_.s.sum, features_, p_, beta_, values_, 0, missed},
                       count, columns_);
    }
    void fold_written(index count) {
        decays_.fold(state_.s, features_, state_.keys, values_, count, columns_);
    }
    /// A chunk of a segment: what back needs of it is kept, and dq found.
    void go_forth(index p, index count) {
        load_written(p, count, segment_.missed(p));
        this->copy_values(values_, count, segment_.written(p));
        transpose_rows<T>(state_.s.sum, features_, value_dim_, segment_.turned_state(p));
        const auto [first, queries] = this->queries_with(p, count);
        if (queries > 0) {
            this->load_queries(first, queries);
            const chunk_sight sight{first + offset_ - p, count};
            transpose_into_chunk<T>(values_, count, value_dim_, 0, by_value_.keys);
            weigh_chunk<T>(outputs_.rows(), queries, value_dim_, by_value_.keys, sight, p_);
            if (decays_.any()) {
                decays_.weigh(sight, queries, p_);
                decays_.scale(sight.first, queries, value_dim_, outputs_.rows());
            }
            lines_ahead ahead = this->look_forth(first + queries, true);
            multiply_chunk<T>(
                {outputs_.rows(), segment_.turned_state(p), value_dim_, p_, turned_keys_, sight,
                 all_finite<T>(turned_keys_, sight.keys, width_), &ahead},
                {d_features_, nullptr}, queries, 0, width_);
            this->put_d_queries(first, queries, 0);
        }
        fold_written(count);
    }
    /// Those that stand behind all keys see S as it is at the end.
    void queries_behind_keys() {
        if (this->behind() >= run_.queries()) return;
        decays_.load_none();
        transpose_rows<T>(state_.s.sum, features_, value_dim_, by_value_.s.sum);
        for_chunks(this->behind(), run_.queries(), [&](index i, index count) {
            this->load_queries(i, count);
            this->take_queries(count);
            decays_.fold(by_feature_.s, features_, by_feature_.keys,
                         reversed(outputs_.rows(), count), count, columns_);
            multiply_chunk<T>({outputs_.rows(), by_value_.s.sum, value_dim_},
                              {d_features_, nullptr}, count, 0, width_);
            this->put_d_queries(i, count, 0);
        });
    }

    /// p[r][j] = e^{G_r−G_j} a_r·b_j for j < r, G_r being that of a row that reads.
    void weigh_before(contiguous_rows<T> a, index count, index depth, const T* b_transposed) {
        weigh_chunk<T>(a, count, depth, b_transposed, seen_by_readers(count), p_);
        if (decays_.any()) decays_.weigh(seen_by_readers(count), count, p_);
    }
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
