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

/// Refuses, by shape_error, what is not a vector, or is one that no memory can be.
template <vector_like X>
void check_vector(std::string_view name, const X& x) {
    if constexpr (tensor_like<X>) {
        static_assert(rank_of<X> == 1 || eigen_dense<X>, "heed: a vector has one axis");
        const auto all = view_traits<X>::view(x);
        if constexpr (rank_of<X> == 2)
            require_shape(all.extents[0] == 1 || all.extents[1] == 1, name, " has shape ",
                          all.extents, ", but must be a vector");
    }
    check_view(name, vector_view(x));
}

/// A vector for the length of a call, checked, as a view of one axis.
template <vector_like X>
auto checked_vector(std::string_view name, const X& x) {
    if constexpr (tensor_like<X>)
        static_assert(view_traits<X>::has_memory, "heed: evaluate the expression first");
    check_vector(name, x);
    return vector_view(x);
}

/// A vector that is kept here. The view is valid until this object moves.
template <class Vector>
struct owned_vector {
    Vector object;

    auto view() const { return vector_view(object); }
};

/// keep_vector(name, x).view() is x as a tensor_view of one axis; a shape_error says `name`.
template <vector_like X>
auto keep_vector(std::string_view name, X&& x) {
    using type = std::remove_cvref_t<X>;
    if constexpr (!tensor_like<type>) {
        using element = std::remove_cvref_t<decltype(*x.data())>;
        check_vector(name, x);
        if constexpr (std::is_lvalue_reference_v<X>)
            return referred_input<element, 1>{vector_view(x)};
        else
            return owned_vector<type>{std::move(x)};
    } else if constexpr (is_referable<X>) {
        check_vector(name, x);
        return referred_input<scalar_of<type>, 1>{vector_view(x)};
    } else {
        auto held = evaluate_into_plain<type>(std::forward<X>(x));
        check_vector(name, held.object);
        return owned_vector<decltype(held.object)>{std::move(held.object)};
    }
}

/// Element l of a vector: a row, a column, or a tensor of one axis.
template <class T, int Rank>
T& vector_element(const tensor_view<T, Rank>& vector, index l) {
    static_assert(Rank == 1 || Rank == 2, "heed: the gradient of a vector is a vector");
    if constexpr (Rank == 1)
        return vector(l);
    else
        return vector.extents[1] == 1 ? vector(l, 0) : vector(0, l);
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
