#pragma once

#include <heed/attention/kernel/products/row_keys.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/pack.hpp>

/// \file
/// Products of numbers of 16 bits, on machines that multiply them two at a time, as forward knows
/// them.
///
/// What the products read are pairs, each where a T would be: neighbours in a row of q, k or
/// weights, and of values the numbers of two rows, one above the other. So a row has half as many,
/// and is packed and cut into tiles as one of T is. What is left without a partner has 0 for one.
/// Scores and sums are T.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Pairs, and quads, that hold so many numbers.
constexpr index pairs_of(index numbers) { return count_blocks(numbers, 2); }
constexpr index quads_of(index numbers) { return count_blocks(numbers, 4); }

/// Those of a call; stateless. Only calls whose tensors hold such numbers bring them, so that no
/// other pays for compiling them.
template <class T>
class paired_products {
  public:
    /// to[r·depth + p] = the p-th pair of neighbours in row r, rounded; `to` may be where the rows
    /// are.
    virtual void join_columns(const contiguous_rows<T>& rows, index count, index depth,
                              T* to) const = 0;
    /// Padded rows of pairs: those of rows 2r and 2r + 1 in the r-th. Numbers of 16 bits already.
    virtual void join_rows(const contiguous_rows<T>& rows, index count, index depth,
                           T* to) const = 0;
    /// The products of packed rows with one panel of keys, each times `factor` of its row unless
    /// that is null, and the largest of each lane so far.
    virtual void multiply_panel(const T* strips, index rows, const T* panel, index pairs,
                                const T* factor, T* to, index stride, T* lane_maximum) const = 0;
    /// Rows of pairs become what multiply_row_keys takes, of whose numbers the first `row_dim` meet
    /// rows of keys.
    virtual const T* pack_row_queries(const contiguous_rows<T>& rows, index count, index dim,
                                      index row_dim, arena& scratch) const = 0;
    /// The products of such queries with panels of keys, which are neighbours as they are stored in
    /// rows and in panels (products/row_keys.hpp), each times `factor` of its query unless that is
    /// null; the largest of each lane so far, a vector a query, unless null. A strip of score_rows
    /// queries may have an interval of keys to itself, `of_strips`.
    virtual void multiply_row_keys(const T* queries, index count, const row_keys<T>& keys,
                                   key_interval range, const key_interval* of_strips,
                                   const T* factor, T* to, T* lane_maximum) const = 0;
    /// A row's weights in `range` of a block become pairs, rounded, from row[range.first/2] on.
    /// Their sum, or that of their squares.
    virtual T join_weights(T* row, key_interval range, bool of_squares) const = 0;
    /// output[r] = factor[r]·output[r] + Σ_j weight[r, j]·v_j over pairs of j; weights are rows
    /// score_stride apart.
    virtual void add_values(const T* weights, index rows, index pairs,
                            const contiguous_rows<T>& values, index value_dim, const T* factor,
                            T* output, index output_stride) const = 0;
    /// The same for one row of a block that holds NaN or infinities, over the keys that it sees.
    virtual void add_seen_values(const T* weights, const bool* sees, index pairs,
                                 const contiguous_rows<T>& values, index value_dim, T factor,
                                 T* output) const = 0;

  protected:
    ~paired_products() = default;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
