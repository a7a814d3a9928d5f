#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/kernel/channels/chunk_channels.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/chunk/chunk_rows.hpp>
#include <heed/linear/kernel/chunk/head_sums.hpp>
#include <heed/linear/kernel/rules/feature_rule.hpp>
#include <heed/linear/kernel/rules/program.hpp>

/// \file
/// Decays a channel, and the bonus, on forward's walk over the keys of a head of the state. With a
/// bonus a row reads S as it was before its own token, by E_{i−1}, and its own key by u; by an
/// update of low rank a_i reads it so.

namespace heed::inline HEED_ARCHITECTURE::detail {

template <class T>
class forward_channels {
  public:
    forward_channels(const linear_program<T>& program, arena& scratch)
        : program_(program),
          channels_(program.decays_channels() ? program.shape.dim : 0),
          gathered_(scratch.take<T>(chunk_length * channels_)),
          chunk_(channels_, scratch),
          before_{nullptr, padded<T>(program.shape.value_dim)},
          own_keys_{nullptr, padded<T>(channels_)} {
        if (!program.reads_before_decay()) return;
        before_.data = scratch.take<T>(channels_ * before_.stride);
        if (!program.has_bonus()) return;
        own_keys_.data = scratch.take<T>(chunk_length * own_keys_.stride);
        bonus_ = scratch.take<T>(own_keys_.stride);
    }

    bool any() const { return channels_ != 0; }

    /// The decays of up to `count` keys from `row` on, behind those of the chunk; of how many.
    /// fold() makes a part of S of what the chunk has.
    template <class Fold>
    index take(const head_sums<T>& head, index batch, index of_head, index row, index count,
               Fold&& fold) {
        head_progress& progress = *head.progress;
        const index steps = program_.steps();
        logs_ = step_rows_of(program_.channel_decays, batch, program_.decay_head(of_head), row,
                             count, steps, 0, gathered_);
        const bool first = !progress.begun;
        if (program_.reads_before_decay()) find_last(head);
        progress.begun = true;
        index known = chunk_.add(logs_, count * steps, progress.keys, head.channels());
        if (known == 0 && progress.keys > 0) {
            fold();
            progress.cuts = true;
            known = chunk_.add(logs_, count * steps, 0, head.channels());
        }
        if (known == 0) {
            const channel_parts<T>& decays = chunk_.alone(logs_[0]);
            if (program_.reads_before_decay()) {
                keep_before(head, decays);
                count = 1;  // it reads S before its decays: it goes alone
            }
            decay_rows(head.s, channels_, decays);
            if (!first) progress.cuts = true;  // S is not what it was
            known = chunk_.add(logs_, count * steps, 0, head.channels(), true);
        }
        return known / steps;
    }
    /// New keys, which become b/E.
    void relate_keys(written_rows<T> keys, index tail, index count) const {
        for (index r = 0; r < count && program_.has_bonus(); ++r)
            std::copy_n(keys[r], static_cast<std::size_t>(own_keys_.stride), own_keys_[tail + r]);
        chunk_.divide(keys, tail, count);
    }
    /// The decays of new keys, from which G is found again when tokens are taken back, in the place
    /// of the keys themselves.
    void keep(const head_sums<T>& head, index count) const {
        for (index r = 0; r < count; ++r)
            for (index c = 0; c < head.key_rows.stride; c += vec<T>::size)
                vec<T>::load_partial(logs_[r] + c, channels_ - c)
                    .store(head.key_rows[head.progress->keys + r] + c);
    }
    /// E of the chunk's last key, which an earlier call has seen.
    void find_last(const head_sums<T>& head) {
        reads_before_ = false;
        if (head.progress->keys > 0) chunk_.set(head.progress->keys - 1, head.channels());
    }

    /// Rows that an update reads by become E⊙a, then e^G⊙a.
    void relate(written_rows<T> rows, chunk_sight sight, index count) const {
        if (sight.keys > 0) chunk_.multiply(rows, sight.first, count, sight.keys - 1);
    }
    /// The same of queries.
    void relate_queries(written_rows<T> rows, chunk_sight sight, index count) const {
        if (program_.has_bonus()) --sight.first;
        relate(rows, sight, count);
    }
    /// Rows of queries of a head of o as they are: what they weigh their own keys by.
    void see_own(index of_head, contiguous_rows<T> rows, chunk_sight sight, index count) {
        if (!program_.has_bonus()) return;
        program_.read_bonus(of_head, bonus_);
        for (index r = 0; r < count && sight.first + r < sight.keys; ++r)
            own_weights_[r] = dot_of_three(rows[r], bonus_, own_keys_[sight.first + r], channels_);
    }
    void weigh_own(chunk_sight sight, index count, T* p) const {
        if (!program_.has_bonus()) return;
        for (index r = 0; r < count && sight.first + r < sight.keys; ++r)
            p[r * weight_stride<T> + sight.first + r] = own_weights_[r];
    }
    /// S as an update of new tokens reads it, and as their queries do.
    contiguous_rows<T> sum(const head_sums<T>& head) const {
        return reads_before_ ? contiguous_rows<T>(before_) : contiguous_rows<T>(head.s.sum);
    }
    contiguous_rows<T> sum_of_queries(const head_sums<T>& head) const {
        return program_.has_bonus() ? sum(head) : contiguous_rows<T>(head.s.sum);
    }
    void leave_unit(written_rows<T> rows, chunk_sight sight, index count) const {
        if (sight.keys > 0) chunk_.leave_unit(rows, count);
    }

  private:
    /// S before decays that it takes at once. An update reads nothing of what they forget.
    void keep_before(const head_sums<T>& head, const channel_parts<T>& decays) {
        for (index f = 0; f < channels_; ++f) {
            const auto columns = static_cast<std::size_t>(before_.stride);
            if (program_.low_rank() && decays.high[f] == T(0))
                std::fill_n(before_[f], columns, T(0));
            else
                std::copy_n(head.s.sum[f], columns, before_[f]);
        }
        reads_before_ = true;
    }

    const linear_program<T>& program_;
    index channels_;
    T* gathered_;
    chunk_channels<T> chunk_;
    contiguous_rows<T> logs_{};

    written_rows<T> before_;     ///< S before the token that S took the decays of at once
    bool reads_before_ = false;  ///< whether that is the one token in the call's hands
    written_rows<T> own_keys_;   ///< new keys as they are, by their place
    T* bonus_ = nullptr;
    T own_weights_[chunk_length];
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
