#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/linear/kernel/backward/backward_decays.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/rules/feature_rule.hpp>

/// \file
/// What backward by the delta rule keeps of the tokens between two states.

namespace heed::inline HEED_ARCHITECTURE::detail {

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
