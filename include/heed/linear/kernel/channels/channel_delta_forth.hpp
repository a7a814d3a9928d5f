#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/linear/kernel/backward/backward_rows.hpp>
#include <heed/linear/kernel/backward/update_walk.hpp>
#include <heed/linear/kernel/channels/channel_walk.hpp>
#include <heed/linear/kernel/channels/chunk_channels.hpp>
#include <heed/linear/kernel/chunk/chunk_decays.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/chunk/chunk_update.hpp>
#include <heed/linear/kernel/rules/program.hpp>

/// \file
/// The way forth of an update's backward beside decays a channel: S and u again, and dq. See
/// backward_channel_delta.hpp.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// S of one head of o, chunk by chunk, and what the way back needs of each.
template <class T>
class channel_delta_forth : public update_walk<T, channel_walk<T>> {
    using walk = update_walk<T, channel_walk<T>>;

  protected:
    using walk::alone_;
    using walk::beta_;
    using walk::by_value_;
    using walk::chunk_;
    using walk::chunk_features_;
    using walk::columns_;
    using walk::copy_rows_of;
    using walk::decay_;
    using walk::features_;
    using walk::last_;
    using walk::p_;
    using walk::program_;
    using walk::readers_;
    using walk::related_keys_;
    using walk::seen_by_readers;
    using walk::segment_;
    using walk::state_;
    using walk::value_dim_;
    using walk::values_;

    channel_delta_forth(const linear_program<T>& program, const linear_gradients<T>& of,
                        arena& scratch)
        : walk(program, of, scratch) {}
    ~channel_delta_forth() = default;

    /// U and w of the chunk that begins with key p, from S before it; of how many keys.
    index load_written(index p, index limit, written_rows<T> missed) {
        const index count = load_rows(p, limit);
        transpose_into_chunk<T>(related_keys_, count, features_, 0, state_.keys);
        weigh_chunk<T>(chunk_features_, count, features_, state_.keys, seen_by_readers(count), p_);
        chunk_.leave_unit(chunk_features_, count);
        this->read_beta(p, count);
        const auto solve = [&](index from, index to) {
            solve_chunk<T>({this->place_of(chunk_features_, from), state_.s.sum, features_,
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
    /// The chunk's keys; and in chunk_features_ E⊙r, by which they read.
    index load_rows(index p, index limit) {
        const index count = this->load_chunk(p, limit);
        this->load_readers(p, count);
        copy_rows_of(readers_, 0, count, chunk_features_, 0);
        chunk_.multiply(chunk_features_, seen_by_readers(count).first, count, count - 1);
        return count;
    }
    /// Whether the chunk's first row reads S before decays that it takes at once.
    bool reads_alone() const { return alone_ != nullptr && program_.low_rank(); }
    void fold_written(index count) {
        multiply_transposed<T>(state_.keys, features_, count, last_, T(1));
        decay_and_add_products<T>(state_.s, features_, state_.keys, values_, count, columns_,
                                  decays_of_rows(decay_));
    }
    /// A chunk of a segment: what back needs of it is kept, and dq found.
    index go_forth(index p, index limit) {
        if (p % chunk_length == 0)
            transpose_rows<T>(state_.s.sum, features_, value_dim_, segment_.turned_state(p));
        const index count = load_written(p, limit, segment_.missed(p));
        this->copy_values(values_, count, segment_.written(p));
        transpose_rows<T>(state_.s.sum, features_, value_dim_, by_value_.s.sum);
        transpose_into_chunk<T>(values_, count, value_dim_, 0, by_value_.keys);
        this->d_queries_of(p, 0, count, count, by_value_.s.sum, by_value_.keys);
        fold_written(count);
        return count;
    }
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
