#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <limits>
#include <string_view>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>

/// \file
/// Strided views of memory: what every kernel of heed works on, whatever the caller passed.

namespace heed::inline HEED_ARCHITECTURE {

/// Memory with a shape. Element (i, j, …) is data[i·strides[0] + j·strides[1] + …]; strides count
/// elements, and may be zero or negative.
template <class T, int Rank>
struct tensor_view {
    T* data = nullptr;
    std::array<index, static_cast<std::size_t>(Rank)> extents{};
    std::array<index, static_cast<std::size_t>(Rank)> strides{};

    template <std::integral... Indices>
    requires(sizeof...(Indices) == static_cast<std::size_t>(Rank)) T& operator()(
        Indices... indices) const {
        [[maybe_unused]] std::size_t axis = 0;
        index offset = 0;
        ((offset += static_cast<index>(indices) * strides[axis++]), ...);
        return data[offset];
    }

    /// The number of elements.
    index size() const {
        index product = 1;
        for (index extent : extents) product *= extent;
        return product;
    }

    bool empty() const { return size() == 0; }

    operator tensor_view<const T, Rank>() const requires(!std::is_const_v<T>) {
        return {data, extents, strides};
    }
};

namespace detail {

/// A number as an index: what is beyond the greatest of them becomes that, and never negative. So
/// an unsigned "no limit" is one.
template <std::integral T>
constexpr index to_index(T number) {
    constexpr index most = std::numeric_limits<index>::max();
    if constexpr (std::is_unsigned_v<T> && sizeof(T) >= sizeof(index))
        return number > static_cast<T>(most) ? most : static_cast<index>(number);
    else
        return static_cast<index>(number);
}

/// A size, of whatever integral type the caller has: {int, size_t} in one pair of braces would
/// otherwise be a narrowing error.
struct any_integral {
    index value = 0;

    template <std::integral T>
    constexpr any_integral(T number) : value(to_index(number)) {}
};

/// A stride or the number of a sequence, of whatever integral type: all 64 bits of it, so that a
/// stride that was negated as an unsigned number goes backwards, and no two ids become one.
struct any_bits {
    index value = 0;

    template <std::integral T>
    constexpr any_bits(T number) : value(static_cast<index>(number)) {}
};

/// a·b, wrapped if it is too large: check_view refuses such a shape when a function takes it.
constexpr index wrapped_product(index a, index b) {
    return static_cast<index>(static_cast<std::size_t>(a) * static_cast<std::size_t>(b));
}

/// The strides of dense memory whose last axis is contiguous.
template <std::size_t Rank>
std::array<index, Rank> row_major_strides(const std::array<index, Rank>& extents) {
    std::array<index, Rank> strides{};
    index step = 1;
    for (std::size_t axis = Rank; axis-- > 0; step = wrapped_product(step, extents[axis]))
        strides[axis] = step;
    return strides;
}

/// The strides of dense memory whose first axis is contiguous.
template <std::size_t Rank>
std::array<index, Rank> column_major_strides(const std::array<index, Rank>& extents) {
    std::array<index, Rank> strides{};
    index step = 1;
    for (std::size_t axis = 0; axis < Rank; step = wrapped_product(step, extents[axis]), ++axis)
        strides[axis] = step;
    return strides;
}

template <class Any, std::size_t Rank>
std::array<index, Rank> to_indices(const Any (&values)[Rank]) {
    std::array<index, Rank> result{};
    for (std::size_t axis = 0; axis < Rank; ++axis) result[axis] = values[axis].value;
    return result;
}

template <class Any, std::integral Integral, std::size_t Rank>
std::array<index, Rank> to_indices(const std::array<Integral, Rank>& values) {
    std::array<index, Rank> result{};
    for (std::size_t axis = 0; axis < Rank; ++axis) result[axis] = Any(values[axis]).value;
    return result;
}

}  // namespace detail

/// heed::view(pointer, {B, H, N, D}, {…}): memory of any layout as a tensor. Extents and strides
/// are of any integral types; strides count elements. A permutation is a matter of strides:
///
///     // [batch, sequence, heads, dim] in memory, [batch, heads, sequence, dim] to heed
///     heed::view(q, {B, H, N, D}, {N * H * D, D, H * D, 1})
///
/// The memory must outlive the view. Shapes are checked by the functions that take the view.
template <class T, std::size_t Rank>
tensor_view<T, static_cast<int>(Rank)> view(T* data, const detail::any_integral (&extents)[Rank],
                                            const detail::any_bits (&strides)[Rank]) {
    return {data, detail::to_indices(extents), detail::to_indices(strides)};
}

/// heed::view(pointer, {B, H, N, D}): dense memory, the last axis contiguous.
template <class T, std::size_t Rank>
tensor_view<T, static_cast<int>(Rank)> view(T* data, const detail::any_integral (&extents)[Rank]) {
    const auto shape = detail::to_indices(extents);
    return {data, shape, detail::row_major_strides(shape)};
}

/// The same from std::array (Eigen's DSizes is one).
template <class T, std::integral E, std::integral S, std::size_t Rank>
tensor_view<T, static_cast<int>(Rank)> view(T* data, const std::array<E, Rank>& extents,
                                            const std::array<S, Rank>& strides) {
    return {data, detail::to_indices<detail::any_integral>(extents),
            detail::to_indices<detail::any_bits>(strides)};
}

template <class T, std::integral E, std::size_t Rank>
tensor_view<T, static_cast<int>(Rank)> view(T* data, const std::array<E, Rank>& extents) {
    const auto shape = detail::to_indices<detail::any_integral>(extents);
    return {data, shape, detail::row_major_strides(shape)};
}

// What is taken for one of these by mistake stops the compilation with one sentence.

template <class T, std::size_t Rank, std::size_t Other>
requires(Rank != Other) auto view(T*, const detail::any_integral (&)[Rank],
                                  const detail::any_integral (&)[Other]) {
    static_assert(Rank == Other,
                  "heed: heed::view takes as many strides as extents: heed::view(p, {rows, "
                  "columns}, {columns, 1})");
    return tensor_view<T, static_cast<int>(Rank)>{};
}
template <class T, std::integral Number, class... Others>
[[nodiscard]] auto view(T*, Number, const Others&...) {
    static_assert(!std::is_integral_v<Number>,
                  "heed: heed::view takes extents and strides in braces: heed::view(p, {rows, "
                  "columns})");
    return tensor_view<T, 1>{};
}
template <class T, std::size_t Rank, std::integral Number>
[[nodiscard]] auto view(T*, const detail::any_integral (&)[Rank], Number) {
    static_assert(!std::is_integral_v<Number>,
                  "heed: heed::view takes extents and strides in braces: heed::view(p, {count}, "
                  "{stride})");
    return tensor_view<T, static_cast<int>(Rank)>{};
}
template <class X, std::size_t Rank>
requires(!std::is_pointer_v<std::decay_t<X>>) auto view(X&&, const detail::any_integral (&)[Rank]) {
    static_assert(std::is_pointer_v<std::decay_t<X>>,
                  "heed: heed::view takes a pointer to the first element: heed::view(x.data(), "
                  "{rows, columns})");
    return tensor_view<float, static_cast<int>(Rank)>{};
}
template <class X, std::size_t Rank>
requires(!std::is_pointer_v<std::decay_t<X>>) auto view(X&& x,
                                                        const detail::any_integral (&extents)[Rank],
                                                        const detail::any_integral (&)[Rank]) {
    return heed::view(std::forward<X>(x), extents);
}

namespace detail {

/// The view as [batch, head, sequence, dim]; axes that are missing in front have extent 1.
template <class T, int Rank>
tensor_view<T, 4> rank4(const tensor_view<T, Rank>& x) {
    static_assert(Rank >= 2 && Rank <= 4,
                  "heed: attention takes [sequence, dim], [heads, sequence, dim] or "
                  "[batch, heads, sequence, dim]");
    tensor_view<T, 4> result{x.data, {1, 1, 1, 1}, {0, 0, 0, 0}};
    for (std::size_t axis = 0; axis < Rank; ++axis) {
        result.extents[axis + 4 - Rank] = x.extents[axis];
        result.strides[axis + 4 - Rank] = x.strides[axis];
    }
    return result;
}

/// Refuses, by shape_error, extents of a result in T whose size in bytes would not fit in 64 bits.
template <class T, std::size_t Rank>
void check_result(std::string_view name, const std::array<index, Rank>& extents) {
    index left = std::numeric_limits<index>::max() / static_cast<index>(sizeof(T));
    for (index extent : extents) left /= extent > 0 ? extent : 1;
    require_shape(left > 0, name, " would have shape ", extents,
                  ", but its size in bytes must fit in 64 bits");
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
