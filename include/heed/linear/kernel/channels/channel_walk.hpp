#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/linear/kernel/backward/backward_rows.hpp>
#include <heed/linear/kernel/call/backward_results.hpp>
#include <heed/linear/kernel/channels/bonus_gradient.hpp>
#include <heed/linear/kernel/channels/channel_gradient.hpp>
#include <heed/linear/kernel/channels/chunk_channels.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/chunk/chunk_rows.hpp>
#include <heed/linear/kernel/rules/program.hpp>

/// \file
/// The chunks of decays a channel, forth and back: forward's, which end where the decays say so.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A walk over a run of one head whose chunks are those of its decays.
template <class T>
class channel_walk : public backward_results<T> {
    using results = backward_results<T>;

  protected:
    using results::copy_rows_of;
    using results::d_features_;
    using results::features_;
    using results::head_;
    using results::offset_;
    using results::outputs_;
    using results::p_;
    using results::program_;
    using results::rows_;
    using results::run_;
    using results::turned_keys_;
    using results::value_dim_;
    using results::width_;

    channel_walk(const linear_program<T>& program, const linear_gradients<T>& of, arena& scratch)
        : backward_results<T>(program, of, scratch),
          chunk_(features_, scratch),
          gradient_(program, of.d_channel_decays, of.d_alike_decays, scratch),
          own_(program, of.d_bonus, scratch),
          sums_{scratch.take<T>(width_), scratch.take<T>(width_)},
          decay_{scratch.take<T>(width_), scratch.take<T>(width_)},
          related_keys_(chunk_rows<T>::take(scratch, width_)),
          gathered_(scratch.take<T>(chunk_length * features_)) {}
    ~channel_walk() = default;

    /// f() for a run of a head of o that has begun.
    template <class F>
    void for_run(index batch, index head, index number, const F& f) {
        this->for_each_piece(batch, head, number, [&] {  // of which there is one
            gradient_.begin(batch, head, run_, this->ends_.goes_on());
            own_.begin(head);
            f();
        });
    }

    /// f(p, limit) for the chunks of keys first … last − 1, which takes up to `limit` keys from p
    /// on and returns how many the chunk had.
    template <class F>
    static void for_channel_chunks(index first, index last, const F& f) {
        for (index p = first; p < last;)
            p += f(p, std::min(last - p, chunk_length - p % chunk_length));
    }
    /// The chunks between two lines of the grid.
    struct line_chunks {
        index starts[chunk_length];
        index count = 0;
        index end = 0;

        index first(index chunk) const { return starts[chunk]; }
        index keys(index chunk) const {
            return (chunk + 1 < count ? starts[chunk + 1] : end) - starts[chunk];
        }
    };
    line_chunks chunks_from(index line, index end) {
        line_chunks of;
        of.end = end;
        for (index p = line; p < end; p += chunk_.length(logs_at(p, end - p), end - p, sums_))
            of.starts[of.count++] = p;
        return of;
    }
    /// The line before a key.
    static index line_before(index end) { return (end - 1) / chunk_length * chunk_length; }

    static contiguous_rows<T> place_of(contiguous_rows<T> rows, index place) {
        return {rows[place], rows.stride};
    }
    contiguous_rows<T> logs_at(index p, index count) {
        const chunk_tokens at = this->key_tokens(p, count);
        return step_rows_of(program_.channel_decays, this->batch_, program_.decay_head(head_),
                            at.row, at.count, this->steps_, 0, gathered_);
    }
    /// The chunk that begins with key p, of up to `limit`: its decays, k/E and values; of how many.
    index load_chunk(index p, index limit) {
        const contiguous_rows<T> logs = logs_at(p, limit);
        alone_ = nullptr;
        index known = chunk_.add(logs, limit, 0, sums_);
        if (known == 0) {
            alone_ = &chunk_.alone(logs[0]);
            known = chunk_.add(logs, limit, 0, sums_, true);
        }
        const auto width = static_cast<std::size_t>(width_);
        std::copy_n(sums_.high, width, decay_.high);
        std::copy_n(sums_.low, width, decay_.low);
        exponentiate_channels(decay_, features_);
        this->load_keys(p, known);
        copy_rows_of(turned_keys_, 0, known, related_keys_, 0);
        chunk_.divide(related_keys_, 0, known);
        keys_count_ = known;
        last_ = chunk_.at(known - 1);
        return known;
    }

    /// Back: the queries that stand with keys p …, as E⊙q, taken as keys, the last one first; how
    /// many: none before the first one.
    index take_related_queries(index p, index count) {
        const auto [first, queries] = this->queries_with(p, count);
        if (queries == 0) return 0;
        const index place = first + offset_ - p;
        this->load_queries(first, queries);
        if (own_.any())
            own_.take(rows_.turned_queries(), outputs_.rows(), place_of(this->values_, place),
                      queries);
        chunk_.multiply(rows_.turned_queries(), place - own_.shift(), queries, count - 1);
        this->take_queries(queries);
        return queries;
    }

    /// dq of the queries that stand with keys p + from … p + to − 1 of the chunk that begins with p
    /// and has `keys`, from Sᵀ before it and the rows that the keys have written, transposed.
    void d_queries_of(index p, index from, index to, index keys, contiguous_rows<T> turned_sum,
                      const T* written) {
        const auto [first, count] = this->queries_with(p + from, to - from);
        if (count == 0) return;
        this->load_queries(first, count);
        const chunk_sight sight{first + offset_ - p, keys, 1 - own_.shift()};
        if (own_.any()) own_.weigh(outputs_.rows(), place_of(this->values_, sight.first), count);
        weigh_chunk<T>(outputs_.rows(), count, value_dim_, written, sight, p_);
        chunk_.leave_unit(outputs_.rows(), count);
        multiply_chunk<T>({outputs_.rows(), turned_sum, value_dim_, p_, related_keys_, sight,
                           all_finite<T>(related_keys_, keys, width_)},
                          {d_features_, nullptr}, count, 0, width_);
        chunk_.multiply(d_features_, sight.first - own_.shift(), count, keys - 1);
        put_d_queries(first, count, sight.first);
    }
    /// Of queries that stand behind all keys, from the last Sᵀ.
    void d_queries_behind(contiguous_rows<T> turned_sum) {
        results::for_chunks(this->behind(), run_.queries(), [&](index i, index count) {
            this->load_queries(i, count);
            multiply_chunk<T>({outputs_.rows(), turned_sum, value_dim_}, {d_features_, nullptr},
                              count, 0, width_);
            put_d_queries(i, count, -1);
        });
    }
    /// What these add to the gradient of S.
    void fold_queries_behind() {
        results::for_chunks_back(this->behind(), run_.queries(), [&](index i, index count) {
            this->load_queries(i, count);
            this->take_queries(count);
            add_chunk<T>(this->by_feature_.s, features_, this->by_feature_.keys,
                         reversed(outputs_.rows(), count), count, 0, this->columns_);
        });
    }

    /// The gradient of S before the chunk's queries, which are `queries` E⊙q.
    void fold_queries(index queries) {
        const auto& to = this->by_feature_;
        multiply_transposed<T>(to.keys, features_, queries, nullptr, T(1) / channel_unit<T>);
        decay_and_add_products<T>(to.s, features_, to.keys, reversed(outputs_.rows(), queries),
                                  queries - (reads_before(queries) ? 1 : 0), this->columns_,
                                  decays_of_rows(decay_));
    }
    /// And before the decays that S took at once.
    void fold_alone(index queries) {
        if (alone_ == nullptr) return;
        const auto& to = this->by_feature_;
        decay_rows(to.s, features_, *alone_);
        if (reads_before(queries))
            add_chunk<T>(to.s, features_, to.keys + queries - 1, outputs_.rows(), 1, 0,
                         this->columns_);
    }
    /// Whether the chunk's first query, the last of those that were taken, reads S before that: by
    /// a bonus.
    bool reads_before(index queries) const {
        return own_.any() && alone_ != nullptr && queries == keys_count_;
    }
    /// `place` is that of the first of them in the chunk; −1: behind all keys.
    void put_d_queries(index i, index count, index place) {
        if (!own_.any()) {
            gradient_.add(i + offset_, count, rows_.turned_queries(), d_features_);
        } else {
            gradient_.add_before(i + offset_, count, rows_.turned_queries(), d_features_);
            if (place >= 0)
                own_.add_keys(rows_.turned_queries(), {turned_keys_[place], turned_keys_.stride},
                              count, d_features_);
        }
        results::put_d_queries(i, count, 0);
    }

    chunk_channels<T> chunk_;
    channel_gradient<T> gradient_;
    bonus_gradient<T> own_;
    channel_parts<T> sums_, decay_;  ///< G of the chunk, and e^G
    written_rows<T> related_keys_;   ///< k/E
    T* gathered_;

    index keys_count_ = 0;                     ///< of the chunk
    const T* last_ = nullptr;                  ///< E of the chunk's last token
    const channel_parts<T>* alone_ = nullptr;  ///< what S was multiplied by before the chunk
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
