#pragma once

#include <concepts>
#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <heed/attention/part.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/core/architecture.hpp>
#include <heed/softmax/softmax.hpp>

/// \file
/// From the parts of a call, in any order, to what plays which role.

namespace heed::inline HEED_ARCHITECTURE::detail {

template <class P>
inline constexpr bool is_learned = false;
template <class P>
inline constexpr bool is_learned<learned<P>> = true;

/// The part itself, learned or not.
template <class P>
const P& unwrap(const P& part) {
    return part;
}
template <class P>
const P& unwrap(const learned<P>& part) {
    return part.part;
}
template <class P>
using unwrapped = std::remove_cvref_t<decltype(unwrap(std::declval<const P&>()))>;

template <class Role, class... Parts>
inline constexpr std::size_t count_of = (std::size_t(0) + ... +
                                         std::size_t(part_of<Parts, Role> ? 1 : 0));

/// References to the parts of one role, in their order, as a tuple.
template <class Role, class... Parts>
auto select_role(const Parts&... parts) {
    [[maybe_unused]] const auto one = []<class P>(const P& part) {
        if constexpr (part_of<P, Role>) {
            return std::tuple<const P&>(part);
        } else {
            return std::tuple<>();
        }
    };
    return std::tuple_cat(one(parts)...);
}

/// The one part of a role, or what stands in for it.
template <class Role, class Default, class... Parts>
const auto& the_part(const Default& otherwise, const Parts&... parts) {
    if constexpr (count_of<Role, Parts...> == 0) {
        return otherwise;
    } else {
        return std::get<0>(select_role<Role>(parts...));
    }
}

/// Whether a part is a bias of q (OfQueries) or of k.
template <bool OfQueries, class P>
inline constexpr bool is_input_bias = [] {
    if constexpr (part_of<P, role::input_bias>)
        return unwrapped<P>::of_queries == OfQueries;
    else
        return false;
}();

struct no_part {};
inline constexpr no_part nothing{};

/// Frequencies as heed::rope makes them, which a position encoding is made of.
template <class P>
concept frequencies_like = requires(const P& p) {
    p.angular();
    p.pairs();
    p.axes();
};

/// Stops the compilation with one sentence if these parts do not make a call.
template <class... Parts>
constexpr void check_parts() {
    constexpr bool bare_frequencies = (frequencies_like<Parts> || ...);
    static_assert(!bare_frequencies,
                  "heed: frequencies alone are not a part of attention: wrap them in heed::rotary, "
                  "or those along several axes in heed::axial_rotary");
    static_assert(bare_frequencies || (part<Parts> && ...),
                  "heed: an argument behind q, k and v is not a part of attention (a mask, scale, "
                  "modifier, normaliser, position encoding, heed::on or heed::in)");
    if constexpr ((part<Parts> && ...)) {
        static_assert(count_of<role::scale, Parts...> <= 1, "heed: attention takes one scale");
        static_assert(count_of<role::normaliser, Parts...> <= 1,
                      "heed: attention takes one normaliser");
        static_assert(count_of<role::position_encoding, Parts...> <= 1,
                      "heed: attention takes one position encoding");
        static_assert(count_of<role::positions, Parts...> <= 1,
                      "heed: attention takes one heed::positions or one heed::cache_lengths, not "
                      "both");
        static_assert((0 + ... + int(is_input_bias<true, Parts>)) <= 1 &&
                          (0 + ... + int(is_input_bias<false, Parts>)) <= 1,
                      "heed: attention takes one heed::query_bias and one heed::key_bias");
        static_assert(count_of<role::lse_gradient, Parts...> <= 1,
                      "heed: attention_backward takes one heed::log_sum_exp_gradient");
        static_assert(count_of<role::threads, Parts...> <= 1, "heed: attention takes one heed::on");
        static_assert(count_of<role::memory, Parts...> <= 1, "heed: attention takes one heed::in");
    }
}

/// A part that may be chosen at run time: std::optional or std::variant of parts.
template <class P>
inline constexpr bool is_choice = false;
template <class P>
inline constexpr bool is_choice<std::optional<P>> = true;
template <class... Ps>
inline constexpr bool is_choice<std::variant<Ps...>> = true;

/// f(parts…) with every optional and variant replaced by what it holds; an empty optional vanishes.
template <class F>
decltype(auto) resolve_choices(F&& f) {
    return f();
}
template <class F, class First, class... Rest>
decltype(auto) resolve_choices(F&& f, const First& first, const Rest&... rest) {
    const auto with = [&](const auto&... chosen) -> decltype(auto) {
        return resolve_choices(
            [&](const auto&... others) -> decltype(auto) { return f(chosen..., others...); },
            rest...);
    };
    if constexpr (!is_choice<First>) {
        return with(first);
    } else if constexpr (requires { first.has_value(); }) {
        return first.has_value() ? resolve_choices(with, *first) : with();
    } else {
        return std::visit([&](const auto& chosen) -> decltype(auto) { return with(chosen); },
                          first);
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
