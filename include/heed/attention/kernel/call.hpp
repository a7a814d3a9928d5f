#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/attention/kernel/contracts.hpp>
#include <heed/attention/kernel/padding.hpp>
#include <heed/attention/kernel/roles_of_call.hpp>
#include <heed/attention/observers/observer.hpp>
#include <heed/attention/part.hpp>
#include <heed/attention/position_encoding.hpp>
#include <heed/attention/positions.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>
#include <heed/softmax/softmax.hpp>

/// \file
/// One call of attention: its shape, its inputs, and its parts by role; checked before anything
/// else happens.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// [batch, head, sequence, dim] of q, k and v, or the shape_error that says why not.
template <class T>
attention_shape shape_of(const tensor_view<const T, 4>& q, const tensor_view<const T, 4>& k,
                         const tensor_view<const T, 4>& v) {
    check_view("q", q);
    check_view("k", k);
    check_view("v", v);
    const auto& [batch, heads, queries, dim] = q.extents;
    require_shape(dim > 0, "q has shape ", q.extents, ", but its last axis must not be empty");
    require_shape(v.extents[3] > 0, "v has shape ", v.extents,
                  ", but its last axis must not be empty");
    require_shape(k.extents[3] == dim, "q has shape ", q.extents, " and k has shape ", k.extents,
                  ", but their last axes must be the same");
    require_shape(k.extents[0] == batch && v.extents[0] == batch, "q, k and v have shapes ",
                  q.extents, ", ", k.extents, " and ", v.extents,
                  ", but their batches must be the same");
    require_shape(v.extents[1] == k.extents[1] && v.extents[2] == k.extents[2], "k has shape ",
                  k.extents, " and v has shape ", v.extents,
                  ", but they must have the same heads and the same sequence");
    const index kv_heads = k.extents[1];
    const bool divides = kv_heads > 0 ? heads > 0 && heads % kv_heads == 0 : heads == 0;
    const bool divides_if_swapped = k.extents[2] > 0 && queries > 0 && queries % k.extents[2] == 0;
    require_shape(divides || !divides_if_swapped, "q has ", heads, " heads and k has ", kv_heads,
                  ", but those of k must divide those of q; are the axes [batch, sequence, heads, "
                  "dim]? heed takes heads first: heed::split_heads or heed::view by strides");
    require_shape(divides, "q has ", heads, " heads and k has ", kv_heads,
                  ", but those of k must divide those of q");
    require_shape(k.extents[2] < (index(1) << 31), "k has ", k.extents[2],
                  " keys, but there may be 2^31 - 1 at most");
    return {batch, heads, kv_heads, queries, k.extents[2], dim, v.extents[3]};
}

template <class T, class... Parts>
class attention_call {
  public:
    /// Keys, too, stand elsewhere than at their indices.
    static constexpr bool has_positions = (moves_keys<Parts> || ...);
    /// Each sequence has keys of its own number, and its queries stand at their end.
    static constexpr bool has_cache_lengths =
        count_of<role::positions, Parts...> == 1 && !has_positions;
    static constexpr bool has_encoding = count_of<role::position_encoding, Parts...> == 1;
    static constexpr bool is_rectified = (rectifies<Parts> || ...);
    /// Backward is not observed.
    static constexpr bool has_observers = (is_bound_observer<Parts> || ...);
    /// No modifier learns, and the derivative of each is 1.
    static constexpr bool only_adds = ((!part_of<Parts, role::modifier> ||
                                        (!is_learned<Parts> && is_additive<unwrapped<Parts>>)) &&
                                       ...);

    attention_shape shape;
    tensor_view<const T, 4> q, k, v;

    attention_call(const tensor_view<const T, 4>& queries, const tensor_view<const T, 4>& keys,
                   const tensor_view<const T, 4>& values, const Parts&... parts)
        : shape(shape_of(queries, keys, values)),
          q(queries),
          k(keys),
          v(values),
          parts_(parts...),
          masks_(select_role<role::mask>(parts...)),
          modifiers_(select_role<role::modifier>(parts...)) {
        (check_contract<T, unwrapped<Parts>>(), ...);
        (check_part(unwrap(parts), shape), ...);
        if constexpr (count_of<role::positions, Parts...> == 0)
            check_padding<T>(shape, unwrap(parts)...);
    }

    const auto& parts() const { return parts_; }
    /// References to those of one role, in their order, as a tuple.
    template <class Role>
    auto parts_of() const {
        return std::apply([](const auto&... part) { return select_role<Role>(part...); }, parts_);
    }

    /// see(name, view) for all memory that the call reads: q, k, v, and what parts were given.
    template <class See>
    void see_inputs(const See& see) const {
        see("q", q);
        see("k", k);
        see("v", v);
        std::apply([&](const auto&... part) { (detail::see_inputs(unwrap(part), see), ...); },
                   parts_);
    }

    const auto& masks() const { return masks_; }
    const auto& modifiers() const { return modifiers_; }
    const auto& scale() const { return unwrap(part_or<role::scale>(standard_scale)); }
    const auto& scale_as_given() const { return part_or<role::scale>(standard_scale); }
    const auto& normaliser() const { return unwrap(part_or<role::normaliser>(softmax)); }
    const auto& normaliser_as_given() const { return part_or<role::normaliser>(softmax); }
    const auto& encoding() const { return part_or<role::position_encoding>(nothing); }
    /// heed::cache_lengths, or nothing.
    const auto& lengths() const {
        if constexpr (has_cache_lengths)
            return part_or<role::positions>(nothing);
        else
            return nothing;
    }

    on_pool pool() const {
        if constexpr (count_of<role::threads, Parts...> == 1)
            return part_or<role::threads>(nothing);
        else
            return {.pool = nullptr};
    }
    workspace& memory() const {
        if constexpr (count_of<role::memory, Parts...> == 1)
            return *part_or<role::memory>(nothing).memory;
        else
            return thread_workspace();
    }

    /// Where queries and keys stand; explicit positions are written into `scratch`.
    call_positions positions(arena& scratch) const {
        if constexpr (has_positions || has_cache_lengths) {
            return part_or<role::positions>(nothing).prepare(scratch, shape);
        } else {
            return {.query_first = shape.keys - shape.queries};
        }
    }

  private:
    template <class Role, class Default>
    const auto& part_or(const Default& otherwise) const {
        return std::apply(
            [&](const auto&... parts) -> const auto& {
                return the_part<Role>(otherwise, parts...);
            },
            parts_);
    }

    std::tuple<const Parts&...> parts_;
    decltype(select_role<role::mask>(std::declval<const Parts&>()...)) masks_;
    decltype(select_role<role::modifier>(std::declval<const Parts&>()...)) modifiers_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
