#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <tuple>
#include <type_traits>

#include <heed/attention/call.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// A block of query rows of one head: which rows they are, what they see, and their numbers packed.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A block of query rows of one head, ready for the microkernel, and what they see.
template <class T>
struct query_tile {
    index batch = 0, head = 0;
    index first = 0, count = 0;    ///< queries first … first + count − 1
    query_row* rows = nullptr;     ///< [count]
    key_interval* seen = nullptr;  ///< [count]: what a row sees at most
    index* visible =
        nullptr;         ///< [count]: n_i, if the scale, the normaliser or an observer needs it
    T* scale = nullptr;  ///< [count]: c_i
    query_maps<T*> plain = {};   ///< of each map [count, dim]: prepared rows times their scale
    query_maps<T*> strips = {};  ///< the same, packed

    static constexpr index strip = tiles.score_rows;
    index strip_count() const { return (count + strip - 1) / strip; }

    /// The union of what rows first … last − 1 see at most.
    key_interval seen_by(index first_row, index last_row) const {
        key_interval all{std::numeric_limits<index>::max(), 0};
        for (index r = first_row; r < std::min(last_row, count); ++r) {
            if (seen[r].first == seen[r].last) continue;
            all.first = std::min(all.first, seen[r].first);
            all.last = std::max(all.last, seen[r].last);
        }
        return all.first < all.last ? all : key_interval{0, 0};
    }
    key_interval seen_by_all() const { return seen_by(0, count); }
};

/// Which row of scores query i of a batch and head is.
template <class Call>
query_row make_row(const Call& call, const call_positions& where, index batch, index head,
                   index query) {
    query_row row{batch, head, query, where.first_query(batch) + query, 0};
    if constexpr (Call::has_positions) {
        const double position = where.query(call.shape, batch, query);
        row.position = static_cast<index>(std::floor(position));
        row.fraction = position - std::floor(position);
    }
    return row;
}

/// The keys of the vector that begins at `first`.
template <class T, class Call>
key_lanes<T> make_lanes(const Call& call, const call_positions& where, index batch, index first) {
    key_lanes<T> keys{first, std::min(vec<T>::size, call.shape.keys - first),
                      lanes<T>::consecutive(first)};
    if constexpr (Call::has_positions) {
        const auto position = [&](index l) { return where.key(call.shape, batch, first + l); };
        const auto count_from = [&](double from) {
            alignas(64) T offset[vec<T>::size] = {};
            for (index l = 0; l < keys.count; ++l) offset[l] = static_cast<T>(position(l) - from);
            keys.position = {static_cast<index>(from), vec<T>::load_aligned(offset)};
        };
        count_from(std::floor(position(0)));
        // A first key far from the others, as padding may be, would take their last digits.
        if (any(abs(keys.position.offset) >= vec<T>(T(1 << 20)))) [[unlikely]] {
            index nearest = 0;
            for (index l = 1; l < keys.count; ++l)
                if (std::abs(position(l)) < std::abs(position(nearest))) nearest = l;
            count_from(std::floor(position(nearest)));
        }
    }
    return keys;
}

/// What all lane masks together say of a vector of keys.
template <class T, class Masks>
vec_mask<T> seen_lanes(const Masks& masks, const key_lanes<T>& keys) {
    return std::apply(
        [&](const auto&... mask) {
            vec_mask<T> seen(true);
            ((seen = seen & mask(keys)), ...);
            return seen;
        },
        masks);
}

/// The lanes of the vector at `first` that lie in an interval.
template <class T>
vec_mask<T> lanes_in(key_interval interval, index first) {
    return vec_mask<T>::first(interval.last - first) & !vec_mask<T>::first(interval.first - first);
}

/// How many keys a row sees: the interval's length, or a count through the lane masks.
template <class T, class Call>
index count_seen(const Call& call, const call_positions& where, const query_row& row,
                 key_interval seen) {
    if constexpr (!Call::has_lane_masks) return seen.last - seen.first;
    const auto masks = call.lane_masks(row);
    index count = 0;
    for (index key = seen.first; key < seen.last; key += vec<T>::size) {
        const auto keys = make_lanes<T>(call, where, row.batch, key);
        const auto lanes = seen_lanes<T>(masks, keys) & vec_mask<T>::first(seen.last - key);
        count += std::popcount(lanes.bits());
    }
    return count;
}

/// Memory for a tile of `count` queries.
template <class T>
query_tile<T> take_tile(const attention_shape& shape, std::size_t maps, index count,
                        arena& scratch) {
    query_tile<T> tile{.rows = scratch.take<query_row>(count),
                       .seen = scratch.take<key_interval>(count),
                       .visible = scratch.take<index>(count),
                       .scale = scratch.take<T>(count)};
    for (std::size_t m = 0; m < maps; ++m) {
        tile.plain[m] = scratch.take<T>(count * shape.dim);
        tile.strips[m] = scratch.take<T>(packed_size<T>(query_tile<T>::strip, count, shape.dim));
    }
    return tile;
}

/// Prepares queries first … first + count − 1: their intervals, scales and packed rows.
template <class T, class Call, class Preparation>
void fill_tile(const Call& call, const call_positions& where, const Preparation& preparation,
               index batch, index head, index first, index count, query_tile<T>& tile) {
    tile.batch = batch;
    tile.head = head;
    tile.first = first;
    tile.count = count;
    const index dim = call.shape.dim;
    const attention_shape own = call.shape_of_sequence(batch);
    // Only a scale that counts what a row sees differs from row to row.
    constexpr bool scale_counts = needs_visible_count<std::remove_cvref_t<decltype(call.scale())>>;
    constexpr bool counts = scale_counts || Call::has_observers ||
                            needs_visible_count<std::remove_cvref_t<decltype(call.normaliser())>>;
    for (index r = 0; r < count; ++r) {
        const query_row row = make_row(call, where, batch, head, first + r);
        tile.rows[r] = row;
        tile.seen[r] = call.interval(row);
        tile.visible[r] = counts ? count_seen<T>(call, where, row, tile.seen[r]) : 0;
        tile.scale[r] = scale_counts || r == 0
                            ? static_cast<T>(call.scale().on_row(row, own, tile.visible[r]))
                            : tile.scale[0];
        for (std::size_t m = 0; m < Call::query_map_count; ++m)
            preparation.scaled_query(row, tile.scale[r], tile.plain[m] + r * dim,
                                     static_cast<encoding_map>(m));
    }
    for (std::size_t m = 0; m < Call::query_map_count; ++m)
        pack_strips<T>({tile.plain[m], dim}, count, dim, tile.strips[m]);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
