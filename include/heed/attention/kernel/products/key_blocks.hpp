#pragma once

#include <heed/attention/kernel/products/encoding_maps.hpp>
#include <heed/attention/position_encoding.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>

/// \file
/// Keys and values that a cache holds, block by block, as the kernels read them.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A block of keys and values of a head that lies ready for the microkernels.
template <class T>
struct ready_block {
    index number = -1;             ///< which block; −1: none yet
    key_maps<T*> key_panels = {};  ///< of each map, from the block's first key on
    T* values = nullptr;           ///< padded rows; null where v's own memory will do
    bool finite = true;            ///< whether the values are free of NaN and infinities
    bool moderate = true;          ///< whether no sum of weighted values can overflow
};

/// The blocks of the sequences of a cache. Any threads may read them at the same time.
template <class T>
class key_blocks {
  public:
    /// Memory for a block, where it does not lie ready in the cache.
    virtual ready_block<T> take(arena& scratch) const = 0;
    virtual void open(index batch, index kv_head, index number, ready_block<T>& to) const = 0;
    /// The first block of a sequence, from this one on, that the cache still has.
    virtual index next(index batch, index number) const = 0;
    /// A padded row of v, in `buffer` where it does not lie ready.
    virtual const T* value_row(index batch, index kv_head, index key, T* buffer) const = 0;

  protected:
    ~key_blocks() = default;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
