#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/linear/kernel/backward/backward_decays.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/chunk/head_sums.hpp>
#include <heed/linear/kernel/rules/feature_rule.hpp>
#include <heed/linear/kernel/state/state_ends.hpp>

/// \file
/// What backward by an update keeps: S between segments of tokens, and of one segment its rows.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// S on the way forth of one head, kept before each segment but the last.
template <class T>
class kept_states {
  public:
    /// `state` has `features` rows.
    kept_states(const compensated_rows<T>& state, index features)
        : state_(state), features_(features) {}

    /// A run of `keys` keys, which goes on from a state or from none; memory for what is kept.
    void begin(index keys, const state_ends<T>& ends, arena& scratch) {
        last_ = std::max<index>(0, keys - 1) / kept_tokens * kept_tokens;
        kept_ = scratch.take<T>(last_ / kept_tokens * size());
        forget(state_, features_);
        if (!ends.goes_on()) return;
        const head_sums<T> before = ends.before(scratch);
        copy(before.s.sum.data, state_.sum.data);
        copy(before.s.lost.data, state_.lost.data);
    }
    /// The key that the last segment begins with.
    index last() const { return last_; }

    /// Forth: S before key p, if a segment begins with it.
    void keep(index p) const {
        if (p % kept_tokens == 0) copy(state_.sum.data, kept_at(p));
    }
    /// Back: S before the segment that begins with key p. Before the last one it is there already.
    void restore(index p) const {
        if (p == last_) return;
        forget(state_, features_);
        copy(kept_at(p), state_.sum.data);
    }

  private:
    index size() const { return features_ * state_.sum.stride; }
    T* kept_at(index p) const { return kept_ + p / kept_tokens * size(); }
    void copy(const T* from, T* to) const {
        std::copy_n(from, static_cast<std::size_t>(size()), to);
    }

    compensated_rows<T> state_;
    index features_, last_ = 0;
    T* kept_ = nullptr;
};

/// Rows and states of a segment, by the key p of the run, in scratch memory that the next segment
/// takes over.
template <class T>
class delta_segment {
  public:
    /// `width` is that of padded features.
    delta_segment(index value_dim, index width, arena& scratch)
        : value_dim_(value_dim),
          width_(width),
          written_(take_rows(padded<T>(value_dim), scratch)),
          missed_(take_rows(padded<T>(value_dim), scratch)),
          turned_states_(scratch.take<T>(kept_tokens / chunk_length * value_dim * width)) {}

    /// Rows u and w from key p on.
    written_rows<T> written(index p) const { return {written_[p % kept_tokens], written_.stride}; }
    written_rows<T> missed(index p) const { return {missed_[p % kept_tokens], missed_.stride}; }
    /// Sᵀ before the chunk that begins with key p.
    written_rows<T> turned_state(index p) const {
        return {turned_states_ + p % kept_tokens / chunk_length * value_dim_ * width_, width_};
    }

  private:
    /// With memory on both sides for what products compute beyond them and drop.
    static written_rows<T> take_rows(index columns, arena& scratch) {
        T* memory = scratch.take<T>((kept_tokens + 2 * spare_rows) * columns);
        return {memory + spare_rows * columns, columns};
    }

    index value_dim_, width_;
    written_rows<T> written_, missed_;
    T* turned_states_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
