#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/attention/detail/checked_outputs.hpp>
#include <heed/attention/gradient.hpp>
#include <heed/attention/kernel/call/choices.hpp>
#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/kernel/program/learning.hpp>
#include <heed/attention/kernel/schedule/each_row.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/memory_span.hpp>
#include <heed/core/overlap.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/kernel/backward/backward.hpp>
#include <heed/linear/kernel/state/state_ends.hpp>
#include <heed/linear/kernel/state/state_kind.hpp>
#include <heed/linear/linear_stats.hpp>
#include <heed/linear/part.hpp>
#include <heed/linear/state_gradient.hpp>

/// \file
/// A call of linear attention backward: what is checked, and the gradients of what is learned.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// How many gradients a part has where it is learned, or may be: one, or as many as it says.
template <class P>
inline constexpr std::size_t gradient_count = 0;
template <class P>
inline constexpr std::size_t gradient_count<learned<P>> = 1;
template <class P>
requires(P::parameters > 1) inline constexpr std::size_t gradient_count<learned<P>> = P::parameters;
template <class P>
inline constexpr std::size_t gradient_count<std::optional<P>> = gradient_count<P>;

/// How many gradients the parts before the K-th have.
template <std::size_t K, class... Parts>
constexpr std::size_t gradients_before() {
    constexpr std::array<std::size_t, sizeof...(Parts) + 1> counts{gradient_count<Parts>..., 0};
    std::size_t before = 0;
    for (std::size_t i = 0; i < K; ++i) before += counts[i];
    return before;
}

/// `Count` elements of a tuple, from `First` on.
template <std::size_t First, std::size_t Count, class Tuple>
auto elements_of([[maybe_unused]] const Tuple& all) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
        return std::make_tuple(std::get<First + I>(all)...);
    }
    (std::make_index_sequence<Count>{});
}

/// The views among those of all learned parts' gradients that are of the part of a role: none, or
/// as many as it has.
template <class Role, class... Parts, class Views>
auto gradients_of([[maybe_unused]] const Views& learned) {
    const auto one = [&]<std::size_t K>() {
        using part_type = std::tuple_element_t<K, std::tuple<Parts...>>;
        constexpr std::size_t count = may_play<part_type, Role> ? gradient_count<part_type> : 0;
        return elements_of<gradients_before<K, Parts...>(), count>(learned);
    };
    return [&]<std::size_t... K>(std::index_sequence<K...>) {
        return std::tuple_cat(one.template operator()<K>()...);
    }
    (std::index_sequence_for<Parts...>{});
}

/// Memory for the gradient of a number of each token, [batch, head of o, key], 0 at first.
template <class T, class Call>
tensor_view<T, 3> take_token_gradient(const Call& call, arena& scratch) {
    const std::array<index, 3> tokens{call.shape.batch, call.shape.heads, call.shape.keys};
    const tensor_view<T, 3> taken{scratch.take<T>(tokens[0] * tokens[1] * tokens[2]),
                                  tokens,
                                  {tokens[1] * tokens[2], tokens[2], 1}};
    fill(call.threads().pool, call.memory(), taken, T(0));
    return taken;
}
/// The same of a number of each channel, [batch, head of o, key, channel].
template <class T, class Call>
tensor_view<T, 4> take_channel_gradient(const Call& call, index channels, arena& scratch) {
    const auto [batch, heads, keys] =
        std::array<index, 3>{call.shape.batch, call.shape.heads, call.shape.keys};
    const tensor_view<T, 4> taken{scratch.take<T>(batch * heads * keys * channels),
                                  {batch, heads, keys, channels},
                                  {heads * keys * channels, keys * channels, channels, 1}};
    fill(call.threads().pool, call.memory(), taken, T(0));
    return taken;
}

/// The gradients of the states at both ends that backward is given, and is to write, checked.
template <class T, class Gradients, class Call>
state_gradients<T> state_gradients_of([[maybe_unused]] Gradients& gradients,
                                      [[maybe_unused]] const Call& call) {
    state_gradients<T> of;
    if constexpr (Call::has_state_gradient) {
        const auto& part = call.state_gradient();
        using part_type = std::remove_cvref_t<decltype(part)>;
        constexpr bool same_scalar = std::is_same_v<T, typename part_type::scalar>;
        static_assert(same_scalar, "heed: heed::state_gradient must have the scalar of q, k and v");
        if constexpr (same_scalar) {
            of.d_last = part.matrices.view();
            of.d_last_total = part.denominators.view();
            check_state_gradient("heed::state_gradient", of.d_last, of.d_last_total,
                                 call.state_shape(), call.total_shape());
        }
    }
    if constexpr (requires { gradients.state; }) {
        of.d_first = view_of(gradients.state.matrices);
        of.d_first_total = view_of(gradients.state.denominators);
        check_state_gradient("the gradient of the state", of.d_first, of.d_first_total,
                             call.state_shape(), call.total_shape());
    }
    if (call.total_shape()[2] == 0) {
        of.d_last_total = {};
        of.d_first_total = {};
    }
    return of;
}

/// Refuses a gradient of the first state that shares memory with an input or another gradient.
template <class Call, class... Learned>
void check_state_gradient_memory(const memory_span& x, const gradient_memory& all, const Call& call,
                                 const std::tuple<Learned...>& learned) {
    constexpr std::string_view name = "the gradient of the state";
    check_output_memory(name, x, call);
    check_apart(name, x, "o", all.o);
    check_apart(name, x, "d_o", all.d_o);
    check_outputs_apart(name, x, "dq", all.dq);
    check_outputs_apart(name, x, "dk", all.dk);
    check_outputs_apart(name, x, "dv", all.dv);
    std::apply(
        [&](const auto&... view) {
            (check_outputs_apart(name, x, "the gradient of a learned part", view), ...);
        },
        learned);
}

/// The same for a number of each channel, [batch, head of o, channel].
template <class Call>
tensor_view<double, 3> take_bonus_gradient(const Call& call, arena& scratch) {
    const std::array<index, 3> of{call.shape.batch, call.shape.heads, call.shape.dim};
    const tensor_view<double, 3> taken{
        scratch.take<double>(of[0] * of[1] * of[2]), of, {of[1] * of[2], of[2], 1}};
    fill(call.threads().pool, call.memory(), taken, 0.0);
    return taken;
}

/// Checks all shapes and memory of backward, then runs it. `Parts` are those of the call, before
/// choices are made.
template <class T, class... Parts, class Gradients, class Call>
void run_linear_backward(Gradients& gradients, const tensor_view<const T, 4>& d_o,
                         const tensor_view<const T, 4>& o, const linear_stats<T>& kept,
                         const Call& call) {
    const linear_shape& shape = call.shape;
    const std::array<index, 4> output{shape.batch, shape.heads, shape.queries, shape.value_dim};
    check_output("d_o", d_o, output);
    check_output("o", o, output);
    const T* z = linear_stats_access<T>::rows(kept, call);
    const auto dq = rank4(view_of(gradients.q));
    const auto dk = rank4(view_of(gradients.k));
    const auto dv = rank4(view_of(gradients.v));
    check_output("dq", dq, call.q.extents);
    check_output("dk", dk, call.k.extents);
    check_output("dv", dv, call.v.extents);
    const auto learned = learned_views<T>(gradients.learned);
    const auto d_decay = gradients_of<role::decay, Parts...>(learned);
    const auto d_update = gradients_of<role::update, Parts...>(learned);
    const auto d_bonus = gradients_of<role::bonus, Parts...>(learned);
    if constexpr (Call::learns_bonus) call.bonus().check_gradient(std::get<0>(d_bonus));
    if constexpr (Call::learns_decay) call.decay().check_gradient(std::get<0>(d_decay));
    if constexpr (Call::learns_update)
        std::apply([&](const auto&... view) { call.update().check_gradient(view...); }, d_update);
    const gradient_memory outputs{dq, dk, dv, o, d_o};
    check_gradient_memory(outputs, call, learned);
    const state_gradients<T> of_state = state_gradients_of<T>(gradients, call);
    if constexpr (requires { gradients.state; }) {
        check_state_gradient_memory(of_state.d_first, outputs, call, learned);
        check_state_gradient_memory(of_state.d_first_total, outputs, call, learned);
        check_outputs_apart("the gradient of S", of_state.d_first, "that of Z",
                            of_state.d_first_total);
    }
    [[maybe_unused]] const auto clear = [&](const auto& view) {
        fill(call.threads().pool, call.memory(), view, T(0));
    };
    if constexpr (Call::has_documents) {  // a document without queries leaves its keys alone
        clear(dk);
        clear(dv);
    }
    arena& own = call.memory().slot(0);
    const arena::scope mark(own);
    linear_gradients<T> to{d_o, o, z, dq, dk, dv};
    to.state = of_state;
    constexpr bool learns_channels = Call::learns_channels;
    if constexpr (learns_channels) {
        to.d_channel_decays = std::get<0>(d_decay);
        clear(to.d_channel_decays);
    } else if constexpr (Call::learns_decay) {
        (Call::has_bonus ? to.d_alike_decays : to.d_log_decays) = take_token_gradient<T>(call, own);
    }
    if constexpr (Call::learns_bonus) to.d_bonus = take_bonus_gradient(call, own);
    if constexpr (Call::learns_update && Call::updates_channels) {
        to.d_erased = take_channel_gradient<T>(call, shape.dim, own);
        to.d_written = take_channel_gradient<T>(call, shape.value_dim, own);
    } else if constexpr (Call::learns_update && Call::low_rank) {
        to.d_a = take_channel_gradient<T>(call, shape.dim, own);
        to.d_b = take_channel_gradient<T>(call, shape.dim, own);
    } else if constexpr (Call::learns_update) {
        to.d_deltas = take_token_gradient<T>(call, own);
    }
    linear_backward<T>(call.template program<true>(own), to);
    // The gradient of an optional part that is not there is 0.
    if constexpr (Call::learns_decay && !learns_channels)
        call.decay().template sum_gradient<T>(
            std::get<0>(d_decay), Call::has_bonus ? to.d_alike_decays : to.d_log_decays);
    else if constexpr (!learns_channels)
        std::apply([&](const auto&... view) { (clear(view), ...); }, d_decay);
    if constexpr (Call::learns_bonus)
        call.bonus().template sum_gradient<T>(std::get<0>(d_bonus), to.d_bonus);
    else
        std::apply([&](const auto&... view) { (clear(view), ...); }, d_bonus);
    if constexpr (Call::learns_update && Call::updates_channels)
        call.update().template sum_gradient<T>(std::get<0>(d_update), std::get<1>(d_update),
                                               to.d_erased, to.d_written);
    else if constexpr (Call::learns_update && Call::low_rank)
        call.update().template sum_gradient<T>(std::get<0>(d_update), std::get<1>(d_update), to.d_a,
                                               to.d_b);
    else if constexpr (Call::learns_update)
        call.update().template sum_gradient<T>(std::get<0>(d_update), to.d_deltas);
    else
        std::apply([&](const auto&... view) { (clear(view), ...); }, d_update);
}

/// The same gradients, and one of a state behind them.
template <class State, class Q, class K, class V, class... Learned>
linear_gradient<State, Q, K, V, Learned...> with_state_gradient(
    gradient<Q, K, V, Learned...> gradients) {
    return {std::move(gradients), State()};
}
/// Memory for the gradient of a call's state.
template <class Scalar, class Call>
void take_shape(linear_state_gradient<Scalar>& of, const Call& call) {
    const auto s = call.state_shape();
    const auto z = call.total_shape();
    of.matrices.resize(s[0], s[1], s[2], s[3]);
    of.denominators.resize(z[0], z[1], z[2]);
    of.matrices.setZero();
    of.denominators.setZero();
}

/// The gradient objects of a part, as a tuple: empty unless it is a decay or an update that is
/// learned. Those of an optional one that is not there have no elements.
template <class T, class P>
auto make_linear_gradient(const linear_shape& shape, const P& part) {
    constexpr bool may_be_one =
        may_play<P, role::decay> || may_play<P, role::update> || may_play<P, role::bonus>;
    if constexpr (is_learned<P> && may_be_one) {
        part.part.check_call(shape);  // before memory is asked for
        auto gradient = part.part.template make_gradient<T>(as_attention(shape));
        if constexpr (gradient_count<P> == 1)
            return std::make_tuple(std::move(gradient));
        else
            return gradient;
    } else if constexpr (may_learn<P> && may_be_one) {
        if (part.has_value()) return make_linear_gradient<T>(shape, *part);
        return decltype(make_linear_gradient<T>(shape, *part))();
    } else {
        return std::tuple<>();
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
