#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/attention/caches/detail/cache_like.hpp>
#include <heed/attention/detail/checked_outputs.hpp>
#include <heed/attention/gradient.hpp>
#include <heed/attention/kernel/call/call.hpp>
#include <heed/attention/kernel/call/choices.hpp>
#include <heed/attention/kernel/call/contracts.hpp>
#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/kernel/call/stored_tensors.hpp>
#include <heed/attention/kernel/products/bfloat16_products.hpp>
#include <heed/attention/kernel/program/learning.hpp>
#include <heed/attention/kernel/run.hpp>
#include <heed/attention/kernel/schedule/each_row.hpp>
#include <heed/attention/stats.hpp>
#include <heed/attention/wanted_gradients.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/memory_span.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/view.hpp>

/// \file
/// What attention's functions ask of their arguments, and what they run when all of it holds.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Stops the compilation with one sentence if these cannot be q, k and v. False then, so that the
/// caller's body is left out and the sentence is not followed by a page of what could not work.
/// `MayBeStored`: whether they may hold 16-bit numbers.
template <class Q, class K, class V, bool MayBeStored = false>
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
        using T = computed_in<scalar_of<Q>>;
        constexpr bool is_stored = !std::is_same_v<T, scalar_of<Q>>;
        constexpr bool computes = std::is_same_v<T, float> || std::is_same_v<T, double>;
        static_assert(computes, "heed: attention computes in float or double");
        static_assert(!is_stored || MayBeStored,
                      "heed: attention_weights and attention_scores take no tensors of 16-bit "
                      "numbers");
        constexpr bool good_scalar = computes && (!is_stored || MayBeStored);
        return same_rank && good_rank && same_scalar && good_scalar;
    } else {
        return false;
    }
}

template <class... Parts>
constexpr void check_forward_parts() {
    static_assert(count_of<role::lse_gradient, Parts...> == 0,
                  "heed: heed::log_sum_exp_gradient is a part of attention_backward");
    static_assert(count_of<role::wanted_gradients, Parts...> == 0,
                  "heed: heed::wanted_gradients is a part of attention_backward");
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
    if constexpr (check_inputs<Q, K, V, true>()) {
        using S = scalar_of<Q>;
        using T = computed_in<S>;
        const auto held_q = evaluate(q);
        const auto held_k = evaluate(k);
        const auto held_v = evaluate(v);
        check_parts<Parts...>();
        if constexpr ((is_part<Parts> && ...)) {
            if constexpr ((check_contracts<T, Parts>() && ...)) {
                using call_type = attention_call<T, Parts...>;
                const auto queries = rank4(held_q.view());
                const auto keys = rank4(held_k.view()), values = rank4(held_v.view());
                if constexpr (std::is_same_v<S, T>) {
                    f(call_type(queries, keys, values, parts...));
                } else {
                    const attention_shape shape = shape_of(queries, keys, values);
                    const std::array<memory_span, 3> stored{queries, keys, values};
                    call_type call(shape, stored, parts...);
                    arena& scratch = call.memory().slot(0);
                    const arena::scope mark(scratch);
                    call.q = widened(queries, call.threads(), call.memory(), scratch);
                    call.k = widened(keys, call.threads(), call.memory(), scratch);
                    call.v = widened(values, call.threads(), call.memory(), scratch);
                    call.pairs = products_of<T, S>();
                    f(std::as_const(call));
                }
            }
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

/// The view of an output as rank 4, its shape and memory checked, and the memory of observers.
template <class S, class O, class Call>
tensor_view<S, 4> checked_output(O& o, const Call& call) {
    static_assert(std::is_same_v<scalar_of<O>, S>, "heed: o must have the scalar of q, k and v");
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

/// Forward of a call into the caller's o, of S as q is; keeps the stats unless they are null.
template <class S, class... Parts, class Normaliser, class O, class Call>
void run_into(O& o, stats<computed_in<S>, Normaliser>* kept, const Call& call) {
    constexpr bool fits = std::is_same_v<Normaliser, normaliser_of<Parts...>>;
    static_assert(fits, "heed: stats must be those of this call's normaliser: heed::stats_for");
    if constexpr (fits) {
        arena& scratch = call.memory().slot(0);
        const arena::scope mark(scratch);
        const rounded_output<S> output(checked_output<S>(o, call), scratch);
        run_forward(call, output.numbers(), kept);
        output.round(call.threads(), call.memory());
    }
}

/// Where no stats are to be kept.
template <class S, class... Parts>
inline constexpr stats<computed_in<S>, normaliser_of<Parts...>>* no_stats = nullptr;

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

/// The view of the gradient of an input, or a null one where it is not wanted.
template <class S, class X>
tensor_view<S, 4> checked_gradient(std::string_view name, X& gradient, bool is_wanted,
                                   const std::array<index, 4>& extents) {
    if (!is_wanted) return {};
    const auto view = rank4(view_of(gradient));
    check_output(name, view, extents);
    return view;
}

/// Where a gradient is computed: null where nobody wants it, in scratch memory where a learned bias
/// of q or k does, which is a sum of its rows.
template <bool OfQueries, class S, class... Parts>
tensor_view<computed_in<S>, 4> computed_gradient(const rounded_output<S>& output, bool is_wanted,
                                                 const std::array<index, 4>& extents,
                                                 const std::tuple<const Parts&...>& parts,
                                                 arena& scratch) {
    bool is_summed = false;
    std::apply(
        [&](const auto&... part) {
            (visit_part(part,
                        [&]<class P>(const P&) {
                            is_summed = is_summed || (is_learned<P> && is_input_bias<OfQueries, P>);
                        }),
             ...);
        },
        parts);
    if (is_wanted || !is_summed) return output.numbers();
    index size = 1;
    for (const index extent : extents) size *= extent;
    return {scratch.take<computed_in<S>>(size), extents, row_major_strides(extents)};
}

/// Checks all shapes and memory of backward, then runs it.
template <class T, class S, class Gradients, class Stats, class Call>
void checked_backward(Gradients& gradients, const tensor_view<const S, 4>& d_o,
                      const tensor_view<const S, 4>& o, const Stats& kept, const Call& call) {
    const attention_shape& shape = call.shape;
    const std::array<index, 4> output{shape.batch, shape.heads, shape.queries, shape.value_dim};
    check_output("d_o", d_o, output);
    check_output("o", o, output);
    kept.check(shape);
    call.template resolve<role::normaliser>([&](const auto&... parts) {
        const auto& normaliser = unwrap(the_part<role::normaliser>(softmax, parts...));
        stats_of<std::remove_cvref_t<decltype(normaliser)>>(kept);  // are they this one's?
    });

    constexpr bool fit = std::is_same_v<S, scalar_of<decltype(gradients.q)>> &&
                         std::is_same_v<S, scalar_of<decltype(gradients.k)>> &&
                         std::is_same_v<S, scalar_of<decltype(gradients.v)>>;
    static_assert(fit, "heed: the gradients of q, k and v must have their scalar");
    const gradient_choice wanted = wanted_of(call.parts());
    const auto dq = checked_gradient<S>("dq", gradients.q, wanted.q, call.q.extents);
    const auto dk = checked_gradient<S>("dk", gradients.k, wanted.k, call.k.extents);
    const auto dv = checked_gradient<S>("dv", gradients.v, wanted.v, call.v.extents);
    const auto learned = learned_views<T>(gradients.learned);
    check_learned(call.parts(), learned, shape);
    const auto d_lse = lse_gradient_of<T>(call, kept);
    check_gradient_memory({dq, dk, dv, o, d_o}, call, learned);

    const on_pool threads = call.threads();
    workspace& memory = call.memory();
    std::apply([&](const auto&... view) { (fill(threads.pool, memory, view, T(0)), ...); },
               learned);
    arena& scratch = memory.slot(0);
    const arena::scope mark(scratch);
    const rounded_output<S> of_q(dq, scratch), of_k(dk, scratch), of_v(dv, scratch);
    run_backward(
        call,
        backward_inputs<T>{
            widened(d_o, threads, memory, scratch), widened(o, threads, memory, scratch), d_lse,
            computed_gradient<true>(of_q, wanted.q, call.q.extents, call.parts(), scratch),
            computed_gradient<false>(of_k, wanted.k, call.k.extents, call.parts(), scratch),
            of_v.numbers()},
        kept, learned);
    for (const rounded_output<S>* written : {&of_q, &of_k, &of_v}) written->round(threads, memory);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
