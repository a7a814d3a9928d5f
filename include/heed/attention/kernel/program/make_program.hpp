#pragma once

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/attention/kernel/call/call.hpp>
#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/bound_parts.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/kernel/program/row_scale.hpp>
#include <heed/attention/kernel/program/row_sight.hpp>
#include <heed/attention/kernel/program/row_source.hpp>
#include <heed/attention/kernel/program/score_rule.hpp>
#include <heed/attention/kernel/program/weight_drop.hpp>
#include <heed/attention/observers/observer.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>

/// \file
/// From the parts of a call to its program.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// row_observers by observers (a tuple of references), of which those with memory are told.
template <class T, class Observers>
class row_observers_of final : public row_observers<T> {
  public:
    explicit row_observers_of(const Observers& observers) : observers_(observers) {}

    void tell(const query_row& row, const row_sums& sums) const override {
        [[maybe_unused]] const auto one = [&]<class Part>(const Part& part) {
            if constexpr (is_bound_observer<Part>)
                part.numbers(row.batch, row.head, row.query) =
                    static_cast<T>(part.observer.measure(sums));
        };
        std::apply([&](const auto&... part) { (one(part), ...); }, observers_);
    }

  private:
    Observers observers_;
};

// Each part of the program is made of the parts of its own roles, whose choices are looked into
// here, and lies in scratch memory.

template <class T, class Call>
const row_sight<T>& make_row_sight(const Call& call, const call_place& place, arena& scratch) {
    return call.template resolve<role::mask, role::positions>(
        [&]<class... Parts>(const Parts&... parts) -> const row_sight<T>& {
            const auto masks = select_role<role::mask>(parts...);
            using sight =
                row_sight_of<T, (moves_keys<Parts> || ...), std::remove_cv_t<decltype(masks)>>;
            return scratch.make<sight>(place, masks);
        });
}

template <class T, class Call>
const row_scale<T>& make_row_scale(const Call& call, const call_place& place, arena& scratch) {
    return call.template resolve<role::scale>([&](const auto&... parts) -> const row_scale<T>& {
        const auto& scale = unwrap(the_part<role::scale>(standard_scale, parts...));
        return scratch.make<row_scale_of<T, std::remove_cvref_t<decltype(scale)>>>(place, scale);
    });
}

/// Both ways of rows of q and k.
template <class T>
struct row_ways {
    const row_source<T>& there;
    const row_return<T>* back;  ///< null forward
};

template <class T, bool Returns, class Call>
row_ways<T> make_row_ways(const Call& call, const call_place& place, arena& scratch) {
    return call.template resolve<role::scale, role::input_bias,
                                 role::position_encoding>([&](const auto&... parts) -> row_ways<T> {
        const auto& scale = unwrap(the_part<role::scale>(standard_scale, parts...));
        const auto& encoding = the_part<role::position_encoding>(nothing, parts...);
        const auto biases = select_role<role::input_bias>(unwrap(parts)...);
        using scale_type = std::remove_cvref_t<decltype(scale)>;
        using encoding_type = std::remove_cvref_t<decltype(encoding)>;
        const auto make = [&]<class Prepared>(const Prepared& prepared, index window) {
            using preparation =
                row_preparation<T, scale_type::normalises_query, scale_type::normalises_key,
                                Prepared, std::remove_cv_t<decltype(biases)>>;
            const auto& rows = scratch.make<preparation>(call.q, call.k, prepared, biases);
            row_ways<T> ways{scratch.make<row_source_of<T, preparation>>(rows, window), nullptr};
            if constexpr (Returns) ways.back = &scratch.make<row_return_of<T, preparation>>(rows);
            return ways;
        };
        if constexpr (std::is_same_v<encoding_type, no_part>) {
            return make(nothing, 0);
        } else {
            const auto prepared = encoding.template prepare<T>(scratch, call.shape, place.where);
            index window = 0;
            if constexpr (rectifies<encoding_type>) window = encoding.window();
            return make(scratch.make<std::remove_cv_t<decltype(prepared)>>(prepared), window);
        }
    });
}

template <class T, class Call>
const score_rule<T>& make_score_rule(const Call& call, const call_place& place, arena& scratch) {
    return with_score_parts<score_rule<T>>(
        call.parts(),
        [&]<bool Moves, class Masks>(std::bool_constant<Moves>, const Masks& masks,
                                     const auto& chosen) -> const score_rule<T>& {
            const auto modifiers = unwrap_all(chosen);
            using rule = score_rule_of<T, Moves, Masks, std::remove_cv_t<decltype(modifiers)>>;
            return scratch.make<rule>(place, masks, modifiers);
        });
}

/// Null if there is no dropout, or of rate 0.
template <class T, class Call>
const weight_drop<T>* make_weight_drop(const Call& call, [[maybe_unused]] const call_place& place,
                                       [[maybe_unused]] arena& scratch) {
    return call.template resolve<role::dropout>(
        [&]<class... Parts>(const Parts&... parts) -> const weight_drop<T>* {
            if constexpr (count_of<role::dropout, Parts...> == 0) {
                return nullptr;
            } else {
                const auto& dropout = the_part<role::dropout>(nothing, parts...);
                using drop = weight_drop_of<T, std::remove_cvref_t<decltype(dropout)>>;
                return dropout.rate() == 0 ? nullptr : &scratch.make<drop>(place, dropout);
            }
        });
}

/// Those with memory; null if there are none.
template <class T, class Call>
const row_observers<T>* make_row_observers(const Call& call, [[maybe_unused]] arena& scratch) {
    return call.template resolve<role::observer>(
        [&]<class... Parts>(const Parts&... parts) -> const row_observers<T>* {
            if constexpr ((is_bound_observer<Parts> || ...)) {
                const auto observers = select_role<role::observer>(parts...);
                return &scratch.make<row_observers_of<T, std::remove_cv_t<decltype(observers)>>>(
                    observers);
            } else {
                return nullptr;
            }
        });
}

/// Whether a scale, the normaliser or an observer wants to know how many keys rows see.
template <class Call>
bool counts_visible(const Call& call) {
    bool counts = false;
    call.for_each_part(
        [&]<class Part>(const Part&) { counts = counts || Part::needs_visible_count; });
    return counts;
}

/// The program of a checked call; `Returns`: for backward. It lives as long as what is taken from
/// `scratch`.
template <class T, bool Returns, class Call>
attention_program<T> make_program(const Call& call, arena& scratch) {
    const auto& place = scratch.make<call_place>(call.place(scratch));
    const auto ways = make_row_ways<T, Returns>(call, place, scratch);
    return {place,
            call.v,
            call.cache,
            call.threads(),
            call.memory(),
            make_row_sight<T>(call, place, scratch),
            make_row_scale<T>(call, place, scratch),
            ways.there,
            ways.back,
            make_score_rule<T>(call, place, scratch),
            make_weight_drop<T>(call, place, scratch),
            make_row_observers<T>(call, scratch),
            counts_visible(call)};
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
