#pragma once

#include <cmath>
#include <cstddef>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/view.hpp>
#include <heed/rows/lines.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/rows/rows.hpp>

/// \file
/// ReZero: a residual branch that begins shut.

namespace heed::inline HEED_ARCHITECTURE {

/// What backward of heed::re_zero gives: the gradients of F(x) and of α; that of x is dy.
template <class X, class T>
struct re_zero_gradient {
    X branch;
    T alpha;
};

namespace detail {

/// y = x + αf. Operands: y, x, f.
template <class T>
struct re_zero_rows {
    vec<T> alpha;

    template <class Layout>
    void operator()(const Layout& layout, T* to, const T* from, const T* branch) const {
        for (index l = 0; l < layout.lines; ++l) {
            const auto y = layout.template line<0>(to, l);
            const auto x = layout.template line<1>(from, l);
            const auto f = layout.template line<2>(branch, l);
            for_each_vector(
                y, [&](auto at) __attribute__((always_inline)) {
                    y.store(at, fma(alpha, f.load(at), x.load(at)));
                });
        }
    }
};

/// df = α·dy, and Σ dy·f of the row. Operands: df, f, dy, one sum a row.
template <class T>
struct re_zero_backward_rows {
    vec<T> alpha;

    template <class Layout>
    void operator()(const Layout& layout, T* to, const T* branch, const T* gradient,
                    T* sums) const {
        for (index l = 0; l < layout.lines; ++l) {
            const auto df = layout.template line<0>(to, l);
            const auto f = layout.template line<1>(branch, l);
            const auto dy = layout.template line<2>(gradient, l);
            layout.template store_number<3>(
                sums, l,
                sum_over(
                    f, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
                        return fma(dy.load(at), f.load(at), so_far);
                    }));
            for_each_vector(
                df, [&](auto at)
                        __attribute__((always_inline)) { df.store(at, alpha * dy.load(at)); });
        }
    }
};

}  // namespace detail

/// ReZero y = x + α·F(x), α a number that begins at 0 (arXiv 2003.04887, kexue 8620).
///
///     auto y = heed::re_zero(alpha)(x, f);                      // f = F(x)
///     auto [df, d_alpha] = heed::re_zero(alpha).backward(f, dy);
///
/// x, f and y are what row_function takes, of one shape. df = α·dy and dα = Σ dy·f, the same bits
/// for any number of threads; x gets dy, and what F's own backward makes of df. Throws shape_error
/// where shapes differ, argument_error for overlapping outputs or an α that is not finite. O(size).
class re_zero {
  public:
    explicit re_zero(double alpha) : alpha_(alpha) {
        detail::require_argument(std::isfinite(alpha), "heed::re_zero: alpha is ", alpha,
                                 ", but must be finite");
    }

    template <tensor_like X, tensor_like F, class... Extras>
    [[nodiscard]] auto operator()(const X& x, const F& f, const Extras&... extras) const {
        const auto run_into = [&](const auto& x_rows, const auto& f_rows) {
            auto y = detail::make_rows<X>(x_rows.extents);
            run(detail::row_view<X>(detail::view_of(y)), x_rows, f_rows,
                detail::call_resources(extras...));
            return y;
        };
        return detail::with_rows({"x", "f"}, run_into, x, f);
    }

    /// y in the caller's memory; it may be x or f.
    template <tensor_like Y, tensor_like X, tensor_like F, class... Extras>
    void into(Y&& y, const X& x, const F& f, const Extras&... extras) const {
        const auto run_into = [&](const auto&... inputs) {
            run(detail::row_view<Y>(detail::view_of(std::forward<Y>(y))), inputs...,
                detail::call_resources(extras...));
        };
        detail::with_rows({"x", "f"}, run_into, x, f);
    }

    template <tensor_like F, tensor_like DY, class... Extras>
    [[nodiscard]] auto backward(const F& f, const DY& dy, const Extras&... extras) const {
        const auto run = [&](const auto& f_rows, const auto& dy_rows) {
            auto df = detail::make_rows<F>(f_rows.extents);
            const auto d_alpha = run_backward(detail::row_view<F>(detail::view_of(df)), f_rows,
                                              dy_rows, detail::call_resources(extras...));
            return re_zero_gradient<decltype(df), detail::computed_in<scalar_of<F>>>{std::move(df),
                                                                                     d_alpha};
        };
        return detail::with_rows({"f", "dy"}, run, f, dy);
    }

    /// df in the caller's memory, which may be f or dy; returns dα.
    template <tensor_like DF, tensor_like F, tensor_like DY, class... Extras>
    auto backward_into(DF&& df, const F& f, const DY& dy, const Extras&... extras) const {
        const auto run = [&](const auto&... inputs) {
            return run_backward(detail::row_view<DF>(detail::view_of(std::forward<DF>(df))),
                                inputs..., detail::call_resources(extras...));
        };
        return detail::with_rows({"f", "dy"}, run, f, dy);
    }

  private:
    template <class A, class T, class U, int Rank>
    void run(const tensor_view<A, Rank>& y, const tensor_view<T, Rank>& x,
             const tensor_view<U, Rank>& f, const detail::call_resources& resources) const {
        constexpr auto axes = static_cast<std::size_t>(Rank - 1);
        detail::check_scalars<A, std::remove_const_t<T>, std::remove_const_t<U>>();
        detail::check_row_output("y", y);
        detail::check_row_input("y", y, "x", x);
        detail::check_in_place("y", y, "f", f);
        using computed = detail::computed_in<A>;
        detail::for_each_row<computed>(resources, detail::leading<axes>(y.extents), y.extents[axes],
                                       detail::re_zero_rows<computed>{vec<computed>(alpha_)},
                                       detail::line_operand(y), detail::line_operand(x),
                                       detail::line_operand(f));
    }

    template <class A, class T, class U, int Rank>
    auto run_backward(const tensor_view<A, Rank>& df, const tensor_view<T, Rank>& f,
                      const tensor_view<U, Rank>& dy,
                      const detail::call_resources& resources) const {
        using computed = detail::computed_in<A>;
        constexpr auto axes = static_cast<std::size_t>(Rank - 1);
        detail::check_scalars<A, std::remove_const_t<T>, std::remove_const_t<U>>();
        detail::check_row_output("df", df);
        detail::check_row_input("df", df, "f", f);
        detail::check_in_place("df", df, "dy", dy);
        const auto outer = detail::leading<axes>(df.extents);
        index rows = 1;
        for (const index extent : outer) rows *= extent;
        arena& memory = resources.memory->slot(0);
        const arena::scope scope(memory);
        computed* const sums = memory.take<computed>(rows);
        detail::for_each_row<computed>(
            resources, outer, df.extents[axes],
            detail::re_zero_backward_rows<computed>{vec<computed>(alpha_)},
            detail::line_operand(df), detail::line_operand(f), detail::line_operand(dy),
            detail::row_operand<computed, axes>{sums, detail::row_major_strides(outer), 0, true});
        double total = 0;
        for (index row = 0; row < rows; ++row) total += static_cast<double>(sums[row]);
        return static_cast<computed>(total);
    }

    double alpha_;
};

}  // namespace heed::inline HEED_ARCHITECTURE
