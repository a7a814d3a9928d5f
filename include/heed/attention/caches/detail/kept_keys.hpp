#pragma once

#include <algorithm>

#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>

/// \file
/// What queries see of a cache with a window: its first keys, and those near their own position.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Query i sees key j if i − j < window or j < keep_first.
class kept_keys_mask : public mask_base {
  public:
    static constexpr bool by_position = true;

    kept_keys_mask(index window, index keep_first) : window_(window), keep_first_(keep_first) {}

    key_interval interval(const query_row& i, const attention_shape& shape) const {
        const index first = keep_first_ > 0 ? 0 : i.position - window_ + 1;
        return {std::clamp<index>(first, 0, shape.keys), shape.keys};
    }

    template <class T>
    auto on_row(const query_row& i) const {
        return [from = i.lane_position<T>() - (window_ - 1), first = keep_first_](
                   const key_lanes<T>& j) { return j.position >= from || j.position < first; };
    }

    visibility tile(const query_row& first, const query_row& last, key_interval keys) const {
        if (keys.last <= keep_first_ || keys.first > last.position - window_)
            return visibility::all;
        if (keys.first >= keep_first_ && keys.last <= first.position - window_ + 1)
            return visibility::none;
        return visibility::mixed;
    }

  private:
    index window_, keep_first_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
