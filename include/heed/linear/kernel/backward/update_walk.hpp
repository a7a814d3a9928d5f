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
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/chunk/chunk_rows.hpp>
#include <heed/linear/kernel/chunk/chunk_update.hpp>
#include <heed/linear/kernel/chunk/head_sums.hpp>
#include <heed/linear/kernel/rules/program.hpp>

/// \file
/// What the walks of all updates backward have: S, segment after segment, and the rows by which
/// keys read it.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A walk by an update over the chunks of `Walk`.
template <class T, class Walk>
class update_walk : public Walk {
  protected:
    using Walk::columns_;
    using Walk::features_;
    using Walk::program_;
    using Walk::run_;
    using Walk::value_dim_;
    using Walk::width_;

    update_walk(const linear_program<T>& program, const linear_gradients<T>& of, arena& scratch)
        : Walk(program, of, scratch),
          state_(head_layout<T>::of(features_, value_dim_).take(scratch)),
          states_(state_.s, features_),
          segment_(value_dim_, width_, scratch),
          reading_(program, of, scratch),
          chunk_values_(chunk_rows<T>::take(scratch, columns_)),
          chunk_features_(chunk_rows<T>::take(scratch, width_)) {}
    ~update_walk() = default;

    /// The way over a run that has begun: forth(first, last) over all segments but the last, S
    /// before each of them kept; then segment(first, last, is_last) from the last one to the first.
    template <class Forth, class Segment>
    void walk_segments(const Forth& forth, const Segment& segment) {
        this->put_queries_before();
        states_.begin(run_.keys(), this->ends_, this->scratch_);
        forth(index(0), states_.last());
        this->begin_back();
        for (index first = states_.last(); first >= 0; first -= kept_tokens) {
            states_.restore(first);
            segment(first, std::min(first + kept_tokens, run_.keys()), first == states_.last());
        }
        this->end_back();
    }

    /// The rows by which loaded keys read.
    void load_readers(index p, index count) {
        readers_ = reading_.load(this->rows_, this->head_, this->key_tokens(p, count),
                                 this->turned_keys_, this->values_);
    }
    /// What they see of a chunk.
    chunk_sight seen_by_readers(index count) const {
        return reading_sight(0, count, program_.low_rank());
    }
    void read_beta(index p, index count) {
        const chunk_tokens at = this->key_tokens(p, count);
        program_.read_deltas(this->batch_, this->head_, at.row, at.count, beta_);
    }

    void copy_values(contiguous_rows<T> from, index count, written_rows<T> to) const {
        for (index r = 0; r < count; ++r)
            std::copy_n(from[r], static_cast<std::size_t>(columns_), to[r]);
    }
    static void add_features(contiguous_rows<T> from, index count, written_rows<T> to) {
        for (index r = 0; r < count; ++r)
            for (index f = 0; f < to.stride; f += vec<T>::size)
                (vec<T>::load(to[r] + f) + vec<T>::load(from[r] + f)).store(to[r] + f);
    }

    /// dβ of keys p …, of which du are the rows of chunk_values_.
    void put_d_deltas(index p, index count) const {
        if (this->of_.d_deltas.data == nullptr) return;
        for (index r = 0; r < count; ++r)
            this->of_.d_deltas(this->batch_, this->head_, run_.key_first + p + r) =
                dot<T>(chunk_values_[r], segment_.missed(p)[r], value_dim_);
    }
    void put_d_values(index p, index count) {
        if (!reading_.writes()) return Walk::put_d_values(p, count);
        reading_.take_values(this->head_, this->key_tokens(p, count), this->d_values_,
                             chunk_values_);
        Walk::put_d_values(p, count, chunk_values_);
    }

    head_sums<T> state_;  ///< S on the way forth; by_feature_ has D
    kept_states<T> states_;
    delta_segment<T> segment_;
    backward_readers<T> reading_;
    written_rows<T> readers_{};                      ///< of the loaded keys
    written_rows<T> chunk_values_, chunk_features_;  ///< copies of rows that change
    T beta_[chunk_length];
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
