#pragma once

#include <concepts>
#include <cstddef>

#include <heed/attention/kernel/call/choices.hpp>
#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>

/// \file
/// Whether a part has what its role asks for, which part.hpp tells: one sentence where it has not,
/// before the kernels stumble over it.

namespace heed::inline HEED_ARCHITECTURE::detail {

template <class P, class T>
concept shows_lanes = requires(const P& part, const query_row& i, const key_lanes<T>& j) {
    { part.template on_row<T>(i)(j) } -> std::convertible_to<vec_mask<T>>;
};
template <class P>
concept shows_intervals = P::is_interval &&
    requires(const P& part, const query_row& i, const attention_shape& shape) {
    { part.interval(i, shape) } -> std::convertible_to<key_interval>;
};

template <class P, class T>
concept modifies_scores = requires(const P& part, const query_row& i, vec<T> s,
                                   const key_lanes<T>& j) {
    { part.template on_row<T>(i)(s, j) } -> std::convertible_to<vec<T>>;
};

template <class P>
concept scales_rows = requires(const P& part, const query_row& i, const attention_shape& shape) {
    { part.on_row(i, shape, index(0)) } -> std::convertible_to<double>;
};

template <class P, class T>
concept streams_rows = requires(const P& part) {
    part.template streaming<T>(index(0));
};

/// Stops the compilation with one sentence if a part lacks what its role asks for. False then.
template <class T, class P>
constexpr bool check_contract() {
    constexpr bool has_base = resource_part<P> || std::derived_from<P, part_base<role_of<P>>>;
    static_assert(
        has_base,
        "heed: a part derives from the base of its role, a mask from heed::mask_base, say, "
        "which has what it may leave out: see attention/part.hpp");
    if constexpr (!has_base) {
        return false;
    } else if constexpr (part_of<P, role::mask>) {
        constexpr bool holds = shows_intervals<P> || shows_lanes<P, T>;
        static_assert(holds,
                      "heed: a part of role mask needs on_row<T>(query_row), a function of "
                      "key_lanes<T> that returns a vec_mask<T>, or is_interval and interval: see "
                      "attention/part.hpp");
        return holds;
    } else if constexpr (part_of<P, role::modifier>) {
        constexpr bool holds = modifies_scores<P, T>;
        static_assert(holds,
                      "heed: a part of role modifier needs on_row<T>(query_row), a function of "
                      "vec<T> and key_lanes<T> that returns a vec<T>: see attention/part.hpp");
        return holds;
    } else if constexpr (part_of<P, role::scale>) {
        constexpr bool holds = scales_rows<P>;
        static_assert(holds,
                      "heed: a part of role scale needs on_row(query_row, attention_shape, "
                      "visible), which returns a double: see attention/part.hpp");
        return holds;
    } else if constexpr (part_of<P, role::normaliser>) {
        constexpr bool holds = streams_rows<P, T> || row_normaliser<P, T>;
        static_assert(holds,
                      "heed: a part of role normaliser needs streaming<T>(head) or "
                      "whole_row<T>(head): see attention/part.hpp");
        return holds;
    } else {
        return true;
    }
}

/// Of all that an argument may turn out to be.
template <class T, class P>
constexpr bool check_contracts() {
    return alternatives<P>::all([]<class A>() { return check_contract<T, unwrapped<A>>(); });
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
