#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include <heed/attention/detail/distance_bias.hpp>
#include <heed/attention/detail/distance_table.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/view.hpp>

/// \file
/// Relative positions: a learned number for each head and distance, those far away alike.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// Where i − j stands in a table: those beyond its reach at its ends.
class clipped_distances {
  public:
    static constexpr std::string_view part = "heed::relative_bias";
    static constexpr bool one_column_serves_all = true;

    explicit clipped_distances(const std::array<index, 2>& table) : reach_(table[0] / 2) {
        require_shape(table[0] % 2 == 1 && table[0] < (1 << 24), part, ": the table has ", table[0],
                      " distances, but must have an odd number below 2^24: as many before the "
                      "query as behind it, and its own");
        require_shape(table[1] > 0, part, ": the table has shape ", table,
                      ", but must have a column a query head, or one for all");
    }

    index reach() const { return reach_; }
    index of(double distance) const {
        const auto furthest = static_cast<double>(reach_);
        return reach_ + static_cast<index>(std::clamp(std::floor(-distance), -furthest, furthest));
    }

  private:
    index reach_;
};

}  // namespace detail

/// s + table[clip(i − j, −R, R) + R, head], a number for each distance up to R = ⌊rows/2⌋ on either
/// side and one for all beyond (Shaw et al., arXiv 1803.02155, clip so; a number in place of their
/// vector). Fractional i − j are rounded down.
///
///     auto o = heed::attention(q, k, v, heed::causal, heed::relative_bias(table));
///
/// The table is [2R + 1, heads], or [2R + 1, 1] for all heads: row R is the query itself, row R + 1
/// the key before it. It is read when the part is made. It can be learned: the gradient has its
/// shape and kind, and is summed by distance, in memory of a few tables.
///
/// shape_error unless the table has an odd number of rows, below 2^24; the call throws shape_error
/// if there is not one column a head.
template <tensor_like Tensor>
requires(rank_of<Tensor> == 2) [[nodiscard]] auto relative_bias(const Tensor& table) {
    const auto held = detail::evaluate(table);
    const auto view = held.view();
    const detail::clipped_distances places(view.extents);
    return detail::distance_bias(
        detail::distance_table<Tensor, detail::clipped_distances>(view, places), places.reach());
}

}  // namespace heed::inline HEED_ARCHITECTURE
