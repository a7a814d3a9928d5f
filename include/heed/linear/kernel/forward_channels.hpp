#pragma once

#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/kernel/chunk_channels.hpp>
#include <heed/linear/kernel/chunk_products.hpp>
#include <heed/linear/kernel/feature_rule.hpp>
#include <heed/linear/kernel/head_sums.hpp>
#include <heed/linear/kernel/program.hpp>

/// \file
/// Decays a channel on forward's walk over the keys of a head of the state.

namespace heed::inline HEED_ARCHITECTURE::detail {

template <class T>
class forward_channels {
  public:
    forward_channels(const linear_program<T>& program, arena& scratch)
        : program_(program),
          channels_(program.decays_channels() ? program.shape.dim : 0),
          gathered_(scratch.take<T>(chunk_length * channels_)),
          chunk_(channels_, scratch) {}

    bool any() const { return channels_ != 0; }

    /// The decays of up to `count` keys from `row` on, behind those of the chunk; of how many.
    /// fold() makes a part of S of what the chunk has.
    template <class Fold>
    index take(const head_sums<T>& head, index batch, index of_head, index row, index count,
               Fold&& fold) {
        head_progress& progress = *head.progress;
        logs_ = rows_of(program_.channel_decays, batch, program_.decay_head(of_head), row, count,
                        gathered_);
        const bool first = !progress.begun;
        progress.begun = true;
        index known = chunk_.add(logs_, count, progress.keys, head.channels());
        if (known == 0 && progress.keys > 0) {
            fold();
            progress.cuts = true;
            known = chunk_.add(logs_, count, 0, head.channels());
        }
        if (known == 0) {
            decay_rows(head.s, channels_, chunk_.alone(logs_[0]));
            if (!first) progress.cuts = true;  // S is not what it was
            known = chunk_.add(logs_, count, 0, head.channels(), true);
        }
        return known;
    }
    /// New keys, which become b/E.
    void relate_keys(written_rows<T> keys, index tail, index count) const {
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
        if (head.progress->keys > 0) chunk_.set(head.progress->keys - 1, head.channels());
    }

    /// Rows, of queries or of keys that read, become E⊙a, then e^G⊙a.
    void relate(written_rows<T> rows, chunk_sight sight, index count) const {
        if (sight.keys > 0) chunk_.multiply(rows, sight.first, count, sight.keys - 1);
    }
    void leave_unit(written_rows<T> rows, chunk_sight sight, index count) const {
        if (sight.keys > 0) chunk_.leave_unit(rows, count);
    }

  private:
    const linear_program<T>& program_;
    index channels_;
    T* gathered_;
    chunk_channels<T> chunk_;
    contiguous_rows<T> logs_{};
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
