#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/lanes.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/view.hpp>
#include <heed/rows/lines.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/rows/rows.hpp>

/// \file
/// The face of an activation, y = f(x) of each element: f(x), f.into, f.backward, f.backward_into.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// y = f(x). Operands: y, x.
template <class Function>
struct activation_rows {
    Function f;

    template <class Layout, class T>
    void operator()(const Layout& layout, T* to, const T* from) const {
        for (index l = 0; l < layout.lines; ++l) {
            const auto y = layout.template line<0>(to, l);
            const auto x = layout.template line<1>(from, l);
            for_each_vector(
                y, [&](auto at) __attribute__((always_inline)) { y.store(at, f(x.load(at))); });
        }
    }
};

/// dx = dy·f'(x). Operands: dx, x, dy.
template <class Function>
struct activation_backward_rows {
    Function f;

    template <class Layout, class T>
    void operator()(const Layout& layout, T* to, const T* from, const T* gradient) const {
        for (index l = 0; l < layout.lines; ++l) {
            const auto dx = layout.template line<0>(to, l);
            const auto x = layout.template line<1>(from, l);
            const auto dy = layout.template line<2>(gradient, l);
            for_each_vector(
                dx, [&](auto at) __attribute__((always_inline)) {
                    dx.store(at, dy.load(at) * f.derivative(x.load(at)));
                });
        }
    }
};

/// An activation y = f(x), element by element, of any matrix, array, map, block, tensor or
/// heed::view. `Function` derives from this, and computes f(vec<T>) and its derivative(vec<T>),
/// which may be called in a mask's or a modifier's function too.
///
/// All arguments of a call have the same shape and scalar: float, double, or Eigen::half or
/// Eigen::bfloat16, which are computed in float and rounded once. Outputs are lvalues, maps or
/// temporary blocks; they are never resized, and may be one of the inputs, which is then
/// overwritten. Behind the tensors come heed::on(pool) and heed::in(workspace), in any order.
///
/// Throws shape_error where shapes differ or are impossible, argument_error where an output
/// overlaps an input or itself; nothing has been written then. O(size of x).
template <class Function>
class activation {
  public:
    /// f(x), of x's kind, storage order and scalar.
    template <tensor_like X, class... Extras>
    [[nodiscard]] auto operator()(const X& x, const Extras&... extras) const {
        const auto held = evaluate("x", x);
        auto y = make_same<X>(held.view().extents);
        run(row_view<X>(view_of(y)), row_view<X>(held.view()), call_resources(extras...));
        return y;
    }

    /// f of positions as numbers.
    template <class T>
    [[nodiscard]] vec<T> operator()(lanes<T> x) const {
        return function()(x.number());
    }

    /// y = f(x), in the caller's memory.
    template <tensor_like Y, tensor_like X, class... Extras>
    void into(Y&& y, const X& x, const Extras&... extras) const {
        const auto held = evaluate(x);
        run(row_view<Y>(view_of(std::forward<Y>(y))), row_view<X>(held.view()),
            call_resources(extras...));
    }

    /// dx = dy ⊙ f'(x).
    template <tensor_like X, tensor_like DY, class... Extras>
    [[nodiscard]] auto backward(const X& x, const DY& dy, const Extras&... extras) const {
        const auto run = [&](const auto& x_rows, const auto& dy_rows) {
            auto dx = make_rows<X>(x_rows.extents);
            run_backward(row_view<X>(view_of(dx)), x_rows, dy_rows, call_resources(extras...));
            return dx;
        };
        return with_rows({"x", "dy"}, run, x, dy);
    }

    /// The same in the caller's memory.
    template <tensor_like DX, tensor_like X, tensor_like DY, class... Extras>
    void backward_into(DX&& dx, const X& x, const DY& dy, const Extras&... extras) const {
        const auto run = [&](const auto&... inputs) {
            run_backward(row_view<DX>(view_of(std::forward<DX>(dx))), inputs...,
                         call_resources(extras...));
        };
        with_rows({"x", "dy"}, run, x, dy);
    }

  private:
    const Function& function() const { return static_cast<const Function&>(*this); }

    template <class A, int RankA, class T, int Rank>
    void run(const tensor_view<A, RankA>& y, const tensor_view<T, Rank>& x,
             const call_resources& resources) const {
        static_assert(RankA == Rank, "heed: an activation gives what has the rank of x");
        check_scalars<A, std::remove_const_t<T>>();
        check_row_output("y", y);
        check_row_input("y", y, "x", x);
        constexpr auto axes = static_cast<std::size_t>(Rank - 1);
        for_each_row<computed_in<A>>(resources, leading<axes>(y.extents), y.extents[axes],
                                     activation_rows<Function>{function()}, line_operand(y),
                                     line_operand(x));
    }

    template <class A, int RankA, class T, class DY, int Rank>
    void run_backward(const tensor_view<A, RankA>& dx, const tensor_view<T, Rank>& x,
                      const tensor_view<DY, Rank>& dy, const call_resources& resources) const {
        static_assert(RankA == Rank, "heed: x, dx and dy have the same rank");
        check_scalars<A, std::remove_const_t<T>, std::remove_const_t<DY>>();
        check_row_output("dx", dx);
        check_row_input("dx", dx, "x", x);
        check_in_place("dx", dx, "dy", dy);
        constexpr auto axes = static_cast<std::size_t>(Rank - 1);
        for_each_row<computed_in<A>>(resources, leading<axes>(dx.extents), dx.extents[axes],
                                     activation_backward_rows<Function>{function()},
                                     line_operand(dx), line_operand(x), line_operand(dy));
    }
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
