#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <string_view>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/lane_numbers.hpp>
#include <heed/core/shape.hpp>

/// \file
/// Several axes of a tensor as one, the last: what is done to rows is done over all of them.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Axes of a tensor that are to be joined.
template <std::size_t Count>
class joined_axes {
  public:
    template <std::integral... Axes>
    explicit joined_axes(Axes... axes) : axes_{saturated(axes)...} {
        std::sort(axes_.begin(), axes_.end());
    }

    /// x with these axes behind the others, both in ascending order. Refuses axes that x has not,
    /// and one given twice; an error says `of`.
    template <class T, int Rank>
    tensor_view<T, Rank> behind_others(std::string_view of, const tensor_view<T, Rank>& x) const {
        std::array<bool, static_cast<std::size_t>(Rank)> joined{};
        for (const index axis : axes_) {
            require_argument(0 <= axis && axis < Rank, of, ": axis ", axis,
                             " is given, but must lie between 0 and ", Rank - 1);
            bool& is_joined = joined[static_cast<std::size_t>(axis)];
            require_argument(!is_joined, of, ": axis ", axis, " is given twice");
            is_joined = true;
        }
        tensor_view<T, Rank> ordered{x.data, {}, {}};
        std::size_t place = 0;
        for (const bool behind : {false, true})
            for (std::size_t axis = 0; axis < joined.size(); ++axis) {
                if (joined[axis] != behind) continue;
                ordered.extents[place] = x.extents[axis];
                ordered.strides[place++] = x.strides[axis];
            }
        return ordered;
    }

    /// The extents of the axes that stay.
    template <class T, int Rank>
    static auto kept(const tensor_view<T, Rank>& ordered) {
        std::array<index, static_cast<std::size_t>(Rank) - Count> extents{};
        std::copy_n(ordered.extents.begin(), extents.size(), extents.begin());
        return extents;
    }

    /// The joined axes as one of this stride; see common_stride.
    template <class T, int Rank>
    static auto joined(const tensor_view<T, Rank>& ordered, index stride) {
        constexpr int rank = Rank - static_cast<int>(Count) + 1;
        constexpr auto first = static_cast<std::size_t>(rank - 1);
        tensor_view<T, rank> rows{ordered.data, {}, {}};
        std::copy_n(ordered.extents.begin(), first, rows.extents.begin());
        std::copy_n(ordered.strides.begin(), first, rows.strides.begin());
        rows.extents[first] = 1;
        rows.strides[first] = stride;
        for (std::size_t axis = first; axis < ordered.extents.size(); ++axis)
            rows.extents[first] *= ordered.extents[axis];
        return rows;
    }

    /// The stride of the joined axes as one, if they follow one another in memory; else 0.
    template <class T, int Rank>
    static index common_stride(const tensor_view<T, Rank>& ordered) {
        index length = 1, stride = 1;
        for (std::size_t axis = ordered.extents.size(); axis-- > ordered.extents.size() - Count;) {
            if (ordered.extents[axis] == 1) continue;
            if (length == 1)
                stride = ordered.strides[axis];
            else if (ordered.strides[axis] != length * stride)
                return 0;
            length *= ordered.extents[axis];
        }
        return stride;
    }

  private:
    std::array<index, Count> axes_;
};

/// The elements of `from`, in the places that `to` has for them.
template <class From, class To, int Rank, int Axis = 0>
void copy_elements(const tensor_view<From, Rank>& from, const tensor_view<To, Rank>& to,
                   index at = 0, index place = 0) {
    if constexpr (Axis == Rank) {
        to.data[place] = from.data[at];
    } else {
        constexpr auto axis = static_cast<std::size_t>(Axis);
        for (index i = 0; i < from.extents[axis]; ++i)
            copy_elements<From, To, Rank, Axis + 1>(from, to, at + i * from.strides[axis],
                                                    place + i * to.strides[axis]);
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
