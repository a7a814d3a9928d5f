#pragma once

#include <concepts>
#include <cstddef>

#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>

/// \file
/// Whether a part has what its role asks for, which part.hpp tells: one sentence where it has not,
/// before the kernels stumble over it.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A mask without `on_row` must see whole intervals.
template <class P, class T>
concept shows_keys = is_interval<P> &&
    requires(const P& part, const query_row& i, const attention_shape& shape) {
    { part.interval(i, shape) } -> std::convertible_to<key_interval>;
} || requires(const P& part, const query_row& i, const key_lanes<T>& j) {
    { part.template on_row<T>(i)(j) } -> std::convertible_to<vec_mask<T>>;
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
concept normalises_rows = requires(const P& part) {
    part.template streaming<T>(index(0));
}
|| requires(const P& part) { part.template whole_row<T>(index(0)); };

/// Stops the compilation with one sentence if a part lacks what its role asks for.
template <class T, class P>
constexpr void check_contract() {
    if constexpr (part_of<P, role::mask>) {
        static_assert(shows_keys<P, T>,
                      "heed: a part of role mask needs on_row<T>(query_row), a function of "
                      "key_lanes<T> that returns a vec_mask<T>, or is_interval and interval: see "
                      "attention/part.hpp");
    } else if constexpr (part_of<P, role::modifier>) {
        static_assert(modifies_scores<P, T>,
                      "heed: a part of role modifier needs on_row<T>(query_row), a function of "
                      "vec<T> and key_lanes<T> that returns a vec<T>: see attention/part.hpp");
    } else if constexpr (part_of<P, role::scale>) {
        static_assert(scales_rows<P>,
                      "heed: a part of role scale needs on_row(query_row, attention_shape, "
                      "visible), which returns a double: see attention/part.hpp");
    } else if constexpr (part_of<P, role::normaliser>) {
        static_assert(normalises_rows<P, T>,
                      "heed: a part of role normaliser needs streaming<T>(head) or "
                      "whole_row<T>(head): see attention/part.hpp");
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
