#pragma once

#include <concepts>
#include <cstddef>
#include <string_view>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/overlap.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>
#include <heed/rows/joined_axes.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/softmax/log_sum_exp.hpp>

/// \file
/// The smooth maximum over several axes.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::log_sum_exp_over(axes…).
template <std::size_t Count>
class log_sum_exp_over_axes {
  public:
    explicit log_sum_exp_over_axes(const detail::joined_axes<Count>& axes,
                                   const log_sum_exp_function& of_rows = {})
        : axes_(axes), of_rows_(of_rows) {}

    /// The same with another temperature. Throws argument_error unless τ is positive and finite.
    log_sum_exp_over_axes temperature(double tau) const {
        return log_sum_exp_over_axes(axes_, of_rows_.temperature(tau));
    }

    /// z, a tensor of the axes that are left.
    template <tensor_like X, class... Extras>
    [[nodiscard]] auto operator()(const X& x, const Extras&... extras) const {
        if constexpr (fits<X>()) {
            const auto held = detail::evaluate("x", x);
            auto z = detail::make_like<X>(axes_.kept(axes_.behind_others(name, held.view())));
            run(detail::view_of(z), held.view(), extras...);
            return z;
        }
    }

    /// z in the caller's memory.
    template <tensor_like Z, tensor_like X, class... Extras>
    void into(Z&& z, const X& x, const Extras&... extras) const {
        if constexpr (fits<X>()) {
            const auto held = detail::evaluate("x", x);
            run(detail::view_of(std::forward<Z>(z)), held.view(), extras...);
        }
    }

    /// dx = softmax(x/τ)·dz, the softmax being over all the axes together.
    template <tensor_like X, tensor_like Z, tensor_like DZ, class... Extras>
    [[nodiscard]] auto backward(const X& x, const Z& z, const DZ& dz,
                                const Extras&... extras) const {
        if constexpr (fits<X>()) {
            const auto held = detail::evaluate("x", x);
            check_numbers("dz", detail::evaluate("dz", dz).view(), held.view());
            auto dx = detail::make_same<X>(held.view().extents);
            backward_into(dx, x, z, dz, extras...);
            return dx;
        }
    }

    /// The same in the caller's memory; dx may be x itself.
    template <tensor_like DX, tensor_like X, tensor_like Z, tensor_like DZ, class... Extras>
    void backward_into(DX&& dx, const X& x, const Z& z, const DZ& dz,
                       const Extras&... extras) const {
        if constexpr (fits<X>()) {
            const auto held_x = detail::evaluate("x", x);
            const auto held_z = detail::evaluate("z", z);
            const auto held_dz = detail::evaluate("dz", dz);
            run_backward(detail::view_of(std::forward<DX>(dx)), held_x.view(), held_z.view(),
                         held_dz.view(), extras...);
        }
    }

  private:
    static constexpr std::string_view name = "heed::log_sum_exp_over";

    template <class X>
    static constexpr bool fits() {
        constexpr bool is_tensor = !detail::eigen_dense<X>;
        static_assert(is_tensor,
                      "heed: log_sum_exp_over takes tensors and heed::view; the columns of a "
                      "matrix are the rows of its transpose, for heed::log_sum_exp");
        constexpr bool has_axes = Count <= static_cast<std::size_t>(rank_of<X>);
        static_assert(has_axes || !is_tensor, "heed: there are more axes than the tensor has");
        return is_tensor && has_axes;
    }

    /// One number for each of what is left.
    template <class Z, int Axes, class T, int Rank>
    void check_numbers(std::string_view of, const tensor_view<Z, Axes>& z,
                       const tensor_view<T, Rank>& x) const {
        constexpr bool same_axes = Axes + static_cast<int>(Count) == Rank;
        static_assert(same_axes, "heed: z and dz have the axes of x that are not summed over");
        if constexpr (same_axes) {
            const auto kept = axes_.kept(axes_.behind_others(name, x));
            detail::check_view(of, z);
            detail::require_shape(z.extents == kept, of, " has shape ", z.extents,
                                  ", but must have ", kept, ", the axes that are not summed over");
        }
    }

    template <class A, int Axes, class T, int Rank, class... Extras>
    void run(const tensor_view<A, Axes>& z, const tensor_view<T, Rank>& x,
             const Extras&... extras) const {
        check_numbers("z", z, x);
        detail::check_apart("z", z, "x", x);
        const auto ordered = axes_.behind_others(name, x);
        if (const index stride = axes_.common_stride(ordered); stride != 0)
            return of_rows_.into(z, axes_.joined(ordered, stride), extras...);
        with_copy(ordered, detail::call_resources(extras...),
                  [&](const auto& copy) { of_rows_.into(z, axes_.joined(copy, 1), extras...); });
    }

    template <class A, int Rank, class T, class Z, class DZ, int Axes, class... Extras>
    void run_backward(const tensor_view<A, Rank>& dx, const tensor_view<T, Rank>& x,
                      const tensor_view<Z, Axes>& z, const tensor_view<DZ, Axes>& dz,
                      const Extras&... extras) const {
        detail::check_row_output("dx", dx);
        detail::check_row_input("dx", dx, "x", x);
        check_numbers("z", z, x);
        check_numbers("dz", dz, x);
        detail::check_apart("dx", dx, "z", z);
        detail::check_apart("dx", dx, "dz", dz);
        const auto from = axes_.behind_others(name, x);
        const auto to = axes_.behind_others(name, dx);
        const index stride = axes_.common_stride(from), dx_stride = axes_.common_stride(to);
        if (stride != 0 && dx_stride != 0)
            return of_rows_.backward_into(axes_.joined(to, dx_stride), axes_.joined(from, stride),
                                          z, dz, extras...);
        with_copy(from, detail::call_resources(extras...), [&](const auto& copy) {
            const auto rows = axes_.joined(copy, 1);
            of_rows_.backward_into(rows, rows, z, dz, extras...);
            detail::copy_elements(copy, to);
        });
    }

    /// f(a copy of x whose axes follow one another in memory).
    template <class T, int Rank, class F>
    static void with_copy(const tensor_view<const T, Rank>& x,
                          const detail::call_resources& resources, const F& f) {
        arena& memory = resources.memory->slot(0);
        const arena::scope mark(memory);
        const tensor_view<T, Rank> copy{memory.template take<T>(x.size()), x.extents,
                                        detail::row_major_strides(x.extents)};
        detail::copy_elements(x, copy);
        f(copy);
    }

    detail::joined_axes<Count> axes_;
    log_sum_exp_function of_rows_;
};

/// z = τ·log Σe^{x/τ} over several axes of a tensor at once (kexue 10145), as heed::log_sum_exp is
/// over the last; dx = softmax(x/τ)·dz, the softmax over all of them together.
///
///     Eigen::Tensor<float, 4> x(…);
///     auto z  = heed::log_sum_exp_over(1, 3)(x);             // a tensor of the axes 0 and 2
///     auto dx = heed::log_sum_exp_over(1, 3).backward(x, z, dz);
///
/// Axes count from 0, in any order. x is an Eigen::Tensor, a map or expression of one, or
/// heed::view; heed::on(pool) and heed::in(workspace) may stand behind. The sum over no elements is
/// −∞. argument_error for an axis that x has not or that is given twice, shape_error where z or dz
/// has not the shape that is left. Costs heed::log_sum_exp of as many rows; where the axes do not
/// follow one another in memory, x is copied to scratch memory first.
template <std::integral... Axes>
requires(sizeof...(Axes) > 0) [[nodiscard]] auto log_sum_exp_over(Axes... axes) {
    return log_sum_exp_over_axes<sizeof...(Axes)>(detail::joined_axes<sizeof...(Axes)>(axes...));
}

}  // namespace heed::inline HEED_ARCHITECTURE
