#pragma once

#include <type_traits>

#include <heed/attention/caches/detail/key_parts.hpp>
#include <heed/attention/part.hpp>
#include <heed/attention/position_encoding.hpp>
#include <heed/attention/positions.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>

/// \file
/// A cache's position encoding as a part of a call: its keys have been encoded, its queries are.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// What is prepared for a call: rotations of queries, if any.
template <class T>
struct cached_rotation {
    const query_encoding<T>* queries;

    bool takes(encoding_map, index, index) const { return true; }
    void rotate_query(T* row, index batch, index query, encoding_map map) const {
        if (queries != nullptr) queries->rotate(row, batch, query, map);
    }
    void rotate_key(T*, index, index, encoding_map) const {}
    void rotate_query_back(T*, index, index, encoding_map) const {}
    void rotate_key_back(T*, index, index, encoding_map) const {}
};

/// Of any kind: rectified if its window is not 0.
template <class T>
class cached_encoding : public position_encoding_base {
  public:
    static constexpr bool is_rectified = true;

    explicit cached_encoding(const key_parts<T>& parts) : parts_(&parts) {}

    index window() const { return parts_->window; }
    void check(const attention_shape& shape) const { parts_->check(shape); }

    template <class U>
    cached_rotation<U> prepare([[maybe_unused]] arena& scratch,
                               [[maybe_unused]] const attention_shape& shape,
                               [[maybe_unused]] const call_positions& where) const {
        if constexpr (std::is_same_v<T, U>)
            return {parts_->queries(shape, where, scratch)};
        else
            return {nullptr};  // a call computes in the cache's scalar
    }

  private:
    const key_parts<T>* parts_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
