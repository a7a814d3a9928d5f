#pragma once

#include <algorithm>
#include <concepts>
#include <limits>
#include <string_view>
#include <utility>

#include <heed/attention/masks/sliding_window.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/simd.hpp>

/// \file
/// The dilated window: every d-th key near a query's position.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::dilated_window(left, right, dilation).
class dilated_window_mask : public mask_base {
  public:
    static constexpr bool by_position = true;

    constexpr dilated_window_mask(index left, index right, index dilation)
        : left_(left), right_(right), dilation_(dilation) {}

    key_interval interval(const query_row& i, const attention_shape& shape) const {
        const index first = std::clamp<index>(i.position - left_, 0, shape.keys);
        return {first, std::clamp<index>(i.position + right_ + 1, first, shape.keys)};
    }

    template <class T>
    auto on_row(const query_row& i) const {
        const auto position = i.lane_position<T>();
        const auto dilation = static_cast<T>(dilation_);
        return [=, from = position - left_, to = position + right_,
                each = dilation_](const key_lanes<T>& j) {
            // A multiple of d leaves no rest: the quotient rounds to the whole number that it is.
            const lanes<T> apart = position - j.position;
            const vec<T> distance = vec<T>(static_cast<T>(apart.base % each)) + apart.offset;
            const vec<T> steps = round(distance * vec<T>(T(1) / dilation));
            const vec_mask<T> met = fnma(steps, vec<T>(dilation), distance) == vec<T>(T(0));
            return met & (from <= j.position) & (j.position <= to);
        };
    }

    /// None where the distances of a tile skip all multiples of the dilation in the window.
    visibility tile(const query_row& first, const query_row& last, key_interval keys) const {
        const index least = first.position - (keys.last - 1), most = last.position - keys.first;
        if (dilation_ == 1 && -right_ <= least && most <= left_) return visibility::all;
        const index from = std::max(least, -right_), to = std::min(most, left_);
        index multiple = from / dilation_ * dilation_;
        if (multiple < from) multiple += dilation_;
        return multiple <= to ? visibility::mixed : visibility::none;
    }

  private:
    index left_, right_, dilation_;  ///< the sides in positions: multiples of the dilation
};

/// Query i sees key j if i − j = m·dilation for a whole m, −right ≤ m ≤ left, by position: `left`
/// keys before its own position, that position itself, and `right` keys after it, each `dilation`
/// from the next (arXiv 2004.05150). A dilation of 1 is heed::sliding_window(left, right).
///
///     auto o = heed::attention(q, k, v, heed::dilated_window(63, 0, 4));
///
/// argument_error if a side is negative, or the dilation is not in 1 … 2²³.
template <std::integral Left, std::integral Right, std::integral Dilation>
[[nodiscard]] dilated_window_mask dilated_window(Left left, Right right, Dilation dilation) {
    constexpr std::string_view part = "heed::dilated_window";
    detail::require_argument(
        std::cmp_greater_equal(dilation, 1) && std::cmp_less_equal(dilation, 1 << 23), part,
        ": the dilation is ", dilation, ", but must lie between 1 and 2^23");
    const auto each = static_cast<index>(dilation);
    constexpr index everything = std::numeric_limits<index>::max() / 4;
    const auto side = [&](std::string_view name, auto steps) {
        return std::min(detail::window_side(part, name, steps), everything / each) * each;
    };
    return {side("left", left), side("right", right), each};
}

}  // namespace heed::inline HEED_ARCHITECTURE
