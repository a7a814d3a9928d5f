#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/memory_span.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/core/view.hpp>
#include <heed/init/kernel/norm_rows.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/rows/rows.hpp>

/// \file
/// What layer_norm and rms_norm have in common.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// No β.
struct no_offset {};

inline double checked_epsilon(std::string_view of, double epsilon) {
    require_argument(epsilon >= 0 && std::isfinite(epsilon), of, ": epsilon is ", epsilon,
                     ", but must be finite and not negative");
    return epsilon;
}

/// y = x̂·γ + β of every row, x̂ = (x − mean)/√(mean (x − mean)² + ε), the mean 0 unless Centred.
/// Gamma and Beta are kept vectors, see keep_vector; Beta may be no_offset.
template <bool Centred, class Gamma, class Beta>
class row_norm {
    static constexpr bool has_offset = !std::is_same_v<Beta, no_offset>;

  public:
    row_norm(Gamma gamma, Beta beta, double epsilon)
        : gamma_(std::move(gamma)), beta_(std::move(beta)), epsilon_(epsilon) {}

    /// y, of x's kind, storage order and scalar.
    template <tensor_like X, class... Extras>
    auto operator()(const X& x, const Extras&... extras) const {
        const auto held = evaluate("x", x);
        auto y = make_same<X>(held.view().extents);
        run(row_view<X>(view_of(y)), row_view<X>(held.view()), call_resources(extras...));
        return y;
    }

    /// y in the caller's memory; it may be x.
    template <tensor_like Y, tensor_like X, class... Extras>
    void into(Y&& y, const X& x, const Extras&... extras) const {
        const auto held = evaluate(x);
        run(row_view<Y>(view_of(std::forward<Y>(y))), row_view<X>(held.view()),
            call_resources(extras...));
    }

  protected:
    /// For the gradient of a parameter: in what is computed in, since all rows add to it.
    template <class X>
    using column = Eigen::Matrix<computed_in<scalar_of<X>>, Eigen::Dynamic, 1>;

    index parameters() const { return gamma_.view().extents[0]; }

    /// f(rows of x, rows of dy), checked against one another and the parameters.
    template <class X, class DY, class F>
    decltype(auto) with_inputs(const X& x, const DY& dy, F&& f) const {
        const auto checked = [&](const auto& x_rows, const auto& dy_rows) -> decltype(auto) {
            check_parameters(x_rows);
            return f(x_rows, dy_rows);
        };
        return with_rows({"x", "dy"}, checked, x, dy);
    }

    /// dx, dγ and, if there is a β, dβ.
    template <class X, class DX, class DGamma, class DBeta, class DY, class... Extras>
    void backward_to(DX&& dx, DGamma& d_gamma, DBeta* d_beta, const X& x, const DY& dy,
                     const Extras&... extras) const {
        static_assert(row_axes<DX> == row_axes<X>, "heed: x, dx and dy have the same rank");
        with_inputs(x, dy, [&](const auto& x_rows, const auto& dy_rows) {
            run_backward(row_view<DX>(view_of(std::forward<DX>(dx))), view_of(d_gamma), d_beta,
                         x_rows, dy_rows, call_resources(extras...));
        });
    }

  private:
    template <class A, class T, int Rank>
    void run(const tensor_view<A, Rank>& y, const tensor_view<T, Rank>& x,
             const call_resources& resources) const {
        constexpr auto axes = static_cast<std::size_t>(Rank - 1);
        check_scalars<A, std::remove_const_t<T>>();
        check_row_output("y", y);
        check_row_input("y", y, "x", x);
        check_parameters(x);
        check_apart_from_parameters("y", y);
        arena& memory = resources.memory->slot(0);
        const arena::scope scope(memory);
        using computed = computed_in<A>;
        for_each_row<computed>(
            resources, leading<axes>(y.extents), y.extents[axes],
            norm_rows<computed, Centred>{in_scratch<computed>(gamma_, memory),
                                         offset<computed>(memory), epsilon<computed>()},
            line_operand(y), line_operand(x));
    }

    template <class A, int Rank, int RankG, class DBeta, class T, class U>
    void run_backward(const tensor_view<A, Rank>& dx,
                      const tensor_view<computed_in<A>, RankG>& d_gamma, DBeta* d_beta,
                      const tensor_view<T, Rank>& x, const tensor_view<U, Rank>& dy,
                      const call_resources& resources) const {
        using computed = computed_in<A>;
        constexpr auto axes = static_cast<std::size_t>(Rank - 1);
        check_scalars<A, std::remove_const_t<T>, std::remove_const_t<U>>();
        check_row_output("dx", dx);
        check_row_input("dx", dx, "x", x);
        check_in_place("dx", dx, "dy", dy);
        check_apart_from_parameters("dx", dx);
        check_gradient("d_gamma", d_gamma, dx, x, dy);
        if constexpr (has_offset) {
            check_gradient("d_beta", view_of(*d_beta), dx, x, dy);
            check_outputs_apart("d_gamma", d_gamma, "d_beta", view_of(*d_beta));
        }
        const auto outer = leading<axes>(dx.extents);
        const index n = dx.extents[axes];
        index rows = 1;
        for (const index extent : outer) rows *= extent;
        arena& memory = resources.memory->slot(0);
        const arena::scope scope(memory);
        const auto number = [&](computed* numbers) {
            return row_operand<computed, axes>{numbers, row_major_strides(outer), 0, true};
        };
        computed* const means = memory.take<computed>(rows);
        computed* const factors = memory.take<computed>(rows);
        computed* const shifts = memory.take<computed>(rows);
        computed* const scales = memory.take<computed>(rows);
        for_each_row<computed>(resources, outer, n,
                               moment_rows<computed, Centred>{epsilon<computed>()}, number(means),
                               line_operand(x), number(factors), number(shifts), number(scales));

        // The parameters' gradients first: dx may be x or dy.
        computed* const sums = memory.take<computed>(2 * n);
        const norm_parameter_gradients<A, Rank> columns{
            x, dy, means, factors, shifts, scales, sums, has_offset ? sums + n : nullptr};
        for_each_task(resources.pool, *resources.memory, columns.tasks(),
                      [&](index, index task) { columns(task); });
        copy_numbers(sums, d_gamma);
        if constexpr (has_offset) copy_numbers(sums + n, view_of(*d_beta));
        for_each_row<computed>(
            resources, outer, n,
            norm_backward_rows<computed, Centred>{in_scratch<computed>(gamma_, memory)},
            line_operand(dx), line_operand(x), line_operand(dy), number(means), number(factors),
            number(shifts), number(scales));
    }

    template <class A>
    A epsilon() const {
        return static_cast<A>(epsilon_);
    }

    template <class T, int Rank>
    void check_parameters(const tensor_view<T, Rank>& x) const {
        const index n = x.extents[static_cast<std::size_t>(Rank - 1)];
        require_shape(parameters() == n, "gamma has length ", parameters(), " and x has shape ",
                      x.extents, ", but there must be one for each element of a row");
        if constexpr (has_offset)
            require_shape(beta_.view().extents[0] == n, "beta has length ", beta_.view().extents[0],
                          " and x has shape ", x.extents,
                          ", but there must be one for each element of a row");
    }

    void check_apart_from_parameters(std::string_view name, const memory_span& output) const {
        check_apart(name, output, "gamma", gamma_.view());
        if constexpr (has_offset) check_apart(name, output, "beta", beta_.view());
    }

    template <class A, int RankG, class DX, class X, class DY>
    void check_gradient(std::string_view name, const tensor_view<A, RankG>& d_parameter,
                        const DX& dx, const X& x, const DY& dy) const {
        check_vector_gradient(name, d_parameter, parameters());
        check_writable(name, d_parameter);
        check_outputs_apart(name, d_parameter, "dx", dx);
        check_apart(name, d_parameter, "x", x);
        check_apart(name, d_parameter, "dy", dy);
        check_apart_from_parameters(name, d_parameter);
    }

    /// β, or zeros where the kernel adds one.
    template <class A>
    along_rows<A> offset(arena& memory) const {
        if constexpr (has_offset) {
            return in_scratch<A>(beta_, memory);
        } else if constexpr (Centred) {
            A* const zeros = memory.take<A>(parameters());
            std::fill_n(zeros, static_cast<std::size_t>(parameters()), A(0));
            return {zeros};
        } else {
            return {nullptr};
        }
    }
    template <class A, class Kept>
    static along_rows<A> in_scratch(const Kept& kept, arena& memory) {
        const auto from = kept.view();
        A* const to = memory.take<A>(from.extents[0]);
        for (index j = 0; j < from.extents[0]; ++j) to[j] = static_cast<A>(from(j));
        return {to};
    }

    template <class A, int RankG>
    static void copy_numbers(const A* from, const tensor_view<A, RankG>& to) {
        const std::size_t axis = RankG == 2 && to.extents[0] == 1 ? 1 : 0;
        for (index j = 0; j < to.size(); ++j) to.data[j * to.strides[axis]] = from[j];
    }

    Gamma gamma_;
    Beta beta_;
    double epsilon_;
};

}  // namespace detail

/// What backward of a norm without β gives.
template <class X, class Parameter>
struct scaled_norm_gradient {
    X x;
    Parameter gamma;
};

namespace detail {

/// A norm without β: rms_norm, and layer_norm of γ alone.
template <bool Centred, class Gamma>
class scaled_norm : public row_norm<Centred, Gamma, no_offset> {
    using base = row_norm<Centred, Gamma, no_offset>;

  public:
    scaled_norm(Gamma gamma, double epsilon) : base(std::move(gamma), {}, epsilon) {}

    template <tensor_like X, tensor_like DY, class... Extras>
    auto backward(const X& x, const DY& dy, const Extras&... extras) const {
        using parameter = typename base::template column<X>;
        return this->with_inputs(x, dy, [&](const auto& x_rows, const auto& dy_rows) {
            auto dx = make_rows<X>(x_rows.extents);
            parameter d_gamma(this->parameters());
            backward_into(row_view<X>(view_of(dx)), d_gamma, x_rows, dy_rows, extras...);
            return scaled_norm_gradient<decltype(dx), parameter>{std::move(dx), std::move(d_gamma)};
        });
    }

    /// The same in the caller's memory; dx may be x or dy.
    template <tensor_like DX, tensor_like DGamma, tensor_like X, tensor_like DY, class... Extras>
    void backward_into(DX&& dx, DGamma&& d_gamma, const X& x, const DY& dy,
                       const Extras&... extras) const {
        this->backward_to(std::forward<DX>(dx), d_gamma, static_cast<void*>(nullptr), x, dy,
                          extras...);
    }
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
