#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include <heed/attention/part.hpp>
#include <heed/attention/position_encoding.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/rope/axes.hpp>
#include <heed/rope/detail/turn_table.hpp>
#include <heed/rope/rotary.hpp>
#include <heed/rope/rotate_axes.hpp>

/// \file
/// Rotary positions of several numbers inside attention.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// The part that heed::axial_rotary makes: rotary positions, of which it holds the lists itself.
template <class Frequencies, class Queries, class Keys>
struct axial_rotary_part : position_encoding_base {
    static constexpr bool by_position = false;

    Frequencies frequencies;
    kept_axial_positions<Queries> queries;
    kept_axial_positions<Keys> keys;

    axial_rotary_part(Frequencies&& of, kept_axial_positions<Queries> of_queries,
                      kept_axial_positions<Keys> of_keys)
        : frequencies(std::forward<Frequencies>(of)),
          queries(std::move(of_queries)),
          keys(std::move(of_keys)) {}

    void check(const attention_shape& shape) const {
        require_shape(frequencies.dim() <= shape.dim, "the frequencies rotate ", frequencies.dim(),
                      " dimensions, but q and k have ", shape.dim);
        queries.check("the positions of queries", shape.batch, shape.queries);
        keys.check("the positions of keys", shape.batch, shape.keys);
    }
    template <class See>
    void inputs(See&& see) const {
        queries.inputs(see);
        keys.inputs(see);
    }

    /// Fills the tables: (queries + keys)·r numbers.
    template <class T>
    rotary_rows<T> prepare(arena& scratch, const attention_shape& shape,
                           const call_positions&) const {
        const padded_frequencies<T> padded(scratch, frequencies);
        const index row_size = padded.row_size();
        double* where = scratch.take<double>(padded.axes);
        const auto fill = [&](index count, const auto& positions) {
            const index batches = positions.per_batch ? shape.batch : 1;
            T* table = scratch.take<T>(batches * count * row_size);
            T* row = table;
            for (index b = 0; b < batches; ++b) {
                for (index i = 0; i < count; ++i, row += row_size) {
                    positions.copy(where, 1, b, i, 1);
                    padded.fill_row(where, 1, row);
                }
            }
            return typename rotary_rows<T>::side{table, positions.per_batch ? count * row_size : 0};
        };
        const auto of_queries = fill(shape.queries, queries), of_keys = fill(shape.keys, keys);
        return {of_queries, of_keys, padded.pairs, padded.padded, frequencies.layout()};
    }
};

}  // namespace detail

/// A part: rotary positions along several axes, of which query i has the numbers queries(i, ·) and
/// key j keys(j, ·): [sequence, axes], or [batch, sequence, axes].
///
///     const auto rope = heed::rope::axial({.dims = {32, 32}});
///     const auto grid = heed::rope::grid_positions({14, 14});
///     auto o = heed::attention(q, k, v, heed::axial_rotary(rope, grid, grid));
///
/// Masks and modifiers see the sequence, or heed::positions, not these. The call throws shape_error
/// for positions of another shape and frequencies of more dimensions than q's, argument_error for a
/// position that heed::positions refuses. Lvalues are viewed and must outlive the part, temporary
/// objects are owned. Source: kexue 8397; M-RoPE, arXiv 2409.12191.
template <class Frequencies, detail::axial_position_list Queries, detail::axial_position_list Keys>
requires std::same_as<std::remove_cvref_t<Frequencies>, rope::axial_frequencies>
[[nodiscard]] auto axial_rotary(Frequencies&& frequencies, Queries&& queries, Keys&& keys) {
    using kept = std::conditional_t<std::is_lvalue_reference_v<Frequencies>,
                                    const rope::axial_frequencies&, rope::axial_frequencies>;
    const index axes = frequencies.axes();
    return detail::axial_rotary_part<kept, Queries, Keys>(std::forward<Frequencies>(frequencies),
                                                          {std::forward<Queries>(queries), axes},
                                                          {std::forward<Keys>(keys), axes});
}

}  // namespace heed::inline HEED_ARCHITECTURE
