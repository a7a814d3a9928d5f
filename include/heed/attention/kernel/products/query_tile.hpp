#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

#include <heed/attention/part.hpp>
#include <heed/attention/position_encoding.hpp>
#include <heed/attention/positions.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// A block of query rows of one head: which rows they are, what they see, and their numbers packed.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Queries first … first + count − 1 of a head.
struct query_place {
    index batch, head;
    index first, count;
};

/// A block of query rows of one head, ready for the microkernel, and what they see.
template <class T>
struct query_tile {
    index batch = 0, head = 0;
    index first = 0, count = 0;    ///< queries first … first + count − 1
    query_row* rows = nullptr;     ///< [count]
    key_interval* seen = nullptr;  ///< [count]: what a row sees at most
    index* visible =
        nullptr;          ///< [count]: n_i, if the scale, the normaliser or an observer needs it
    T* scale = nullptr;   ///< [count]: c_i
    T* factor = nullptr;  ///< [strips]: of pairs, what products are multiplied by behind c_i, then
                          ///< 1; null if every one is 1; of integers, what they stand for
    query_maps<T*> plain = {};   ///< of each map [count, dim]: prepared rows times their scale
    query_maps<T*> strips = {};  ///< the same, packed
    const T* panels = nullptr;   ///< the same, a row a lane, where keys are read as rows

    static constexpr index strip = tiles.score_rows;
    index strip_count() const { return count_blocks(count, strip); }

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

/// The shape of a call, and where its queries and keys stand.
struct call_place {
    attention_shape shape;
    call_positions where;
    bool moves_keys = false;  ///< whether keys stand elsewhere than at their indices

    double key(index batch, index j) const { return where.key(shape, batch, j); }
    /// The extents of a sequence as if it were alone: those of the call, and its own keys, at whose
    /// end its queries stand.
    attention_shape sequence(index batch) const {
        attention_shape own = shape;
        if (!moves_keys) own.keys = where.first_query(batch) + shape.queries;
        return own;
    }
};

/// Which row of scores query i of a batch and head is.
inline query_row make_row(const call_place& place, index batch, index head, index query) {
    query_row row{batch, head, query, place.where.first_query(batch) + query, 0};
    if (place.moves_keys) {
        const double position = place.where.query(place.shape, batch, query);
        row.position = static_cast<index>(std::floor(position));
        row.fraction = position - std::floor(position);
    }
    return row;
}

/// The keys of the vector that begins at `first`, where keys may or may not stand elsewhere than at
/// their indices.
template <class T, bool MovesKeys>
key_lanes<T> make_lanes(const call_place& place, [[maybe_unused]] index batch, index first) {
    key_lanes<T> keys{first, std::min(vec<T>::size, place.shape.keys - first),
                      lanes<T>::consecutive(first)};
    if constexpr (MovesKeys) {
        const auto position = [&](index l) { return place.key(batch, first + l); };
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

/// The same where the call alone knows.
template <class T>
key_lanes<T> make_lanes(const call_place& place, index batch, index first) {
    return place.moves_keys ? make_lanes<T, true>(place, batch, first)
                            : make_lanes<T, false>(place, batch, first);
}

/// The lanes of the vector at `first` that lie in an interval.
template <class T>
vec_mask<T> lanes_in(key_interval interval, index first) {
    return vec_mask<T>::first(interval.last - first) & !vec_mask<T>::first(interval.first - first);
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

/// c_i of numbers of 16 bits: a power of two goes into the row of q, exactly; another would round
/// it, and waits for the product.
template <class T>
void split_scale(query_tile<T>& tile) {
    bool waits = false;
    for (index r = 0; r < round_up(tile.count, tile.strip); ++r) {
        tile.factor[r] = T(1);
        if (r >= tile.count) continue;
        int exponent = 0;
        if (std::abs(std::frexp(tile.scale[r], &exponent)) == T(0.5)) continue;
        std::swap(tile.scale[r], tile.factor[r]);
        waits = true;
    }
    if (!waits) tile.factor = nullptr;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
