#pragma once

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/error.hpp>
#include <heed/core/overlap.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/view.hpp>
#include <heed/rope/detail/turn_table.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotate.hpp>

/// \file
/// Rotation by tables of cosines and sines that somebody else has computed.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// Given tables as the kernel of rotation reads them, in the place of padded_frequencies.
template <class T>
struct given_turns {
    tensor_view<const T, 2> cosines, sines;
    index axes = 1;
    index pairs = cosines.extents[1];
    index padded = round_up(pairs, vec<T>::size);

    index row_size() const { return 2 * padded; }

    void fill_row(const double* position, index, T* row) const {
        const auto r = static_cast<index>(*position);
        std::fill_n(row, row_size(), T(0));
        for (index t = 0; t < pairs; ++t) {
            row[t] = cosines(r, t);
            row[padded + t] = sines(r, t);
        }
    }
    void fill_column(index pair, const double* positions, index, index count, T* cosine,
                     T* sine) const {
        std::fill_n(cosine, round_up(count, vec<T>::size), T(0));
        std::fill_n(sine, round_up(count, vec<T>::size), T(0));
        for (index i = 0; i < count; ++i) {
            const auto r = static_cast<index>(positions[i]);
            cosine[i] = cosines(r, pair);
            sine[i] = sines(r, pair);
        }
    }
};

}  // namespace detail

namespace rope {

/// The type of heed::rope::tables.
template <class Cosines, class Sines>
class turn_tables {
  public:
    turn_tables(Cosines cosines, Sines sines, pair_layout layout)
        : cosines_(std::move(cosines)), sines_(std::move(sines)), layout_(layout) {}

    /// r, twice the number of pairs. Dimensions from r on are left alone.
    index dim() const { return 2 * cosines_.view().extents[1]; }
    pair_layout layout() const { return layout_; }

    /// For rotate: the tables lie apart from y, and have a row for each position.
    template <class Y, class Positions>
    void check(const Y& y, const Positions& positions, index batches, index sequence) const {
        heed::detail::check_apart("y", y, "cosines", cosines_.view());
        heed::detail::check_apart("y", y, "sines", sines_.view());
        const index rows = cosines_.view().extents[0];
        for (index b = 0; b < (Positions::per_batch ? batches : 1); ++b) {
            for (index i = 0; i < sequence; ++i) {
                double position = 0;
                positions.copy(&position, b, i, 1);
                heed::detail::require_argument(
                    position >= 0 && position < static_cast<double>(rows) &&
                        position == std::floor(position),
                    "the position of row ", i, " is ", position,
                    ", but must be a whole number in [0, ", rows, "), the rows of the tables");
            }
        }
    }
    template <class T>
    heed::detail::given_turns<T> turns() const {
        constexpr bool same =
            std::is_same_v<
                std::remove_const_t<std::remove_pointer_t<decltype(cosines_.view().data)>>, T> &&
            std::is_same_v<std::remove_const_t<std::remove_pointer_t<decltype(sines_.view().data)>>,
                           T>;
        static_assert(same, "heed: tables of cosines and sines have the scalar of x");
        if constexpr (same)
            return {cosines_.view(), sines_.view()};
        else
            return {};
    }

  private:
    Cosines cosines_;
    Sines sines_;
    pair_layout layout_;
};

/// Tables [positions, pairs] of the cosines and sines by which pairs turn, as ONNX's
/// RotaryEmbedding takes them: row p is that of position p. Seen where they lie if they are
/// lvalues. Of tables [positions, dim] whose halves are the same, as transformers has them, give
/// the left half. They need not be of a rotation: an attention factor is part of both.
///
///     const auto turns = heed::rope::tables(cosines, sines, heed::rope::interleaved);
///     auto y = heed::rotate(x, turns);               // at positions 0, 1, 2, …
///     auto z = heed::rotate(x, turns, positions);    // whole numbers below the tables' rows
///
/// Throws shape_error unless both tables have one shape, with one pair at least.
template <tensor_like Cosines, tensor_like Sines>
[[nodiscard]] auto tables(Cosines&& cosines, Sines&& sines, pair_layout layout = halves) {
    static_assert(rank_of<Cosines> == 2 && rank_of<Sines> == 2,
                  "heed: tables of cosines and sines are [positions, pairs]");
    auto c = heed::detail::keep(std::forward<Cosines>(cosines));
    auto s = heed::detail::keep(std::forward<Sines>(sines));
    heed::detail::check_view("cosines", c.view());
    heed::detail::check_view("sines", s.view());
    heed::detail::check_same_shape("cosines", c.view(), "sines", s.view());
    heed::detail::require_shape(c.view().extents[1] >= 1, "cosines has shape ", c.view().extents,
                                ", but tables must have a column for one pair at least");
    return turn_tables<decltype(c), decltype(s)>(std::move(c), std::move(s), layout);
}

}  // namespace rope

/// Rotates every row of x by the row of its position in tables, as heed::rotate does by
/// frequencies: pair (x, y) number t becomes (x·cos − y·sin, x·sin + y·cos). Positions are whole
/// numbers below the tables' rows, argument_error if not.
template <tensor_like X, class Cosines, class Sines, class... Options>
[[nodiscard]] auto rotate(const X& x, const rope::turn_tables<Cosines, Sines>& turns,
                          Options&&... options) {
    const auto held = detail::evaluate("x", x);
    auto y = detail::make_same<X>(held.view().extents);
    detail::rotate_along<detail::turn::forth>(y, held.view(), turns,
                                              std::forward<Options>(options)...);
    return y;
}

/// The same into y, of x's shape: memory apart from x's, or x itself.
template <tensor_like Y, tensor_like X, class Cosines, class Sines, class... Options>
void rotate_into(Y&& y, const X& x, const rope::turn_tables<Cosines, Sines>& turns,
                 Options&&... options) {
    detail::rotate_along<detail::turn::forth>(std::forward<Y>(y), x, turns,
                                              std::forward<Options>(options)...);
}

/// By the transposed matrices: the backward of heed::rotate by tables, and its inverse where
/// cos² + sin² = 1.
template <tensor_like X, class Cosines, class Sines, class... Options>
[[nodiscard]] auto rotate_back(const X& x, const rope::turn_tables<Cosines, Sines>& turns,
                               Options&&... options) {
    const auto held = detail::evaluate("x", x);
    auto y = detail::make_same<X>(held.view().extents);
    detail::rotate_along<detail::turn::back>(y, held.view(), turns,
                                             std::forward<Options>(options)...);
    return y;
}

/// The same into y, of x's shape: memory apart from x's, or x itself.
template <tensor_like Y, tensor_like X, class Cosines, class Sines, class... Options>
void rotate_back_into(Y&& y, const X& x, const rope::turn_tables<Cosines, Sines>& turns,
                      Options&&... options) {
    detail::rotate_along<detail::turn::back>(std::forward<Y>(y), x, turns,
                                             std::forward<Options>(options)...);
}

}  // namespace heed::inline HEED_ARCHITECTURE
