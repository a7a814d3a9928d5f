#pragma once

#include <algorithm>
#include <concepts>
#include <limits>
#include <string_view>
#include <utility>

#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>

/// \file
/// The sliding window: a query sees the keys near its own position.

namespace heed::inline HEED_ARCHITECTURE {

/// The side of a window that has no end: heed::sliding_window(16, heed::unlimited).
inline constexpr index unlimited = std::numeric_limits<index>::max();

/// The type of heed::sliding_window(left, right).
class sliding_window_mask : public mask_base {
  public:
    static constexpr bool is_interval = true;
    static constexpr bool by_position = true;

    constexpr sliding_window_mask(index left, index right) : left_(left), right_(right) {}

    key_interval interval(const query_row& i, const attention_shape& shape) const {
        const index first = std::clamp<index>(i.position - left_, 0, shape.keys);
        return {first, std::clamp<index>(i.position + right_ + 1, first, shape.keys)};
    }

    template <class T>
    auto on_row(const query_row& i) const {
        const auto position = i.lane_position<T>();
        return [from = position - left_, to = position + right_](const key_lanes<T>& j) {
            return from <= j.position && j.position <= to;
        };
    }

  private:
    index left_, right_;
};

namespace detail {

/// A number of keys; one that reaches over everything is cut where sums with it cannot overflow.
template <std::integral Integer>
index bounded_reach(Integer keys) {
    return std::min(to_index(keys), std::numeric_limits<index>::max() / 4);
}

/// A side of a window.
template <std::integral Integer>
index window_side(std::string_view part, std::string_view name, Integer side) {
    require_argument(std::cmp_greater_equal(side, 0), part, ": ", name, " is ", side,
                     ", but must be at least 0; one without an end is heed::unlimited");
    return bounded_reach(side);
}

}  // namespace detail

/// Query i sees key j if −right ≤ i − j ≤ left, by position: `left` keys before its own position,
/// that position itself, and `right` keys after it; heed::unlimited of either is all there are. A
/// causal window of w keys has left = w − 1 and right = 0.
///
///     auto o = heed::attention(q, k, v, heed::sliding_window(255, 0));
///
/// argument_error if a side is negative.
template <std::integral Left, std::integral Right>
[[nodiscard]] sliding_window_mask sliding_window(Left left, Right right) {
    constexpr std::string_view part = "heed::sliding_window";
    return {detail::window_side(part, "left", left), detail::window_side(part, "right", right)};
}

}  // namespace heed::inline HEED_ARCHITECTURE
