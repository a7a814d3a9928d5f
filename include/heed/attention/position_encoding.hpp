#pragma once

#include <concepts>

#include <heed/attention/part.hpp>
#include <heed/attention/positions.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>

/// \file
/// What attention asks of a position encoding. rope/ provides them.

namespace heed::inline HEED_ARCHITECTURE {

/// A position encoding: what q and k become, given where they stand, after bias and norm and before
/// the scale.
///
///     using role = heed::role::position_encoding;
///     static constexpr bool is_rectified = false;
///         // one linear map a row, and the score is the product of the two results. A rectified
///         // encoding (ReRoPE), whose map depends on the distance of the two, is to say true, and
///         // to offer a second set of maps for the tiles beyond its window.
///     void check(const attention_shape& shape) const;
///         // throws shape_error or argument_error
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
///         //
///         // And the same of rows first … first + count − 1, `stride` numbers apart:
///         //     void rotate_queries(T* rows, index stride, index batch, index first,
///         //                         index count) const;       … rotate_keys, …_back
template <class P>
concept position_encoding_part = part_of<P, role::position_encoding> &&
    requires(const std::remove_cvref_t<P>& encoding, arena& scratch, const attention_shape& shape,
             const call_positions& where) {
    { std::remove_cvref_t<P>::is_rectified } -> std::convertible_to<bool>;
    encoding.check(shape);
    encoding.template prepare<float>(scratch, shape, where);
    encoding.template prepare<double>(scratch, shape, where);
};

}  // namespace heed::inline HEED_ARCHITECTURE
