#pragma once

#include <cstddef>
#include <type_traits>

#include <heed/attention/kernel/products/block_view.hpp>
#include <heed/attention/kernel/products/key_blocks.hpp>
#include <heed/attention/kernel/products/paired_products.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/observers/observer.hpp>
#include <heed/attention/part.hpp>
#include <heed/attention/position_encoding.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>

/// \file
/// A call as the kernels know it, which are compiled before they know its parts.
///
/// The parts of a call become a program: small interfaces, each implemented by a template over the
/// parts that it is made of and no others, so that one more combination of parts costs a few loops,
/// not a kernel. None of their functions is called more often than once a row and block of keys,
/// most once a tile and block: that is free beside the block's products.
///
///     row_sight     masks                    which keys a row sees
///     row_scale     scale                    the factor of its products
///     row_source    biases, norms, encoding  rows of q and k before their product
///     row_return    the same                 the way back of their gradients
///     score_rule    modifiers, masks         from products to scores
///     weight_drop   dropout                  which weights of the values are left out
///
/// and by the normaliser weight_rule and gradient_rule (online/), or if it needs whole rows
/// row_rule, row_gradient_rule and score_return (whole_row/). Where a part is chosen at run time,
/// an interface has an implementation for each of its alternatives.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Which keys rows see.
template <class T>
class row_sight {
  public:
    /// Whether some masks must be asked lane by lane; without them a row sees the whole of its
    /// interval.
    bool has_lane_masks = false;

    /// Of a tile whose batch, head, first and count are set: rows and seen.
    virtual void look(query_tile<T>& tile) const = 0;
    /// What lane masks say of the panels in a block's ranges, which shrink to what is seen.
    virtual void ask_panels(const query_tile<T>& tile, block_view<T>& block) const = 0;
    /// sees[key] of the keys in `range` of a block: whether row r of a tile does.
    virtual void list_seen(const query_tile<T>& tile, index r, const block_view<T>& block,
                           key_interval range, bool* sees) const = 0;
    /// How many keys of an interval a row sees.
    virtual index count_seen(const query_row& row, key_interval seen) const = 0;

  protected:
    ~row_sight() = default;
};

/// What the products of rows are multiplied by.
template <class T>
class row_scale {
  public:
    /// Of a tile that knows what its rows see: scale.
    virtual void find(const query_tile<T>& tile) const = 0;
    /// ∂c/∂parameter of a learned scale, for row r of a tile.
    virtual double derivative(const query_tile<T>& tile, index r) const = 0;

  protected:
    ~row_scale() = default;
};

/// Rows of q and k on their way into the product.
template <class T>
class row_source {
  public:
    std::size_t query_map_count = 1;  ///< maps of the position encoding that a query takes
    std::size_t key_map_count = 1;    ///< and a key
    bool as_given = false;            ///< whether rows are those of the tensors, but for the scale
    index window = 0;                 ///< of a rectified encoding

    bool is_rectified() const { return key_map_count > 1; }

    /// tile.plain of a tile whose rows and scales are known.
    virtual void queries(const query_tile<T>& tile) const = 0;
    /// Keys first … first + count − 1, in `buffer` if they had to be changed or gathered.
    virtual contiguous_rows<T> keys(index batch, index kv_head, index first, index count,
                                    encoding_map map, T* buffer) const = 0;
    /// Whether any of these keys is to be prepared by this map.
    virtual bool takes(encoding_map map, index first, index count) const = 0;

  protected:
    ~row_source() = default;
};

/// The way back of their gradients.
template <class T>
class row_return {
  public:
    /// A query before its scale: to[dim].
    virtual void query(const query_row& row, encoding_map map, T* to) const = 0;
    /// The gradients of a query before its scale, one a map, become that of q in the first's place.
    /// Zeros stay zeros, whatever q is: a query that sees nothing may hold NaN.
    virtual void query_back(const query_row& row, const query_maps<T*>& gradients,
                            T* buffer) const = 0;
    /// The same for a key.
    virtual void key_back(index batch, index kv_head, index key, const key_maps<T*>& gradients,
                          T* buffer) const = 0;

  protected:
    ~row_return() = default;
};

/// From products to scores.
template <class T>
class score_rule {
  public:
    /// Whether modifiers or lane masks come after the product; if not, the largest of a row that is
    /// seen whole is the largest product.
    bool changes_products = false;

    /// Products of a tile with a block, rows `stride` apart, become scores, what is not seen −∞;
    /// row_maximum is the largest of each. lane_maximum, a vector a row, holds the largest products
    /// unless they change.
    virtual void finish(const query_tile<T>& tile, const block_view<T>& block, T* scores,
                        index stride, const T* lane_maximum, T* row_maximum) const = 0;

  protected:
    ~score_rule() = default;
};

/// Which weights of the values are left out at random: the others grow by what is lost on average.
template <class T>
class weight_drop {
  public:
    /// What the weights of keys first … first + count − 1 become, in place: w·m/(1 − rate), m = 0
    /// or 1.
    virtual void apply(const query_row& row, index first, index count, T* weights) const = 0;
    /// m/(1 − rate) of one key.
    virtual T factor(const query_row& row, index key) const = 0;

  protected:
    ~weight_drop() = default;
};

/// Who is told of a row's probabilities.
template <class T>
class row_observers {
  public:
    virtual void tell(const query_row& row, const row_sums& sums) const = 0;

  protected:
    ~row_observers() = default;
};

/// One call.
template <class T>
struct attention_program {
    const call_place& place;
    tensor_view<const T, 4> v;
    const key_blocks<T>* cache;  ///< what holds k and v, in the place of tensors; or null
    on_pool threads;
    workspace& memory;
    const row_sight<T>& sight;
    const row_scale<T>& scale;
    const row_source<T>& source;
    const row_return<T>* back;  ///< null forward
    const score_rule<T>& scores;
    const weight_drop<T>* drop;         ///< null if every weight stays
    const row_observers<T>* observers;  ///< null if there are none
    bool counts_visible;                ///< whether somebody wants to know how many keys rows see
    const paired_products<T>* pairs = nullptr;  ///< what computes products; null: the kernel itself
    bool multiplies_integers = false;           ///< whether the cache does, of integers

    const attention_shape& shape() const { return place.shape; }
    /// Numbers of a packed row of q or k: pairs, where products are of those.
    index packed_dim() const {
        return pairs == nullptr && !multiplies_integers ? shape().dim : pairs_of(shape().dim);
    }
};

/// The intervals, scales and packed rows of a block of queries.
template <class T>
void fill_tile(const attention_program<T>& program, const query_place& at, query_tile<T>& tile) {
    tile.batch = at.batch;
    tile.head = at.head;
    tile.first = at.first;
    tile.count = at.count;
    program.sight.look(tile);
    for (index r = 0; r < at.count; ++r)
        tile.visible[r] =
            program.counts_visible ? program.sight.count_seen(tile.rows[r], tile.seen[r]) : 0;
    program.scale.find(tile);
    if (program.pairs != nullptr) split_scale(tile);
    program.source.queries(tile);
    const index dim = program.shape().dim;
    for (std::size_t m = 0; m < program.source.query_map_count; ++m) {
        const contiguous_rows<T> rows{tile.plain[m], dim};
        if (program.pairs != nullptr)
            program.pairs->join_columns(rows, at.count, dim, tile.plain[m]);
        else if (program.multiplies_integers)
            program.cache->join_queries(tile.plain[m], at.count, tile.factor);
        pack_strips<T>(rows, at.count, program.packed_dim(), tile.strips[m]);
    }
}

/// Dropout of the weights of rows first … last − 1 of a tile, `stride` apart, in a range of a
/// block of keys; `weights` are those of row 0 and the block's first key.
template <class T>
void drop_weights(const attention_program<T>& program, const query_tile<T>& tile, index first,
                  index last, index first_key, key_interval range, T* weights, index stride) {
    if (program.drop == nullptr) return;
    for (index r = first; r < last; ++r)
        program.drop->apply(tile.rows[r], first_key + range.first, range.last - range.first,
                            weights + r * stride + range.first);
}

/// The same of one weight: what it is multiplied by.
template <class T>
T drop_factor(const attention_program<T>& program, const query_row& row, index key) {
    return program.drop == nullptr ? T(1) : program.drop->factor(row, key);
}

/// The map of one score.
template <class T>
encoding_map map_of(const attention_program<T>& program, const query_row& row, index key) {
    return program.source.is_rectified() ? map_of(program.place, program.source.window, row, key)
                                         : encoding_map::near;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
