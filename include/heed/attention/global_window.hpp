#pragma once

#include <algorithm>
#include <concepts>
#include <string_view>

#include <heed/attention/part.hpp>
#include <heed/attention/sliding_window.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>

/// \file
/// Global tokens beside a sliding window.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::global_window(globals, left, right).
class global_window_mask {
  public:
    using role = heed::role::mask;
    static constexpr bool by_position = true;

    constexpr global_window_mask(index globals, index left, index right)
        : globals_(globals), left_(left), right_(right) {}

    key_interval interval(const query_row& i, const attention_shape& shape) const {
        if (i.position < globals_) return {0, shape.keys};
        const index first = globals_ > 0 ? 0 : std::clamp<index>(i.position - left_, 0, shape.keys);
        const index last = std::max(globals_, i.position + right_ + 1);
        return {first, std::clamp<index>(last, first, shape.keys)};
    }

    template <class T>
    auto on_row(const query_row& i) const {
        const auto position = i.lane_position<T>();
        return [from = position - left_, to = position + right_, globals = globals_,
                is_global = vec_mask<T>(i.position < globals_)](const key_lanes<T>& j) {
            const vec_mask<T> near = from <= j.position && j.position <= to;
            return is_global || j.position < globals || near;
        };
    }

    visibility tile(const query_row& first, const query_row& last, key_interval keys) const {
        const index last_key = keys.last - 1;
        const bool global = last.position < globals_ || last_key < globals_;
        const bool near =
            last.position - left_ <= keys.first && last_key <= first.position + right_;
        if (global || near) return visibility::all;
        const bool some_global = first.position < globals_ || keys.first < globals_;
        const bool apart = last_key < first.position - left_ || keys.first > last.position + right_;
        return some_global || !apart ? visibility::mixed : visibility::none;
    }

  private:
    index globals_, left_, right_;
};

/// A sliding window with global tokens (arXiv 2004.05150): query i sees key j if −right ≤ i − j ≤
/// left, or if one of the two stands before position `globals`; so the first `globals` tokens see
/// all and are seen by all. With heed::causal beside it, queries see the first tokens and the last
/// `left` + 1, as attention with kept first tokens does (arXiv 2309.17453).
///
///     auto o = heed::attention(q, k, v, heed::global_window(4, 255, 255));
///
/// argument_error if one of the three is negative.
template <std::integral Globals, std::integral Left, std::integral Right>
global_window_mask global_window(Globals globals, Left left, Right right) {
    constexpr std::string_view part = "heed::global_window";
    return {detail::window_side(part, "globals", globals), detail::window_side(part, "left", left),
            detail::window_side(part, "right", right)};
}

}  // namespace heed::inline HEED_ARCHITECTURE
