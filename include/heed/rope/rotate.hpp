#pragma once

#include <string_view>
#include <type_traits>
#include <utility>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/part.hpp>
#include <heed/attention/positions.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>
#include <heed/rope/detail/rotate_kernel.hpp>
#include <heed/rope/detail/turn_table.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// Rotary positions alone: heed::rotate, and heed::rotate_back, which is its backward.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// Positions one after the other: row i stands at first + i.
struct consecutive_positions {
    double first = 0;

    static constexpr bool per_batch = false;

    void check(std::string_view name, index, index sequence) const {
        require_argument(is_position(first) && is_position(first + static_cast<double>(sequence)),
                         name, " begin at ", first,
                         ", but must be finite and below 2^53 in magnitude");
    }
    template <class See>
    void inputs(const See&) const {}
    void copy(double* to, index, index begin, index count) const {
        for (index i = 0; i < count; ++i) to[i] = first + static_cast<double>(begin + i);
    }
};

template <class X>
concept position_offset = std::is_arithmetic_v<std::remove_cvref_t<X>>;
template <class X>
concept rotate_positions = position_offset<X> || position_list<X>;
template <class X>
concept rotate_option = rotate_positions<X> || resource_part<X>;

inline consecutive_positions positions_among() { return {}; }

/// The positions among the arguments behind the frequencies; 0, 1, 2, … if there are none.
template <class First, class... Rest>
auto positions_among(First&& first, Rest&&... rest) {
    if constexpr (position_offset<First>) {
        return consecutive_positions{static_cast<double>(first)};
    } else if constexpr (position_list<First>) {
        return kept_positions<First&>(first);
    } else {
        return positions_among(std::forward<Rest>(rest)...);
    }
}

/// Where and with whose memory to work.
struct rotate_resources {
    Eigen::ThreadPoolInterface* pool = nullptr;
    workspace* memory = &thread_workspace();

    template <class Option>
    void take(const Option& option) {
        if constexpr (part_of<Option, role::threads>) pool = option.pool;
        if constexpr (part_of<Option, role::memory>) memory = option.memory;
    }
};

/// How far pairs turn at a position, as the kernel reads it: by frequencies, or by given tables.
template <class T, class Frequencies>
auto turns_of(arena& scratch, const Frequencies& rope) {
    if constexpr (requires { rope.template turns<T>(); })
        return rope.template turns<T>();
    else
        return padded_frequencies<T>(scratch, rope);
}

/// y = x rotated, both views of one shape, after all checks.
template <turn Way, class S, int Rank, class Frequencies, class Positions, class... Options>
void rotate_views(const tensor_view<S, Rank>& y, const tensor_view<const S, Rank>& x,
                  const Frequencies& rope, const Positions& positions, const Options&... options) {
    check_view("y", y);
    check_same_shape("y", y, "x", x);
    const auto x4 = rank4(x);
    const auto y4 = rank4(y);
    require_shape(rope.dim() <= x4.extents[3], "the frequencies rotate ", rope.dim(),
                  " dimensions, but x has shape ", x.extents);
    positions.check("the positions", x4.extents[0], x4.extents[2]);
    check_writable("y", y);
    const bool in_place = y.data == x.data && y.strides == x.strides;
    if (!in_place) check_apart("y", y, "x", x);
    positions.inputs(
        [&](std::string_view name, const auto& input) { check_apart("y", y, name, input); });

    if constexpr (requires { rope.check(y, positions, x4.extents[0], x4.extents[2]); })
        rope.check(y, positions, x4.extents[0], x4.extents[2]);

    rotate_resources resources;
    (resources.take(options), ...);
    arena& memory = resources.memory->slot(0);
    const arena::scope scope(memory);
    const auto turns = turns_of<computed_in<S>>(memory, rope);
    rotation<Way, S, std::remove_const_t<decltype(turns)>, Positions>(y4, x4, turns, rope.layout(),
                                                                      positions)
        .run(resources.pool, *resources.memory);
}

template <turn Way, class Y, class X, class Frequencies, class Positions, class... Options>
void rotate_like(Y&& y, const X& x, const Frequencies& rope, const Positions& positions,
                 const Options&... options) {
    static_assert(rank_of<X> >= 2 && rank_of<X> <= 4,
                  "heed: rotate takes [sequence, dim], [heads, sequence, dim] or "
                  "[batch, heads, sequence, dim]");
    using computed = computed_in<scalar_of<X>>;
    static_assert(std::is_same_v<computed, float> || std::is_same_v<computed, double>,
                  "heed: rotate takes float, double, Eigen::half or Eigen::bfloat16");
    static_assert(rank_of<X> == rank_of<Y> && std::is_same_v<scalar_of<X>, scalar_of<Y>>,
                  "heed: y must have the rank and the scalar of x");
    const auto held = evaluate("x", x);
    rotate_views<Way>(view_of(std::forward<Y>(y)), held.view(), rope, positions, options...);
}

/// The same, with the positions among the options.
template <turn Way, class Y, class X, class Frequencies, class... Options>
void rotate_along(Y&& y, const X& x, const Frequencies& rope, Options&&... options) {
    static_assert((rotate_option<Options> && ...),
                  "heed: behind the frequencies, rotate takes positions (an offset, a list, or a "
                  "list a sequence), heed::on(pool) and heed::in(workspace)");
    static_assert((0 + ... + rotate_positions<Options>) <= 1, "heed: rotate takes positions once");
    rotate_like<Way>(std::forward<Y>(y), x, rope, positions_among(options...), options...);
}

}  // namespace detail

/// Rotates every row of x by its position: pair (x, y) number t of a row at position p becomes
///
///     (x·cos pθ_t − y·sin pθ_t, x·sin pθ_t + y·cos pθ_t)
///
/// times the frequencies' attention factor; dimensions beyond the pairs are copied. x is
/// [sequence, dim], [heads, sequence, dim] or [batch, heads, sequence, dim]; so is the result, of
/// x's kind and storage order.
///
///     rotate(x, rope)                    at positions 0, 1, 2, …
///     rotate(x, rope, 1024)              at 1024, 1025, … (any number)
///     rotate(x, rope, positions)         one a row of the sequence, or [batch, sequence]
///     rotate(x, rope, …, heed::on(pool), heed::in(workspace))
///
/// Angles are computed and reduced in double: cosines and sines of floats are within 2 ulp of the
/// double results, to positions of 2²⁴ and beyond. Eigen::half and Eigen::bfloat16 are rotated as
/// floats, and rounded once. Throws shape_error for frequencies of more
/// dimensions than x has and positions of another length; argument_error for positions that are
/// not finite, or not below 2⁵³ in magnitude. Source: arXiv 2104.09864; kexue 8265.
template <tensor_like X, class... Options>
[[nodiscard]] auto rotate(const X& x, const rope::frequencies& rope, Options&&... options) {
    const auto held = detail::evaluate("x", x);
    auto y = detail::make_same<X>(held.view().extents);
    detail::rotate_along<detail::turn::forth>(y, held.view(), rope,
                                              std::forward<Options>(options)...);
    return y;
}

/// The same into y, of x's shape: memory apart from x's, or x itself.
template <tensor_like Y, tensor_like X, class... Options>
void rotate_into(Y&& y, const X& x, const rope::frequencies& rope, Options&&... options) {
    detail::rotate_along<detail::turn::forth>(std::forward<Y>(y), x, rope,
                                              std::forward<Options>(options)...);
}

/// The transposed rotation, by −pθ_t: the gradient of what was given to rotate from the gradient of
/// what it returned, and, at an attention factor of 1, its inverse. Everything else as in rotate.
template <tensor_like X, class... Options>
[[nodiscard]] auto rotate_back(const X& x, const rope::frequencies& rope, Options&&... options) {
    const auto held = detail::evaluate("x", x);
    auto y = detail::make_same<X>(held.view().extents);
    detail::rotate_along<detail::turn::back>(y, held.view(), rope,
                                             std::forward<Options>(options)...);
    return y;
}

/// The same into y, of x's shape: memory apart from x's, or x itself.
template <tensor_like Y, tensor_like X, class... Options>
void rotate_back_into(Y&& y, const X& x, const rope::frequencies& rope, Options&&... options) {
    detail::rotate_along<detail::turn::back>(std::forward<Y>(y), x, rope,
                                             std::forward<Options>(options)...);
}

}  // namespace heed::inline HEED_ARCHITECTURE
