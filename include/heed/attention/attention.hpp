#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/attention/caches/detail/cache_like.hpp>
#include <heed/attention/forward_result.hpp>
#include <heed/attention/gradient.hpp>
#include <heed/attention/kernel/call/call.hpp>
#include <heed/attention/kernel/call/choices.hpp>
#include <heed/attention/kernel/call/contracts.hpp>
#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/kernel/program/learning.hpp>
#include <heed/attention/kernel/run.hpp>
#include <heed/attention/stats.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/memory_span.hpp>
#include <heed/core/view.hpp>

/// \file
/// Exact attention: o_i = Σ_j p_ij v_j, p_i = normaliser over j of modifiers(c_i·(q_i·k_j)).
///
/// q [batch, heads, queries, dim], k [batch, kv_heads, keys, dim], v [batch, kv_heads, keys,
/// value_dim]; leading axes may be missing in all three. Query head h uses kv head
/// ⌊h·kv_heads/heads⌋. Behind v come parts in any order: a scale, masks, modifiers, a normaliser, a
/// position encoding, heed::positions, heed::on, heed::in. See docs/attention/attention.md.
///
/// Every function throws shape_error or argument_error, naming the argument, before it writes
/// anything. No n×n matrix is ever formed, except by attention_weights.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// Stops the compilation with one sentence if these cannot be q, k and v. False then, so that the
/// caller's body is left out and the sentence is not followed by a page of what could not work.
template <class Q, class K, class V>
constexpr bool check_inputs() {
    constexpr bool cached = cache_like<K>;
    static_assert(
        !cached,
        "heed: backward takes k and v, not a cache, which holds them rounded and keeps no "
        "gradients");
    constexpr bool tensors = !cached && tensor_like<Q> && tensor_like<K> && tensor_like<V>;
    static_assert(tensors || cached,
                  "heed: q, k and v must be Eigen tensors, matrices, arrays, maps, blocks, or "
                  "heed::view");
    if constexpr (tensors) {
        constexpr bool same_rank = rank_of<Q> == rank_of<K> && rank_of<Q> == rank_of<V>;
        static_assert(same_rank, "heed: q, k and v must have the same number of axes");
        constexpr bool good_rank = rank_of<Q> >= 2 && rank_of<Q> <= 4;
        static_assert(good_rank,
                      "heed: attention takes [sequence, dim], [heads, sequence, dim] or [batch, "
                      "heads, sequence, dim]");
        constexpr bool same_scalar = std::is_same_v<scalar_of<Q>, scalar_of<K>> &&
                                     std::is_same_v<scalar_of<Q>, scalar_of<V>>;
        static_assert(same_scalar, "heed: q, k and v must have the same scalar");
        constexpr bool good_scalar =
            std::is_same_v<scalar_of<Q>, float> || std::is_same_v<scalar_of<Q>, double>;
        static_assert(good_scalar, "heed: attention computes in float or double");
        return same_rank && good_rank && same_scalar && good_scalar;
    } else {
        return false;
    }
}

template <class T>
void check_output(std::string_view name, const tensor_view<T, 4>& x,
                  const std::array<index, 4>& extents) {
    check_view(name, x);
    require_shape(x.extents == extents, name, " has shape ", x.extents, ", but must have ",
                  extents);
}

template <class... Parts>
constexpr void check_forward_parts() {
    static_assert(count_of<role::lse_gradient, Parts...> == 0,
                  "heed: heed::log_sum_exp_gradient is a part of attention_backward");
    static_assert(!(is_unbound_observer<Parts> || ...),
                  "heed: only attention_forward returns what an observer sees; elsewhere say "
                  "heed::row_entropy.into(numbers)");
    static_assert(!(is_chosen_observer<Parts> || ...),
                  "heed: an observer that is optional or one of several writes to memory of yours: "
                  "heed::row_entropy.into(numbers)");
}

/// Calls f(attention_call) with everything checked.
template <class Q, class K, class V, class F, class... Parts>
void with_call(const Q& q, const K& k, const V& v, F&& f, const Parts&... parts) {
    if constexpr (check_inputs<Q, K, V>()) {
        using T = scalar_of<Q>;
        const auto held_q = evaluate(q);
        const auto held_k = evaluate(k);
        const auto held_v = evaluate(v);
        check_parts<Parts...>();
        if constexpr ((is_part<Parts> && ...)) {
            if constexpr ((check_contracts<T, Parts>() && ...))
                f(attention_call<T, Parts...>(rank4(held_q.view()), rank4(held_k.view()),
                                              rank4(held_v.view()), parts...));
        }
    }
}

/// An object of q's kind for o; shapes are checked before memory is asked for.
template <class Q, class K, class V>
auto make_output(const Q& q, const K& k, const V& v) {
    const auto held_q = evaluate(q);
    const auto held_k = evaluate(k);
    const auto held_v = evaluate(v);
    using T = scalar_of<Q>;
    const attention_shape shape =
        shape_of<T>(rank4(held_q.view()), rank4(held_k.view()), rank4(held_v.view()));
    auto extents = held_q.view().extents;
    extents.back() = shape.value_dim;
    check_result<T>("o", extents);
    return make_like<Q>(extents);
}

/// Refuses an output in which elements share memory, or that shares it with an input of the call.
template <class Call>
void check_output_memory(std::string_view name, const memory_span& output, const Call& call) {
    check_writable(name, output);
    call.see_inputs([&](std::string_view input_name, const memory_span& input) {
        check_apart(name, output, input_name, input);
    });
}

/// Refuses outputs of one kind that share memory with one another.
inline void check_all_apart(std::string_view name, std::string_view other,
                            std::initializer_list<memory_span> outputs) {
    for (const auto* later = outputs.begin(); later != outputs.end(); ++later)
        for (const auto* earlier = outputs.begin(); earlier != later; ++earlier)
            check_outputs_apart(name, *earlier, other, *later);
}

/// The view of an output as rank 4, its shape and memory checked, and the memory of observers.
template <class T, class O, class Call>
tensor_view<T, 4> checked_output(O& o, const Call& call) {
    static_assert(std::is_same_v<scalar_of<O>, T>, "heed: o must have the scalar of q, k and v");
    const auto view = rank4(view_of(o));
    const attention_shape& shape = call.shape;
    check_output("o", view, {shape.batch, shape.heads, shape.queries, shape.value_dim});
    check_output_memory("o", view, call);
    constexpr const char* name = "the memory of an observer";
    const auto check_observers = [&](const auto&... numbers) {
        (check_output_memory(name, numbers, call), ...);
        (check_outputs_apart(name, numbers, "o", view), ...);
        check_all_apart(name, "that of another", {numbers...});
    };
    call.template resolve<role::observer>([&](const auto&... part) {
        std::apply(check_observers, std::tuple_cat(observed_memory(part)...));
    });
    return view;
}

/// Forward of a call into the caller's o, which keeps the stats unless they are null.
template <class... Parts, class T, class Normaliser, class O, class Call>
void run_into(O& o, stats<T, Normaliser>* kept, const Call& call) {
    constexpr bool fits = std::is_same_v<Normaliser, normaliser_of<Parts...>>;
    static_assert(fits, "heed: stats must be those of this call's normaliser: heed::stats_for");
    if constexpr (fits) run_forward(call, checked_output<T>(o, call), kept);
}

/// Where no stats are to be kept.
template <class T, class... Parts>
inline constexpr stats<T, normaliser_of<Parts...>>* no_stats = nullptr;

/// The gradient of the log-sum-exp of a call, or a null view.
template <class T, class Call, class Normaliser>
tensor_view<const T, 3> lse_gradient_of(const Call& call, const stats<T, Normaliser>&) {
    return call.template resolve<role::lse_gradient>(
        []<class... Parts>([[maybe_unused]] const Parts&... parts) -> tensor_view<const T, 3> {
            if constexpr (count_of<role::lse_gradient, Parts...> == 1) {
                constexpr bool has_one = alternatives<Normaliser>::all([]<class N>() {
                    return requires(const kernel_of<T, N>& of) {
                        of.with_log_sum_exp_gradient(T(0), T(0));
                    };
                });
                static_assert(has_one, "heed: this call's normaliser has no log-sum-exp");
                return the_part<role::lse_gradient>(nothing, parts...).kept.view();
            } else {
                return {};
            }
        });
}

/// Checks all shapes and memory of backward, then runs it.
template <class T, class Gradients, class Stats, class Call>
void checked_backward(Gradients& gradients, const tensor_view<const T, 4>& d_o,
                      const tensor_view<const T, 4>& o, const Stats& kept, const Call& call) {
    const attention_shape& shape = call.shape;
    const std::array<index, 4> output{shape.batch, shape.heads, shape.queries, shape.value_dim};
    check_output("d_o", d_o, output);
    check_output("o", o, output);
    kept.check(shape);
    call.template resolve<role::normaliser>([&](const auto&... parts) {
        const auto& normaliser = unwrap(the_part<role::normaliser>(softmax, parts...));
        stats_of<std::remove_cvref_t<decltype(normaliser)>>(kept);  // are they this one's?
    });

    const auto dq = rank4(view_of(gradients.q));
    const auto dk = rank4(view_of(gradients.k));
    const auto dv = rank4(view_of(gradients.v));
    check_output("dq", dq, call.q.extents);
    check_output("dk", dk, call.k.extents);
    check_output("dv", dv, call.v.extents);
    const auto learned = learned_views<T>(gradients.learned);
    check_learned(call.parts(), learned, shape);
    const auto d_lse = lse_gradient_of<T>(call, kept);
    const auto check_memory = [&](std::string_view name, const memory_span& x) {
        check_output_memory(name, x, call);
        check_apart(name, x, "o", o);
        check_apart(name, x, "d_o", d_o);
    };
    check_memory("dq", dq);
    check_memory("dk", dk);
    check_memory("dv", dv);
    check_outputs_apart("dq", dq, "dk", dk);
    check_outputs_apart("dq", dq, "dv", dv);
    check_outputs_apart("dk", dk, "dv", dv);
    constexpr std::string_view of_learned = "the gradient of a learned part";
    const auto check_learned_memory = [&](const memory_span& x) {
        check_memory(of_learned, x);
        check_outputs_apart(of_learned, x, "dq", dq);
        check_outputs_apart(of_learned, x, "dk", dk);
        check_outputs_apart(of_learned, x, "dv", dv);
    };
    std::apply(
        [&](const auto&... view) {
            (check_learned_memory(view), ...);
            check_all_apart(of_learned, "that of another", {view...});
        },
        learned);

    std::apply(
        [&](const auto&... view) { (fill(call.threads().pool, call.memory(), view, T(0)), ...); },
        learned);
    run_backward(call, backward_inputs<T>{d_o, o, d_lse, dq, dk, dv}, kept, learned);
}

}  // namespace detail

/// What attention_forward's stats are for tensors of this scalar and these parts. Where normalisers
/// of several types may be chosen they are those of a std::variant of these.
template <class Scalar, class... Parts>
using stats_for = stats<Scalar, detail::normaliser_of<std::remove_cvref_t<Parts>...>>;

/// attention, written to the caller's memory: o [batch, heads, queries, value_dim], of any storage
/// order; it is never resized, and must not overlap q, k, v or what a part was given.
template <class O, class Q, class K, class V, class... Parts>
requires(!detail::cache_like<K>) void attention_into(O&& o, const Q& q, const K& k, const V& v,
                                                     const Parts&... parts) {
    detail::check_forward_parts<Parts...>();
    detail::with_call(
        q, k, v,
        [&](const auto& call) {
            detail::run_into<Parts...>(o, detail::no_stats<scalar_of<Q>, Parts...>, call);
        },
        parts...);
}

/// o [batch, heads, queries, value_dim], an object of q's kind, storage order and scalar.
///
///     auto o = heed::attention(q, k, v, heed::causal);
template <class Q, class K, class V, class... Parts>
requires(!detail::cache_like<K>)
    [[nodiscard]] auto attention(const Q& q, const K& k, const V& v, const Parts&... parts) {
    if constexpr (detail::check_inputs<Q, K, V>()) {
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
    static_assert(std::is_same_v<Scalar, scalar_of<Q>>,
                  "heed: stats must have the scalar of q, k and v");
    detail::check_forward_parts<Parts...>();
    detail::with_call(
        q, k, v, [&](const auto& call) { detail::run_into<Parts...>(o, &kept, call); }, parts...);
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
    if constexpr (detail::check_inputs<Q, K, V>()) {
        using T = scalar_of<Q>;
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
    static_assert(std::is_same_v<Scalar, scalar_of<Q>> && std::is_same_v<Scalar, scalar_of<DO>> &&
                      std::is_same_v<Scalar, scalar_of<O>>,
                  "heed: d_o, o, stats, q, k and v must have the same scalar");
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
    if constexpr (detail::check_inputs<Q, K, V>()) {
        const auto held_q = detail::evaluate(q);
        const auto held_k = detail::evaluate(k);
        const auto held_v = detail::evaluate(v);
        [[maybe_unused]] const attention_shape shape =
            detail::shape_of<Scalar>(detail::rank4(held_q.view()), detail::rank4(held_k.view()),
                                     detail::rank4(held_v.view()));
        auto gradients =
            detail::make_gradients(detail::make_like<Q>(held_q.view().extents),
                                   detail::make_like<K>(held_k.view().extents),
                                   detail::make_like<V>(held_v.view().extents),
                                   std::tuple_cat(detail::make_learned<Scalar>(parts, shape)...));
        attention_backward_into(gradients, d_o, o, kept, q, k, v, parts...);
        return gradients;
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE
