#pragma once

#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>

/// \file
/// Parts that are chosen at run time: std::optional and std::variant of parts.
///
/// A choice is looked into where something is made of it, and there alone: an interface of the
/// program is instantiated for the alternatives of those parts that it is made of. So choices among
/// scales, masks, modifiers and normalisers multiply a few loops, and never a kernel.

namespace heed::inline HEED_ARCHITECTURE::detail {

template <class P>
inline constexpr bool is_choice = false;
template <class P>
inline constexpr bool is_choice<std::optional<P>> = true;
template <class... Ps>
inline constexpr bool is_choice<std::variant<Ps...>> = true;

/// What an argument of a call may turn out to be.
template <class P>
struct alternatives {
    /// Whether test.operator()<A>() is true of any, or of all.
    template <class Test>
    static constexpr bool any(const Test& test) {
        return test.template operator()<P>();
    }
    template <class Test>
    static constexpr bool all(const Test& test) {
        return test.template operator()<P>();
    }
};
template <class P>
struct alternatives<std::optional<P>> : alternatives<P> {};
template <class... Ps>
struct alternatives<std::variant<Ps...>> {
    template <class Test>
    static constexpr bool any(const Test& test) {
        return (alternatives<Ps>::any(test) || ...);
    }
    template <class Test>
    static constexpr bool all(const Test& test) {
        return (alternatives<Ps>::all(test) && ...);
    }
};

/// Whether an argument plays a role, or may do so if it is chosen.
template <class P, class Role>
inline constexpr bool may_play = part_of<P, Role>;
template <class P, class Role>
inline constexpr bool may_play<std::optional<P>, Role> = may_play<P, Role>;
template <class... Ps, class Role>
inline constexpr bool may_play<std::variant<Ps...>, Role> = (may_play<Ps, Role> || ...);

/// f(part) of what an argument holds, if it holds any.
template <class P, class F>
void visit_part(const P& part, const F& f) {
    if constexpr (!is_choice<P>) {
        f(part);
    } else if constexpr (requires { part.has_value(); }) {
        if (part.has_value()) visit_part(*part, f);
    } else {
        std::visit([&](const auto& chosen) { visit_part(chosen, f); }, part);
    }
}

/// f(parts…), where every choice that may play one of the roles is replaced by what it holds; empty
/// optionals and other choices are left out. f returns the same type for all.
template <class... Roles, class F>
decltype(auto) resolve_choices(const F& f) {
    return f();
}
template <class... Roles, class F, class First, class... Rest>
decltype(auto) resolve_choices(const F& f, const First& first, const Rest&... rest) {
    const auto with = [&](const auto&... chosen) -> decltype(auto) {
        return resolve_choices<Roles...>(
            [&](const auto&... others) -> decltype(auto) { return f(chosen..., others...); },
            rest...);
    };
    if constexpr (!is_choice<First>) {
        return with(first);
    } else if constexpr (!(may_play<First, Roles> || ...)) {
        return with();
    } else if constexpr (requires { first.has_value(); }) {
        return first.has_value() ? resolve_choices<Roles...>(with, *first) : with();
    } else {
        return std::visit(
            [&](const auto& chosen) -> decltype(auto) {
                return resolve_choices<Roles...>(with, chosen);
            },
            first);
    }
}

/// The same of the parts in a tuple.
template <class... Roles, class F, class... Parts>
decltype(auto) with_roles(const std::tuple<Parts...>& parts, const F& f) {
    if constexpr ((is_choice<std::remove_cvref_t<Parts>> || ...))
        return std::apply(
            [&](const auto&... part) -> decltype(auto) {
                return resolve_choices<Roles...>(f, part...);
            },
            parts);
    else
        return std::apply(f, parts);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
