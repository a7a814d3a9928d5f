#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/overlap.hpp>
#include <heed/core/shape.hpp>

/// \file
/// Everything with a shape, seen as a strided view: Eigen's Tensor, TensorMap, Matrix, Array, Map,
/// Ref and Block of either storage order, and heed::view. Other Eigen expressions are evaluated
/// first. Storage orders become strides, so a kernel never asks for them.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

// Eigen's class templates are recognised by what they derive from.
template <class Derived>
std::true_type derives_dense(const Eigen::DenseBase<Derived>*);
std::false_type derives_dense(const void*);
template <class Derived>
std::true_type derives_tensor(const Eigen::TensorBase<Derived, Eigen::ReadOnlyAccessors>*);
std::false_type derives_tensor(const void*);

/// A Matrix, an Array, or an expression of them.
template <class X>
concept eigen_dense =
    std::is_class_v<X> && decltype(derives_dense(static_cast<const X*>(nullptr)))::value;

/// A Tensor, or an expression of tensors.
template <class X>
concept eigen_tensor =
    std::is_class_v<X> && decltype(derives_tensor(static_cast<const X*>(nullptr)))::value;

/// The view as kernels may walk it: where there is no memory there are no steps either, for null
/// plus an offset means nothing, even around an extent of 0.
template <class T, int Rank>
constexpr tensor_view<T, Rank> without_steps_from_null(tensor_view<T, Rank> x) {
    if (x.data == nullptr) x.strides = {};
    return x;
}

/// What is known of a type with a shape: `scalar`, `rank`; `has_memory`, whether its elements lie
/// in memory at strides; `is_plain`, whether it owns them; `plain<Rank>`, the object of its kind
/// and storage order that owns its elements.
template <class X>
struct view_traits;

template <class T, int Rank>
struct view_traits<tensor_view<T, Rank>> {
    using scalar = std::remove_const_t<T>;
    static constexpr int rank = Rank;
    static constexpr bool has_memory = true;
    static constexpr bool is_plain = false;
    template <int R>
    using plain = Eigen::Tensor<scalar, R, Eigen::RowMajor>;

    template <class X>
    static tensor_view<T, Rank> view(X& x) {
        return without_steps_from_null<T, Rank>(x);
    }
};

template <eigen_dense X>
struct view_traits<X> {
    using scalar = std::remove_const_t<typename X::Scalar>;
    static constexpr int rank = 2;
    static constexpr bool has_memory = (X::Flags & Eigen::DirectAccessBit) != 0;
    static constexpr bool is_plain = std::is_base_of_v<Eigen::PlainObjectBase<X>, X>;
    static constexpr bool is_array = std::is_base_of_v<Eigen::ArrayBase<X>, X>;
    static constexpr int order = X::IsRowMajor ? Eigen::RowMajor : Eigen::ColMajor;

    template <int R>
    using plain =
        std::conditional_t<is_array, Eigen::Array<scalar, Eigen::Dynamic, Eigen::Dynamic, order>,
                           Eigen::Matrix<scalar, Eigen::Dynamic, Eigen::Dynamic, order>>;

    template <class Y>
    static auto view(Y& x) {
        using element = std::remove_pointer_t<decltype(x.data())>;
        const auto inner = static_cast<index>(x.innerStride());
        const auto outer = static_cast<index>(x.outerStride());
        return without_steps_from_null(tensor_view<element, 2>{
            x.data(),
            {static_cast<index>(x.rows()), static_cast<index>(x.cols())},
            {X::IsRowMajor ? outer : inner, X::IsRowMajor ? inner : outer}});
    }
};

// Which tensors lie in memory: an expression has no data().
template <class X>
inline constexpr bool is_plain_tensor = false;
template <class T, int Rank, int Options, class Index>
inline constexpr bool is_plain_tensor<Eigen::Tensor<T, Rank, Options, Index>> = true;
template <class T, class Sizes, int Options, class Index>
inline constexpr bool is_plain_tensor<Eigen::TensorFixedSize<T, Sizes, Options, Index>> = true;

template <class X>
inline constexpr bool is_tensor_map = false;
template <class Plain, int Options, template <class> class MakePointer>
inline constexpr bool is_tensor_map<Eigen::TensorMap<Plain, Options, MakePointer>> = true;

template <eigen_tensor X>
struct view_traits<X> {
    using scalar = std::remove_const_t<typename Eigen::internal::traits<X>::Scalar>;
    static constexpr int rank = static_cast<int>(Eigen::internal::traits<X>::NumDimensions);
    static constexpr bool is_plain = is_plain_tensor<X>;
    static constexpr bool has_memory = is_plain || is_tensor_map<X>;
    static constexpr int order = static_cast<int>(Eigen::internal::traits<X>::Layout);

    template <int R>
    using plain = Eigen::Tensor<scalar, R, order>;

    template <class Y>
    static auto view(Y& x) {
        using element = std::remove_pointer_t<decltype(x.data())>;
        const Eigen::DSizes<index, rank> sizes(x.dimensions());
        const std::array<index, static_cast<std::size_t>(rank)> extents = sizes;
        return without_steps_from_null(tensor_view<element, rank>{
            x.data(), extents,
            order == static_cast<int>(Eigen::RowMajor) ? row_major_strides(extents)
                                                       : column_major_strides(extents)});
    }
};

}  // namespace detail

/// Anything with a shape: an Eigen tensor, matrix, array, map, block or expression of any of these,
/// or heed::view.
template <class X>
concept tensor_like = requires {
    detail::view_traits<std::remove_cvref_t<X>>::rank;
};

/// The number of axes; 2 for every matrix, array and vector of Eigen's.
template <tensor_like X>
inline constexpr int rank_of = detail::view_traits<std::remove_cvref_t<X>>::rank;

/// The type of the elements, without const.
template <tensor_like X>
using scalar_of = typename detail::view_traits<std::remove_cvref_t<X>>::scalar;

namespace detail {

/// Whether the argument X&& can be written to: memory of its own or another's that is not const,
/// and that outlives the call (a Map or a Block may be a temporary, a Matrix may not).
template <class X>
concept writable_like = tensor_like<X> && view_traits<std::remove_cvref_t<X>>::has_memory &&
                        (std::is_lvalue_reference_v<X> ||
                         !view_traits<std::remove_cvref_t<X>>::is_plain) &&
                        requires(std::remove_reference_t<X>& x) {
    requires !std::is_const_v<
        std::remove_pointer_t<decltype(view_traits<std::remove_cvref_t<X>>::view(x).data)>>;
};

/// The view of an output: an lvalue, a Map, or a temporary Block.
template <tensor_like X>
auto view_of(X&& x) {
    static_assert(writable_like<X&&>,
                  "heed: an output must be an object that can be written to: not const, not an "
                  "expression, and not a temporary Matrix, Array or Tensor");
    if constexpr (writable_like<X&&>)
        return view_traits<std::remove_cvref_t<X>>::view(x);
    else
        return tensor_view<scalar_of<X>, rank_of<X>>{};  // the compiler's only error is the above
}

/// An input that lies in memory already; it must outlive this object.
template <class T, int Rank>
struct referred_input {
    tensor_view<const T, Rank> memory;

    tensor_view<const T, Rank> view() const { return memory; }
};

/// An input that is kept here. The view is valid until this object moves.
template <class Plain>
struct owned_input {
    Plain object;

    auto view() const
        -> tensor_view<const typename view_traits<Plain>::scalar, view_traits<Plain>::rank> {
        return view_traits<Plain>::view(object);
    }
};

template <class X, class Y>
auto evaluate_into_plain(Y&& x) {
    if constexpr (eigen_dense<X>) {
        using plain = typename X::PlainObject;
        return owned_input<plain>{plain(std::forward<Y>(x))};
    } else {
        using plain =
            std::conditional_t<view_traits<X>::is_plain, X,
                               typename view_traits<X>::template plain<view_traits<X>::rank>>;
        return owned_input<plain>{plain(std::forward<Y>(x))};
    }
}

/// An input for the length of a call: `evaluate(x).view()` is its memory, or that of the value of
/// the expression, which the result keeps alive. Nothing that lies in memory is copied.
template <tensor_like X>
auto evaluate(const X& x) {
    if constexpr (view_traits<X>::has_memory)
        return referred_input<scalar_of<X>, rank_of<X>>{view_traits<X>::view(x)};
    else
        return evaluate_into_plain<X>(x);
}

/// The same, its shape checked, as whatever allocates by it must do first: a shape_error says
/// `name`.
template <tensor_like X>
auto evaluate(std::string_view name, const X& x) {
    auto held = evaluate(x);
    check_view(name, held.view());
    return held;
}

template <class X>
inline constexpr bool is_constant_ref = false;
template <class Plain, int Options, class Stride>
inline constexpr bool is_constant_ref<Eigen::Ref<const Plain, Options, Stride>> = true;

/// Whether the elements of a temporary X may go with it. Those of a plain object do, and those of
/// an Eigen::Ref to const, which holds the value of an expression that it was made of, and of a
/// block or a transpose of one.
template <class X>
inline constexpr bool may_own = [] {
    if constexpr (view_traits<X>::is_plain || is_constant_ref<X>) {
        return true;
    } else if constexpr (requires(const X& x) { x.nestedExpression(); }) {
        using nested = std::remove_cvref_t<decltype(std::declval<const X&>().nestedExpression())>;
        return !view_traits<nested>::is_plain && may_own<nested>;
    } else {
        return false;
    }
}();

/// Whether an argument X&& is memory that a part may refer to beyond the call: lvalues, maps,
/// views, and blocks of either.
template <tensor_like X>
inline constexpr bool is_referable = view_traits<std::remove_cvref_t<X>>::has_memory &&
                                     (std::is_lvalue_reference_v<X> ||
                                      !may_own<std::remove_cvref_t<X>>);

/// An input that a part keeps beyond the call: what is referable is referred to; temporary objects
/// and expressions are owned.
template <tensor_like X>
auto keep(X&& x) {
    using type = std::remove_cvref_t<X>;
    if constexpr (is_referable<X>)
        return evaluate(x);
    else
        return evaluate_into_plain<type>(std::forward<X>(x));
}

/// The plain object that a function of X returns: X's kind, storage order and scalar, any extents.
template <tensor_like X, int Rank = rank_of<X>>
using plain_like = typename view_traits<std::remove_cvref_t<X>>::template plain<Rank>;

/// An object of that type with the given extents, its elements not yet written.
template <tensor_like X, std::size_t Rank>
auto make_like(const std::array<index, Rank>& extents) {
    using plain = plain_like<X, static_cast<int>(Rank)>;
    if constexpr (eigen_dense<plain>) {
        static_assert(Rank == 2, "heed: a matrix has two axes");
        return plain(extents[0], extents[1]);
    } else {
        Eigen::array<Eigen::DenseIndex, Rank> sizes{};
        for (std::size_t axis = 0; axis < Rank; ++axis) sizes[axis] = extents[axis];
        return plain(sizes);
    }
}

/// The object that a function of X returns whose result has X's shape: fixed sizes stay fixed.
template <tensor_like X>
auto make_same(const std::array<index, static_cast<std::size_t>(rank_of<X>)>& extents) {
    using type = std::remove_cvref_t<X>;
    if constexpr (eigen_dense<type>) {
        return typename type::PlainObject(extents[0], extents[1]);
    } else if constexpr (view_traits<type>::is_plain && !std::is_same_v<type, plain_like<type>>) {
        return type();  // of fixed size
    } else {
        return make_like<type>(extents);
    }
}

/// A vector of parameters (slopes, lengths) as one axis: a tensor of rank 1, a matrix with one row
/// or one column, or anything contiguous with data() and size(), such as std::vector. It has been
/// checked before: see check_vector.
template <class X>
auto vector_view(const X& x) {
    if constexpr (tensor_like<X>) {
        static_assert(view_traits<X>::has_memory, "heed: evaluate the expression first");
        const auto all = view_traits<X>::view(x);
        using view_type = tensor_view<const scalar_of<X>, 1>;
        if constexpr (rank_of<X> == 1) {
            return view_type(all);
        } else {
            static_assert(eigen_dense<X>, "heed: a vector has one axis");
            const std::size_t axis = all.extents[0] == 1 ? 1 : 0;
            return view_type{all.data, {all.extents[axis]}, {all.strides[axis]}};
        }
    } else {
        return tensor_view<const std::remove_cvref_t<decltype(*x.data())>, 1>{
            x.data(), {static_cast<index>(x.size())}, {1}};
    }
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
