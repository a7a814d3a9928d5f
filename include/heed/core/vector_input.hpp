#pragma once

#include <string_view>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/view.hpp>

/// \file
/// A vector of parameters (slopes, lengths, one factor a head) that a part keeps: a reference to
/// what it was given as an lvalue, the thing itself if it was a temporary.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// Anything that is contiguous and knows its size, such as std::vector and std::span.
template <class X>
concept contiguous_range = !tensor_like<X> && requires(const std::remove_cvref_t<X>& x) {
    x.data();
    x.size();
};

template <class X>
concept vector_like = tensor_like<X> || contiguous_range<X>;

/// A vector that is kept here. The view is valid until this object moves.
template <class Vector>
struct owned_vector {
    Vector object;

    auto view() const { return vector_view(object); }
};

/// keep_vector(x).view() is x as a tensor_view of one axis.
template <vector_like X>
auto keep_vector(X&& x) {
    using type = std::remove_cvref_t<X>;
    if constexpr (!tensor_like<type>) {
        using element = std::remove_cvref_t<decltype(*x.data())>;
        if constexpr (std::is_lvalue_reference_v<X>)
            return referred_input<element, 1>{vector_view(x)};
        else
            return owned_vector<type>{std::move(x)};
    } else if constexpr (view_traits<type>::has_memory &&
                         (std::is_lvalue_reference_v<X> || !view_traits<type>::is_plain)) {
        return referred_input<scalar_of<type>, 1>{vector_view(x)};
    } else if constexpr (eigen_dense<type>) {
        return owned_vector<typename type::PlainObject>{
            typename type::PlainObject(std::forward<X>(x))};
    } else {
        using plain = plain_like<type>;
        return owned_vector<plain>{plain(std::forward<X>(x))};
    }
}

/// Refuses, by shape_error, an object for the gradients of `count` parameters that is not a vector
/// of as many.
template <class T, int Rank>
void check_vector_gradient(std::string_view name, const tensor_view<T, Rank>& gradient,
                           index count) {
    static_assert(Rank == 1 || Rank == 2, "heed: the gradient of a vector is a vector");
    check_view(name, gradient);
    bool is_vector = true;
    if constexpr (Rank == 2) is_vector = gradient.extents[0] == 1 || gradient.extents[1] == 1;
    require_shape(is_vector && gradient.size() == count, name, " has shape ", gradient.extents,
                  ", but must be a vector of length ", count);
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
