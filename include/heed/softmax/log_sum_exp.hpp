#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/view.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/rows/rows.hpp>
#include <heed/softmax/kernel/row_gradients.hpp>
#include <heed/softmax/kernel/row_kernels.hpp>

/// \file
/// The smooth maximum of a row.

namespace heed::inline HEED_ARCHITECTURE {

/// z = τ·log Σe^{x/τ} of every row (kexue 10145), a smooth maximum; dx = softmax(x/τ)·dz.
///
///     auto z  = heed::log_sum_exp(x);
///     auto dx = heed::log_sum_exp.backward(x, z, dz);
///
/// z has a number for each row: a column for a matrix, a tensor of one rank less for a tensor, a
/// number for a compile-time vector. `into` writes to any vector, tensor or number of that size; x
/// is left alone.
///
/// A row of −∞, or without elements, gives −∞; a NaN, or +∞, makes its own z NaN. Throws
/// shape_error and argument_error as row_function does.
class log_sum_exp_function {
  public:
    constexpr log_sum_exp_function() = default;

    /// The same with another temperature. Throws argument_error unless τ is positive and finite.
    log_sum_exp_function temperature(double tau) const {
        log_sum_exp_function other;
        other.tau_ = detail::checked_temperature("heed::log_sum_exp", tau);
        return other;
    }
    constexpr double tau() const { return tau_; }

    template <tensor_like X, class... Extras>
    [[nodiscard]] auto operator()(const X& x, const Extras&... extras) const {
        const auto held = detail::evaluate("x", x);
        auto z = detail::make_numbers<X>(held.view().extents);
        run(numbers_of<X>("z", z), detail::row_view<X>(held.view()),
            detail::call_resources(extras...));
        return z;
    }

    /// z in the caller's memory.
    template <class Z, tensor_like X, class... Extras>
    void into(Z&& z, const X& x, const Extras&... extras) const {
        const auto held = detail::evaluate(x);
        run(numbers_of<X>("z", std::forward<Z>(z)), detail::row_view<X>(held.view()),
            detail::call_resources(extras...));
    }

    /// dx = softmax(x/τ)·dz. It is computed from x: a z of 10⁴ has lost the digits that p needs.
    template <tensor_like X, class Z, class DZ, class... Extras>
    [[nodiscard]] auto backward(const X& x, const Z& z, const DZ& dz,
                                const Extras&... extras) const {
        return with_inputs(x, z, dz, [&](const auto& rows, const auto& values, const auto& dz_of) {
            auto dx = detail::make_rows<X>(rows.extents);
            run_backward(detail::row_view<X>(detail::view_of(dx)), rows, values, dz_of,
                         detail::call_resources(extras...));
            return dx;
        });
    }

    /// The same in the caller's memory; dx may be x itself.
    template <tensor_like DX, tensor_like X, class Z, class DZ, class... Extras>
    void backward_into(DX&& dx, const X& x, const Z& z, const DZ& dz,
                       const Extras&... extras) const {
        with_inputs(x, z, dz, [&](const auto&... inputs) {
            run_backward(detail::row_view<DX>(detail::view_of(std::forward<DX>(dx))), inputs...,
                         detail::call_resources(extras...));
        });
    }

  private:
    /// An output with one number for each row of an X.
    template <class X, class Z>
    static auto numbers_of(const char* name, Z&& z) {
        constexpr int axes = detail::row_axes<X>;
        if constexpr (detail::is_one_number<std::remove_cvref_t<Z>>)
            return detail::number_view<axes>(name, z);
        else
            return detail::number_view<axes, Z>(name, detail::view_of(std::forward<Z>(z)));
    }

    /// Calls f with the view of an input with one number for each row of an X.
    template <class X, class Z, class F>
    static auto with_numbers(const char* name, const Z& z, F&& f) {
        constexpr int axes = detail::row_axes<X>;
        if constexpr (detail::is_one_number<Z>) {
            return f(detail::number_view<axes>(name, z));
        } else {
            const auto held = detail::evaluate(z);
            return f(detail::number_view<axes, Z>(name, held.view()));
        }
    }

    /// f(rows of x, z, dz), checked: before anything is allocated.
    template <class X, class Z, class DZ, class F>
    static auto with_inputs(const X& x, const Z& z, const DZ& dz, F&& f) {
        const auto held = detail::evaluate("x", x);
        const auto rows = detail::row_view<X>(held.view());
        return with_numbers<X>("z", z, [&](const auto& values) {
            detail::check_numbers("z", values, "x", rows);
            return with_numbers<X>("dz", dz, [&](const auto& gradient) {
                detail::check_numbers("dz", gradient, "x", rows);
                return f(rows, values, gradient);
            });
        });
    }

    template <class A, int Axes, class T, int Rank>
    void run(const tensor_view<A, Axes>& z, const tensor_view<T, Rank>& x,
             const detail::call_resources& resources) const {
        detail::check_scalars<A, std::remove_const_t<T>>();
        detail::check_view("x", x);
        detail::check_numbers("z", z, "x", x);
        detail::check_writable("z", z);
        detail::check_apart("z", z, "x", x);
        using computed = detail::computed_in<A>;
        detail::for_each_row<computed>(
            resources, z.extents, x.extents[Axes],
            detail::log_sum_exp_rows<computed>{detail::temperature_factors<computed>(tau_)},
            detail::number_operand(z), detail::line_operand(x));
    }

    template <class A, int Rank, class T, class Z, class DZ, int Axes>
    void run_backward(const tensor_view<A, Rank>& dx, const tensor_view<T, Rank>& x,
                      const tensor_view<Z, Axes>& z, const tensor_view<DZ, Axes>& dz,
                      const detail::call_resources& resources) const {
        detail::check_scalars<A, std::remove_const_t<DZ>>();
        detail::check_row_output("dx", dx);
        detail::check_row_input("dx", dx, "x", x);
        detail::check_apart("dx", dx, "z", z);
        detail::check_apart("dx", dx, "dz", dz);
        using computed = detail::computed_in<A>;
        detail::for_each_row<computed>(resources, dz.extents, x.extents[Rank - 1],
                                       detail::log_sum_exp_backward_rows<computed>{
                                           detail::temperature_factors<computed>(tau_)},
                                       detail::line_operand(dx), detail::line_operand(x),
                                       detail::number_operand(dz));
    }

    double tau_ = 1;
};

/// log Σe^x of rows: see log_sum_exp_function.
inline constexpr log_sum_exp_function log_sum_exp{};

}  // namespace heed::inline HEED_ARCHITECTURE
