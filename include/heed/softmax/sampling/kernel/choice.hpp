#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>
#include <utility>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/overlap.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/view.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/softmax/kernel/numbered_rows.hpp>

/// \file
/// One choice a row: the calls of what takes rows of logits and gives an index for each.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

// What a row without a choice has in its place.
inline constexpr index nothing_to_choose = -1;  ///< no logit above −∞
inline constexpr index no_distribution = -2;    ///< a NaN or +∞

/// The object with one index for each row of an X: a number for a vector, a column for a matrix, a
/// tensor of one rank less.
template <tensor_like X>
auto make_choices(const std::array<index, static_cast<std::size_t>(rank_of<X>)>& extents) {
    using type = std::remove_cvref_t<X>;
    if constexpr (is_compile_time_vector<type>) {
        return index(0);
    } else if constexpr (eigen_dense<type>) {
        return Eigen::Matrix<index, type::RowsAtCompileTime, 1>(extents[0]);
    } else {
        constexpr int axes = rank_of<X> - 1;
        Eigen::array<Eigen::DenseIndex, static_cast<std::size_t>(axes)> sizes{};
        for (std::size_t axis = 0; axis < sizes.size(); ++axis) sizes[axis] = extents[axis];
        return Eigen::Tensor<index, axes, plain_like<type, axes>::Layout>(sizes);
    }
}

/// The choices' places in the caller's memory.
template <class X, class Choices>
auto places_of_choices(Choices& choices) {
    constexpr int axes = row_axes<X>;
    if constexpr (std::is_arithmetic_v<Choices>)
        return number_view<axes>("tokens", choices);
    else
        return number_view<axes, Choices>("tokens", view_of(choices));
}

/// The element of a tensor of numbers for row `number`; see row_of.
template <class T, int Axes>
T& number_of(const tensor_view<T, Axes>& numbers, index number) {
    T* place = numbers.data;
    for (std::size_t axis = Axes; axis-- > 0;) {
        place += number % numbers.extents[axis] * numbers.strides[axis];
        number /= numbers.extents[axis];
    }
    return *place;
}

/// Whether tokens may be of type A.
template <class A>
constexpr bool check_token_type() {
    constexpr bool counts =
        std::is_integral_v<A> && !std::is_const_v<A> && !std::is_same_v<A, bool>;
    static_assert(counts, "heed: tokens are whole numbers, of any type but bool");
    return counts;
}

/// Refuses, by argument_error, tokens of a type too narrow to name each of a row's logits.
template <class A>
void check_token_range(std::string_view name, index logits) {
    if constexpr (check_token_type<A>()) {
        constexpr auto largest = static_cast<std::uintmax_t>(std::numeric_limits<A>::max());
        require_argument(std::cmp_less_equal(logits - 1, largest), name,
                         ": the last logit of a row of x is number ", logits - 1,
                         ", but the largest number of the tokens' type is ", largest);
    }
}

/// choices = choose(row of x, its number, scratch) for every row. Where a row has none nothing is
/// written, and argument_error says which.
template <class A, int Axes, class T, int Rank, class Choose>
void choose_rows(std::string_view name, const tensor_view<A, Axes>& choices,
                 const tensor_view<T, Rank>& x, const call_resources& resources,
                 const Choose& choose) {
    check_computed_scalars<std::remove_const_t<T>>();
    check_view("x", x);
    check_numbers("tokens", choices, "x", x);
    check_writable("tokens", choices);
    check_apart("tokens", choices, "x", x);
    check_token_range<A>(name, x.extents[static_cast<std::size_t>(Rank - 1)]);

    arena& memory = resources.memory->slot(0);
    const arena::scope scope(memory);
    const index rows = count_rows(x);
    index* const chosen = memory.take<index>(rows);
    for_each_task(resources.pool, *resources.memory, rows, [&](index slot, index row) {
        arena& scratch = resources.memory->slot(slot);
        const arena::scope mark(scratch);
        chosen[row] = choose(row_of(x, row), row, scratch);
    });
    for (index row = 0; row < rows; ++row) {
        require_argument(chosen[row] != no_distribution, name, ": row ", row,
                         " of x has a NaN or +inf, but logits must be numbers below +inf");
        require_argument(chosen[row] != nothing_to_choose, name, ": row ", row,
                         " of x has no logit above -inf, but must have one to choose");
    }
    for (index row = 0; row < rows; ++row) number_of(choices, row) = static_cast<A>(chosen[row]);
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
