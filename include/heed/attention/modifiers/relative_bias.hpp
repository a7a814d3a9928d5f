#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <vector>

#include <heed/attention/detail/distance_bias.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/view.hpp>

/// \file
/// Relative positions: a learned number for each head and distance, those far away alike.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// The bias of a table [distances, heads] of this kind.
template <class Tensor>
class relative_table {
  public:
    static constexpr bool is_constant_beyond = true;

    template <class View>
    explicit relative_table(const View& table) : extents_(table.extents) {
        check_view("the table of heed::relative_bias", table);
        require_shape(extents_[0] % 2 == 1 && extents_[0] < (1 << 24),
                      "heed::relative_bias: the table has ", extents_[0],
                      " distances, but must have an odd number below 2^24: as many before the "
                      "query as behind it, and its own");
        require_shape(extents_[1] > 0, "heed::relative_bias: the table has shape ", extents_,
                      ", but must have a column a query head, or one for all");
        values_.reserve(static_cast<std::size_t>(table.size()));
        for (index distance = 0; distance < extents_[0]; ++distance)
            for (index head = 0; head < extents_[1]; ++head)
                values_.push_back(static_cast<double>(table(distance, head)));
    }

    index reach() const { return extents_[0] / 2; }
    index rows() const { return extents_[1]; }
    double value(index row, double distance) const {
        return values_[static_cast<std::size_t>(place(distance) * extents_[1] + row)];
    }
    void check(const attention_shape& shape) const {
        require_shape(extents_[1] == shape.heads || extents_[1] == 1,
                      "heed::relative_bias: the table has shape ", extents_, ", but there are ",
                      shape.heads, " query heads");
    }

    index parameters() const { return extents_[0]; }
    template <class F>
    void add(index, double distance, double g, index first, index count, F&& to) const {
        const index p = place(distance);
        if (first <= p && p < first + count) to(p, g);
    }
    template <class T, class View>
    void store(View gradient, index row, index first, index count, const double* sums) const {
        for (index p = 0; p < count; ++p) gradient(first + p, row) = static_cast<T>(sums[p]);
    }

    template <class T>
    auto make_gradient(const attention_shape&) const {
        auto gradient = make_like<Tensor>(extents_);
        gradient.setZero();
        return gradient;
    }
    template <class View>
    void check_gradient(const View& gradient, const attention_shape&) const {
        constexpr bool two_axes = rank_of<View> == 2;
        static_assert(two_axes, "heed: the gradient of heed::relative_bias has two axes");
        if constexpr (two_axes) {
            check_view("the gradient of heed::relative_bias", gradient);
            require_shape(gradient.extents == extents_,
                          "the gradient of heed::relative_bias has shape ", gradient.extents,
                          ", but the table has ", extents_);
        }
    }

  private:
    /// Where i − j stands in the table, of a distance j − i.
    index place(double distance) const {
        const auto reach_of = static_cast<double>(reach());
        return reach() + static_cast<index>(std::clamp(std::floor(-distance), -reach_of, reach_of));
    }

    std::array<index, 2> extents_;
    std::vector<double> values_;
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
    const detail::relative_table<Tensor> bias(held.view());
    return detail::distance_bias(bias, bias.reach());
}

}  // namespace heed::inline HEED_ARCHITECTURE
