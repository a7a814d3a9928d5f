#pragma once

#include <array>
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
#include <heed/core/vector_input.hpp>
#include <heed/core/view.hpp>
#include <heed/projection/kernel/gradients.hpp>
#include <heed/projection/project.hpp>

/// \file
/// The gradients of a projection.

namespace heed::inline HEED_ARCHITECTURE {

/// What project_backward gives: dx as x, dW [outputs, inputs], db [outputs], empty without a bias.
template <class X, class T>
struct projection_gradient {
    X x;
    Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> weight;
    Eigen::Matrix<T, Eigen::Dynamic, 1> bias;
};

namespace detail {

/// Outputs of backward: none may share memory with another or with an input.
template <class W>
void check_gradient(std::string_view name, const memory_span& gradient, const memory_span& dy,
                    const memory_span& x, const W& w) {
    check_writable(name, gradient);
    check_apart(name, gradient, "dy", dy);
    check_apart(name, gradient, "x", x);
    w.inputs_of([&](std::string_view input, const memory_span& memory) {
        check_apart(name, gradient, input, memory);
    });
}

/// The gradient of a bias as one axis.
template <class T, int Rank>
tensor_view<T, 1> bias_output(const tensor_view<T, Rank>& d_bias, index outputs) {
    check_vector_gradient("d_bias", d_bias, outputs);
    const std::size_t axis = Rank == 2 && d_bias.extents[0] == 1 ? 1 : 0;
    return {d_bias.data, {d_bias.extents[axis]}, {d_bias.strides[axis]}};
}

/// d_bias may be null: then it is not computed.
template <class T, int Rank, projection_weights W>
void run_projection_backward(const tensor_view<T, Rank>& dx, const tensor_view<T, 2>& d_weight,
                             const tensor_view<T, 1>* d_bias, const tensor_view<const T, Rank>& dy,
                             const tensor_view<const T, Rank>& x, const W& w,
                             const call_resources& resources) {
    const std::array<index, 2> shape{w.outputs(), w.inputs()};
    check_view("dx", dx);
    check_view("d_weight", d_weight);
    check_view("dy", dy);
    check_view("x", x);
    check_row_length("x", x, w.inputs(), "input", shape);
    check_row_length("dy", dy, w.outputs(), "output", shape);
    check_same_shape("dx", dx, "x", x);
    for (std::size_t axis = 0; axis + 1 < static_cast<std::size_t>(Rank); ++axis)
        require_shape(x.extents[axis] == dy.extents[axis], "x has shape ", x.extents,
                      " and dy has shape ", dy.extents, ", but they must have the same rows");
    require_shape(d_weight.extents == shape, "d_weight has shape ", d_weight.extents,
                  " and the weight has shape ", shape, ", but the two must be the same");
    check_gradient("dx", dx, dy, x, w);
    check_gradient("d_weight", d_weight, dy, x, w);
    check_outputs_apart("dx", dx, "d_weight", d_weight);
    if (d_bias != nullptr) {
        check_gradient("d_bias", *d_bias, dy, x, w);
        check_outputs_apart("d_bias", *d_bias, "dx", dx);
        check_outputs_apart("d_bias", *d_bias, "d_weight", d_weight);
    }

    arena& memory = resources.memory->slot(0);
    const arena::scope scope(memory);
    const auto dy_rows = rows_of(dy, memory);
    const auto x_rows = rows_of(x, memory);
    multiply(dy_rows, transposed(w.panels()), projected_rows<T>{rows_of(dx, memory)}, resources);
    const auto dy_columns = columns_of(dy_rows, memory);
    weight_gradient(d_weight, dy_columns, columns_of(x_rows, memory), resources);
    if (d_bias != nullptr) bias_gradient(*d_bias, dy_columns, resources);
}

template <class DX, class DWeight, class DBias, class DY, class X, class W>
void projection_backward_into(DX&& dx, DWeight&& d_weight, const DBias* d_bias, const DY& dy,
                              const X& x, const W& w, const call_resources& resources) {
    using T = scalar_of<X>;
    static_assert(row_axes<DX> == row_axes<X> && row_axes<DY> == row_axes<X>,
                  "heed: x, dx and dy have the same rank");
    static_assert(std::is_same_v<scalar_of<DX>, T> && std::is_same_v<scalar_of<DY>, T> &&
                      std::is_same_v<scalar_of<DWeight>, T>,
                  "heed: all arguments of a call have the same scalar");
    static_assert(rank_of<DWeight> == 2, "heed: d_weight is a matrix, [outputs, inputs]");
    constexpr bool is_learned = std::is_same_v<typename W::storage, T>;
    static_assert(is_learned, "heed: weights are learned in the scalar of x, not in 16 or 8 bits");
    if constexpr (is_learned) {
        const auto held_dy = evaluate(dy);
        const auto held_x = evaluate(x);
        run_projection_backward(
            row_view<DX>(view_of(std::forward<DX>(dx))), view_of(std::forward<DWeight>(d_weight)),
            d_bias, row_view<DY>(held_dy.view()), row_view<X>(held_x.view()), w, resources);
    }
}

}  // namespace detail

/// project_backward in the caller's memory: dx, d_weight and d_bias of any strides. What would be
/// added has a gradient, too, where there is no bias.
template <tensor_like DX, tensor_like DWeight, tensor_like DBias, tensor_like DY, tensor_like X,
          projection_weights W, class... Extras>
void project_backward_into(DX&& dx, DWeight&& d_weight, DBias&& d_bias, const DY& dy, const X& x,
                           const W& w, const Extras&... extras) {
    static_assert(std::is_same_v<scalar_of<DBias>, scalar_of<X>>,
                  "heed: all arguments of a call have the same scalar");
    const auto bias =
        detail::bias_output(detail::view_of(std::forward<DBias>(d_bias)), w.outputs());
    detail::projection_backward_into(std::forward<DX>(dx), std::forward<DWeight>(d_weight), &bias,
                                     dy, x, w, detail::call_resources(extras...));
}

/// The same without the gradient of a bias.
template <tensor_like DX, tensor_like DWeight, tensor_like DY, tensor_like X, projection_weights W,
          class... Extras>
void project_backward_into(DX&& dx, DWeight&& d_weight, const DY& dy, const X& x, const W& w,
                           const Extras&... extras) {
    const tensor_view<scalar_of<X>, 1>* none = nullptr;
    detail::projection_backward_into(std::forward<DX>(dx), std::forward<DWeight>(d_weight), none,
                                     dy, x, w, detail::call_resources(extras...));
}

/// The gradients of y = x·Wᵀ + b, from dy:
///
///     auto [dx, d_weight, d_bias] = heed::project_backward(dy, x, w);
///
/// dx = dy·W, dW = dyᵀ·x, db = Σ dy over the rows. `w` is that of heed::project, in float or
/// double, packed or not. A row of dx is one chain over the outputs, the same for any number of
/// rows. Sums over the rows run in blocks of some two hundred rows, each from zero and then added,
/// which is more accurate than one chain; they do not depend on threads.
///
/// Throws shape_error where shapes do not fit. 4·rows·inputs·outputs operations.
template <tensor_like DY, tensor_like X, projection_weights W, class... Extras>
[[nodiscard]] auto project_backward(const DY& dy, const X& x, const W& w, const Extras&... extras) {
    using T = scalar_of<X>;
    const auto held_dy = detail::evaluate("dy", dy);
    const auto held_x = detail::evaluate("x", x);
    const auto dy_rows = detail::row_view<DY>(held_dy.view());
    const auto rows = detail::row_view<X>(held_x.view());
    detail::check_row_length("x", rows, w.inputs(), "input", {w.outputs(), w.inputs()});
    auto dx = detail::make_rows<X>(rows.extents);
    projection_gradient<decltype(dx), T> gradient{std::move(dx), {}, {}};
    gradient.weight.resize(w.outputs(), w.inputs());
    if (w.has_bias()) {
        gradient.bias.resize(w.outputs());
        project_backward_into(gradient.x, gradient.weight, gradient.bias, dy_rows, rows, w,
                              extras...);
    } else {
        project_backward_into(gradient.x, gradient.weight, dy_rows, rows, w, extras...);
    }
    return gradient;
}

}  // namespace heed::inline HEED_ARCHITECTURE
