#pragma once

#include <tuple>
#include <type_traits>

#include <heed/attention/kernel/call/choices.hpp>
#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/workspace.hpp>
#include <heed/nystrom/kernel/landmark_scale.hpp>
#include <heed/nystrom/residual_convolution.hpp>
#include <heed/softmax/softmax.hpp>

/// \file
/// The parts of a Nyström attention: which may be, and what becomes of them in the attentions that
/// it is made of.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Whether a part is of a role, or may be, and is another one than those that are allowed.
template <class Role, class P, class Allowed>
constexpr bool is_other(const Allowed& allowed) {
    return alternatives<P>::any([&]<class A>() {
        if constexpr (part_of<A, Role>)
            return !allowed.template operator()<unwrapped<A>>();
        else
            return false;
    });
}
/// Whether all that an argument may turn out to be plays a role of attention's, or is a residual.
template <class P>
inline constexpr bool has_known_role = alternatives<P>::all([]<class A>() {
    return part_of<A, role::scale> || part_of<A, role::mask> || part_of<A, role::modifier> ||
           part_of<A, role::normaliser> || part_of<A, role::position_encoding> ||
           part_of<A, role::positions> || part_of<A, role::input_bias> ||
           part_of<A, role::observer> || part_of<A, role::lse_gradient> ||
           part_of<A, role::dropout> || part_of<A, role::wanted_gradients> || resource_part<A> ||
           part_of<A, role::residual>;
});

/// Stops the compilation with one sentence if these parts do not make a Nyström attention. False
/// then.
template <class... Parts>
constexpr bool check_nystrom_parts() {
    constexpr bool are_parts = (has_known_role<Parts> && ...);
    static_assert(are_parts,
                  "heed: an argument behind q, k, v and the options is not a part of "
                  "nystrom_attention (a scale, heed::softmax.temperature, heed::key_lengths, "
                  "heed::residual_convolution, heed::on or heed::in)");
    if constexpr (!are_parts) {
        return false;
    } else {
        constexpr bool masks =
            (is_other<role::mask, Parts>([]<class A>() { return is_key_lengths<A>; }) || ...);
        static_assert(!masks,
                      "heed: nystrom_attention takes no mask but heed::key_lengths, and cannot be "
                      "causal: landmarks are means over the whole sequence");
        constexpr bool normalisers = (is_other<role::normaliser, Parts>([]<class A>() {
                                          return std::is_same_v<A, softmax_normaliser>;
                                      }) ||
                                      ...);
        static_assert(!normalisers,
                      "heed: nystrom_attention takes no normaliser but heed::softmax and its "
                      "temperature");
        constexpr bool modifiers = (may_play<Parts, role::modifier> || ...);
        static_assert(!modifiers,
                      "heed: nystrom_attention takes no score modifier: it never forms the scores "
                      "of queries and keys");
        constexpr bool encodings =
            ((may_play<Parts, role::position_encoding> || may_play<Parts, role::positions>) || ...);
        static_assert(!encodings,
                      "heed: nystrom_attention takes no position encoding: landmarks are means of "
                      "rows, so rotate q and k first, by heed::rotate");
        constexpr bool others =
            ((may_play<Parts, role::input_bias> || may_play<Parts, role::observer> ||
              may_play<Parts, role::lse_gradient> || may_play<Parts, role::dropout>) ||
             ...);
        static_assert(!others,
                      "heed: nystrom_attention takes no bias of q or k, no observer, no dropout "
                      "and no gradient of the log-sum-exp: it has no rows of probabilities");
        constexpr bool wanted = (may_play<Parts, role::wanted_gradients> || ...);
        static_assert(!wanted,
                      "heed: nystrom_attention takes no heed::wanted_gradients: its backward "
                      "computes dq, dk and dv alike");
        constexpr bool chosen = ((is_choice<Parts> && may_play<Parts, role::residual>) || ...);
        static_assert(!chosen, "heed: heed::residual_convolution cannot be chosen at run time");
        constexpr bool is_single = count_of<role::residual, Parts...> <= 1;
        static_assert(is_single, "heed: nystrom_attention takes one heed::residual_convolution");
        return !(masks || normalisers || modifiers || encodings || others || wanted || chosen) &&
               is_single;
    }
}

/// The residual convolution among these parts, learned or not, as a tuple of one or none; and the
/// other parts.
template <class... Parts>
auto residual_of(const Parts&... parts) {
    return select_role<role::residual>(parts...);
}
template <class... Parts>
auto others_than_residual(const Parts&... parts) {
    [[maybe_unused]] const auto one = []<class P>(const P& part) {
        if constexpr (part_of<P, role::residual>)
            return std::tuple<>();
        else
            return std::tuple<const P&>(part);
    };
    return std::tuple_cat(one(parts)...);
}

/// What the attentions over landmarks are given in the place of a call's parts: its scale and its
/// temperature.
template <class... Parts>
auto landmark_parts(const std::tuple<const Parts&...>& parts, const landmark_place& place) {
    const auto one = [&]<class P>(const P& part) {
        if constexpr (may_play<P, role::scale>)
            return std::make_tuple(scale_among_landmarks(part, place));
        else if constexpr (may_play<P, role::normaliser>)
            return std::tuple<P>(part);
        else
            return std::tuple<>();
    };
    return std::apply([&](const Parts&... part) { return std::tuple_cat(one(part)...); }, parts);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
