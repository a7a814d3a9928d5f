#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/attention/kernel/call/choices.hpp>
#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/denominator.hpp>
#include <heed/linear/kernel/call/call_runs.hpp>
#include <heed/linear/kernel/call/call_shape.hpp>
#include <heed/linear/kernel/call/roles.hpp>
#include <heed/linear/kernel/rules/feature_rule.hpp>
#include <heed/linear/kernel/rules/program.hpp>
#include <heed/linear/kernel/rules/row_turn_of.hpp>
#include <heed/linear/kernel/state/state_access.hpp>
#include <heed/linear/kernel/state/state_kind.hpp>
#include <heed/linear/part.hpp>

/// \file
/// One call of linear attention: its shape, its inputs, and its parts by role; checked before
/// anything else happens.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A call whose choices have been made.
template <class T, class... Parts>
class linear_call : public linear_call_runs<Parts...> {
    using given = linear_call_runs<Parts...>;

  public:
    using given::divides, given::has_map, given::reaches, given::turned;
    using given::for_each_part, given::map, given::memory, given::threads, given::with;
    using given::has_decay, given::has_encoding, given::has_state, given::has_update;
    using given::has_documents, given::has_lengths, given::is_causal;
    using given::has_state_gradient;
    using given::shape;
    using typename given::map_type;

    tensor_view<const T, 4> q, k, v;

    linear_call(const tensor_view<const T, 4>& queries, const tensor_view<const T, 4>& keys,
                const tensor_view<const T, 4>& values, const Parts&... parts)
        : given(linear_shape_of(queries, keys, values, heads_among(parts...)), parts...),
          q(queries),
          k(keys),
          v(values) {
        for_each_part([&](const auto& part) {
            using part_type = std::remove_cvref_t<decltype(part)>;
            if constexpr (part_of<part_type, role::position_encoding>)
                check_encoding(part);
            else if constexpr (std::derived_from<part_type, linear_part_base<role_of<part_type>>>)
                part.check_call(this->shape);
            else if constexpr (!part_of<part_type, role::normaliser>)
                part.check(as_attention(this->shape));
        });
        check_sequences();
    }

    /// see(name, view) for all memory that the call reads: q, k, v, and what parts were given.
    template <class See>
    void see_inputs(const See& see) const {
        see("q", q);
        see("k", k);
        see("v", v);
        for_each_part([&](const auto& part) { part.inputs(see); });
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
                given::decays,
                has_update,
                given::low_rank ? index(2) : index(1),
                turned != encoded::none || reaches};
    }
    /// The shapes of S and of Z in such a state; nothing of Z where nothing divides.
    std::array<index, 4> state_shape() const {
        return {shape.batch, shape.state_heads(), shape.value_dim, map().count(shape.dim)};
    }
    std::array<index, 3> total_shape() const {
        constexpr bool has_total = divides || map_type::divides_features;
        return {shape.batch, shape.state_heads(), has_total ? map().count(shape.dim) : 0};
    }
    /// Tokens that a sequence had seen before the call.
    index seen([[maybe_unused]] index batch) const {
        if constexpr (has_state)
            return state().length(batch);
        else
            return 0;
    }
    state_access<T> state() const requires(has_state) {
        return {*with(
            [](const auto&... parts) { return the_part<role::state>(nothing, parts...).state; })};
    }

    /// What the kernel runs; it lives in `scratch`. A state that is carried is opened for writing
    /// by forward; backward reads what forward went on from.
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
        this->set_runs(result, scratch);
        if constexpr (has_lengths) {
            index* lengths = scratch.take<index>(shape.batch);
            for (index b = 0; b < shape.batch; ++b) lengths[b] = this->length_of(b);
            result.lengths = lengths;
        }
        if constexpr (has_state) {
            index* firsts = scratch.take<index>(shape.batch);
            for (index b = 0; b < shape.batch; ++b) firsts[b] = state().length(b);
            result.firsts = firsts;
            result.state = Backward ? state().heads() : state().heads(kind());
        }
        set_decays(result, scratch);
        if constexpr (given::has_bonus) result.bonus = this->bonus().template numbers<T>();
        if constexpr (given::updates_channels)
            std::tie(result.erased, result.written) = this->update().template numbers<T>();
        else if constexpr (given::low_rank)
            std::tie(result.a, result.b) = this->update().template numbers<T>();
        else if constexpr (has_update)
            result.deltas = this->update().template numbers<T>(scratch, shape);
        result.denominator.divides = divides;
        with([&]<class... Chosen>(const Chosen&... parts) {
            if constexpr (count_of<role::denominator, Chosen...> == 1)
                result.denominator.least =
                    static_cast<T>(the_part<role::denominator>(nothing, parts...).least());
            if constexpr (!has_map && !divides)
                result.denominator.scale =
                    scales(the_part<role::scale>(standard_scale, parts...), scratch);
            if constexpr (has_encoding)
                result.turn = &make_row_turn<T>(
                    the_part<role::position_encoding>(nothing, parts...), this->shape,
                    turned == encoded::features ? rule.feature_count : this->shape.dim,
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
            this->set_runs(runs, scratch);
            for (index b = 0; b < shape.batch; ++b) {
                sequence_run last = runs.runs[runs.run_count - 1];
                if constexpr (has_lengths)
                    last.key_last = std::min(last.key_last, this->length_of(b));
                const bool anew = runs.run_count > 1;
                state().set_length(b, last.keys() + (anew ? 0 : state().length(b)), anew);
            }
        }
    }

  private:
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
                this->for_each_run([&](const sequence_run& run) {
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
            this->for_each_run([&](const sequence_run& run) {
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
        if constexpr (given::has_bonus)
            require_argument(is_causal,
                             "heed::bonus is that of the present token of a causal sequence, but "
                             "this call's heed::causal was not chosen");
        if constexpr (has_state_gradient)
            require_argument(is_causal,
                             "heed::state_gradient: a state is what a causal call leaves, but this "
                             "call's heed::causal was not chosen");
        if constexpr (has_update)
            require_argument(is_causal,
                             "an update goes along a causal sequence, but this call's "
                             "heed::causal was not chosen");
        if constexpr (has_decay) {
            require_argument(is_causal,
                             "a decay goes along a causal sequence, but this call's heed::causal "
                             "was not chosen");
            this->for_each_run([&](const sequence_run& run) {
                for (index b = 0; b < shape.batch; ++b) {
                    index last = run.key_last;
                    if constexpr (has_lengths) last = std::min(last, this->length_of(b));
                    this->decay().check_tokens(b, run.key_first, last);
                }
            });
        }
    }

    /// Those of tokens, beside a bonus, are of as many channels.
    void set_decays([[maybe_unused]] linear_program<T>& to, [[maybe_unused]] arena& scratch) const {
        if constexpr (has_decay) {
            const auto numbers = this->decay().template numbers<T>(scratch, shape);
            if constexpr (rank_of<decltype(numbers)> == 4) {
                to.channel_decays = numbers;
            } else if constexpr (given::has_bonus) {
                to.channel_decays = {
                    numbers.data,
                    {shape.batch, shape.decay_heads, shape.keys, shape.dim},
                    {numbers.strides[0], numbers.strides[1], numbers.strides[2], 0}};
            } else {
                to.log_decays = numbers;
            }
        } else if constexpr (given::has_bonus) {
            T* none = scratch.take<T>(1);
            *none = T(0);
            to.channel_decays = {none, {shape.batch, 1, shape.keys, shape.dim}, {0, 0, 0, 0}};
        }
    }

    template <class Scale>
    const T* scales(const Scale& scale, arena& scratch) const {
        T* of_heads = scratch.take<T>(shape.heads);
        for (index h = 0; h < shape.heads; ++h)
            of_heads[h] = static_cast<T>(scale.on_row({.head = h}, as_attention(shape), 0));
        return of_heads;
    }
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
