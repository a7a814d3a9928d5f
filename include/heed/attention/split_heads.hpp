#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/view.hpp>

/// \file
/// Heads side by side in the rows of a projection, seen as attention takes them: without a copy.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// Columns first … first + heads·dim − 1 of x as heads: [heads, tokens, dim] or [batch, heads,
/// tokens, dim].
template <class T, int Rank>
tensor_view<T, Rank + 1> view_heads(const tensor_view<T, Rank>& x, index heads, index first,
                                    index dim) {
    constexpr std::size_t last = Rank - 1;
    tensor_view<T, Rank + 1> split;
    split.data = x.data == nullptr ? nullptr : x.data + first * x.strides[last];
    split.extents[last - 1] = heads;
    split.strides[last - 1] = dim * x.strides[last];
    split.extents[last] = x.extents[last - 1];
    split.strides[last] = x.strides[last - 1];
    split.extents[last + 1] = dim;
    split.strides[last + 1] = x.strides[last];
    if constexpr (Rank == 3) {
        split.extents[0] = x.extents[0];
        split.strides[0] = x.strides[0];
    }
    return split;
}

/// The number of heads, x and it checked.
template <class T, int Rank, std::integral Heads>
index checked_heads(const tensor_view<T, Rank>& x, Heads heads) {
    check_view("heed::split_heads: x", x);
    require_argument(std::cmp_greater_equal(heads, 1) &&
                         std::cmp_less_equal(heads, std::numeric_limits<index>::max()),
                     "heed::split_heads: there are ", heads, " heads, but must be at least 1");
    return static_cast<index>(heads);
}

/// Stops the compilation with one sentence if X&& cannot be split.
template <class X>
constexpr bool check_splittable() {
    constexpr bool is_lasting = [] {
        if constexpr (tensor_like<X>)
            return is_referable<X>;
        else
            return false;
    }();
    static_assert(is_lasting,
                  "heed: heed::split_heads is a view: it takes an object that lies in memory and "
                  "outlives it, an lvalue, a Map, a Block or heed::view, not a temporary");
    if constexpr (is_lasting) {
        constexpr bool good_rank = rank_of<X> == 2 || rank_of<X> == 3;
        static_assert(good_rank,
                      "heed: heed::split_heads takes [tokens, heads * dim] or [batch, tokens, "
                      "heads * dim]");
        return good_rank;
    } else {
        return false;
    }
}

/// In the place of heads that cannot be seen, so that the sentence above stays the only error.
template <class X>
auto no_heads() {
    if constexpr (tensor_like<X>)
        return tensor_view < scalar_of<X>, rank_of<X> == 2 ? 3 : 4 > {};
    else
        return tensor_view<float, 3>{};
}

}  // namespace detail

/// The heads that lie side by side in the rows of x, as attention takes them: x [tokens, heads·dim]
/// as [heads, tokens, dim], x [batch, tokens, heads·dim] as [batch, heads, tokens, dim]. Head h of
/// a token is numbers h·dim … (h + 1)·dim − 1 of its row. Nothing is copied: x, of any storage
/// order, must outlive the view, and what is written to the view is written to x.
///
///     heed::attention_into(heed::split_heads(o, heads), heed::split_heads(q, heads),
///                          heed::split_heads(k, kv_heads), heed::split_heads(v, kv_heads));
///
/// shape_error if the last axis is not a whole number of heads, argument_error for less than one
/// head.
template <class X, std::integral Heads>
[[nodiscard]] auto split_heads(X&& x, Heads heads) {
    if constexpr (detail::check_splittable<X>()) {
        const auto rows = detail::view_traits<std::remove_cvref_t<X>>::view(x);
        const index count = detail::checked_heads(rows, heads);
        const index width = rows.extents.back();
        detail::require_shape(width % count == 0, "heed::split_heads: x has shape ", rows.extents,
                              ", but its last axis must be a whole number of ", count, " heads");
        return detail::view_heads(rows, count, 0, width / count);
    } else {
        return detail::no_heads<X>();
    }
}

/// The same of some of the columns: `heads` heads of `dim` numbers each from column `first` on, as
/// of q, k and v packed into one row:
///
///     auto q = heed::split_heads(qkv, heads, 0, dim);
///     auto k = heed::split_heads(qkv, kv_heads, heads * dim, dim);
///     auto v = heed::split_heads(qkv, kv_heads, (heads + kv_heads) * dim, dim);
///
/// shape_error if the row ends before them, argument_error for less than one head or negative
/// numbers.
template <class X, std::integral Heads, std::integral First, std::integral Dim>
[[nodiscard]] auto split_heads(X&& x, Heads heads, First first, Dim dim) {
    if constexpr (detail::check_splittable<X>()) {
        const auto rows = detail::view_traits<std::remove_cvref_t<X>>::view(x);
        const index count = detail::checked_heads(rows, heads);
        detail::require_argument(std::cmp_greater_equal(first, 0), "heed::split_heads: first is ",
                                 first, ", but must be at least 0");
        detail::require_argument(std::cmp_greater_equal(dim, 0), "heed::split_heads: dim is ", dim,
                                 ", but must be at least 0");
        const index width = rows.extents.back();
        const bool fits = std::cmp_less_equal(first, width) &&
                          std::cmp_less_equal(dim, (width - static_cast<index>(first)) / count);
        detail::require_shape(fits, "heed::split_heads: x has shape ", rows.extents,
                              ", but its last axis must hold ", count, " heads of ", dim,
                              " numbers from column ", first, " on");
        return detail::view_heads(rows, count, static_cast<index>(first), static_cast<index>(dim));
    } else {
        return detail::no_heads<X>();
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE
