#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/memory_span.hpp>
#include <heed/core/overlap.hpp>
#include <heed/core/view.hpp>
#include <heed/projection/kernel/checks.hpp>
#include <heed/projection/kernel/multiply.hpp>
#include <heed/projection/kernel/row_set.hpp>
#include <heed/projection/kernel/tile.hpp>
#include <heed/rows/row_arguments.hpp>

/// \file
/// y = x·Wᵀ + b, the linear layer, whose rows do not depend on one another.

namespace heed::inline HEED_ARCHITECTURE {

/// packed_weights, or what heed::weights makes.
template <class W>
concept projection_weights = requires(const W& w) {
    typename W::storage;
    { w.outputs() } -> std::same_as<index>;
    { w.inputs() } -> std::same_as<index>;
    w.panels();
};

namespace detail {

/// The extents of rows of another length.
template <std::size_t Rank>
std::array<index, Rank> with_length(std::array<index, Rank> extents, index length) {
    extents[Rank - 1] = length;
    return extents;
}

/// The plain object for the projection of an X: a vector of a compile-time vector.
template <tensor_like X, std::size_t Rank>
auto make_projected(const std::array<index, Rank>& extents) {
    if constexpr (is_compile_time_vector<X>) {
        using scalar = scalar_of<X>;
        constexpr int dynamic = Eigen::Dynamic;
        constexpr bool is_column = X::ColsAtCompileTime == 1;
        if constexpr (view_traits<X>::is_array)
            return Eigen::Array < scalar, is_column ? dynamic : 1,
                   is_column ? 1 : dynamic > (extents[0]);
        else
            return Eigen::Matrix < scalar, is_column ? dynamic : 1,
                   is_column ? 1 : dynamic > (extents[0]);
    } else {
        return make_like<X>(extents);
    }
}

/// Refuses, by shape_error, rows that are not as long as W is wide, or high.
inline void check_row_length(std::string_view name, const memory_span& x, index length,
                             std::string_view of, const std::array<index, 2>& weight) {
    require_shape(x.extents.back() == length, name, " has shape ", x.extents,
                  " and the weight has shape ", weight, ", but the rows of ", name,
                  " must have one number for each ", of);
}

template <class T, int Rank, projection_weights W>
void run_projection(const tensor_view<T, Rank>& y, const tensor_view<const T, Rank>& x, const W& w,
                    const call_resources& resources) {
    check_view("y", y);
    check_writable("y", y);
    check_view("x", x);
    const std::array<index, 2> shape{w.outputs(), w.inputs()};
    check_row_length("x", x, w.inputs(), "input", shape);
    check_row_length("y", y, w.outputs(), "output", shape);
    for (std::size_t axis = 0; axis + 1 < static_cast<std::size_t>(Rank); ++axis)
        require_shape(x.extents[axis] == y.extents[axis], "x has shape ", x.extents,
                      " and y has shape ", y.extents, ", but they must have the same rows");
    check_apart("y", y, "x", x);
    w.inputs_of([&](std::string_view name, const memory_span& memory) {
        check_apart("y", y, name, memory);
    });
    arena& memory = resources.memory->slot(0);
    const arena::scope scope(memory);
    multiply(rows_of(x, memory), w.panels(),
             projected_rows<T>{rows_of(y, memory), w.scales(memory), w.bias(memory)}, resources);
}

}  // namespace detail

/// The projection y = x·Wᵀ + b of every row of x: y_o = Σ_i x_i·W_oi + b_o, the linear layer of
/// every framework (PyTorch's nn.Linear has W so, too).
///
///     const heed::packed_weights<float> w(weight, bias);        // [outputs, inputs], [outputs]
///     auto y = heed::project(x, w);                             // [..., inputs] → [..., outputs]
///     auto y = heed::project(x, heed::weights(weight, bias), heed::on(pool));
///
/// x is any matrix, array, map, block, tensor or heed::view of what the weights compute in; its
/// last axis is projected; a compile-time vector is one row. y has x's kind and storage order.
/// Behind come heed::on(pool) and heed::in(workspace), in any order.
///
/// A row of y is bit for bit the same for any number of rows beside it, any number of threads,
/// packed weights or the same numbers where they lie: each sum is one chain of fused multiply-adds
/// over the inputs in their order, from 0; then b is added, and rounded again. For weights with
/// scales the chain runs over the integers as floats, and the result is sum·s + b, rounded once.
///
/// Throws shape_error where shapes do not fit, argument_error for overlaps. 2·rows·inputs·outputs
/// operations; one row takes as long as reading the weights.
template <tensor_like X, projection_weights W, class... Extras>
[[nodiscard]] auto project(const X& x, const W& w, const Extras&... extras) {
    if constexpr (detail::fits_weights<scalar_of<X>, typename W::storage>()) {
        const auto held = detail::evaluate("x", x);
        const auto rows = detail::row_view<X>(held.view());
        detail::check_row_length("x", rows, w.inputs(), "input", {w.outputs(), w.inputs()});
        const auto extents = detail::with_length(rows.extents, w.outputs());
        detail::check_result<scalar_of<X>>("y", extents);
        auto y = detail::make_projected<X>(extents);
        using result = decltype(y);
        detail::run_projection(detail::row_view<result>(detail::view_of(y)), rows, w,
                               detail::call_resources(extras...));
        return y;
    }
}

/// The same in the caller's memory.
template <tensor_like Y, tensor_like X, projection_weights W, class... Extras>
void project_into(Y&& y, const X& x, const W& w, const Extras&... extras) {
    static_assert(detail::row_axes<Y> == detail::row_axes<X>, "heed: x and y have the same rank");
    static_assert(std::is_same_v<scalar_of<X>, scalar_of<Y>>,
                  "heed: all arguments of a call have the same scalar");
    if constexpr (detail::fits_weights<scalar_of<X>, typename W::storage>()) {
        const auto held = detail::evaluate(x);
        detail::run_projection(detail::row_view<Y>(detail::view_of(std::forward<Y>(y))),
                               detail::row_view<X>(held.view()), w,
                               detail::call_resources(extras...));
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE
