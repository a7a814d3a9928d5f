#pragma once

#include <concepts>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/attention/kernel/call/choices.hpp>
#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/workspace.hpp>
#include <heed/linear/denominator.hpp>
#include <heed/linear/kernel/call/call_shape.hpp>
#include <heed/linear/kernel/call/roles.hpp>
#include <heed/linear/kernel/rules/identity_rule.hpp>
#include <heed/linear/kernel/rules/positive_map.hpp>
#include <heed/linear/kernel/state/state_kind.hpp>
#include <heed/linear/part.hpp>

/// \file
/// The parts that a call of linear attention was given, by role.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// What makes features of rows among a call's parts: the map, as a part of role feature_map, or the
/// row norm.
template <class... Parts>
decltype(auto) map_among(const Parts&... parts) {
    if constexpr ((part_of<Parts, role::feature_map> || ...))
        return the_part<role::feature_map>(nothing, parts...);
    else if constexpr ((is_positive<Parts> || ...))
        return positive_map_of(the_part<role::normaliser>(nothing, parts...));
    else if constexpr ((part_of<Parts, role::row_norm> || ...))
        return the_part<role::row_norm>(nothing, parts...);
    else
        return (without_map);
}

/// The heads that the decay, the update and the bonus among these have numbers for.
template <class... Parts>
part_heads heads_among(const Parts&... parts) {
    part_heads heads;
    [[maybe_unused]] const auto one = [&]<class P>(const P& part) {
        if constexpr (part_of<P, role::decay>) heads.decay = unwrap(part).heads();
        if constexpr (part_of<P, role::update>) heads.update = unwrap(part).heads();
        if constexpr (part_of<P, role::bonus>) heads.bonus = unwrap(part).heads();
    };
    (visit_part(parts, one), ...);
    return heads;
}

/// Whether a part, learned or not, is a decay of channels.
template <class P>
inline constexpr bool decays_channels = part_of<P, role::decay>&& requires {
    unwrapped<P>::of_channels;
};

/// The parts of a call whose choices have been made.
template <class... Parts>
class linear_call_parts {
  public:
    explicit linear_call_parts(const Parts&... parts) : parts_(parts...) {}

    static constexpr bool is_causal = (std::same_as<Parts, causal_mask> || ...);
    static constexpr bool has_documents = (std::same_as<Parts, cumulative_lengths_mask> || ...);
    static constexpr bool has_lengths = (is_key_lengths<Parts> || ...);
    static constexpr bool has_state = count_of<role::state, Parts...> != 0;
    static constexpr bool has_state_gradient = count_of<role::state_gradient, Parts...> != 0;
    static constexpr bool has_decay = count_of<role::decay, Parts...> != 0;
    static constexpr bool has_update = count_of<role::update, Parts...> != 0;
    static constexpr bool has_bonus = count_of<role::bonus, Parts...> != 0;
    /// Beside a bonus all decays are a channel's, none being decays of 1.
    static constexpr decayed decays = has_bonus || (decays_channels<Parts> || ...)
                                          ? decayed::channels
                                      : !has_decay ? decayed::none
                                                   : decayed::tokens;
    static constexpr updated updates = [] {
        updated result = updated::none;
        const auto ask = [&]<class P>() {
            if constexpr (part_of<P, role::update>) result = unwrapped<P>::kind;
        };
        (ask.template operator()<Parts>(), ...);
        return result;
    }();
    static constexpr bool updates_channels = updates == updated::channels;
    static constexpr bool low_rank = updates == updated::low_rank;
    static constexpr bool learns_decay =
        ((is_learned<Parts> && part_of<Parts, role::decay>) || ...);
    static constexpr bool learns_channels = learns_decay && (decays_channels<Parts> || ...);
    static constexpr bool learns_bonus =
        ((is_learned<Parts> && part_of<Parts, role::bonus>) || ...);
    static constexpr bool learns_update =
        ((is_learned<Parts> && part_of<Parts, role::update>) || ...);
    static constexpr bool has_encoding = count_of<role::position_encoding, Parts...> != 0;

    using map_type = std::remove_cvref_t<decltype(map_among(std::declval<const Parts&>()...))>;
    static constexpr bool has_map =
        !std::same_as<map_type, no_feature_map> && count_of<role::row_norm, Parts...> == 0;
    static constexpr bool divides = [] {
        bool result = has_map && !map_type::divides_features;
        const auto ask = [&]<class P>() {
            if constexpr (part_of<P, role::denominator>) result = P::divides;
        };
        (ask.template operator()<Parts>(), ...);
        return result;
    }();
    /// Whether its features depend on where tokens stand, as far as they reach.
    static constexpr bool reaches = requires(const map_type& features, index reach) {
        features.check_reach(reach);
    };
    static constexpr encoded turned = has_encoding ? map_type::encoding : encoded::none;

    /// f(parts…)
    template <class F>
    decltype(auto) with(const F& f) const {
        return std::apply(f, parts_);
    }

    decltype(auto) map() const {
        return with([](const auto&... parts) -> decltype(auto) { return map_among(parts...); });
    }

    template <class F>
    void for_each_part(const F& f) const {
        [[maybe_unused]] const auto one = [&](const auto& part) {
            if constexpr (!resource_part<std::remove_cvref_t<decltype(part)>>) f(unwrap(part));
        };
        with([&](const auto&... part) { (one(part), ...); });
    }

    /// Its decay, learned or not.
    const auto& decay() const requires(has_decay) {
        return with([](const auto&... parts) -> const auto& {
            return unwrap(the_part<role::decay>(nothing, parts...));
        });
    }

    /// Its update, the same.
    const auto& update() const requires(has_update) {
        return with([](const auto&... parts) -> const auto& {
            return unwrap(the_part<role::update>(nothing, parts...));
        });
    }

    /// Its bonus, the same.
    const auto& bonus() const requires(has_bonus) {
        return with([](const auto&... parts) -> const auto& {
            return unwrap(the_part<role::bonus>(nothing, parts...));
        });
    }
    /// What reaches the state behind the call.
    const auto& state_gradient() const requires(has_state_gradient) {
        return with([](const auto&... parts) -> const auto& {
            return the_part<role::state_gradient>(nothing, parts...);
        });
    }

    workspace& memory() const {
        return with([]<class... Chosen>(const Chosen&... parts) -> workspace& {
            if constexpr (count_of<role::memory, Chosen...> == 1)
                return *the_part<role::memory>(nothing, parts...).memory;
            else
                return thread_workspace();
        });
    }
    on_pool threads() const {
        return with([]<class... Chosen>(const Chosen&... parts) -> on_pool {
            if constexpr (count_of<role::threads, Chosen...> == 1)
                return the_part<role::threads>(nothing, parts...);
            else
                return {.pool = nullptr};
        });
    }

  private:
    std::tuple<const Parts&...> parts_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
