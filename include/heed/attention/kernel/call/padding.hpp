#pragma once

#include <algorithm>
#include <string_view>
#include <type_traits>

#include <heed/attention/kernel/call/choices.hpp>
#include <heed/attention/kernel/call/contracts.hpp>
#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>

/// \file
/// A batch of padded sequences beside what goes by position: the end of the padding is not the end
/// of a sequence.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A mask that knows where padding begins.
template <class P>
concept padding_mask = part_of<P, role::mask> && requires(const P& mask) {
    mask.padded_from(index(0));
};

/// Whether a part depends on where queries stand.
template <class T, class P>
constexpr bool reads_positions = [] {
    if constexpr (requires { P::template by_position_of<T>; })
        return P::template by_position_of<T>;
    else if constexpr (part_of<P, role::mask> || part_of<P, role::modifier> ||
                       part_of<P, role::position_encoding>)
        return P::by_position;
    else
        return false;
}();

/// Whether queries at the end of all keys are to this part what they are at the end of the first
/// `length` ones. Only masks that are intervals can tell; the answer of others is no.
template <class T, class P>
bool ends_are_alike(const P& part, const attention_shape& shape, index batch, index length) {
    if constexpr (!reads_positions<T, P>) {
        return true;
    } else if constexpr (!shows_intervals<P>) {
        return false;
    } else {
        attention_shape own = shape;
        own.keys = length;
        const auto seen = [&](index head, index i, const attention_shape& of) {
            const query_row row{
                .batch = batch, .head = head, .query = i, .position = i + of.keys - of.queries};
            key_interval keys = part.interval(row, of);
            keys.last = std::min(keys.last, length);
            return keys.first < keys.last ? keys : key_interval{0, 0};
        };
        for (index head = 0; head < shape.heads; ++head) {
            for (index i = 0; i < shape.queries; ++i) {
                const key_interval padded = seen(head, i, shape), bare = seen(head, i, own);
                if (padded.first != bare.first || padded.last != bare.last) return false;
            }
        }
        return true;
    }
}

/// Refuses a call without heed::positions in which queries stand at the end of padding, where any
/// of its parts would take them otherwise at the end of their own keys: one of the two is meant,
/// and mostly not the padding's.
template <class T, class... Parts>
void check_padding([[maybe_unused]] const attention_shape& shape,
                   [[maybe_unused]] const Parts&... parts) {
    constexpr bool may_pad =
        (alternatives<Parts>::any([]<class A>() { return padding_mask<unwrapped<A>>; }) || ...);
    if constexpr (may_pad) {
        bool is_placed = false;
        const auto look = [&]<class P>(const P&) {
            is_placed = is_placed || part_of<P, role::positions>;
        };
        (visit_part(parts, look), ...);
        if (is_placed || shape.queries == shape.keys) return;  // both begin with their sequence
        const auto are_alike = [&](const auto& part, index batch, index length) {
            bool alike = true;
            visit_part(part, [&](const auto& chosen) {
                alike = ends_are_alike<T>(unwrap(chosen), shape, batch, length);
            });
            return alike;
        };
        const auto check = [&]<class Mask>(const Mask& mask) {
            if constexpr (padding_mask<Mask>) {
                for (index batch = 0; batch < shape.batch; ++batch) {
                    const index length = mask.padded_from(batch);
                    if (length == 0 || length == shape.keys) continue;
                    require_argument(
                        (are_alike(parts, batch, length) && ...), Mask::name, ": sequence ", batch,
                        " has ", length, " of ", shape.keys,
                        " keys, but a part by position would take its ", shape.queries,
                        " queries to stand at the end of all of them; say heed::cache_lengths for "
                        "queries at the end of their own keys, or where they stand by "
                        "heed::positions");
                }
            }
        };
        (visit_part(parts, [&](const auto& part) { check(unwrap(part)); }), ...);
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
