#pragma once

#include <heed/attention/kernel/products/encoding_maps.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// What a tile sees of one block of keys.
///
/// Two levels of blocks: keys come key_block at a time, anchored at absolute positions; within a
/// block, what a strip of score_rows queries does not see is left out panel by panel.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// For each strip of queries a range of panels, in keys relative to the block, and for lane masks
/// what they say of each panel.
template <class T>
struct block_view {
    static constexpr index panels = key_block<T> / panel_width<T>;

    index first = 0;         ///< the block's first key
    key_interval seen = {};  ///< the union of the ranges
    key_interval* range =
        nullptr;  ///< [strips]: multiples of panel_width, empty if nothing is seen
    visibility* answers = nullptr;  ///< [strips, panels]; null for calls without lane masks
    map_set* maps = nullptr;        ///< [strips, panels]; null but for rectified encodings

    visibility of(index strip, index key) const {
        return answers == nullptr ? visibility::all
                                  : answers[strip * panels + key / panel_width<T>];
    }
    map_set maps_of(index strip, index key) const {
        return maps[strip * panels + key / panel_width<T>];
    }
    /// Whether a strip sees keys at `key` of the block.
    bool sees(index strip, index key) const {
        return key >= range[strip].first && key < range[strip].last &&
               of(strip, key) != visibility::none;
    }
};

template <class T>
block_view<T> make_block_view(index strips, bool has_lane_masks, bool is_rectified,
                              arena& scratch) {
    const index all = strips * block_view<T>::panels;
    return {0,
            {},
            scratch.take<key_interval>(strips),
            has_lane_masks ? scratch.take<visibility>(all) : nullptr,
            is_rectified ? scratch.take<map_set>(all) : nullptr};
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
