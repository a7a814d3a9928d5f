#pragma once

#include <cstddef>
#include <tuple>
#include <type_traits>

#include <heed/attention/kernel/call/choices.hpp>
#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>

/// \file
/// The masks and modifiers of a call as functions of the keys of one row.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Whether a mask must be asked lane by lane; the others are intervals.
template <bool MovesKeys, class Mask>
inline constexpr bool is_lane_mask = !Mask::is_interval || (MovesKeys && Mask::by_position);

/// Those of a call.
template <bool MovesKeys, class... Masks>
auto select_lane_masks(const std::tuple<const Masks&...>& masks) {
    [[maybe_unused]] const auto one = []<class Mask>(const Mask& mask) {
        if constexpr (is_lane_mask<MovesKeys, Mask>)
            return std::tuple<const Mask&>(mask);
        else
            return std::tuple<>();
    };
    return std::apply([&](const auto&... mask) { return std::tuple_cat(one(mask)...); }, masks);
}

/// make(moves_keys, lane masks, modifiers) of the parts in a tuple: whether keys stand elsewhere
/// than at their indices, as a type, and tuples of references. Made is said, not deduced: while
/// clang 14 deduces it, it does not define the virtual functions of what is made.
template <class Made, class Parts, class Make>
const Made& with_score_parts(const Parts& all, const Make& make) {
    return with_roles<role::mask, role::modifier, role::positions>(
        all, [&]<class... Chosen>(const Chosen&... parts) -> const Made& {
            constexpr bool moves = (moves_keys<Chosen> || ...);
            return make(std::bool_constant<moves>(),
                        select_lane_masks<moves>(select_role<role::mask>(parts...)),
                        select_role<role::modifier>(parts...));
        });
}

/// The parts themselves, whether they are learned or not.
template <class... Parts>
auto unwrap_all(const std::tuple<const Parts&...>& parts) {
    return std::apply(
        [](const Parts&... part) {
            return std::tuple<const unwrapped<Parts>&...>(unwrap(part)...);
        },
        parts);
}

/// Parts bound to a row: a tuple of functions.
template <class T, class... Parts>
auto bind_to_row(const std::tuple<const Parts&...>& parts, const query_row& row) {
    return std::apply(
        [&](const auto&... part) {
            return std::make_tuple(unwrap(part).template on_row<T>(row)...);
        },
        parts);
}

/// What all masks of a row together say of a vector of keys.
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

/// s of one vector through all modifiers of a row, from left to right.
template <class T, class Modifiers>
vec<T> modify(const Modifiers& modifiers, vec<T> score, const key_lanes<T>& keys) {
    std::apply([&](const auto&... modifier) { ((score = modifier(score, keys)), ...); }, modifiers);
    return score;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
