#pragma once

#include <algorithm>

#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>

/// \file
/// The anti-causal mask: a query sees itself and what is behind it.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::anti_causal.
struct anti_causal_mask : mask_base {
    static constexpr bool is_interval = true;
    static constexpr bool by_position = true;

    key_interval interval(const query_row& i, const attention_shape& shape) const {
        return {std::clamp<index>(i.position, 0, shape.keys), shape.keys};
    }

    template <class T>
    auto on_row(const query_row& i) const {
        return [position = i.lane_position<T>()](const key_lanes<T>& j) {
            return j.position >= position;
        };
    }
};

/// Query i sees key j if j's position is not before i's: the mirror of heed::causal. Half the heads
/// causal and half anti-causal (kexue 9529) is heed::per_head_mask(heed::causal,
/// heed::anti_causal).
///
///     auto o = heed::attention(q, k, v, heed::anti_causal);
inline constexpr anti_causal_mask anti_causal{};

}  // namespace heed::inline HEED_ARCHITECTURE
