#pragma once

#include <cstddef>

#include <heed/attention/kernel/products/encoding_maps.hpp>
#include <heed/attention/kernel/products/row_keys.hpp>
#include <heed/attention/part.hpp>
#include <heed/attention/position_encoding.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>

/// \file
/// Keys and values that a cache holds, block by block, as the kernels read them.

namespace heed::inline HEED_ARCHITECTURE::detail {

template <class T>
struct attention_program;
template <class T>
struct head_group;

/// What of a block of a cache becomes T.
enum class block_part { all, keys, values };

/// A block of keys and values of a head.
template <class T>
struct head_block {
    index number = -1;             ///< which block; −1: none yet
    key_maps<T*> key_panels = {};  ///< of each map, from the block's first key on
    T* values = nullptr;           ///< padded rows; null where v's own memory will do
    bool in_pairs = false;         ///< whether values are pairs of two keys', numbers of 16 bits
    bool is_ready = false;         ///< whether the numbers that are wanted lie there, as T
    bool finite = true;            ///< whether the values are free of NaN and infinities
    bool all_moderate = true;      ///< whether no sum of weighted values of any block that was
                                   ///< found so far can overflow

    std::byte* page = nullptr;  ///< of a cache: the numbers as they are stored
    index keys = 0;             ///< of a cache: how many the page has
    index shared_dim = 0;       ///< of a cache: how many numbers keys begin with that are values
    index other_dim = 0;        ///< and how many they have beside them
    /// Whether such keys are read as `key_rows`, which are values, and then `other_keys`, and not
    /// as key_panels. In pairs they always are, those of neighbours.
    bool reads_rows = false;
    const T* key_rows = nullptr;
    const T* other_keys = nullptr;  ///< panels of what keys have beside their values
    const T* next_rows = nullptr;   ///< of key_rows in pairs: those of the next block, or null
};

/// The blocks of the sequences of a cache. Any threads may read them at the same time.
template <class T>
class key_blocks {
  public:
    /// Memory for a block, where it does not lie ready in the cache; for what is wanted of it,
    /// numbers of 16 bits `in_pairs`.
    virtual head_block<T> take(arena& scratch, block_part wanted, bool in_pairs) const = 0;
    /// Finds a block, which is ready where its numbers are T.
    virtual void find(index batch, index kv_head, index number, head_block<T>& to) const = 0;
    /// The numbers of the block that was found become T, where there is memory for them.
    virtual void make_ready(head_block<T>& to) const = 0;
    /// Whether products with its numbers are to be sums of integers. Its blocks are then not made
    /// ready, and what is multiplied with keys are rows that went through join_queries.
    virtual bool multiplies_integers() const = 0;
    /// Rows of q, one after the other, become pairs of integers in place, and factor[r] what those
    /// of row r are to be multiplied by.
    virtual void join_queries(T* rows, index count, T* factor) const = 0;
    /// multiply_streamed_keys and multiply_streamed_values of the block that was found, ready or
    /// not. `factor` is that of join_queries; of integers, sums are 0 before.
    virtual void multiply_keys(const head_block<T>& block, const T* strips, index rows,
                               const T* factor, key_interval range, T* scores,
                               T* lane_maximum) const = 0;
    virtual void multiply_values(const head_block<T>& block, const T* weights, index rows,
                                 index first, index keys, T* sums, index sums_stride) const = 0;

    // What only caches want of the kernels is behind these functions, so that no other call pays
    // for compiling it.

    /// pack_query_panels and multiply_row_keys, for keys that are read as rows.
    virtual const T* pack_row_queries(const T* rows, index count, index dim,
                                      arena& scratch) const = 0;
    virtual void multiply_row_keys(const T* queries, index count, const row_keys<T>& keys,
                                   key_interval range, T* scores, T* lane_maximum) const = 0;
    /// Of online/dealt_pages.hpp.
    virtual bool deals_pages(const attention_program<T>& program, index threads) const = 0;
    virtual void deal_pages(const head_group<T>& group, index batch, key_interval seen,
                            index threads) const = 0;

    /// The first block of a sequence, from this one on, that the cache still has.
    virtual index next(index batch, index number) const = 0;
    /// A padded row of v, in `buffer` where it does not lie ready.
    virtual const T* value_row(index batch, index kv_head, index key, T* buffer) const = 0;

  protected:
    ~key_blocks() = default;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
