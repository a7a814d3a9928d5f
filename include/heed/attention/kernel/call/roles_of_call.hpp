#pragma once

#include <concepts>
#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <heed/attention/kernel/call/choices.hpp>
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

/// How many parts play a role, those that may be chosen included.
template <class Role, class... Parts>
inline constexpr std::size_t count_of = (std::size_t(0) + ... +
                                         std::size_t(may_play<Parts, Role> ? 1 : 0));

/// References to the parts of one role, in their order, as a tuple; no choices among them.
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

template <class P>
inline constexpr bool may_be_frequencies = alternatives<P>::any([]<class A>() {
    return frequencies_like<A>;
});
/// Whether all that an argument may turn out to be is a part.
template <class P>
inline constexpr bool is_part = alternatives<P>::all([]<class A>() { return part<A>; });
template <bool OfQueries, class P>
inline constexpr bool may_be_input_bias = alternatives<P>::any([]<class A>() {
    return is_input_bias<OfQueries, A>;
});

/// The normalisers that an argument may turn out to be, added to a tuple of types; where it may be
/// none, softmax.
template <class Types, class Normaliser>
struct add_type;
template <class... Types, class Normaliser>
struct add_type<std::tuple<Types...>, Normaliser> {
    using type = std::conditional_t<(std::is_same_v<Types, Normaliser> || ...),
                                    std::tuple<Types...>, std::tuple<Types..., Normaliser>>;
};
template <class Types, class P>
struct add_normalisers
    : add_type<Types,
               std::conditional_t<part_of<P, role::normaliser>, unwrapped<P>, softmax_normaliser>> {
};
template <class Types, class P>
struct add_normalisers<Types, std::optional<P>>
    : add_normalisers<typename add_type<Types, softmax_normaliser>::type, P> {};
template <class Types>
struct add_normalisers<Types, std::variant<>> {
    using type = Types;
};
template <class Types, class P, class... Ps>
struct add_normalisers<Types, std::variant<P, Ps...>>
    : add_normalisers<typename add_normalisers<Types, P>::type, std::variant<Ps...>> {};

template <class Types>
struct one_or_variant;
template <class Type>
struct one_or_variant<std::tuple<Type>> {
    using type = Type;
};
template <class... Types>
struct one_or_variant<std::tuple<Types...>> {
    using type = std::variant<Types...>;
};

template <class... Parts>
struct find_normaliser {
    using type = softmax_normaliser;
};
template <class First, class... Rest>
struct find_normaliser<First, Rest...> : find_normaliser<Rest...> {};
template <class First, class... Rest>
requires may_play<First, role::normaliser>
struct find_normaliser<First, Rest...>
    : one_or_variant<typename add_normalisers<std::tuple<>, First>::type> {
};

/// The normaliser of a call with these parts, for the type of its stats; where it is chosen among
/// several types, a std::variant of them.
template <class... Parts>
using normaliser_of = typename find_normaliser<Parts...>::type;

/// Stops the compilation with one sentence if these parts do not make a call.
template <class... Parts>
constexpr void check_parts() {
    constexpr bool bare_frequencies = (may_be_frequencies<Parts> || ...);
    static_assert(!bare_frequencies,
                  "heed: frequencies alone are not a part of attention: wrap them in heed::rotary, "
                  "or those along several axes in heed::axial_rotary");
    static_assert(bare_frequencies || (is_part<Parts> && ...),
                  "heed: an argument behind q, k and v is not a part of attention (a mask, scale, "
                  "modifier, normaliser, position encoding, heed::on or heed::in)");
    if constexpr ((is_part<Parts> && ...)) {
        static_assert(count_of<role::scale, Parts...> <= 1, "heed: attention takes one scale");
        static_assert(count_of<role::normaliser, Parts...> <= 1,
                      "heed: attention takes one normaliser");
        static_assert(count_of<role::dropout, Parts...> <= 1,
                      "heed: attention takes one heed::dropout");
        static_assert(count_of<role::position_encoding, Parts...> <= 1,
                      "heed: attention takes one position encoding");
        static_assert(count_of<role::positions, Parts...> <= 1,
                      "heed: attention takes one heed::positions or one heed::cache_lengths, not "
                      "both");
        static_assert((0 + ... + int(may_be_input_bias<true, Parts>)) <= 1 &&
                          (0 + ... + int(may_be_input_bias<false, Parts>)) <= 1,
                      "heed: attention takes one heed::query_bias and one heed::key_bias");
        static_assert(count_of<role::lse_gradient, Parts...> <= 1,
                      "heed: attention_backward takes one heed::log_sum_exp_gradient");
        static_assert(count_of<role::wanted_gradients, Parts...> <= 1,
                      "heed: attention_backward takes one heed::wanted_gradients");
        static_assert(count_of<role::threads, Parts...> <= 1, "heed: attention takes one heed::on");
        static_assert(count_of<role::memory, Parts...> <= 1, "heed: attention takes one heed::in");
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
