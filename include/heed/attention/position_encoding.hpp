#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <type_traits>

#include <heed/attention/part.hpp>
#include <heed/attention/positions.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>

/// \file
/// What attention asks of a position encoding. rope/ provides them.

namespace heed::inline HEED_ARCHITECTURE {

/// The base of a position encoding: what q and k become, given where they stand, after bias and
/// norm and before the scale. An encoding has
///
///     template <class T> auto prepare(arena& scratch, const attention_shape& shape,
///                                     const call_positions& where) const;
///         // once a call, on the calling thread: an object, trivially copyable, whose tables live
///         // in `scratch` until that is released, and which any thread may then use. It offers
///         //     void rotate_query(T* row, index batch, index query) const;
///         //     void rotate_key(T* row, index batch, index key) const;
///         //     void rotate_query_back(T* row, index batch, index query) const;
///         //     void rotate_key_back(T* row, index batch, index key) const;
///         // on rows of dim contiguous numbers, in place. The latter two are the transposed maps:
///         // from the gradient of what the first two return to the gradient of what they take.
///
/// A rectified encoding (ReRoPE), whose maps depend on how far apart the two stand, says
/// is_rectified = true, and
///
///     index window() const;   // a query at i and a key at j are near where |i − j| < window
///
/// What it prepares takes one more argument, of type encoding_map, in the four functions above, and
/// offers
///
///     bool takes(encoding_map map, index first, index count) const;
///         // whether any query may be where keys first … first + count − 1 take this map; if not,
///         // they are not packed
struct position_encoding_base : detail::part_base<role::position_encoding> {
    /// Whether there are several linear maps a row; of one, the score is the product of the
    /// results.
    static constexpr bool is_rectified = false;
    /// Whether `where` is asked: otherwise the encoding has positions of its own.
    static constexpr bool by_position = true;
};

template <class P>
concept position_encoding_part = part_of<P, role::position_encoding> &&
    std::derived_from<std::remove_cvref_t<P>, position_encoding_base> &&
    requires(const std::remove_cvref_t<P>& encoding, arena& scratch, const attention_shape& shape,
             const call_positions& where) {
    encoding.template prepare<float>(scratch, shape, where);
    encoding.template prepare<double>(scratch, shape, where);
};

namespace detail {

/// Which of a position encoding's maps two rows take for their score: the first one, or, of a
/// rectified encoding, by where the key stands as the query sees it. Keys have one map for both
/// sides beyond the window.
enum class encoding_map { near, past, future };

inline constexpr std::size_t most_query_maps = 3, most_key_maps = 2;
constexpr std::size_t query_map(encoding_map map) { return static_cast<std::size_t>(map); }
constexpr std::size_t key_map(encoding_map map) { return map == encoding_map::near ? 0 : 1; }

/// Something for each map.
template <class X>
using query_maps = std::array<X, most_query_maps>;
template <class X>
using key_maps = std::array<X, most_key_maps>;

template <class P>
inline constexpr bool rectifies = false;
template <class P>
requires part_of<P, role::position_encoding>
inline constexpr bool rectifies<P> = std::remove_cvref_t<P>::is_rectified;

}  // namespace detail

}  // namespace heed::inline HEED_ARCHITECTURE
