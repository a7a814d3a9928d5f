#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/view.hpp>

/// \file
/// Biases that a table [places, heads] holds: distance_bias.hpp's, with the gradient of a table.
///
/// Places says where in the table a distance stands,
///
///     static constexpr std::string_view part;         // the modifier, as users write it
///     static constexpr bool one_column_serves_all;    // or there must be one a head
///     index of(double distance) const;

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The bias of a table of this kind, which is copied: its numbers are read as often as there are
/// distances.
template <class Tensor, class Places>
class distance_table {
  public:
    static constexpr bool is_constant_beyond = true;

    template <class View>
    distance_table(const View& table, Places places)
        : extents_(table.extents), places_(std::move(places)) {
        check_view(std::string("the table of ").append(Places::part), table);
        values_.reserve(static_cast<std::size_t>(table.size()));
        for (index place = 0; place < extents_[0]; ++place)
            for (index head = 0; head < extents_[1]; ++head)
                values_.push_back(static_cast<double>(table(place, head)));
    }

    index rows() const { return extents_[1]; }
    double value(index row, double distance) const {
        return values_[static_cast<std::size_t>(places_.of(distance) * extents_[1] + row)];
    }
    void check(const attention_shape& shape) const {
        require_shape(
            extents_[1] == shape.heads || (Places::one_column_serves_all && extents_[1] == 1),
            Places::part, ": the table has shape ", extents_, ", but there are ", shape.heads,
            " query heads");
    }

    index parameters() const { return extents_[0]; }
    template <class F>
    void add(index, double distance, double g, index first, index count, F&& to) const {
        const index place = places_.of(distance);
        if (first <= place && place < first + count) to(place, g);
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
        static_assert(two_axes, "heed: the gradient of a table [distances, heads] has two axes");
        if constexpr (two_axes) {
            const std::string name = std::string("the gradient of ").append(Places::part);
            check_view(name, gradient);
            require_shape(gradient.extents == extents_, name, " has shape ", gradient.extents,
                          ", but the table has ", extents_);
        }
    }

  private:
    std::array<index, 2> extents_;
    Places places_;
    std::vector<double> values_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
