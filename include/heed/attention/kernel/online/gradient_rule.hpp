#pragma once

#include <algorithm>
#include <cstddef>
#include <tuple>
#include <utility>

#include <heed/attention/kernel/products/block_view.hpp>
#include <heed/attention/kernel/products/packed_head.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/bound_parts.hpp>
#include <heed/attention/kernel/program/learning.hpp>
#include <heed/attention/kernel/program/modifier_gradient.hpp>
#include <heed/attention/part.hpp>
#include <heed/attention/stats.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/view.hpp>

/// \file
/// A streaming normaliser, with all that changes scores, as the backward kernel knows it.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// From products and dp to probabilities and gradients of the products.
template <class T>
class gradient_rule {
  public:
    /// certain[r]: whether one key has all of a row's weight, so that o is its v.
    virtual void list_certain(const query_tile<T>& tile, bool* certain) const = 0;
    /// p·dp of each row becomes what is subtracted from its dp: less what the log-sum-exp's
    /// gradient adds.
    virtual void finish_statistics(const query_tile<T>& tile, T* p_dot_dp) const = 0;
    /// Products of a tile with a block become p, and dp becomes the gradient of the products, both
    /// in place, rows score_stride apart; what is not seen becomes 0 in both. Modifiers that are
    /// learned add to their gradients.
    virtual void differentiate(const query_tile<T>& tile, const block_view<T>& block,
                               const T* statistic, T* products, T* dp) const = 0;

  protected:
    ~gradient_rule() = default;
};

/// gradient_rule by lane masks and modifiers, tuples of references (among modifiers those to a
/// learning_part), and a normaliser.
template <class T, bool MovesKeys, class LaneMasks, class Modifiers, class Normaliser>
class gradient_rule_of final : public gradient_rule<T> {
    using stream_type = kernel_of<T, Normaliser>;
    using row_statistics = typename stream_type::statistics;
    static constexpr bool asks_lanes = std::tuple_size_v<LaneMasks> != 0;
    static constexpr bool modifies = std::tuple_size_v<Modifiers> != 0;

  public:
    gradient_rule_of(const call_place& place, const LaneMasks& masks, const Modifiers& modifiers,
                     const Normaliser& normaliser, const row_statistics* statistics,
                     const tensor_view<const T, 3>& d_lse)
        : place_(place),
          masks_(masks),
          modifiers_(modifiers),
          normaliser_(normaliser),
          statistics_(statistics),
          d_lse_(d_lse) {}

    void list_certain(const query_tile<T>& tile, bool* certain) const override {
        for (index r = 0; r < tile.count; ++r) {
            if constexpr (requires(const row_statistics& row) { row.sum; })
                certain[r] = of_row(tile, r).sum == 1;
            else
                certain[r] = false;
        }
    }

    void finish_statistics([[maybe_unused]] const query_tile<T>& tile,
                           [[maybe_unused]] T* p_dot_dp) const override {
        if constexpr (requires(const stream_type& s) { s.with_log_sum_exp_gradient(T(0), T(0)); }) {
            if (d_lse_.data == nullptr) return;
            const auto stream = normaliser_.template streaming<T>(tile.head);
            for (index r = 0; r < tile.count; ++r)
                p_dot_dp[r] = stream.with_log_sum_exp_gradient(
                    p_dot_dp[r], d_lse_(tile.batch, tile.head, tile.first + r));
        }
    }

    void differentiate(const query_tile<T>& tile, const block_view<T>& block, const T* statistic,
                       T* products, T* dp) const override {
        const index blocks = count_blocks(place_.shape.keys, key_block<T>);
        const index head = tile.batch * place_.shape.heads + tile.head;
        const learning_at learning{head * blocks + block.first / key_block<T>};
        const auto stream = normaliser_.template streaming<T>(tile.head);
        for (index r = 0; r < tile.count; ++r) {
            const key_interval range = block.range[r / tile.strip];
            if (range.first == range.last) continue;
            differentiate_row(tile, r, block, range, stream.row(of_row(tile, r), statistic[r]),
                              learning, products + r * score_stride<T>, dp + r * score_stride<T>);
        }
    }

  private:
    const row_statistics& of_row(const query_tile<T>& tile, index r) const {
        const index head = tile.batch * place_.shape.heads + tile.head;
        return statistics_[head * place_.shape.queries + tile.first + r];
    }

    template <class Row>
    void differentiate_row(const query_tile<T>& tile, index r, const block_view<T>& block,
                           key_interval range, const Row& normaliser, const learning_at& learning,
                           T* scores, T* dp) const {
        constexpr index size = vec<T>::size;
        const query_row& row = tile.rows[r];
        const key_interval seen{tile.seen[r].first - block.first, tile.seen[r].last - block.first};
        const auto modifiers = bind_to_row<T>(modifiers_, row);
        [[maybe_unused]] const auto masks = bind_to_row<T>(masks_, row);
        const vec<T> zero(T(0));

        const auto differentiate_at = [&](index key, const auto& harmless)
            __attribute__((always_inline)) {
            key_lanes<T> keys;
            if constexpr (modifies)
                keys = make_lanes<T, MovesKeys>(place_, row.batch, block.first + key);
            const vec<T> of_p = harmless(vec<T>::load(dp + key));
            const vec<T> gradient = differentiate_modifiers<T>(
                modifiers_, modifiers, learning, row, keys, harmless(vec<T>::load(scores + key)),
                harmless, [&](vec<T> score) __attribute__((always_inline)) {
                    const vec<T> p = harmless(normaliser.probability(score));
                    p.store(scores + key);
                    return harmless(normaliser.gradient(score, p, of_p));
                });
            gradient.store(dp + key);
        };
        for (index key = range.first; key < range.last; key += size) {
            const index whole = seen_whole_until(tile, r, block, key, range.last);
            for (; key < whole; key += size)
                differentiate_at(
                    key, [](vec<T> x) __attribute__((always_inline)) { return x; });
            if (key == range.last) break;
            vec_mask<T> visible = lanes_in<T>(seen, key);
            if constexpr (asks_lanes)
                visible = visible & seen_lanes_of(masks, row, block.first + key,
                                                  block.of(r / tile.strip, key));
            // Lanes that are not seen may hold anything.
            if (any(visible))
                differentiate_at(
                    key, [ visible, zero ](vec<T> x)
                             __attribute__((always_inline)) { return select(visible, x, zero); });
            else
                for (T* numbers : {scores, dp}) zero.store(numbers + key);
        }
    }

    /// The end of the run of vectors from `key` on, all of whose keys a row sees.
    static index seen_whole_until(const query_tile<T>& tile, index r, const block_view<T>& block,
                                  index key, index last) {
        const index first_seen = tile.seen[r].first - block.first;
        const index last_seen = tile.seen[r].last - block.first;
        if (key < first_seen) return key;
        const index vectors = std::max<index>(0, std::min(last, last_seen) - key) / vec<T>::size;
        const index end = key + vectors * vec<T>::size;
        if constexpr (!asks_lanes) return end;
        const index strip = r / tile.strip;
        index at = key;
        while (at < end && block.of(strip, at) == visibility::all)
            at = (at / panel_width<T> + 1) * panel_width<T>;
        return std::min(at, end);
    }

    template <class Masks>
    vec_mask<T> seen_lanes_of(const Masks& masks, const query_row& row, index key,
                              visibility answer) const {
        if (answer != visibility::mixed) return vec_mask<T>(answer == visibility::all);
        return seen_lanes<T>(masks, make_lanes<T, MovesKeys>(place_, row.batch, key));
    }

    const call_place& place_;
    LaneMasks masks_;
    Modifiers modifiers_;
    const Normaliser& normaliser_;
    const row_statistics* statistics_;
    tensor_view<const T, 3> d_lse_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
