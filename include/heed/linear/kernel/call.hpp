#pragma once

#include <algorithm>
#include <concepts>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/attention/kernel/call/choices.hpp>
#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>
#include <heed/linear/denominator.hpp>
#include <heed/linear/kernel/call_shape.hpp>
#include <heed/linear/kernel/feature_rule.hpp>
#include <heed/linear/kernel/identity_rule.hpp>
#include <heed/linear/kernel/positive_map.hpp>
#include <heed/linear/kernel/program.hpp>
#include <heed/linear/kernel/roles.hpp>
#include <heed/linear/kernel/row_turn_of.hpp>
#include <heed/linear/linear_state.hpp>
#include <heed/linear/part.hpp>

/// \file
/// One call of linear attention: its shape, its inputs, and its parts by role; checked before
/// anything else happens.

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

/// The heads that the decay and the update among these have numbers for.
template <class... Parts>
part_heads heads_among(const Parts&... parts) {
    part_heads heads;
    [[maybe_unused]] const auto one = [&]<class P>(const P& part) {
        if constexpr (part_of<P, role::decay>) heads.decay = unwrap(part).heads();
        if constexpr (part_of<P, role::update>) heads.update = unwrap(part).heads();
    };
    (visit_part(parts, one), ...);
    return heads;
}

/// A call whose choices have been made.
template <class T, class... Parts>
class linear_call {
  public:
    linear_shape shape;
    tensor_view<const T, 4> q, k, v;

    linear_call(const tensor_view<const T, 4>& queries, const tensor_view<const T, 4>& keys,
                const tensor_view<const T, 4>& values, const Parts&... parts)
        : shape(linear_shape_of(queries, keys, values, heads_among(parts...))),
          q(queries),
          k(keys),
          v(values),
          parts_(parts...) {
        for_each_part([&](const auto& part) {
            using part_type = std::remove_cvref_t<decltype(part)>;
            if constexpr (part_of<part_type, role::position_encoding>)
                check_encoding(part);
            else if constexpr (std::derived_from<part_type, linear_part_base<role_of<part_type>>>)
                part.check_call(shape);
            else if constexpr (!part_of<part_type, role::normaliser>)
                part.check(as_attention(shape));
        });
        check_sequences();
    }

    static constexpr bool is_causal = (std::same_as<Parts, causal_mask> || ...);
    static constexpr bool has_documents = (std::same_as<Parts, cumulative_lengths_mask> || ...);
    static constexpr bool has_lengths = (is_key_lengths<Parts> || ...);
    static constexpr bool has_state = count_of<role::state, Parts...> != 0;
    static constexpr bool has_decay = count_of<role::decay, Parts...> != 0;
    static constexpr bool has_update = count_of<role::update, Parts...> != 0;
    static constexpr bool learns_decay =
        ((is_learned<Parts> && part_of<Parts, role::decay>) || ...);
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

    /// see(name, view) for all memory that the call reads: q, k, v, and what parts were given.
    template <class See>
    void see_inputs(const See& see) const {
        see("q", q);
        see("k", k);
        see("v", v);
        for_each_part([&](const auto& part) { part.inputs(see); });
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

    /// What a state of this call is of.
    state_kind kind() const {
        return {shape.batch,
                shape.state_heads(),
                map().count(shape.dim),
                shape.value_dim,
                map_type::name,
                divides,
                turned,
                has_decay,
                has_update,
                turned != encoded::none || reaches};
    }
    state_access<T> state() const requires(has_state) {
        return {*with(
            [](const auto&... parts) { return the_part<role::state>(nothing, parts...).state; })};
    }

    /// What the kernel runs; it lives in `scratch`. A state that is carried is opened for writing.
    template <bool Backward>
    linear_program<T> program(arena& scratch) const {
        const auto& features = map();
        const feature_rule<T>& rule = features.template rule<T, Backward>(scratch, shape);
        linear_program<T> result{};
        result.shape = shape;
        result.q = q;
        result.k = k;
        result.v = v;
        result.map = &rule;
        result.turned = turned;
        result.causal = is_causal;
        result.threads = threads();
        result.memory = &memory();
        set_runs(result, scratch);
        if constexpr (has_lengths) {
            index* lengths = scratch.take<index>(shape.batch);
            for (index b = 0; b < shape.batch; ++b) lengths[b] = length_of(b);
            result.lengths = lengths;
        }
        if constexpr (has_state && !Backward) {
            index* firsts = scratch.take<index>(shape.batch);
            for (index b = 0; b < shape.batch; ++b) firsts[b] = state().length(b);
            result.firsts = firsts;
            result.state = state().heads(kind());
        }
        if constexpr (has_decay) result.log_decays = decay().template numbers<T>(scratch, shape);
        if constexpr (has_update) result.deltas = update().template numbers<T>(scratch, shape);
        result.denominator.divides = divides;
        with([&]<class... Chosen>(const Chosen&... parts) {
            if constexpr (count_of<role::denominator, Chosen...> == 1)
                result.denominator.least =
                    static_cast<T>(the_part<role::denominator>(nothing, parts...).least());
            if constexpr (!has_map && !divides)
                result.denominator.scale =
                    scales(the_part<role::scale>(standard_scale, parts...), scratch);
            if constexpr (has_encoding)
                result.turn =
                    &make_row_turn<T>(the_part<role::position_encoding>(nothing, parts...), shape,
                                      turned == encoded::features ? rule.feature_count : shape.dim,
                                      result.firsts, scratch);
        });
        return result;
    }

    /// The state behind a forward call.
    void close_state() const {
        if constexpr (has_state) {
            arena& scratch = memory().slot(0);
            const arena::scope mark(scratch);
            linear_program<T> runs{};
            set_runs(runs, scratch);
            for (index b = 0; b < shape.batch; ++b) {
                sequence_run last = runs.runs[runs.run_count - 1];
                if constexpr (has_lengths) last.key_last = std::min(last.key_last, length_of(b));
                const bool anew = runs.run_count > 1;
                state().set_length(b, last.keys() + (anew ? 0 : state().length(b)), anew);
            }
        }
    }

  private:
    index length_of(index batch) const requires(has_lengths) {
        index length = shape.keys;
        for_each_part([&](const auto& part) {
            if constexpr (is_key_lengths<std::remove_cvref_t<decltype(part)>>)
                length = part.padded_from(batch);
        });
        return length;
    }

    template <class Encoding>
    void check_encoding(const Encoding& encoding) const {
        static_assert(map_type::encoding != encoded::none,
                      "heed: this feature map goes with no rotary encoding");
        const index count = map().count(shape.dim);
        if constexpr (map_type::encoding == encoded::features) {
            require_argument(!has_map || count % 2 == 0, "a rotary encoding turns pairs of ",
                             "features, but ", map_type::name, " makes ", count);
            attention_shape features = as_attention(shape);
            features.dim = count;
            encoding.check(features);
        } else {
            encoding.check(as_attention(shape));
        }
    }

    void check_sequences() const {
        if constexpr (has_state)
            require_shape(shape.queries == shape.keys, "q has shape ", q.extents,
                          " and k has shape ", k.extents,
                          ", but with a state they must have the same sequence");
        if constexpr (has_lengths && is_causal)
            require_shape(shape.queries == shape.keys, "q has shape ", q.extents,
                          " and k has shape ", k.extents,
                          ", but with heed::causal and heed::key_lengths they must have the same "
                          "sequence");
        if constexpr (has_documents) {
            constexpr bool one_length = !has_lengths;
            static_assert(one_length,
                          "heed: linear attention takes heed::key_lengths or "
                          "heed::cumulative_lengths, not both");
            if constexpr (is_causal) {
                for_each_run([&](const sequence_run& run) {
                    require_shape(
                        run.query_first == run.key_first && run.query_last == run.key_last,
                        "heed::cumulative_lengths: queries ", run.query_first, " to ",
                        run.query_last, " see keys ", run.key_first, " to ", run.key_last,
                        ", but in causal linear attention a document has as many of both");
                });
            }
        }
        if constexpr (reaches) {
            index reach = 0;
            for_each_run([&](const sequence_run& run) {
                reach = std::max({reach, run.queries(), run.keys()});
            });
            if constexpr (has_state) {
                index seen = 0;
                for (index b = 0; b < shape.batch; ++b) seen = std::max(seen, state().length(b));
                reach += seen;
            }
            map().check_reach(reach);
        }
        if constexpr (has_state) {
            require_argument(is_causal,
                             "heed::carry: a state is what a causal call has seen, but this call's "
                             "heed::causal was not chosen");
            state().check(kind());
        }
        if constexpr (has_update)
            require_argument(is_causal,
                             "heed::delta goes along a causal sequence, but this call's "
                             "heed::causal was not chosen");
        if constexpr (has_decay) {
            require_argument(is_causal,
                             "a decay goes along a causal sequence, but this call's heed::causal "
                             "was not chosen");
            for_each_run([&](const sequence_run& run) {
                for (index b = 0; b < shape.batch; ++b) {
                    index last = run.key_last;
                    if constexpr (has_lengths) last = std::min(last, length_of(b));
                    decay().check_tokens(b, run.key_first, last);
                }
            });
        }
    }

    /// f(run) of every document that has queries.
    template <class F>
    void for_each_run(const F& f) const {
        if constexpr (has_documents) {
            with([&](const auto&... parts) {
                const auto one = [&](const auto& mask) {
                    if constexpr (std::same_as<std::remove_cvref_t<decltype(mask)>,
                                               cumulative_lengths_mask>) {
                        const attention_shape of = as_attention(shape);
                        const auto sees = [&](index i) { return mask.interval({.query = i}, of); };
                        for (index i = 0; i < shape.queries;) {
                            const key_interval keys = sees(i);
                            index last = i + 1;
                            while (last < shape.queries && sees(last).first == keys.first &&
                                   sees(last).last == keys.last)
                                ++last;
                            f(sequence_run{i, last, keys.first, keys.last});
                            i = last;
                        }
                    }
                };
                (one(parts), ...);
            });
        } else {
            f(sequence_run{0, shape.queries, 0, shape.keys});
        }
    }
    void set_runs(linear_program<T>& to, arena& scratch) const {
        index count = 0;
        for_each_run([&](const sequence_run&) { ++count; });
        if (count == 0) {  // no queries, in no document
            sequence_run* none = scratch.take<sequence_run>(1);
            *none = {};
            to.runs = none;
            to.run_count = 1;
            return;
        }
        sequence_run* runs = scratch.take<sequence_run>(count);
        to.runs = runs;
        to.run_count = count;
        for_each_run([&](const sequence_run& run) { *runs++ = run; });
    }

    template <class Scale>
    const T* scales(const Scale& scale, arena& scratch) const {
        T* of_heads = scratch.take<T>(shape.heads);
        for (index h = 0; h < shape.heads; ++h)
            of_heads[h] = static_cast<T>(scale.on_row({.head = h}, as_attention(shape), 0));
        return of_heads;
    }

    std::tuple<const Parts&...> parts_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
