#pragma once

#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/attention/detail/checked_outputs.hpp>
#include <heed/attention/forward_result.hpp>
#include <heed/attention/gradient.hpp>
#include <heed/attention/kernel/call/choices.hpp>
#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/kernel/program/learning.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/kernel/call/backward_call.hpp>
#include <heed/linear/kernel/call/call.hpp>
#include <heed/linear/kernel/call/roles.hpp>
#include <heed/linear/kernel/forward/forward.hpp>
#include <heed/linear/linear_stats.hpp>
#include <heed/linear/part.hpp>
#include <heed/linear/state_gradient.hpp>

/// \file
/// Linear attention: o_i = Σ_j (φ(q_i)·φ(k_j)) v_j / Σ_j φ(q_i)·φ(k_j), at one cost a token.
///
/// q [batch, heads, queries, dim], k [batch, heads, keys, dim], v [batch, heads, keys, value_dim];
/// leading axes may be missing in all three. The numbers of heads may differ: each divides the
/// largest, which is o's. Behind v come parts in any order: a feature map, a denominator,
/// a decay, an update, a bonus, heed::unit_rows, heed::causal, heed::key_lengths or
/// heed::cumulative_lengths, heed::rotary, heed::carry, heed::on, heed::in. Without a map q and k
/// are the features, nothing divides, and o is multiplied by a scale, 1/√dim unless heed::scale
/// says otherwise. See docs/linear/linear_attention.md.
///
/// Every function throws shape_error or argument_error, naming the argument, before it writes
/// anything. Time is O(n·m·d_v) for m features, memory beside the tensors O(m·d_v) a thread.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// Stops the compilation with one sentence if these cannot be q, k and v. False then.
template <class Q, class K, class V>
constexpr bool check_linear_inputs() {
    constexpr bool tensors = tensor_like<Q> && tensor_like<K> && tensor_like<V>;
    static_assert(tensors,
                  "heed: q, k and v must be Eigen tensors, matrices, arrays, maps, blocks, or "
                  "heed::view");
    if constexpr (tensors) {
        constexpr bool same_rank = rank_of<Q> == rank_of<K> && rank_of<Q> == rank_of<V>;
        static_assert(same_rank, "heed: q, k and v must have the same number of axes");
        constexpr bool good_rank = rank_of<Q> >= 2 && rank_of<Q> <= 4;
        static_assert(good_rank,
                      "heed: linear attention takes [sequence, dim], [heads, sequence, dim] or "
                      "[batch, heads, sequence, dim]");
        constexpr bool same_scalar = std::is_same_v<scalar_of<Q>, scalar_of<K>> &&
                                     std::is_same_v<scalar_of<Q>, scalar_of<V>>;
        static_assert(same_scalar, "heed: q, k and v must have the same scalar");
        constexpr bool good_scalar =
            std::is_same_v<scalar_of<Q>, float> || std::is_same_v<scalar_of<Q>, double>;
        static_assert(good_scalar, "heed: linear attention computes in float or double");
        return same_rank && good_rank && same_scalar && good_scalar;
    } else {
        return false;
    }
}

/// Stops the compilation with one sentence if a denominator stands beside a map that divides.
template <class... Parts>
constexpr bool check_denominator() {
    using map_type = std::remove_cvref_t<decltype(map_among(std::declval<const Parts&>()...))>;
    constexpr bool fits = !map_type::divides_features || count_of<role::denominator, Parts...> == 0;
    static_assert(fits, "heed: heed::double_softmax divides by itself: it takes no denominator");
    return fits;
}

/// f(linear_call) with everything checked and every choice made.
template <class Q, class K, class V, class F, class... Parts>
void with_linear_call(const Q& q, const K& k, const V& v, F&& f, const Parts&... parts) {
    if constexpr (check_linear_inputs<Q, K, V>()) {
        if constexpr (check_linear_parts<Parts...>()) {
            using T = scalar_of<Q>;
            const auto held_q = evaluate(q);
            const auto held_k = evaluate(k);
            const auto held_v = evaluate(v);
            const std::tuple<const Parts&...> all(parts...);
            with_roles<role::feature_map, role::row_norm, role::normaliser, role::denominator,
                       role::decay, role::update, role::bonus, role::state, role::state_gradient,
                       role::mask, role::scale, role::position_encoding, role::threads,
                       role::memory>(all, [&]<class... Chosen>(const Chosen&... chosen) {
                if constexpr (check_denominator<Chosen...>())
                    f(linear_call<T, Chosen...>(rank4(held_q.view()), rank4(held_k.view()),
                                                rank4(held_v.view()), chosen...));
            });
        }
    }
}

/// An object of q's kind for o; shapes are checked before memory is asked for.
template <class Q, class K, class V, class... Parts>
auto make_linear_output(const Q& q, const K& k, const V& v, const Parts&... parts) {
    const auto held_q = evaluate(q);
    const auto held_k = evaluate(k);
    const auto held_v = evaluate(v);
    using T = scalar_of<Q>;
    const linear_shape shape = linear_shape_of<T>(rank4(held_q.view()), rank4(held_k.view()),
                                                  rank4(held_v.view()), heads_among(parts...));
    auto extents = held_q.view().extents;
    extents.back() = shape.value_dim;
    if constexpr (extents.size() > 2) extents[extents.size() - 3] = shape.heads;
    check_result<T>("o", extents);
    return make_like<Q>(extents);
}

/// Checks o, then runs forward; `kept` may be null.
template <class O, class T, class Call>
void run_linear_forward(O& o, linear_stats<T>* kept, const Call& call) {
    static_assert(std::is_same_v<scalar_of<O>, T>, "heed: o must have the scalar of q, k and v");
    static_assert(!Call::has_state_gradient,
                  "heed: heed::state_gradient is a part of linear_attention_backward");
    const auto view = rank4(view_of(o));
    const linear_shape& shape = call.shape;
    check_output("o", view, {shape.batch, shape.heads, shape.queries, shape.value_dim});
    check_output_memory("o", view, call);
    T* z = kept == nullptr ? nullptr : linear_stats_access<T>::begin(*kept, call);
    {
        arena& own = call.memory().slot(0);
        const arena::scope mark(own);
        linear_forward<T>(call.template program<false>(own), {view, z});
    }
    call.close_state();
    if (kept != nullptr) linear_stats_access<T>::end(*kept, shape);
}

}  // namespace detail

/// linear_attention, written to the caller's memory: o [batch, heads, queries, value_dim], of any
/// storage order; it is never resized, and must not overlap q, k, v or what a part was given. A
/// second call of the same shape allocates nothing.
template <class O, class Q, class K, class V, class... Parts>
void linear_attention_into(O&& o, const Q& q, const K& k, const V& v, const Parts&... parts) {
    using T = scalar_of<Q>;
    detail::with_linear_call(
        q, k, v,
        [&](const auto& call) {
            detail::run_linear_forward(o, static_cast<linear_stats<T>*>(nullptr), call);
        },
        parts...);
}

/// o [batch, heads, queries, value_dim], an object of q's kind, storage order and scalar.
///
///     auto o = heed::linear_attention(q, k, v, heed::causal, heed::elu_plus_one);
template <class Q, class K, class V, class... Parts>
[[nodiscard]] auto linear_attention(const Q& q, const K& k, const V& v, const Parts&... parts) {
    if constexpr (detail::check_linear_inputs<Q, K, V>()) {
        auto o = detail::make_linear_output(q, k, v, parts...);
        linear_attention_into(o, q, k, v, parts...);
        return o;
    }
}

/// linear_attention_into that also keeps what backward needs; `kept` allocates nothing when it held
/// the stats of as many rows before.
template <class O, class Scalar, class Q, class K, class V, class... Parts>
void linear_attention_forward_into(O&& o, linear_stats<Scalar>& kept, const Q& q, const K& k,
                                   const V& v, const Parts&... parts) {
    static_assert(std::is_same_v<Scalar, scalar_of<Q>>,
                  "heed: stats must have the scalar of q, k and v");
    detail::with_linear_call(
        q, k, v, [&](const auto& call) { detail::run_linear_forward(o, &kept, call); }, parts...);
}

/// o as linear_attention computes it, and the stats that linear_attention_backward needs:
/// `auto [o, stats] = …`.
template <class Q, class K, class V, class... Parts>
[[nodiscard]] auto linear_attention_forward(const Q& q, const K& k, const V& v,
                                            const Parts&... parts) {
    if constexpr (detail::check_linear_inputs<Q, K, V>()) {
        auto o = detail::make_linear_output(q, k, v, parts...);
        forward_result<decltype(o), linear_stats<scalar_of<Q>>> result{std::move(o), {}, {}};
        linear_attention_forward_into(result.output, result.stats, q, k, v, parts...);
        return result;
    }
}

/// linear_attention_backward into the caller's memory: `gradients` is what it returned before, or
/// heed::into(dq, dk, dv), for a learned decay or update heed::into(dq, dk, dv, d_decay): beside
/// heed::carry the gradient then ends at the state. Nothing is resized; outputs must not overlap
/// inputs or each other.
template <class Gradients, class DO, class O, class Scalar, class Q, class K, class V,
          class... Parts>
void linear_attention_backward_into(Gradients&& gradients, const DO& d_o, const O& o,
                                    const linear_stats<Scalar>& kept, const Q& q, const K& k,
                                    const V& v, const Parts&... parts) {
    static_assert(std::is_same_v<Scalar, scalar_of<Q>> && std::is_same_v<Scalar, scalar_of<DO>> &&
                      std::is_same_v<Scalar, scalar_of<O>>,
                  "heed: d_o, o, stats, q, k and v must have the same scalar");
    constexpr bool fixed = !(detail::learns_by_choice<Parts> || ...);
    static_assert(fixed, "heed: a learned part may be optional, but not one of several");
    constexpr bool one_each = std::tuple_size_v<std::remove_cvref_t<decltype(gradients.learned)>> ==
                              detail::gradients_before<sizeof...(Parts), Parts...>();
    static_assert(one_each || !fixed || !detail::check_linear_parts<Parts...>(),
                  "heed: there must be one gradient for each learned part");
    if constexpr (fixed && one_each) {
        const auto held_d_o = detail::evaluate(d_o);
        const auto held_o = detail::evaluate(o);
        detail::with_linear_call(
            q, k, v,
            [&](const auto& call) {
                detail::run_linear_backward<Scalar, Parts...>(
                    gradients, detail::rank4(held_d_o.view()), detail::rank4(held_o.view()), kept,
                    call);
            },
            parts...);
    }
}

/// The gradients of q, k and v, from d_o and what linear_attention_forward returned for the same q,
/// k, v and parts: `grad.q`, or `auto [dq, dk, dv] = …`. Behind them those of a learned decay and a
/// learned update, in the order of the parts, `grad.of<0>()`. Of a call that went on from a state,
/// heed::carry takes a copy of that state, as it was before the call; `grad.state` is then its
/// gradient. heed::state_gradient brings that of the state behind the call. The same bits for any
/// number of threads.
///
///     auto [o, stats] = heed::linear_attention_forward(q, k, v, heed::causal, heed::elu_plus_one);
///     auto [dq, dk, dv] = heed::linear_attention_backward(d_o, o, stats, q, k, v, heed::causal,
///                                                         heed::elu_plus_one);
template <class DO, class O, class Scalar, class Q, class K, class V, class... Parts>
[[nodiscard]] auto linear_attention_backward(const DO& d_o, const O& o,
                                             const linear_stats<Scalar>& kept, const Q& q,
                                             const K& k, const V& v, const Parts&... parts) {
    if constexpr (detail::check_linear_inputs<Q, K, V>()) {
        const auto held_q = detail::evaluate("q", q);
        const auto held_k = detail::evaluate("k", k);
        const auto held_v = detail::evaluate("v", v);
        const linear_shape shape = detail::linear_shape_of<scalar_of<Q>>(
            detail::rank4(held_q.view()), detail::rank4(held_k.view()),
            detail::rank4(held_v.view()), detail::heads_among(parts...));
        auto gradients = detail::make_gradients(
            detail::make_like<Q>(held_q.view().extents),
            detail::make_like<K>(held_k.view().extents),
            detail::make_like<V>(held_v.view().extents),
            std::tuple_cat(detail::make_linear_gradient<scalar_of<Q>>(shape, parts)...));
        if constexpr ((detail::may_play<Parts, role::state> || ...)) {
            using state = linear_state_gradient<scalar_of<Q>>;
            auto with_state = detail::with_state_gradient<state>(std::move(gradients));
            detail::with_linear_call(
                q, k, v, [&](const auto& call) { detail::take_shape(with_state.state, call); },
                parts...);
            linear_attention_backward_into(with_state, d_o, o, kept, q, k, v, parts...);
            return with_state;
        } else {
            linear_attention_backward_into(gradients, d_o, o, kept, q, k, v, parts...);
            return gradients;
        }
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE
