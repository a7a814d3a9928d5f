#pragma once

#include <array>
#include <cstddef>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/view.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/rows/rows.hpp>

/// \file
/// The face of a function that makes a row of each row: f(x), f.into, f.backward, f.backward_into.

namespace heed::inline HEED_ARCHITECTURE {

/// A function y = f(x) of every row of x: the rows of any matrix, array, map or block, the last
/// axis of any tensor or heed::view. A compile-time vector is one row, a column too. `Function`
/// derives from this and offers the kernels `forward<T>()`, on y and x, and `gradient<T>()`, on dx,
/// y, dy, and, if the kernel says `needs_input`, x; a function that does not take rows of every
/// length has a `check_length(length)`, which throws.
///
/// All arguments of a call have the same shape and scalar: float, double, or Eigen::half or
/// Eigen::bfloat16, which are computed in float and rounded once. Outputs are lvalues, maps or
/// temporary blocks; they are never resized, and may be one of the inputs, which is then
/// overwritten. Behind the tensors come heed::on(pool) and heed::in(workspace), in any order.
///
/// Throws shape_error where shapes differ or are impossible, argument_error where an output
/// overlaps an input or itself; nothing has been written then. O(size of x).
template <class Function>
class row_function {
  public:
    /// f(x), of x's kind, storage order and scalar.
    template <tensor_like X, class... Extras>
    [[nodiscard]] auto operator()(const X& x, const Extras&... extras) const {
        const auto held = detail::evaluate("x", x);
        auto y = detail::make_same<X>(held.view().extents);
        run(detail::row_view<X>(detail::view_of(y)), detail::row_view<X>(held.view()),
            detail::call_resources(extras...));
        return y;
    }

    /// y = f(x), in the caller's memory.
    template <tensor_like Y, tensor_like X, class... Extras>
    void into(Y&& y, const X& x, const Extras&... extras) const {
        const auto held = detail::evaluate(x);
        run(detail::row_view<Y>(detail::view_of(std::forward<Y>(y))),
            detail::row_view<X>(held.view()), detail::call_resources(extras...));
    }

    /// The vector–Jacobian product dx = dyᵀ ∂f(x)/∂x, with y = f(x) as it was computed.
    template <tensor_like X, tensor_like Y, tensor_like DY, class... Extras>
    [[nodiscard]] auto backward(const X& x, const Y& y, const DY& dy,
                                const Extras&... extras) const {
        const auto run = [&](const auto& x_rows, const auto& y_rows, const auto& dy_rows) {
            auto dx = detail::make_rows<X>(x_rows.extents);
            run_backward(detail::row_view<X>(detail::view_of(dx)), x_rows, y_rows, dy_rows,
                         detail::call_resources(extras...));
            return dx;
        };
        return detail::with_rows({"x", "y", "dy"}, run, x, y, dy);
    }

    /// The same in the caller's memory.
    template <tensor_like DX, tensor_like X, tensor_like Y, tensor_like DY, class... Extras>
    void backward_into(DX&& dx, const X& x, const Y& y, const DY& dy,
                       const Extras&... extras) const {
        const auto run = [&](const auto&... inputs) {
            run_backward(detail::row_view<DX>(detail::view_of(std::forward<DX>(dx))), inputs...,
                         detail::call_resources(extras...));
        };
        detail::with_rows({"x", "y", "dy"}, run, x, y, dy);
    }

  private:
    const Function& function() const { return static_cast<const Function&>(*this); }

    void check_row_length(index length) const {
        if constexpr (requires { function().check_length(length); })
            function().check_length(length);
    }

    template <class A, int RankA, class T, int Rank>
    void run(const tensor_view<A, RankA>& y, const tensor_view<T, Rank>& x,
             const detail::call_resources& resources) const {
        static_assert(RankA == Rank, "heed: a function of rows gives what has the rank of x");
        detail::check_scalars<A, std::remove_const_t<T>>();
        detail::check_row_output("y", y);
        detail::check_row_input("y", y, "x", x);
        constexpr auto axes = static_cast<std::size_t>(Rank - 1);
        check_row_length(y.extents[axes]);
        using computed = detail::computed_in<A>;
        detail::for_each_row<computed>(resources, detail::leading<axes>(y.extents), y.extents[axes],
                                       function().template forward<computed>(),
                                       detail::line_operand(y), detail::line_operand(x));
    }

    template <class A, int RankA, class T, class Y, class DY, int Rank>
    void run_backward(const tensor_view<A, RankA>& dx, const tensor_view<T, Rank>& x,
                      const tensor_view<Y, Rank>& y, const tensor_view<DY, Rank>& dy,
                      const detail::call_resources& resources) const {
        static_assert(RankA == Rank, "heed: x, y and their gradients have the same rank");
        detail::check_scalars<A, std::remove_const_t<T>, std::remove_const_t<Y>,
                              std::remove_const_t<DY>>();
        detail::check_row_output("dx", dx);
        detail::check_row_input("dx", dx, "x", x);
        detail::check_in_place("dx", dx, "y", y);
        detail::check_in_place("dx", dx, "dy", dy);
        constexpr auto axes = static_cast<std::size_t>(Rank - 1);
        check_row_length(dx.extents[axes]);
        using computed = detail::computed_in<A>;
        const auto kernel = function().template gradient<computed>();
        const auto walk = [&](const auto&... input) {
            detail::for_each_row<computed>(resources, detail::leading<axes>(dx.extents),
                                           dx.extents[axes], kernel, detail::line_operand(dx),
                                           detail::line_operand(y), detail::line_operand(dy),
                                           input...);
        };
        if constexpr (requires { kernel.needs_input; })
            walk(detail::line_operand(x));
        else
            walk();
    }
};

}  // namespace heed::inline HEED_ARCHITECTURE
