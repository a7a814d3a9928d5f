#pragma once

#include <limits>
#include <tuple>

#include <heed/attention/kernel/products/block_view.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/bound_parts.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>

/// \file
/// From products to scores: all modifiers and masks in one pass over a row, in registers.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// score_rule by lane masks and modifiers, tuples of references.
template <class T, bool MovesKeys, class LaneMasks, class Modifiers>
class score_rule_of final : public score_rule<T> {
    static constexpr bool asks_lanes = std::tuple_size_v<LaneMasks> != 0;
    static constexpr bool modifies = std::tuple_size_v<Modifiers> != 0;

  public:
    score_rule_of(const call_place& place, const LaneMasks& masks, const Modifiers& modifiers)
        : place_(place), masks_(masks), modifiers_(modifiers) {
        this->changes_products = asks_lanes || modifies;
    }

    void finish(const query_tile<T>& tile, const block_view<T>& block, T* scores, index stride,
                [[maybe_unused]] const T* lane_maximum, T* row_maximum) const override {
        for (index r = 0; r < tile.count; ++r) {
            const key_interval range = block.range[r / tile.strip];
            T* row = scores + r * stride;
            if (asks_lanes || tile.seen[r].first > block.first + range.first ||
                tile.seen[r].last < block.first + range.last)
                row_maximum[r] = finish_row(tile, r, block, range, row);
            else if constexpr (modifies)
                row_maximum[r] = modify_row(tile.rows[r], block.first, range, row);
            else
                row_maximum[r] = reduce_max(vec<T>::load_aligned(lane_maximum + r * vec<T>::size));
        }
    }

  private:
    /// A row, all of whose range is seen: the largest score.
    T modify_row(const query_row& row, index first_key, key_interval range, T* scores) const {
        constexpr index size = vec<T>::size;
        const auto modifiers = bind_to_row<T>(modifiers_, row);
        vec<T> maximum[2] = {-std::numeric_limits<T>::infinity(),
                             -std::numeric_limits<T>::infinity()};
        for (index key = range.first; key < range.last; key += 2 * size) {
            unroll<2>([&](int half) __attribute__((always_inline)) {
                T* at = scores + key + half * size;
                const auto keys =
                    make_lanes<T, MovesKeys>(place_, row.batch, first_key + key + half * size);
                const vec<T> score = modify(modifiers, vec<T>::load(at), keys);
                score.store(at);
                maximum[half] = max(maximum[half], score);
            });
        }
        return reduce_max(max(maximum[0], maximum[1]));
    }

    /// Any row: what is not seen becomes −∞. The largest score.
    T finish_row(const query_tile<T>& tile, index r, const block_view<T>& block, key_interval range,
                 T* scores) const {
        constexpr index size = vec<T>::size;
        const query_row& row = tile.rows[r];
        const key_interval seen{tile.seen[r].first - block.first, tile.seen[r].last - block.first};
        const auto modifiers = bind_to_row<T>(modifiers_, row);
        const auto masks = bind_to_row<T>(masks_, row);
        const vec<T> left_out(-std::numeric_limits<T>::infinity());
        vec<T> maximum = left_out;
        for (index panel = range.first; panel < range.last; panel += panel_width<T>) {
            visibility answer = visibility::all;
            if constexpr (asks_lanes) answer = block.of(r / tile.strip, panel);
            unroll<tiles.score_vectors>([&](int half) __attribute__((always_inline)) {
                const index key = panel + half * size;
                vec<T> score = left_out;
                if (answer != visibility::none && key + size > seen.first && key < seen.last) {
                    score = vec<T>::load(scores + key);
                    const auto keys =
                        make_lanes<T, MovesKeys>(place_, row.batch, block.first + key);
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

    const call_place& place_;
    LaneMasks masks_;
    Modifiers modifiers_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
