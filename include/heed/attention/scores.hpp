#pragma once

#include <algorithm>
#include <limits>
#include <tuple>

#include <heed/attention/call.hpp>
#include <heed/attention/encoding_maps.hpp>
#include <heed/attention/part.hpp>
#include <heed/attention/query_tile.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>

/// \file
/// The scores of a block of queries against a block of keys: product, modifiers, mask.
///
/// Two levels of blocks: keys come key_block at a time, anchored at absolute positions; within a
/// block, what a strip of score_rows queries does not see is left out panel by panel.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// What a tile sees of one block of keys: for each strip of queries a range of panels, in keys
/// relative to the block, and for lane masks what they say of each panel.
template <class T>
struct block_view {
    static constexpr index panels = key_block<T> / panel_width<T>;

    index first = 0;  ///< the block's first key
    key_interval* range =
        nullptr;                  ///< [strips]: multiples of panel_width, empty if nothing is seen
    visibility* panel = nullptr;  ///< [strips, panels]; only for calls with lane masks
    map_set* maps = nullptr;      ///< [strips, panels]; only for rectified encodings

    visibility of(index strip, index key) const {
        return panel[strip * panels + key / panel_width<T>];
    }
    map_set maps_of(index strip, index key) const {
        return maps[strip * panels + key / panel_width<T>];
    }
};

template <class T>
block_view<T> make_block_view(index strips, arena& scratch) {
    return {0, scratch.take<key_interval>(strips),
            scratch.take<visibility>(strips * block_view<T>::panels),
            scratch.take<map_set>(strips * block_view<T>::panels)};
}

template <class T, class Call>
void look_at_block(const Call& call, const call_positions& where, const query_tile<T>& tile,
                   index first_key, block_view<T>& block) {
    constexpr index width = panel_width<T>;
    block.first = first_key;
    for (index s = 0; s < tile.strip_count(); ++s) {
        const index first_row = s * tile.strip;
        const index last_row = std::min(first_row + tile.strip, tile.count);
        const key_interval seen = tile.seen_by(first_row, last_row);
        const index first = std::clamp<index>(seen.first - first_key, 0, key_block<T>);
        const index last = std::clamp<index>(seen.last - first_key, 0, key_block<T>);
        block.range[s] = first < last ? key_interval{first / width * width, round_up(last, width)}
                                      : key_interval{0, 0};
        if constexpr (Call::has_lane_masks) {
            auto& [begin, end] = block.range[s];
            for (index key = begin; key < end; key += width) {
                const index last_key = std::min(first_key + key + width, call.shape.keys);
                block.panel[s * block.panels + key / width] = call.tile(
                    tile.rows[first_row], tile.rows[last_row - 1], {first_key + key, last_key});
            }
            while (begin < end && block.of(s, begin) == visibility::none) begin += width;
            while (begin < end && block.of(s, end - width) == visibility::none) end -= width;
        }
    }
    if constexpr (Call::is_rectified)
        find_maps<T>(call, where, tile, first_key, block.panels, block.maps);
}

/// Whether a strip sees keys at `key` of the block.
template <class T, class Call>
bool strip_sees(const block_view<T>& block, index strip, index key) {
    if (key < block.range[strip].first || key >= block.range[strip].last) return false;
    if constexpr (Call::has_lane_masks) return block.of(strip, key) != visibility::none;
    return true;
}

/// Runs f(first row, rows) over the strips of a tile that see keys at `key` of the block and are
/// `wanted`, as few times as possible.
template <class T, class Call, class Wanted, class F>
void for_strips(const query_tile<T>& tile, const block_view<T>& block, index key, Wanted&& wanted,
                F&& f) {
    const auto sees = [&](index s) { return strip_sees<T, Call>(block, s, key) && wanted(s); };
    const index strips = tile.strip_count();
    for (index s = 0; s < strips; ++s) {
        if (!sees(s)) continue;
        const index begin = s;
        while (s + 1 < strips && sees(s + 1)) ++s;
        const index first_row = begin * tile.strip;
        f(first_row, std::min((s + 1) * tile.strip, tile.count) - first_row);
    }
}
template <class T, class Call, class F>
void for_strips_seeing(const query_tile<T>& tile, const block_view<T>& block, index key, F&& f) {
    for_strips<T, Call>(
        tile, block, key, [](index) { return true; }, f);
}

/// The products of packed rows with one panel of keys: to[r, …] for `rows` rows, `stride` apart;
/// `finish(r, scores)` sees the vectors of each row as they are stored.
template <class T, class Finish>
void multiply_panel(const T* strips, index rows, const T* panel, index dim, T* to, index stride,
                    Finish&& finish) {
    constexpr int vectors = tiles.score_vectors;
    multiply_rows<tiles.score_rows, vectors>(
        rows, strips, tiles.score_rows * dim, fixed<1>(), fixed<tiles.score_rows>(), panel,
        fixed<panel_width<T>>(),
        dim, [&](index r, const vec<T>* scores) __attribute__((always_inline)) {
            unroll<vectors>([&](auto c) __attribute__((always_inline)) {
                scores[c].store(to + r * stride + c * vec<T>::size);
            });
            finish(r, scores);
        });
}

template <class T>
void multiply_panel(const T* strips, index rows, const T* panel, index dim, T* to, index stride) {
    multiply_panel(strips, rows, panel, dim, to, stride,
                   [](index, const vec<T>*) __attribute__((always_inline)){});
}

/// The same, and the largest of each lane so far.
template <class T>
void multiply_panel(const T* strips, index rows, const T* panel, index dim, T* to, index stride,
                    T* lane_maximum) {
    multiply_panel(
        strips, rows, panel, dim, to,
        stride, [&](index r, const vec<T>* scores) __attribute__((always_inline)) {
            vec<T> maximum = vec<T>::load_aligned(lane_maximum + r * vec<T>::size);
            unroll<tiles.score_vectors>([&](auto c) __attribute__((always_inline)) {
                maximum = max(maximum, scores[c]);
            });
            maximum.store_aligned(lane_maximum + r * vec<T>::size);
        });
}

/// The products of a strip of queries with a panel for which not all of its scores take one map.
template <class T, class Call>
void multiply_mixed(const Call& call, const call_positions& where, const query_tile<T>& tile,
                    const block_view<T>& block, index strip, index key,
                    const key_maps<T*>& key_panels, T* to, index stride) {
    constexpr index size = vec<T>::size, width = panel_width<T>;
    const index dim = call.shape.dim, first_row = strip * tile.strip;
    const index rows = std::min(tile.strip, tile.count - first_row);
    const map_set maps = block.maps_of(strip, key);
    alignas(64) array_of<T, tiles.score_rows * width> other;
    bool is_first = true;
    for (const encoding_map map : all_encoding_maps) {
        if (!maps.has(map)) continue;
        const T* strips = tile.strips[query_map(map)] + first_row * dim;
        const T* panel = key_panels[key_map(map)] + (block.first + key) * dim;
        if (is_first) {
            multiply_panel(strips, rows, panel, dim, to, stride);
            is_first = false;
            continue;
        }
        multiply_panel(strips, rows, panel, dim, other, width);
        for (index r = 0; r < rows; ++r) {
            for (index c = 0; c < width; c += size) {
                T* at = to + r * stride + c;
                const auto keys = make_lanes<T>(call, where, tile.batch, block.first + key + c);
                select(take_map<T>(call, tile.rows[first_row + r], keys, map),
                       vec<T>::load(other + r * width + c), vec<T>::load(at))
                    .store(at);
            }
        }
    }
}

/// The products of a tile with one panel of keys, where they are seen. With Maximum, lane_maximum
/// gets the largest of each lane so far.
template <bool Maximum, class T, class Call>
void multiply_keys(const Call& call, [[maybe_unused]] const call_positions& where,
                   const query_tile<T>& tile, const block_view<T>& block, index key,
                   const key_maps<T*>& key_panels, T* scores, index stride, T* lane_maximum) {
    constexpr index size = vec<T>::size;
    const index dim = call.shape.dim;
    const auto multiply = [&](encoding_map map, index first_row, index rows) {
        const T* strips = tile.strips[query_map(map)] + first_row * dim;
        const T* panel = key_panels[key_map(map)] + (block.first + key) * dim;
        T* to = scores + first_row * stride + key;
        if constexpr (Maximum)
            multiply_panel(strips, rows, panel, dim, to, stride, lane_maximum + first_row * size);
        else
            multiply_panel(strips, rows, panel, dim, to, stride);
    };
    if constexpr (!Call::is_rectified) {
        for_strips_seeing<T, Call>(tile, block, key, [&](index first_row, index rows) {
            multiply(encoding_map::near, first_row, rows);
        });
    } else {
        for (const encoding_map map : all_encoding_maps) {
            const auto wanted = [&](index s) { return block.maps_of(s, key).is(map); };
            for_strips<T, Call>(tile, block, key, wanted, [&](index first_row, index rows) {
                multiply(map, first_row, rows);
            });
        }
        for (index s = 0; s < tile.strip_count(); ++s) {
            if (!block.maps_of(s, key).is_mixed() || !strip_sees<T, Call>(block, s, key)) continue;
            const index first_row = s * tile.strip;
            T* to = scores + first_row * stride + key;
            multiply_mixed(call, where, tile, block, s, key, key_panels, to, stride);
            if constexpr (Maximum) {
                for (index r = 0; r < std::min(tile.strip, tile.count - first_row); ++r) {
                    T* at = lane_maximum + (first_row + r) * size;
                    vec<T> maximum = vec<T>::load_aligned(at);
                    for (index c = 0; c < panel_width<T>; c += size)
                        maximum = max(maximum, vec<T>::load(to + r * stride + c));
                    maximum.store_aligned(at);
                }
            }
        }
    }
}

/// s of one vector through all modifiers, from left to right.
template <class T, class Modifiers>
vec<T> modify(const Modifiers& modifiers, vec<T> score, const key_lanes<T>& keys) {
    std::apply([&](const auto&... modifier) { ((score = modifier(score, keys)), ...); }, modifiers);
    return score;
}

/// Modifiers on a row of products in `range` of a block, all of them seen: the largest result.
template <class T, class Call>
T modify_scores(const Call& call, const call_positions& where, const query_row& row,
                index first_key, key_interval range, T* scores) {
    constexpr index size = vec<T>::size;
    const auto modifiers = call.bound_modifiers(row);
    vec<T> maximum[2] = {-std::numeric_limits<T>::infinity(), -std::numeric_limits<T>::infinity()};
    for (index key = range.first; key < range.last; key += 2 * size) {
        unroll<2>([&](auto half) {
            T* at = scores + key + half * size;
            const auto keys = make_lanes<T>(call, where, row.batch, first_key + key + half * size);
            const vec<T> score = modify(modifiers, vec<T>::load(at), keys);
            score.store(at);
            maximum[half] = max(maximum[half], score);
        });
    }
    return reduce_max(max(maximum[0], maximum[1]));
}

/// Modifiers and mask on a row of products in `range` of a block; what is not seen becomes −∞.
/// Returns the largest score.
template <class T, class Call>
T finish_scores(const Call& call, const call_positions& where, const query_tile<T>& tile, index r,
                const block_view<T>& block, key_interval range, T* scores) {
    constexpr index size = vec<T>::size;
    const query_row& row = tile.rows[r];
    const key_interval seen{tile.seen[r].first - block.first, tile.seen[r].last - block.first};
    const auto modifiers = call.bound_modifiers(row);
    const auto masks = call.lane_masks(row);
    const vec<T> left_out(-std::numeric_limits<T>::infinity());
    vec<T> maximum = left_out;
    for (index panel = range.first; panel < range.last; panel += panel_width<T>) {
        visibility answer = visibility::all;
        if constexpr (Call::has_lane_masks) answer = block.of(r / tile.strip, panel);
        unroll<tiles.score_vectors>([&](auto half) {
            const index key = panel + half * size;
            vec<T> score = left_out;
            if (answer != visibility::none && key + size > seen.first && key < seen.last) {
                score = vec<T>::load(scores + key);
                const auto keys = make_lanes<T>(call, where, row.batch, block.first + key);
                score = modify(modifiers, score, keys);
                if (answer == visibility::mixed)
                    score = select(seen_lanes<T>(masks, keys), score, left_out);
                if (key < seen.first || key + size > seen.last)
                    score = select(lanes_in<T>(seen, key), score, left_out);
            }
            score.store(scores + key);
            maximum = max(maximum, score);
        });
    }
    return reduce_max(maximum);
}

/// The scores of a tile against one block of keys, rows `stride` apart, what is not seen −∞; and
/// the largest of each row in this block.
///
/// `key_panels` are those of the head, `lane_maximum` is scratch of a vector a row.
template <class T, class Call>
void score_block(const Call& call, const call_positions& where, const query_tile<T>& tile,
                 const block_view<T>& block, const key_maps<T*>& key_panels, T* scores,
                 index stride, T* lane_maximum, T* row_maximum) {
    constexpr index size = vec<T>::size;
    // Where scores are changed afterwards, so is the largest of them.
    constexpr bool final = !Call::has_modifiers && !Call::has_lane_masks;
    const vec<T> lowest(-std::numeric_limits<T>::infinity());
    if constexpr (final) {
        for (index r = 0; r < round_up(tile.count, tile.strip); ++r)
            lowest.store_aligned(lane_maximum + r * size);
    }

    for (index key = 0; key < key_block<T>; key += panel_width<T>)
        multiply_keys<final>(call, where, tile, block, key, key_panels, scores, stride,
                             lane_maximum);
    for (index r = 0; r < tile.count; ++r) {
        const key_interval range = block.range[r / tile.strip];
        T* row = scores + r * stride;
        if (Call::has_lane_masks || tile.seen[r].first > block.first + range.first ||
            tile.seen[r].last < block.first + range.last)
            row_maximum[r] = finish_scores(call, where, tile, r, block, range, row);
        else if (Call::has_modifiers)
            row_maximum[r] = modify_scores(call, where, tile.rows[r], block.first, range, row);
        else
            row_maximum[r] = reduce_max(vec<T>::load_aligned(lane_maximum + r * size));
    }
}

/// Which keys of `range` a row sees, for the few places where it must be known key by key.
template <class T, class Call>
void list_seen(const Call& call, const call_positions& where, const query_tile<T>& tile, index r,
               const block_view<T>& block, key_interval range, bool* sees) {
    const auto masks = call.lane_masks(tile.rows[r]);
    const index last = std::min(range.last, call.shape.keys - block.first);
    for (index key = range.first; key < last; key += vec<T>::size) {
        const auto keys = make_lanes<T>(call, where, tile.batch, block.first + key);
        const auto bits =
            (lanes_in<T>(tile.seen[r], block.first + key) & seen_lanes<T>(masks, keys)).bits();
        for (index l = 0; l < vec<T>::size; ++l) sees[key + l] = ((bits >> l) & 1) != 0;
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
