#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <type_traits>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/memory_span.hpp>
#include <heed/core/overlap.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>

/// \file
/// The arguments of functions of rows: what is a row, what is one number a row, and their checks.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// On whose threads and in whose memory a call runs: heed::on(pool), heed::in(workspace).
struct call_resources {
    Eigen::ThreadPoolInterface* pool = nullptr;
    workspace* memory = nullptr;

    template <class... Extras>
    explicit call_resources(const Extras&... extras) {
        static_assert(
            ((std::is_same_v<Extras, on_pool> || std::is_same_v<Extras, in_workspace>)&&...),
            "heed: beside its tensors, a function of rows takes heed::on(pool) and "
            "heed::in(workspace), no more");
        (take(extras), ...);
        if (memory == nullptr) memory = &thread_workspace();
    }

  private:
    void take(const on_pool& extra) { pool = extra.pool; }
    void take(const in_workspace& extra) { memory = extra.memory; }
    template <class Other>
    void take(const Other&) {}
};

template <class X>
inline constexpr bool is_compile_time_vector = [] {
    if constexpr (eigen_dense<X>)
        return bool(X::IsVectorAtCompileTime);
    else
        return false;
}();

/// The axes of X's rows: all but the last; a compile-time vector is one row, a column too.
template <tensor_like X>
inline constexpr int row_axes = is_compile_time_vector<std::remove_cvref_t<X>> ? 0 : rank_of<X> - 1;

/// The view of an X as rows.
template <tensor_like X, class T, int Rank>
auto row_view(const tensor_view<T, Rank>& x) {
    static_assert(Rank >= 1, "heed: a tensor of rank 0 has no rows");
    if constexpr (is_compile_time_vector<std::remove_cvref_t<X>>) {
        constexpr std::size_t axis = std::remove_cvref_t<X>::ColsAtCompileTime == 1 ? 0 : 1;
        return tensor_view<T, 1>{x.data, {x.extents[axis]}, {x.strides[axis]}};
    } else {
        return x;
    }
}

/// The view of an X as one number for each row of something with `Axes` axes of rows: a tensor of
/// that rank, a vector for a matrix's rows, a single element for a single row.
template <int Axes, class X, class T, int Rank>
tensor_view<T, Axes> number_view(std::string_view name, const tensor_view<T, Rank>& x) {
    constexpr bool is_dense = eigen_dense<std::remove_cvref_t<X>>;
    static_assert(Rank == Axes || (is_dense && Axes < 2),
                  "heed: one number a row is a tensor of one rank less, a vector for the rows of a "
                  "matrix, or a number for a vector");
    if constexpr (!is_dense || Axes >= 2) {
        return x;
    } else {
        const std::size_t axis = x.extents[1] == 1 ? 0 : 1;
        require_shape(x.extents[1 - axis] == 1 && (Axes == 1 || x.extents[axis] == 1), name,
                      " has shape ", x.extents,
                      ", but must be a vector with a number for each row");
        if constexpr (Axes == 1)
            return {x.data, {x.extents[axis]}, {x.strides[axis]}};
        else
            return {x.data, {}, {}};
    }
}

/// Whether X is one number, and no object with numbers.
template <class X>
inline constexpr bool is_one_number = std::is_arithmetic_v<X> || !std::is_same_v<computed_in<X>, X>;

/// A number is one number a row too, for the one row of a vector.
template <int Axes, class Number>
requires is_one_number<std::remove_const_t<Number>> tensor_view<Number, 0> number_view(
    std::string_view, Number& number) {
    static_assert(Axes == 0, "heed: a single number is for a single row, a vector");
    return {&number, {}, {}};
}

/// The plain object with one number for each row of an X: a number for a vector, a column for a
/// matrix, a tensor of one rank less.
template <tensor_like X>
auto make_numbers(const std::array<index, static_cast<std::size_t>(rank_of<X>)>& extents) {
    using type = std::remove_cvref_t<X>;
    using scalar = scalar_of<X>;
    if constexpr (is_compile_time_vector<type>) {
        return scalar(0);
    } else if constexpr (eigen_dense<type>) {
        constexpr int rows = type::RowsAtCompileTime;
        if constexpr (view_traits<type>::is_array)
            return Eigen::Array<scalar, rows, 1>(extents[0]);
        else
            return Eigen::Matrix<scalar, rows, 1>(extents[0]);
    } else {
        std::array<index, static_cast<std::size_t>(rank_of<X> - 1)> leading{};
        for (std::size_t axis = 0; axis < leading.size(); ++axis) leading[axis] = extents[axis];
        return make_like<X>(leading);
    }
}

/// Refuses arguments of different scalars, or of scalars that are none of a row's.
template <class First, class... Others>
constexpr void check_scalars() {
    static_assert(std::is_same_v<computed_in<First>, float> || std::is_same_v<First, double>,
                  "heed: functions of rows take float, double, Eigen::half and Eigen::bfloat16");
    static_assert((std::is_same_v<First, Others> && ...),
                  "heed: all arguments of a call have the same scalar");
}

/// The same for what is not offered in 16 bits.
template <class First, class... Others>
constexpr void check_computed_scalars() {
    static_assert(std::is_same_v<First, float> || std::is_same_v<First, double>,
                  "heed: this function of rows takes float and double");
    static_assert((std::is_same_v<First, Others> && ...),
                  "heed: all arguments of a call have the same scalar");
}

/// An output may be an input itself, but must not overlap it in any other way.
inline void check_in_place(std::string_view output_name, const memory_span& output,
                           std::string_view input_name, const memory_span& input) {
    if (!same_memory(output, input)) check_apart(output_name, output, input_name, input);
}

/// Checks an input against the output of the same shape.
inline void check_row_input(std::string_view output_name, const memory_span& output,
                            std::string_view input_name, const memory_span& input) {
    check_view(input_name, input);
    check_same_shape(output_name, output, input_name, input);
    check_in_place(output_name, output, input_name, input);
}

template <class A, int Rank>
void check_row_output(std::string_view name, const tensor_view<A, Rank>& output) {
    check_view(name, output);
    check_writable(name, output);
}

/// Refuses, by shape_error, an input that has not the shape of the first.
template <class A, class B, int Rank>
void check_like(std::string_view first_name, const tensor_view<A, Rank>& first,
                std::string_view name, const tensor_view<B, Rank>& input) {
    check_view(name, input);
    check_same_shape(first_name, first, name, input);
}

/// f(rows of x, rows of each other input), all of one shape: what a call is given is checked before
/// it allocates its result.
template <class F, tensor_like X, tensor_like... Others>
decltype(auto) with_rows(const std::array<std::string_view, 1 + sizeof...(Others)>& names, F&& f,
                         const X& x, const Others&... others) {
    constexpr bool same_rank = ((row_axes<Others> == row_axes<X>)&&...);
    static_assert(same_rank, "heed: the inputs of a function of rows have the same rank");
    const auto with_held = [&](const auto& held_x, const auto&... held) -> decltype(auto) {
        const auto rows = row_view<X>(held_x.view());
        check_view(names[0], rows);
        std::size_t number = 0;
        (check_like(names[0], rows, names[++number], row_view<Others>(held.view())), ...);
        return f(rows, row_view<Others>(held.view())...);
    };
    if constexpr (same_rank) return with_held(evaluate(x), evaluate(others)...);
}

/// The plain object for the result of a function of an X: rows of these extents.
template <tensor_like X, std::size_t Rank>
auto make_rows(const std::array<index, Rank>& extents) {
    if constexpr (!is_compile_time_vector<X>)
        return make_same<X>(extents);
    else if constexpr (X::ColsAtCompileTime == 1)
        return make_same<X>({extents[0], 1});
    else
        return make_same<X>({1, extents[0]});
}

/// Refuses, by shape_error, numbers that are not one for each row of `x`.
template <class A, int Axes, class B, int Rank>
void check_numbers(std::string_view name, const tensor_view<A, Axes>& numbers,
                   std::string_view row_name, const tensor_view<B, Rank>& x) {
    static_assert(Axes + 1 == Rank);
    check_view(name, numbers);
    bool fits = true;
    for (std::size_t axis = 0; axis < Axes; ++axis)
        fits &= numbers.extents[axis] == x.extents[axis];
    require_shape(fits, name, " has shape ", numbers.extents, " and ", row_name, " has shape ",
                  x.extents, ", but there must be one number for each row");
}

/// τ, if it is one.
inline double checked_temperature(std::string_view of, double tau) {
    require_argument(tau > 0 && std::isfinite(tau), of, ": the temperature is ", tau,
                     ", but must be positive and finite");
    return tau;
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
