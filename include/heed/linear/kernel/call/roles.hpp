#pragma once

#include <concepts>
#include <cstddef>
#include <string_view>
#include <type_traits>

#include <heed/attention/kernel/call/choices.hpp>
#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/cumulative_lengths.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/position_encoding.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/linear/part.hpp>
#include <heed/softmax/dense/positive.hpp>

/// \file
/// Which parts linear attention takes, and the sentence for each that it does not.

namespace heed::inline HEED_ARCHITECTURE::detail {

template <class P>
inline constexpr bool is_head_scale = false;
template <class Kept>
inline constexpr bool is_head_scale<head_scale<Kept>> = true;

template <class P>
inline constexpr bool is_positive = false;
template <class F, class Derivative>
inline constexpr bool is_positive<positive_normaliser<F, Derivative>> = true;

/// A mask that linear attention can follow.
template <class P>
inline constexpr bool is_linear_mask =
    std::same_as<P, causal_mask> || is_key_lengths<P> || std::same_as<P, cumulative_lengths_mask>;
/// A scale that depends on the head alone.
template <class P>
inline constexpr bool is_linear_scale =
    std::same_as<P, standard_scale_part> || std::same_as<P, constant_scale> || is_head_scale<P>;

/// Rotary encodings.
template <class P>
constexpr bool is_turn = [] {
    if constexpr (requires { P::only_turns; })
        return P::only_turns;
    else
        return false;
}();

/// Whether any, or all, that an argument may turn out to be is such.
template <class P, class Test>
constexpr bool may_be(const Test& test) {
    return alternatives<P>::any(test);
}

/// Parts that may be any of these roles. A positive function is a map here.
template <class P>
inline constexpr bool may_be_map = may_be<P>([]<class A>() {
    return part_of<A, role::feature_map> || is_positive<A>;
});
template <class P>
inline constexpr bool may_divide_or_map = may_be<P>([]<class A>() {
    if constexpr (part_of<A, role::denominator>)
        return A::divides;
    else
        return part_of<A, role::feature_map> || is_positive<A>;
});
template <class P>
inline constexpr bool may_be_causal = may_be<P>([]<class A>() {
    return std::same_as<A, causal_mask>;
});
template <class P>
inline constexpr bool may_be_lengths = may_be<P>([]<class A>() { return is_key_lengths<A>; });
template <class P>
inline constexpr bool may_be_documents = may_be<P>([]<class A>() {
    return std::same_as<A, cumulative_lengths_mask>;
});

/// Whether no alternative of a part of some role is other than linear attention takes.
template <class Role, class P, class Test>
constexpr bool all_of_role(const Test& test) {
    return alternatives<P>::all([&]<class A>() {
        if constexpr (part_of<A, Role>)
            return test.template operator()<A>();
        else
            return true;
    });
}

/// Stops the compilation with one sentence if these parts do not make a call. False then.
template <class... Parts>
constexpr bool check_linear_parts() {
    constexpr bool parts = (is_part<Parts> && ...);
    static_assert(
        parts,
        "heed: an argument behind q, k and v is not a part of linear attention (a "
        "feature map, denominator, decay, update, bonus, heed::unit_rows, heed::causal, lengths, "
        "heed::rotary, heed::carry, heed::on or heed::in)");
    if constexpr (parts) {
        constexpr bool learning = (alternatives<Parts>::all([]<class A>() {
                                       return !is_learned<A> || part_of<A, role::decay> ||
                                              part_of<A, role::update> || part_of<A, role::bonus>;
                                   }) &&
                                   ...);
        static_assert(
            learning,
            "heed: of parts of linear attention decays, updates and heed::bonus alone can "
            "be learned");
        constexpr bool no_scores =
            ((!may_play<Parts, role::modifier> && !may_play<Parts, role::observer> &&
              !may_play<Parts, role::input_bias> && !may_play<Parts, role::lse_gradient> &&
              !may_play<Parts, role::dropout> &&
              all_of_role<role::normaliser, Parts>([]<class A>() { return is_positive<A>; })) &&
             ...);
        static_assert(no_scores,
                      "heed: linear attention forms no scores: it takes no score modifier, "
                      "normaliser, observer, dropout or bias of q and k");
        constexpr bool all_gradients = !(may_play<Parts, role::wanted_gradients> || ...);
        static_assert(all_gradients,
                      "heed: linear attention takes no heed::wanted_gradients: its backward "
                      "computes dq, dk and dv alike");
        constexpr bool masks =
            (all_of_role<role::mask, Parts>([]<class A>() { return is_linear_mask<A>; }) && ...);
        static_assert(masks,
                      "heed: of masks linear attention takes heed::causal, heed::key_lengths and "
                      "heed::cumulative_lengths alone");
        constexpr bool encodings =
            (all_of_role<role::position_encoding, Parts>([]<class A>() { return is_turn<A>; }) &&
             ...);
        static_assert(encodings,
                      "heed: of position encodings linear attention takes heed::rotary alone");
        constexpr bool positions = !(may_play<Parts, role::positions> || ...);
        static_assert(positions, "heed: linear attention takes no heed::positions");
        constexpr bool scales =
            (all_of_role<role::scale, Parts>([]<class A>() { return is_linear_scale<A>; }) && ...);
        static_assert(scales,
                      "heed: of scales linear attention takes heed::scale and "
                      "heed::standard_scale alone");
        constexpr bool unscaled =
            count_of<role::scale, Parts...> == 0 || !(may_divide_or_map<Parts> || ...);
        static_assert(
            unscaled,
            "heed: a feature map and a denominator take q and k as they are: a scale goes "
            "with neither");
        constexpr bool one_map = (0 + ... + int(may_be_map<Parts>)) <= 1;
        static_assert(one_map, "heed: linear attention takes one feature map");
        constexpr bool one_update = count_of<role::update, Parts...> <= 1;
        static_assert(one_update, "heed: linear attention takes one update");
        constexpr bool once =
            count_of<role::row_norm, Parts...> <= 1 && count_of<role::denominator, Parts...> <= 1 &&
            count_of<role::scale, Parts...> <= 1 && count_of<role::decay, Parts...> <= 1 &&
            count_of<role::bonus, Parts...> <= 1 &&
            count_of<role::position_encoding, Parts...> <= 1 &&
            count_of<role::state, Parts...> <= 1 && count_of<role::state_gradient, Parts...> <= 1 &&
            count_of<role::threads, Parts...> <= 1 && count_of<role::memory, Parts...> <= 1 &&
            (0 + ... + int(may_be_lengths<Parts>)) <= 1 &&
            (0 + ... + int(may_be_documents<Parts>)) <= 1;
        static_assert(
            once,
            "heed: linear attention takes one denominator, decay, scale, bonus, heed::rotary, "
            "heed::unit_rows, heed::key_lengths, heed::cumulative_lengths, heed::carry, "
            "heed::state_gradient, heed::on and heed::in");
        constexpr bool decays = count_of<role::decay, Parts...> != 0;
        constexpr bool causal_decay = !decays || (may_be_causal<Parts> || ...);
        static_assert(causal_decay,
                      "heed: a decay goes along the sequence: heed::decay and heed::log_decay go "
                      "with heed::causal");
        constexpr bool plain_decay = !decays || !(may_divide_or_map<Parts> || ...);
        static_assert(plain_decay,
                      "heed: a decay goes with neither a feature map nor a denominator");
        constexpr bool updates = count_of<role::update, Parts...> != 0;
        constexpr bool causal_update = !updates || (may_be_causal<Parts> || ...);
        static_assert(causal_update,
                      "heed: an update goes along the sequence: it goes with heed::causal");
        constexpr bool plain_update = !updates || !(may_divide_or_map<Parts> || ...);
        static_assert(plain_update,
                      "heed: an update goes with neither a feature map nor a denominator");
        constexpr bool bonuses = count_of<role::bonus, Parts...> != 0;
        constexpr bool causal_bonus = !bonuses || (may_be_causal<Parts> || ...);
        static_assert(causal_bonus,
                      "heed: a bonus is the present token's: heed::bonus goes with heed::causal");
        constexpr bool plain_bonus = !bonuses || !(may_divide_or_map<Parts> || ...);
        static_assert(plain_bonus,
                      "heed: a bonus goes with neither a feature map nor a denominator");
        constexpr bool bonus_alone = !bonuses || !updates;
        static_assert(bonus_alone, "heed: a bonus goes with no update");
        constexpr bool plain_rows =
            count_of<role::row_norm, Parts...> == 0 || !(may_be_map<Parts> || ...);
        static_assert(plain_rows,
                      "heed: a feature map takes q and k as they are: heed::unit_rows goes with "
                      "none");
        constexpr bool causal_state = (count_of<role::state, Parts...> == 0 &&
                                       count_of<role::state_gradient, Parts...> == 0) ||
                                      (may_be_causal<Parts> || ...);
        static_assert(causal_state,
                      "heed: a state is what a causal call has seen: heed::carry and "
                      "heed::state_gradient go with heed::causal");
        return learning && causal_bonus && plain_bonus && bonus_alone && causal_decay &&
               plain_decay && one_update && causal_update && plain_update && plain_rows &&
               no_scores && all_gradients && masks && encodings && positions && scales &&
               unscaled && one_map && once && causal_state;
    } else {
        return false;
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
