#pragma once

#include <algorithm>
#include <bit>
#include <tuple>
#include <utility>

#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/kernel/products/block_view.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/bound_parts.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// Which keys rows see, by masks.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// row_sight by masks, a tuple of references.
template <class T, bool MovesKeys, class Masks>
class row_sight_of final : public row_sight<T> {
    using lane_masks = decltype(select_lane_masks<MovesKeys>(std::declval<const Masks&>()));
    static constexpr bool asks_lanes = std::tuple_size_v<lane_masks> != 0;

  public:
    row_sight_of(const call_place& place, const Masks& masks)
        : place_(place), masks_(masks), lane_masks_(select_lane_masks<MovesKeys>(masks)) {
        this->has_lane_masks = asks_lanes;
    }

    void look(query_tile<T>& tile) const override {
        const attention_shape own = place_.sequence(tile.batch);
        for (index r = 0; r < tile.count; ++r) {
            tile.rows[r] = make_row(place_, tile.batch, tile.head, tile.first + r);
            tile.seen[r] = interval(tile.rows[r], own);
        }
    }

    void ask_panels([[maybe_unused]] const query_tile<T>& tile,
                    [[maybe_unused]] block_view<T>& block) const override {
        if constexpr (asks_lanes) {
            constexpr index width = panel_width<T>;
            for (index s = 0; s < tile.strip_count(); ++s) {
                const query_row& first = tile.rows[s * tile.strip];
                const query_row& last = tile.rows[std::min((s + 1) * tile.strip, tile.count) - 1];
                auto& [begin, end] = block.range[s];
                for (index key = begin; key < end; key += width) {
                    const index first_key = block.first + key;
                    block.answers[s * block.panels + key / width] = ask(
                        first, last, {first_key, std::min(first_key + width, place_.shape.keys)});
                }
                while (begin < end && block.of(s, begin) == visibility::none) begin += width;
                while (begin < end && block.of(s, end - width) == visibility::none) end -= width;
            }
        }
    }

    void list_seen(const query_tile<T>& tile, index r, const block_view<T>& block,
                   key_interval range, bool* sees) const override {
        const auto masks = bind_to_row<T>(lane_masks_, tile.rows[r]);
        const index last = std::min(range.last, place_.shape.keys - block.first);
        for (index key = range.first; key < last; key += vec<T>::size) {
            const auto keys = make_lanes<T, MovesKeys>(place_, tile.batch, block.first + key);
            const auto bits =
                (lanes_in<T>(tile.seen[r], block.first + key) & seen_lanes<T>(masks, keys)).bits();
            for (index l = 0; l < vec<T>::size; ++l) sees[key + l] = ((bits >> l) & 1) != 0;
        }
    }

    index count_seen(const query_row& row, key_interval seen) const override {
        if constexpr (!asks_lanes) return seen.last - seen.first;
        const auto masks = bind_to_row<T>(lane_masks_, row);
        index count = 0;
        for (index key = seen.first; key < seen.last; key += vec<T>::size) {
            const auto keys = make_lanes<T, MovesKeys>(place_, row.batch, key);
            const auto lanes = seen_lanes<T>(masks, keys) & vec_mask<T>::first(seen.last - key);
            count += std::popcount(lanes.bits());
        }
        return count;
    }

  private:
    /// No key outside this interval is seen by the row; every key inside, if there are no lane
    /// masks.
    key_interval interval(const query_row& row, const attention_shape& of_sequence) const {
        key_interval seen{0, of_sequence.keys};
        [[maybe_unused]] const auto intersect = [&]<class Mask>(const Mask& mask) {
            constexpr bool holds = !(MovesKeys && Mask::by_position);
            if constexpr (holds && requires { mask.interval(row, of_sequence); }) {
                const key_interval own = mask.interval(row, of_sequence);
                seen.first = std::max(seen.first, own.first);
                seen.last = std::min(seen.last, own.last);
            }
        };
        std::apply([&](const auto&... mask) { (intersect(mask), ...); }, masks_);
        if (seen.last < seen.first) seen.last = seen.first;
        return seen;
    }

    /// The least visible answer of the lane masks that answer at all.
    visibility ask(const query_row& first, const query_row& last, key_interval keys) const {
        visibility least = visibility::all;
        const auto one = [&]<class Mask>(const Mask& mask) {
            constexpr bool holds = !(MovesKeys && Mask::by_position);
            visibility answer = visibility::mixed;
            if constexpr (holds && requires { mask.tile(first, last, keys); })
                answer = mask.tile(first, last, keys);
            least = std::min(least, answer);
        };
        std::apply([&](const auto&... mask) { (one(mask), ...); }, lane_masks_);
        return least;
    }

    const call_place& place_;
    Masks masks_;
    lane_masks lane_masks_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
