#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>

/// \file
/// A feature map as the kernel knows it, which is compiled before it knows any.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Rows of numbers that can be written, `stride` apart.
template <class T>
struct written_rows {
    T* data;
    index stride;

    T* operator[](index row) const { return data + row * stride; }
    operator contiguous_rows<T>() const { return {data, stride}; }
};

/// Where rows stand in their sequence: row r at `first` + r.
struct row_places {
    index first = 0;
    index count = 0;
};

/// φ of rows of q and of k, and the way back of its gradient. Its functions are called once for the
/// rows of a chunk, and a row's result does not depend on the others. Rows of features are written
/// to the end of their last vector, zeros behind the features.
template <class T>
class feature_rule {
  public:
    index feature_count = 0;  ///< features of a row
    /// Whether queries and keys write logits l of features 2^l, which the kernel keeps relative to
    /// a reference a feature: references.hpp.
    bool keeps_reference = false;
    /// Whether each feature of a query is divided by the sum of that feature over the keys that it
    /// sees. Queries then write features, keys logits, and nothing else divides.
    bool divides_features = false;

    virtual void queries(contiguous_rows<T> x, row_places places, written_rows<T> to,
                         arena& scratch) const = 0;
    virtual void keys(contiguous_rows<T> x, row_places places, written_rows<T> to,
                      arena& scratch) const = 0;

    /// From the gradients of features, and the features, to those of x: `to` is not read. Features
    /// are 2^l relative to the references; then so are their gradients, and f·df is that of log f.
    virtual void queries_back(contiguous_rows<T> x, row_places places, contiguous_rows<T> features,
                              contiguous_rows<T> gradients, written_rows<T> to,
                              arena& scratch) const = 0;
    virtual void keys_back(contiguous_rows<T> x, row_places places, contiguous_rows<T> features,
                           contiguous_rows<T> gradients, written_rows<T> to,
                           arena& scratch) const = 0;

  protected:
    ~feature_rule() = default;
};

/// What a position encoding does to rows of features, or of q and k before the map.
template <class T>
class row_turn {
  public:
    enum class side { query, key };
    enum class way { forth, back };

    /// Rows of one sequence of the batch, in place, the first being the `first`-th of the call.
    virtual void turn(side of, way to, written_rows<T> rows, index batch, index first,
                      index count) const = 0;
    /// Of numbers a feature: what it mixes gets the largest of them.
    virtual void share(T* row) const = 0;

  protected:
    ~row_turn() = default;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
