#pragma once

#include <algorithm>

#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>

/// \file
/// The causal mask: a query sees itself and what is before it.

namespace heed::inline HEED_ARCHITECTURE {

/// Query index i sees key index j ≤ i, whatever their positions: queries and keys aligned at their
/// beginnings.
struct causal_top_left_mask : mask_base {
    static constexpr bool is_interval = true;

    key_interval interval(const query_row& i, const attention_shape& shape) const {
        return {0, std::min(i.query + 1, shape.keys)};
    }

    template <class T>
    auto on_row(const query_row& i) const {
        return [last = i.query + 1](const key_lanes<T>& j) {
            return vec_mask<T>::first(last - j.first);
        };
    }
};

/// The type of heed::causal.
struct causal_mask : mask_base {
    static constexpr bool is_interval = true;
    static constexpr bool by_position = true;

    key_interval interval(const query_row& i, const attention_shape& shape) const {
        return {0, std::clamp<index>(i.position + 1, 0, shape.keys)};
    }

    template <class T>
    auto on_row(const query_row& i) const {
        return [position = i.lane_position<T>()](const key_lanes<T>& j) {
            return j.position <= position;
        };
    }

    /// heed::causal.top_left(): query i sees key j ≤ i, both counted from their beginnings, so that
    /// the mask's triangle starts in the top left corner. With as many queries as keys, and no
    /// heed::positions, it is heed::causal.
    constexpr causal_top_left_mask top_left() const { return {}; }
};

/// Query i sees key j if j's position is not after i's. Query i of N stands at i + M − N: the last
/// query sees all M keys, as decoding with a cache needs. heed::positions moves both.
///
///     auto o = heed::attention(q, k, v, heed::causal);
inline constexpr causal_mask causal{};

}  // namespace heed::inline HEED_ARCHITECTURE
