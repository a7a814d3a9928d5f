#pragma once

#include <cmath>
#include <string_view>
#include <type_traits>
#include <utility>

#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/view.hpp>
#include <heed/rope/axes.hpp>
#include <heed/rope/rotate.hpp>

/// \file
/// Rotation by positions of several numbers.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// What such positions may be given as: [sequence, axes] or [batch, sequence, axes].
template <class X>
concept axial_position_list = tensor_like<X> &&(rank_of<X> == 2 || rank_of<X> == 3);

/// Positions as [batch, sequence, axes], for as long as this lives: lvalues are viewed.
template <axial_position_list X>
struct kept_axial_positions {
    decltype(keep(std::declval<X>())) kept;
    index axes;

    static constexpr bool per_batch = rank_of<X> == 3;

    kept_axial_positions(X&& x, index number_of_axes)
        : kept(keep(std::forward<X>(x))), axes(number_of_axes) {}

    /// [batch, sequence, axes], with a batch's stride of 0 where all share the positions.
    auto view() const {
        const auto all = kept.view();
        using result = tensor_view<const std::remove_cvref_t<decltype(*all.data)>, 3>;
        if constexpr (per_batch)
            return result{all.data, all.extents, all.strides};
        else
            return result{
                all.data, {1, all.extents[0], all.extents[1]}, {0, all.strides[0], all.strides[1]}};
    }

    void check(std::string_view name, index batch, index sequence) const {
        const auto all = view();
        require_shape((!per_batch || all.extents[0] == batch) && all.extents[1] == sequence &&
                          all.extents[2] == axes,
                      name, " have shape ", kept.view().extents, ", but must have [", sequence,
                      ", ", axes, "] or [", batch, ", ", sequence, ", ", axes,
                      "], a number for each axis");
        check_view(name, all);
        for (index b = 0; b < all.extents[0]; ++b)
            for (index i = 0; i < sequence; ++i)
                for (index a = 0; a < axes; ++a) {
                    const auto value = static_cast<double>(all(b, i, a));
                    require_argument(is_position(value), name, " hold ", as_given(all(b, i, a)),
                                     " at [", b, ", ", i, ", ", a,
                                     "], but must be finite and below 2^53 in magnitude");
                }
    }

    template <class See>
    void inputs(See&& see) const {
        see("the positions", view());
    }

    /// Writes rows first … first + count − 1 of one sequence: axis a to to[a·step], ….
    void copy(double* to, index step, index batch, index first, index count) const {
        const auto all = view();
        for (index a = 0; a < axes; ++a)
            for (index i = 0; i < count; ++i)
                to[a * step + i] =
                    static_cast<double>(all(per_batch ? batch : index(0), first + i, a));
    }
};

template <turn Way, class Y, class X, class Positions, class... Options>
void rotate_by_axes(Y&& y, const X& x, const rope::axial_frequencies& rope,
                    const Positions& positions, const Options&... options) {
    static_assert((resource_part<Options> && ...),
                  "heed: behind the positions, rotate takes heed::on(pool) and "
                  "heed::in(workspace)");
    static_assert(axial_position_list<Positions>,
                  "heed: positions along several axes are a matrix [sequence, axes] or a tensor "
                  "[batch, sequence, axes]");
    if constexpr (axial_position_list<Positions>) {
        const kept_axial_positions<const Positions&> kept(positions, rope.axes());
        rotate_like<Way>(std::forward<Y>(y), x, rope, kept, options...);
    }
}

}  // namespace detail

/// Rotates every row of x by its position along several axes: pair (x, y) number t of a row at
/// (p₀, p₁, …) becomes (x·cos α − y·sin α, x·sin α + y·cos α), α = Σ_a p_a·θ_{a,t}, times the
/// attention factor. Positions are [sequence, axes], or [batch, sequence, axes], of any type:
///
///     const auto rope = heed::rope::axial({.dims = {32, 32}});
///     auto y = heed::rotate(patches, rope, heed::rope::grid_positions({14, 14}));
///
/// Throws shape_error for positions of another shape. All else as in heed::rotate by frequencies of
/// one axis.
template <tensor_like X, class Positions, class... Options>
[[nodiscard]] auto rotate(const X& x, const rope::axial_frequencies& rope,
                          const Positions& positions, Options&&... options) {
    const auto held = detail::evaluate("x", x);
    auto y = detail::make_same<X>(held.view().extents);
    detail::rotate_by_axes<detail::turn::forth>(y, held.view(), rope, positions, options...);
    return y;
}

/// The same into y, of x's shape: memory apart from x's, or x itself.
template <tensor_like Y, tensor_like X, class Positions, class... Options>
void rotate_into(Y&& y, const X& x, const rope::axial_frequencies& rope, const Positions& positions,
                 Options&&... options) {
    detail::rotate_by_axes<detail::turn::forth>(std::forward<Y>(y), x, rope, positions, options...);
}

/// The transposed rotation, by −α: the backward of heed::rotate by several axes, and at an
/// attention factor of 1 its inverse.
template <tensor_like X, class Positions, class... Options>
[[nodiscard]] auto rotate_back(const X& x, const rope::axial_frequencies& rope,
                               const Positions& positions, Options&&... options) {
    const auto held = detail::evaluate("x", x);
    auto y = detail::make_same<X>(held.view().extents);
    detail::rotate_by_axes<detail::turn::back>(y, held.view(), rope, positions, options...);
    return y;
}

/// The same into y, of x's shape: memory apart from x's, or x itself.
template <tensor_like Y, tensor_like X, class Positions, class... Options>
void rotate_back_into(Y&& y, const X& x, const rope::axial_frequencies& rope,
                      const Positions& positions, Options&&... options) {
    detail::rotate_by_axes<detail::turn::back>(std::forward<Y>(y), x, rope, positions, options...);
}

}  // namespace heed::inline HEED_ARCHITECTURE
