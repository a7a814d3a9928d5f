#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/attention/kernel/program/learning.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/view.hpp>
#include <heed/nystrom/residual_convolution.hpp>

/// \file
/// The gradients of learned parts: a sum over the attentions that a call is made of.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Among the gradients of all learned parts, those of the residual, or those of the others.
template <bool OfResidual, class... Parts, class Views>
auto learned_views_of([[maybe_unused]] const Views& views) {
    [[maybe_unused]] const auto one = [&]<std::size_t K>() {
        using part_type = std::tuple_element_t<K, std::tuple<Parts...>>;
        if constexpr (may_learn<part_type> && part_of<part_type, role::residual> == OfResidual)
            return std::make_tuple(std::get<learned_before<K, Parts...>()>(views));
        else
            return std::tuple<>();
    };
    return [&]<std::size_t... K>(std::index_sequence<K...>) {
        return std::tuple_cat(one.template operator()<K>()...);
    }
    (std::index_sequence_for<Parts...>{});
}

/// Dense memory of the shape of x.
template <class T, int Rank>
tensor_view<T, Rank> scratch_like(const tensor_view<T, Rank>& x, arena& scratch) {
    return {scratch.take<T>(x.size()), x.extents, row_major_strides(x.extents)};
}

/// to += x, x dense and of the same shape.
template <class T, int Rank>
void add_dense(const tensor_view<T, Rank>& x, const tensor_view<T, Rank>& to) {
    for (index e = 0; e < x.size(); ++e) {
        index at = 0, rest = e;
        for (std::size_t axis = Rank; axis-- > 0; rest /= x.extents[axis])
            at += rest % x.extents[axis] * to.strides[axis];
        to.data[at] += x.data[e];
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
