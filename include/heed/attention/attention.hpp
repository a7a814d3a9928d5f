#pragma once

#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/attention/caches/detail/cache_like.hpp>
#include <heed/attention/detail/checked_attention.hpp>
#include <heed/attention/forward_result.hpp>
#include <heed/attention/gradient.hpp>
#include <heed/attention/stats.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/view.hpp>

/// \file
/// Exact attention: o_i = Σ_j p_ij v_j, p_i = normaliser over j of modifiers(c_i·(q_i·k_j)).
///
/// q [batch, heads, queries, dim], k [batch, kv_heads, keys, dim], v [batch, kv_heads, keys,
/// value_dim]; leading axes may be missing in all three. Query head h uses kv head
/// ⌊h·kv_heads/heads⌋. Behind v come parts in any order: a scale, masks, modifiers, a normaliser, a
/// position encoding, heed::positions, heed::on, heed::in. See docs/attention/attention.md.
///
/// All tensors of a call are float, or double; or Eigen::bfloat16 or Eigen::half, which become
/// float exactly as they are read and are rounded once as they are written; forward multiplies
/// pairs of bfloat16 where the machine does, and rounds weights to it. Stats, observations and the
/// gradients of learned parts are float then.
///
/// Every function throws shape_error or argument_error, naming the argument, before it writes
/// anything. No n×n matrix is ever formed, except by attention_weights.

namespace heed::inline HEED_ARCHITECTURE {

/// What attention_forward's stats are for tensors of this scalar and these parts. Where normalisers
/// of several types may be chosen they are those of a std::variant of these.
template <class Scalar, class... Parts>
using stats_for =
    stats<detail::computed_in<Scalar>, detail::normaliser_of<std::remove_cvref_t<Parts>...>>;

/// attention, written to the caller's memory: o [batch, heads, queries, value_dim], of any storage
/// order; it is never resized, and must not overlap q, k, v or what a part was given.
template <class O, class Q, class K, class V, class... Parts>
requires(!detail::cache_like<K>) void attention_into(O&& o, const Q& q, const K& k, const V& v,
                                                     const Parts&... parts) {
    detail::check_forward_parts<Parts...>();
    detail::with_call(
        q, k, v,
        [&](const auto& call) {
            using S = scalar_of<Q>;
            detail::run_into<S, Parts...>(o, detail::no_stats<S, Parts...>, call);
        },
        parts...);
}

/// o [batch, heads, queries, value_dim], an object of q's kind, storage order and scalar.
///
///     auto o = heed::attention(q, k, v, heed::causal);
template <class Q, class K, class V, class... Parts>
requires(!detail::cache_like<K>)
    [[nodiscard]] auto attention(const Q& q, const K& k, const V& v, const Parts&... parts) {
    if constexpr (detail::check_inputs<Q, K, V, true>()) {
        auto o = detail::make_output(q, k, v);
        attention_into(o, q, k, v, parts...);
        return o;
    }
}

/// attention_into that also keeps what backward needs; `kept` is a stats_for<Scalar, Parts...>, and
/// allocates nothing when it held the stats of as many rows before. If a part's function throws, or
/// memory runs out, `kept` are the stats of no call, and backward refuses them.
template <class O, class Scalar, class Normaliser, class Q, class K, class V, class... Parts>
requires(!detail::cache_like<K>) void attention_forward_into(O&& o, stats<Scalar, Normaliser>& kept,
                                                             const Q& q, const K& k, const V& v,
                                                             const Parts&... parts) {
    static_assert(std::is_same_v<Scalar, detail::computed_in<scalar_of<Q>>>,
                  "heed: stats must have the scalar of q, k and v, or float if that has 16 bits");
    detail::check_forward_parts<Parts...>();
    detail::with_call(
        q, k, v,
        [&](const auto& call) { detail::run_into<scalar_of<Q>, Parts...>(o, &kept, call); },
        parts...);
}

namespace detail {

/// The extents of o that observers write for.
template <class O>
attention_shape rows_of_output(O& o) {
    const auto extents = rank4(view_of(o)).extents;
    return {.batch = extents[0], .heads = extents[1], .queries = extents[2]};
}

/// The result of attention_forward, filled by attention_forward_into of `inputs`: q, k and v, or q
/// and a cache.
template <class Stats, class O, class... Observed, class... Inputs, class... Parts>
auto make_forward_result(O o, std::tuple<Observed...> observed,
                         const std::tuple<const Inputs&...>& inputs, const Parts&... parts) {
    forward_result<O, Stats, Observed...> result{std::move(o), {}, std::move(observed)};
    with_bound_observers(
        [&](const auto&... bound) {
            std::apply(
                [&](const auto&... input) {
                    attention_forward_into(result.output, result.stats, input..., bound...);
                },
                inputs);
        },
        result.observed, parts...);
    return result;
}

}  // namespace detail

/// o as attention computes it, and the stats that attention_backward needs: `auto [o, stats] = …`.
template <class Q, class K, class V, class... Parts>
requires(!detail::cache_like<K>)
    [[nodiscard]] auto attention_forward(const Q& q, const K& k, const V& v,
                                         const Parts&... parts) {
    if constexpr (detail::check_inputs<Q, K, V, true>()) {
        using T = detail::computed_in<scalar_of<Q>>;
        using stats_type = stats_for<T, Parts...>;
        auto o = detail::make_output(q, k, v);
        attention_shape rows;
        if constexpr ((detail::is_unbound_observer<Parts> || ...)) rows = detail::rows_of_output(o);
        return detail::make_forward_result<stats_type>(
            std::move(o), std::tuple_cat(detail::make_observed<T>(parts, rows)...),
            std::tie(q, k, v), parts...);
    }
}

/// attention_backward into the caller's memory: `gradients` is what attention_backward returned
/// before, or heed::into(dq, dk, dv, learned…). Nothing is resized; outputs must not overlap inputs
/// or each other. shape_error unless `kept` are the stats of a forward call of the same shapes, of
/// keys too; argument_error if they are those of none.
template <class Gradients, class DO, class O, class Scalar, class Normaliser, class Q, class K,
          class V, class... Parts>
void attention_backward_into(Gradients&& gradients, const DO& d_o, const O& o,
                             const stats<Scalar, Normaliser>& kept, const Q& q, const K& k,
                             const V& v, const Parts&... parts) {
    static_assert(std::is_same_v<scalar_of<DO>, scalar_of<Q>> &&
                      std::is_same_v<scalar_of<O>, scalar_of<Q>> &&
                      std::is_same_v<Scalar, detail::computed_in<scalar_of<Q>>>,
                  "heed: d_o, o, stats, q, k and v must have the same scalar, stats float where "
                  "that has 16 bits");
    constexpr bool fixed = !(detail::learns_by_choice<Parts> || ...);
    static_assert(fixed, "heed: a learned part may be optional, but not one of several");
    const auto held_d_o = detail::evaluate(d_o);
    const auto held_o = detail::evaluate(o);
    detail::with_call(
        q, k, v,
        [&](const auto& call) {
            constexpr bool fits = std::is_same_v<Normaliser, detail::normaliser_of<Parts...>>;
            static_assert(fits, "heed: stats must be those of this call's normaliser");
            constexpr bool one_each =
                std::tuple_size_v<std::remove_cvref_t<decltype(gradients.learned)>> ==
                detail::learned_count<std::remove_cvref_t<decltype(call.parts())>>;
            static_assert(one_each || !fixed,
                          "heed: there must be one gradient for each learned part");
            if constexpr (fits && fixed && one_each)
                detail::checked_backward<Scalar>(gradients, detail::rank4(held_d_o.view()),
                                                 detail::rank4(held_o.view()), kept, call);
        },
        parts...);
}

/// The gradients of q, k, v and of what is learned, from d_o and what attention_forward returned
/// for the same q, k, v and parts: `grad.q`, `grad.of<0>()`, `auto [dq, dk, dv, db] = …`.
///
///     const auto bias = heed::learn(heed::bias(b));
///     auto [o, stats] = heed::attention_forward(q, k, v, heed::causal, bias);
///     auto [dq, dk, dv, db] = heed::attention_backward(d_o, o, stats, q, k, v, heed::causal,
///     bias);
template <class DO, class O, class Scalar, class Normaliser, class Q, class K, class V,
          class... Parts>
[[nodiscard]] auto attention_backward(const DO& d_o, const O& o,
                                      const stats<Scalar, Normaliser>& kept, const Q& q, const K& k,
                                      const V& v, const Parts&... parts) {
    if constexpr (detail::check_inputs<Q, K, V, true>()) {
        const auto held_q = detail::evaluate(q);
        const auto held_k = detail::evaluate(k);
        const auto held_v = detail::evaluate(v);
        [[maybe_unused]] const attention_shape shape = detail::shape_of<scalar_of<Q>>(
            detail::rank4(held_q.view()), detail::rank4(held_k.view()),
            detail::rank4(held_v.view()));
        const gradient_choice wanted = detail::wanted_of(std::tie(parts...));
        auto gradients =
            detail::make_gradients(detail::make_input_gradient<Q>(held_q.view().extents, wanted.q),
                                   detail::make_input_gradient<K>(held_k.view().extents, wanted.k),
                                   detail::make_input_gradient<V>(held_v.view().extents, wanted.v),
                                   std::tuple_cat(detail::make_learned<Scalar>(parts, shape)...));
        attention_backward_into(gradients, d_o, o, kept, q, k, v, parts...);
        return gradients;
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE
