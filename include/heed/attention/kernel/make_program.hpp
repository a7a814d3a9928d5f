#pragma once

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/attention/kernel/bound_parts.hpp>
#include <heed/attention/kernel/call.hpp>
#include <heed/attention/kernel/program.hpp>
#include <heed/attention/kernel/query_tile.hpp>
#include <heed/attention/kernel/roles_of_call.hpp>
#include <heed/attention/kernel/row_sight.hpp>
#include <heed/attention/kernel/row_source.hpp>
#include <heed/attention/kernel/score_rule.hpp>
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

/// f(attention_program, its row_preparation) of a checked call. What they need of scratch memory
/// lives until f returns.
template <class T, class Call, class F>
void with_program(const Call& call, F&& f) {
    constexpr bool moves_keys = Call::has_positions;
    arena& own = call.memory().slot(0);
    const arena::scope mark(own);
    const call_place place{call.shape, call.positions(own), moves_keys};
    const auto& masks = call.masks();
    const auto& modifiers = call.modifiers();
    const auto lane_masks = select_lane_masks<moves_keys>(masks);
    const auto observers = call.template parts_of<role::observer>();
    const auto biases = call.template parts_of<role::input_bias>();
    using scale = std::remove_cvref_t<decltype(call.scale())>;
    using normaliser = std::remove_cvref_t<decltype(call.normaliser())>;
    using modifiers_type = std::remove_cvref_t<decltype(modifiers)>;
    constexpr bool counts =
        needs_visible_count<scale> || needs_visible_count<normaliser> || Call::has_observers;

    const row_sight_of<T, moves_keys, counts, std::remove_cvref_t<decltype(masks)>, scale,
                       std::remove_cvref_t<decltype(call.lengths())>>
        sight(place, masks, call.scale(), call.lengths());
    const score_rule_of<T, moves_keys, std::remove_cvref_t<decltype(lane_masks)>, modifiers_type>
        scores(place, lane_masks, modifiers);
    const row_observers_of<T, std::remove_cvref_t<decltype(observers)>> told(observers);
    const auto run = [&](const auto& encoding, index window) {
        using preparation = row_preparation<T, normalises_query<scale>, normalises_key<scale>,
                                            std::remove_cvref_t<decltype(encoding)>,
                                            std::remove_cvref_t<decltype(biases)>>;
        const preparation rows{call.q, call.k, encoding, biases};
        const row_source_of<T, preparation> source(rows, window);
        f(attention_program<T>{place, call.v, call.pool(), call.memory(), sight, source, scores,
                               Call::has_observers ? &told : nullptr},
          rows);
    };
    if constexpr (Call::has_encoding) {
        const auto encoding = call.encoding().template prepare<T>(own, call.shape, place.where);
        if constexpr (Call::is_rectified)
            run(encoding, call.encoding().window());
        else
            run(encoding, 0);
    } else {
        run(nothing, 0);
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
