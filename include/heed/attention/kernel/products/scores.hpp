#pragma once

#include <algorithm>
#include <limits>

#include <heed/attention/kernel/products/block_view.hpp>
#include <heed/attention/kernel/products/encoding_maps.hpp>
#include <heed/attention/kernel/products/panels_of_keys.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/products/row_keys.hpp>
#include <heed/attention/kernel/products/streamed_products.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>

/// \file
/// The scores of a block of queries against a block of keys: the products here, the rest by the
/// program.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Memory for the view of a block by tiles of so many strips.
template <class T>
block_view<T> make_block_view(const attention_program<T>& program, index strips, arena& scratch) {
    return make_block_view<T>(strips, program.sight.has_lane_masks, program.source.is_rectified(),
                              scratch);
}

/// What a tile sees of the block of keys that begins at `first_key`.
template <class T>
void look_at_block(const attention_program<T>& program, const query_tile<T>& tile, index first_key,
                   block_view<T>& block) {
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
    }
    if (program.sight.has_lane_masks) program.sight.ask_panels(tile, block);
    if (program.source.is_rectified())
        find_maps(program.place, program.source.window, tile, first_key, block.panels, block.maps);
    block.seen = {key_block<T>, 0};
    for (index s = 0; s < tile.strip_count(); ++s) {
        if (block.range[s].first == block.range[s].last) continue;
        block.seen.first = std::min(block.seen.first, block.range[s].first);
        block.seen.last = std::max(block.seen.last, block.range[s].last);
    }
}

/// The first block of keys, from this one on, that there is: a cache may have forgotten some.
template <class T>
index next_block(const attention_program<T>& program, index batch, index number) {
    return program.cache == nullptr ? number : program.cache->next(batch, number);
}

/// f(block view) for every block of keys that a tile sees, in their order.
template <class T, class F>
void for_seen_blocks(const attention_program<T>& program, const query_tile<T>& tile,
                     block_view<T>& block, F&& f) {
    const key_interval seen = tile.seen_by_all();
    for (index number = seen.first / key_block<T>;; ++number) {
        number = next_block(program, tile.batch, number);
        if (number * key_block<T> >= seen.last) break;
        look_at_block(program, tile, number * key_block<T>, block);
        f(block);
    }
}

/// Runs f(first row, rows) over the strips of a tile that see keys at `key` of the block and are
/// `wanted`, as few times as possible.
template <class T, class Wanted, class F>
void for_strips(const query_tile<T>& tile, const block_view<T>& block, index key, Wanted&& wanted,
                F&& f) {
    const auto sees = [&](index s) { return block.sees(s, key) && wanted(s); };
    const index strips = tile.strip_count();
    for (index s = 0; s < strips; ++s) {
        if (!sees(s)) continue;
        const index begin = s;
        while (s + 1 < strips && sees(s + 1)) ++s;
        const index first_row = begin * tile.strip;
        f(first_row, std::min((s + 1) * tile.strip, tile.count) - first_row);
    }
}
template <class T, class F>
void for_strips_seeing(const query_tile<T>& tile, const block_view<T>& block, index key, F&& f) {
    for_strips(
        tile, block, key, [](index) { return true; }, f);
}

/// The products of packed rows with one panel of keys: to[r, …] for `rows` rows, `stride` apart.
/// lane_maximum, unless null, gets the largest of each lane so far, a vector a row.
template <class T>
void multiply_panel(const T* strips, index rows, const T* panel, index dim, T* to, index stride,
                    T* lane_maximum = nullptr) {
    constexpr int vectors = tiles.score_vectors;
    multiply_rows<tiles.score_rows, vectors>(
        rows, strips, tiles.score_rows * dim, fixed<1>(), fixed<tiles.score_rows>(), panel,
        fixed<panel_width<T>>(),
        dim, [=](index r, const vec<T>* scores) __attribute__((always_inline)) {
            unroll<vectors>([&](int c) __attribute__((always_inline)) {
                scores[c].store(to + r * stride + c * vec<T>::size);
            });
            raise_lane_maximum<vectors>(
                scores, lane_maximum == nullptr ? nullptr : lane_maximum + r * vec<T>::size);
        });
}

/// The products of a strip of queries with a panel for which not all of its scores take one map.
template <class T>
void multiply_mixed(const attention_program<T>& program, const query_tile<T>& tile,
                    const block_view<T>& block, index strip, index key,
                    const panels_of_keys<T>& keys, T* to, index stride) {
    constexpr index size = vec<T>::size, width = panel_width<T>;
    const index dim = program.shape().dim, first_row = strip * tile.strip;
    const index rows = std::min(tile.strip, tile.count - first_row);
    const map_set maps = block.maps_of(strip, key);
    alignas(64) array_of<T, tiles.score_rows * width> other;
    bool is_first = true;
    for (const encoding_map map : all_encoding_maps) {
        if (!maps.has(map)) continue;
        const T* strips = tile.strips[query_map(map)] + first_row * dim;
        const T* panel = keys.at(map, block.first + key);
        if (is_first) {
            multiply_panel(strips, rows, panel, dim, to, stride);
            is_first = false;
            continue;
        }
        multiply_panel(strips, rows, panel, dim, other, width);
        for (index r = 0; r < rows; ++r) {
            for (index c = 0; c < width; c += size) {
                T* at = to + r * stride + c;
                const auto lanes = make_lanes<T>(program.place, tile.batch, block.first + key + c);
                select(take_map<T>(program.source.window, tile.rows[first_row + r], lanes, map),
                       vec<T>::load(other + r * width + c), vec<T>::load(at))
                    .store(at);
            }
        }
    }
}

/// The products of a tile with one panel of keys, where they are seen. lane_maximum, unless null,
/// gets the largest of each lane so far.
template <class T>
void multiply_keys(const attention_program<T>& program, const query_tile<T>& tile,
                   const block_view<T>& block, index key, const panels_of_keys<T>& keys, T* scores,
                   index stride, T* lane_maximum) {
    constexpr index size = vec<T>::size;
    const auto multiply = [&](encoding_map map, index first_row, index rows) {
        const index dim = keys.dim;
        const T* strips = tile.strips[query_map(map)] + first_row * dim;
        const T* panel = keys.at(map, block.first + key);
        T* to = scores + first_row * stride + key;
        T* const maximum = lane_maximum == nullptr ? nullptr : lane_maximum + first_row * size;
        if (program.pairs != nullptr)
            program.pairs->multiply_panel(
                strips, rows, panel, dim,
                tile.factor == nullptr ? nullptr : tile.factor + first_row, to, stride, maximum);
        else
            multiply_panel(strips, rows, panel, dim, to, stride, maximum);
    };
    if (!program.source.is_rectified()) {
        for_strips_seeing(tile, block, key, [&](index first_row, index rows) {
            multiply(encoding_map::near, first_row, rows);
        });
        return;
    }
    for (const encoding_map map : all_encoding_maps) {
        const auto wanted = [&](index s) { return block.maps_of(s, key).is(map); };
        for_strips(tile, block, key, wanted,
                   [&](index first_row, index rows) { multiply(map, first_row, rows); });
    }
    for (index s = 0; s < tile.strip_count(); ++s) {
        if (!block.maps_of(s, key).is_mixed() || !block.sees(s, key)) continue;
        const index first_row = s * tile.strip;
        T* to = scores + first_row * stride + key;
        multiply_mixed(program, tile, block, s, key, keys, to, stride);
        if (lane_maximum == nullptr) continue;
        for (index r = 0; r < std::min(tile.strip, tile.count - first_row); ++r) {
            T* at = lane_maximum + (first_row + r) * size;
            vec<T> maximum = vec<T>::load_aligned(at);
            for (index c = 0; c < panel_width<T>; c += size)
                maximum = max(maximum, vec<T>::load(to + r * stride + c));
            maximum.store_aligned(at);
        }
    }
}

/// The products of a tile of one row with the panels of a block, where they are seen.
template <class T>
void multiply_one_row(const query_tile<T>& tile, const block_view<T>& block,
                      const panels_of_keys<T>& keys, T* scores, T* lane_maximum) {
    constexpr index width = panel_width<T>;
    constexpr int at_once = one_row_vectors / tiles.score_vectors;
    const T* strip = tile.strips[query_map(encoding_map::near)];
    for (index key = block.seen.first; key < block.seen.last;) {
        int seen = 0;
        while (seen < at_once && key + seen * width < block.seen.last &&
               block.sees(0, key + seen * width))
            ++seen;
        const auto panel = [&](index p) {
            return keys.at(encoding_map::near, block.first + key + p * width);
        };
        if (seen == at_once)
            multiply_row_panels<at_once>(strip, panel, keys.dim, scores + key, lane_maximum);
        else if (seen > 0)
            multiply_row_panels<1>(strip, panel, keys.dim, scores + key, lane_maximum);
        key += width * (seen == at_once ? at_once : 1);
    }
}

/// Where the products of a tile raise the largest of each lane, from −∞; or null.
template <class T>
T* begin_maximum(const attention_program<T>& program, const query_tile<T>& tile, T* lane_maximum) {
    // Where scores are changed afterwards, so is the largest of them.
    if (program.scores.changes_products && program.pairs == nullptr) return nullptr;
    const vec<T> lowest(-std::numeric_limits<T>::infinity());
    for (index r = 0; r < round_up(tile.count, tile.strip); ++r)
        lowest.store_aligned(lane_maximum + r * vec<T>::size);
    return lane_maximum;
}

/// The scores of a tile against one block of keys, rows `stride` apart, what is not seen −∞; and
/// the largest of each row in this block.
///
/// `lane_maximum` is scratch of a vector a row.
template <class T>
void score_block(const attention_program<T>& program, const query_tile<T>& tile,
                 const block_view<T>& block, const panels_of_keys<T>& keys, T* scores, index stride,
                 T* lane_maximum, T* row_maximum) {
    T* const maximum = begin_maximum(program, tile, lane_maximum);
    if (tile.count == 1 && !program.source.is_rectified() && program.pairs == nullptr) {
        multiply_one_row(tile, block, keys, scores, maximum);
    } else {
        for (index key = block.seen.first; key < block.seen.last; key += panel_width<T>)
            multiply_keys(program, tile, block, key, keys, scores, stride, maximum);
    }
    program.scores.finish(tile, block, scores, stride, lane_maximum, row_maximum);
}

/// Whether all rows of a tile see the same keys, whose block may be read as rows.
template <class T>
bool may_read_rows(const attention_program<T>& program, const query_tile<T>& tile) {
    const auto sees_as_first = [&](key_interval seen) {
        return seen.first == tile.seen[0].first && seen.last == tile.seen[0].last;
    };
    return !program.sight.has_lane_masks && !program.source.is_rectified() &&
           std::all_of(tile.seen, tile.seen + tile.count, sees_as_first);
}

/// The same for keys that are read as rows: by a tile that may, rows score_stride apart. Pairs ask
/// no tile.
template <class T>
void score_row_block(const attention_program<T>& program, const query_tile<T>& tile,
                     const block_view<T>& block, const row_keys<T>& keys, T* scores,
                     T* lane_maximum, T* row_maximum) {
    T* const maximum = begin_maximum(program, tile, lane_maximum);
    if (program.pairs != nullptr)
        program.pairs->multiply_row_keys(tile.panels, tile.count, keys, block.seen, block.range,
                                         tile.factor, scores, maximum);
    else
        program.cache->multiply_row_keys(tile.panels, tile.count, keys, block.seen, scores,
                                         maximum);
    program.scores.finish(tile, block, scores, score_stride<T>, lane_maximum, row_maximum);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
