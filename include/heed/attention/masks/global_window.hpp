#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include <heed/attention/masks/sliding_window.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/lanes.hpp>
#include <heed/core/scalar.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/vector_input.hpp>

/// \file
/// Global tokens beside a sliding window.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// The first tokens are global.
struct first_tokens {
    index count;

    bool holds(index position) const { return 0 <= position && position < count; }
    /// How many of positions first … last − 1 are global.
    index among(index first, index last) const {
        const index from = std::max(first, index(0));
        return std::max(std::min(count, last) - from, index(0));
    }
    key_interval reach() const { return {0, count}; }

    template <class T>
    vec_mask<T> lanes_of(const lanes<T>& position) const {
        return position >= 0 && position < count;
    }
};

/// The tokens of a list are global.
class listed_tokens {
  public:
    template <class Positions>
    explicit listed_tokens(const Positions& positions) {
        const auto given = checked_vector("heed::global_window", positions);
        static_assert(std::integral<std::remove_cvref_t<decltype(given(0))>>,
                      "heed: the positions of global tokens are integers");
        for (index e = 0; e < given.extents[0]; ++e) {
            require_argument(
                std::cmp_greater_equal(given(e), 0) && std::cmp_less(given(e), index(1) << 31),
                "heed::global_window: position ", e, " of the global tokens is ", given(e),
                ", but must lie between 0 and 2^31 - 1");
            sorted_.push_back(static_cast<index>(given(e)));
        }
        std::sort(sorted_.begin(), sorted_.end());
        sorted_.erase(std::unique(sorted_.begin(), sorted_.end()), sorted_.end());
        is_global_.setConstant(reach().last + margin, false);
        for (const index position : sorted_) is_global_(position) = true;
    }

    bool holds(index position) const {
        return position >= 0 && position < reach().last && is_global_(position);
    }
    index among(index first, index last) const { return below(last) - below(first); }
    key_interval reach() const {
        if (sorted_.empty()) return {0, 0};
        return {sorted_.front(), sorted_.back() + 1};
    }

    template <class T>
    vec_mask<T> lanes_of(const lanes<T>& position) const {
        if (all(position.offset == vec<T>::iota()) && position.base >= 0) {
            const index first = std::min(position.base, reach().last);
            return vec_mask<T>::load(is_global_.data() + first, vec<T>::size);
        }
        const auto whole = whole_positions(position);
        std::uint64_t bits = 0;
        for (std::size_t l = 0; l < whole.size(); ++l)
            bits |= static_cast<std::uint64_t>(holds(whole[l])) << l;
        return vec_mask<T>::from_bits(bits);
    }

  private:
    /// What a vector may read behind the last of them.
    static constexpr index margin = 64;

    index below(index position) const {
        return std::lower_bound(sorted_.begin(), sorted_.end(), position) - sorted_.begin();
    }

    std::vector<index> sorted_;
    Eigen::Array<bool, Eigen::Dynamic, 1> is_global_;  ///< of each position
};

}  // namespace detail

/// The type of heed::global_window(globals, left, right).
template <class Globals>
class global_window_mask : public mask_base {
  public:
    static constexpr bool by_position = true;

    global_window_mask(Globals globals, index left, index right)
        : globals_(std::move(globals)), left_(left), right_(right) {}

    key_interval interval(const query_row& i, const attention_shape& shape) const {
        if (globals_.holds(i.position)) return {0, shape.keys};
        const key_interval global = globals_.reach();
        index first = i.position - left_, last = i.position + right_ + 1;
        if (global.first < global.last) {
            first = std::min(first, global.first);
            last = std::max(last, global.last);
        }
        first = std::clamp<index>(first, 0, shape.keys);
        return {first, std::clamp<index>(last, first, shape.keys)};
    }

    template <class T>
    auto on_row(const query_row& i) const {
        const auto position = i.lane_position<T>();
        return [this, from = position - left_, to = position + right_,
                is_global = vec_mask<T>(globals_.holds(i.position))](const key_lanes<T>& j) {
            const vec_mask<T> near = from <= j.position && j.position <= to;
            return is_global || globals_.lanes_of(j.position) || near;
        };
    }

    visibility tile(const query_row& first, const query_row& last, key_interval keys) const {
        const index queries = last.position + 1 - first.position, last_key = keys.last - 1;
        const index global_queries = globals_.among(first.position, last.position + 1);
        const index global_keys = globals_.among(keys.first, keys.last);
        const bool near =
            last.position - left_ <= keys.first && last_key <= first.position + right_;
        if (global_queries == queries || global_keys == keys.last - keys.first || near)
            return visibility::all;
        const bool apart = last_key < first.position - left_ || keys.first > last.position + right_;
        return global_queries + global_keys > 0 || !apart ? visibility::mixed : visibility::none;
    }

  private:
    Globals globals_;
    index left_, right_;
};

/// A sliding window with global tokens (arXiv 2004.05150): query i sees key j if −right ≤ i − j ≤
/// left, or if one of the two stands before position `globals`; so the first `globals` tokens see
/// all and are seen by all. With heed::causal beside it, queries see the first tokens and the last
/// `left` + 1, as attention with kept first tokens does (arXiv 2309.17453).
///
///     auto o = heed::attention(q, k, v, heed::global_window(4, 255, 255));
///
/// argument_error if one of the three is negative.
template <std::integral Globals, std::integral Left, std::integral Right>
[[nodiscard]] global_window_mask<detail::first_tokens> global_window(Globals globals, Left left,
                                                                     Right right) {
    constexpr std::string_view part = "heed::global_window";
    return {detail::first_tokens{detail::window_side(part, "globals", globals)},
            detail::window_side(part, "left", left), detail::window_side(part, "right", right)};
}

/// The same where the global tokens stand at the positions of a list: any vector of integers, in
/// any order; it is read when the part is made.
///
///     auto o = heed::attention(q, k, v, heed::global_window(std::vector{0, 17, 64}, 255, 255));
///
/// argument_error if a side or a position is negative, or a position not below 2³¹.
template <detail::vector_like Positions, std::integral Left, std::integral Right>
[[nodiscard]] global_window_mask<detail::listed_tokens> global_window(const Positions& globals,
                                                                      Left left, Right right) {
    constexpr std::string_view part = "heed::global_window";
    return {detail::listed_tokens(globals), detail::window_side(part, "left", left),
            detail::window_side(part, "right", right)};
}

}  // namespace heed::inline HEED_ARCHITECTURE
