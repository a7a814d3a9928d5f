#pragma once

#include <array>
#include <cstddef>
#include <tuple>
#include <utility>

#include <heed/attention/detail/checked_outputs.hpp>
#include <heed/attention/gradient.hpp>
#include <heed/attention/kernel/call/choices.hpp>
#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/kernel/program/learning.hpp>
#include <heed/attention/kernel/schedule/each_row.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/kernel/backward.hpp>
#include <heed/linear/kernel/state_kind.hpp>
#include <heed/linear/linear_stats.hpp>
#include <heed/linear/part.hpp>

/// \file
/// A call of linear attention backward: what is checked, and the gradients of what is learned.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The views among those of all learned parts' gradients that are of parts of a role: none or one.
template <class Role, class... Parts, class Views>
auto gradients_of([[maybe_unused]] const Views& learned) {
    const auto one = [&]<std::size_t K>() {
        using part_type = std::tuple_element_t<K, std::tuple<Parts...>>;
        if constexpr (may_learn<part_type> && may_play<part_type, Role>)
            return std::make_tuple(std::get<learned_before<K, Parts...>()>(learned));
        else
            return std::tuple<>();
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
    const T* z = linear_stats_access<T>::rows(kept, shape);
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
    if constexpr (Call::learns_update) call.update().check_gradient(std::get<0>(d_update));
    check_gradient_memory({dq, dk, dv, o, d_o}, call, learned);
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
    constexpr bool learns_channels = Call::learns_channels;
    if constexpr (learns_channels) {
        to.d_channel_decays = std::get<0>(d_decay);
        clear(to.d_channel_decays);
    } else if constexpr (Call::learns_decay) {
        (Call::has_bonus ? to.d_alike_decays : to.d_log_decays) = take_token_gradient<T>(call, own);
    }
    if constexpr (Call::learns_bonus) to.d_bonus = take_bonus_gradient(call, own);
    if constexpr (Call::learns_update) to.d_deltas = take_token_gradient<T>(call, own);
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
    if constexpr (Call::learns_update)
        call.update().template sum_gradient<T>(std::get<0>(d_update), to.d_deltas);
    else
        std::apply([&](const auto&... view) { (clear(view), ...); }, d_update);
}

/// The gradient object of a part, as a tuple: empty unless it is a decay or an update that is
/// learned. That of an optional one that is not there has no elements.
template <class T, class P>
auto make_linear_gradient(const linear_shape& shape, const P& part) {
    constexpr bool may_be_one =
        may_play<P, role::decay> || may_play<P, role::update> || may_play<P, role::bonus>;
    if constexpr (is_learned<P> && may_be_one) {
        part.part.check_call(shape);  // before memory is asked for
        return std::make_tuple(part.part.template make_gradient<T>(as_attention(shape)));
    } else if constexpr (may_learn<P> && may_be_one) {
        if (part.has_value()) return make_linear_gradient<T>(shape, *part);
        return decltype(make_linear_gradient<T>(shape, *part))();
    } else {
        return std::tuple<>();
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
