#pragma once

#include <algorithm>
#include <array>
#include <limits>

#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/part.hpp>
#include <heed/attention/position_encoding.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/lanes.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// Which maps of a rectified position encoding the scores of a tile take: one for most panels of
/// keys, several for those that straddle the window.

namespace heed::inline HEED_ARCHITECTURE::detail {

inline constexpr std::array all_encoding_maps{encoding_map::near, encoding_map::past,
                                              encoding_map::future};

/// A set of maps.
struct map_set {
    unsigned bits = 0;

    static map_set of(encoding_map map, bool is_in) {
        return {is_in ? 1U << static_cast<unsigned>(map) : 0U};
    }
    bool has(encoding_map map) const { return (bits & of(map, true).bits) != 0; }
    bool is(encoding_map map) const { return bits == of(map, true).bits; }
    bool is_mixed() const { return (bits & (bits - 1)) != 0; }
    friend map_set operator|(map_set a, map_set b) { return {a.bits | b.bits}; }
};

/// The map of one score.
inline encoding_map map_of(const call_place& place, index window, const query_row& row, index key) {
    const double distance =
        static_cast<double>(row.position) + row.fraction - place.key(row.batch, key);
    if (distance >= static_cast<double>(window)) return encoding_map::past;
    if (distance <= -static_cast<double>(window)) return encoding_map::future;
    return encoding_map::near;
}

/// The lanes of a row's scores that take this map.
template <class T>
vec_mask<T> take_map(index window, const query_row& row, const key_lanes<T>& keys,
                     encoding_map map) {
    const lanes<T> distance = row.lane_position<T>() - keys.position;
    if (map == encoding_map::past) return distance >= window;
    if (map == encoding_map::future) return distance <= -window;
    return (distance < window) & (distance > -window);
}

/// The maps of each panel of keys from `first_key` on for each strip of a tile: [strips, panels].
/// Where a map is taken before and behind, along the keys or the queries, it counts as taken
/// between: what takes it is a rectangle for any panel, and an interval for any strip.
template <class T>
void find_maps(const call_place& place, index window_of_encoding, const query_tile<T>& tile,
               index first_key, index panels, map_set* maps) {
    struct range {
        double least = std::numeric_limits<double>::infinity();
        double most = -std::numeric_limits<double>::infinity();
        void add(double x) {
            least = std::min(least, x);
            most = std::max(most, x);
        }
    };
    const auto window = static_cast<double>(window_of_encoding);
    const index strips = tile.strip_count();
    for (index p = 0; p < panels; ++p) {
        const index first = first_key + p * panel_width<T>;
        range keys;
        if (first < place.shape.keys) {
            const index last = std::min(first + panel_width<T>, place.shape.keys) - 1;
            keys.add(place.key(tile.batch, first));
            keys.add(place.key(tile.batch, last));
            if (place.moves_keys)
                for (index j = first; j <= last; ++j) keys.add(place.key(tile.batch, j));
        }
        for (index s = 0; s < strips; ++s) {
            range queries;
            for (index r = s * tile.strip; r < std::min((s + 1) * tile.strip, tile.count); ++r)
                queries.add(static_cast<double>(tile.rows[r].position) + tile.rows[r].fraction);
            const double least = queries.least - keys.most, most = queries.most - keys.least;
            maps[s * panels + p] =
                map_set::of(encoding_map::near, least < window && most > -window) |
                map_set::of(encoding_map::past, most >= window) |
                map_set::of(encoding_map::future, least <= -window);
            if (first >= place.shape.keys) maps[s * panels + p] = {};
        }
    }
    if (place.moves_keys) {
        // Positions in any order: until nothing changes.
        const auto fill = [&](index count, index lines, index step, index line_step) {
            bool has_changed = false;
            for (index line = 0; line < lines; ++line) {
                map_set* at = maps + line * line_step;
                for (const encoding_map map : all_encoding_maps) {
                    index first = count, last = -1;
                    for (index i = 0; i < count; ++i) {
                        if (!at[i * step].has(map)) continue;
                        first = std::min(first, i);
                        last = i;
                    }
                    for (index i = first; i <= last; ++i) {
                        has_changed = has_changed || !at[i * step].has(map);
                        at[i * step] = at[i * step] | map_set::of(map, true);
                    }
                }
            }
            return has_changed;
        };
        for (bool has_changed = true; has_changed;) {
            has_changed = fill(panels, strips, 1, panels);
            has_changed = fill(strips, panels, panels, 1) || has_changed;
        }
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
