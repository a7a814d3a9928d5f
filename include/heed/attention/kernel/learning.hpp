#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/attention/kernel/packed_head.hpp>
#include <heed/attention/kernel/query_tile.hpp>
#include <heed/attention/kernel/roles_of_call.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/view.hpp>

/// \file
/// The gradients of learned parts while backward runs.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// How many of the parts before the K-th are learned: where its gradient stands among them.
template <std::size_t K, class... Parts>
constexpr std::size_t learned_before() {
    constexpr std::array<bool, sizeof...(Parts) + 1> is{is_learned<Parts>..., false};
    std::size_t before = 0;
    for (std::size_t i = 0; i < K; ++i) before += is[i] ? 1U : 0U;
    return before;
}

/// How many parts of a call are learned.
template <class Parts>
inline constexpr std::size_t learned_count = 0;
template <class... Parts>
inline constexpr std::size_t learned_count<std::tuple<const Parts&...>> =
    learned_before<sizeof...(Parts), Parts...>();

/// Refuses gradients whose shape is not their part's: each learned part has one, in order.
template <class... Parts, class Gradients>
void check_learned(const std::tuple<const Parts&...>& parts, const Gradients& gradients,
                   const attention_shape& shape) {
    const auto one = [&]<std::size_t K>() {
        if constexpr (is_learned<std::tuple_element_t<K, std::tuple<Parts...>>>)
            std::get<K>(parts).part.check_gradient(
                std::get<learned_before<K, Parts...>()>(gradients), shape);
    };
    [&]<std::size_t... K>(std::index_sequence<K...>) { (one.template operator()<K>(), ...); }
    (std::index_sequence_for<Parts...>{});
}

/// f(part, gradient) for every learned part of a role; `gradients` has one entry a learned part.
template <class Role, class... Parts, class Gradients, class F>
void for_learned(const std::tuple<const Parts&...>& parts, const Gradients& gradients, F&& f) {
    const auto one = [&]<std::size_t K>() {
        using part_type = std::tuple_element_t<K, std::tuple<Parts...>>;
        if constexpr (is_learned<part_type> && part_of<part_type, Role>)
            f(std::get<K>(parts).part, std::get<learned_before<K, Parts...>()>(gradients));
    };
    [&]<std::size_t... K>(std::index_sequence<K...>) { (one.template operator()<K>(), ...); }
    (std::index_sequence_for<Parts...>{});
}

/// One modifier's gradient, and what (batch, head, key block)s sum up of it by themselves.
template <class T, class Part, class View>
struct learned_modifier {
    const Part& part;
    View gradient;
    T* partials;  ///< [batch, head, block, count]
    index count;
};

/// One entry a modifier, in their order: a learned_modifier, or no_part for one that is constant.
template <class T, class... Parts, class Gradients>
auto learned_modifiers(const std::tuple<const Parts&...>& parts, const Gradients& gradients,
                       const attention_shape& shape, index blocks, arena& scratch) {
    [[maybe_unused]] const auto one = [&]<std::size_t K>() {
        using part_type = std::tuple_element_t<K, std::tuple<Parts...>>;
        if constexpr (!part_of<part_type, role::modifier>) {
            return std::tuple<>();
        } else if constexpr (!is_learned<part_type>) {
            return std::tuple<no_part>();
        } else {
            const auto& part = std::get<K>(parts).part;
            const auto& gradient = std::get<learned_before<K, Parts...>()>(gradients);
            const index count = part.template partials<T>();
            const index all = shape.batch * shape.heads * blocks * count;
            T* partials = scratch.take<T>(all);
            std::fill_n(partials, static_cast<std::size_t>(all), T(0));
            using entry = learned_modifier<T, std::remove_cvref_t<decltype(part)>,
                                           std::remove_cvref_t<decltype(gradient)>>;
            return std::tuple<entry>(entry{part, gradient, partials, count});
        }
    };
    return [&]<std::size_t... K>(std::index_sequence<K...>) {
        return std::tuple_cat(one.template operator()<K>()...);
    }
    (std::index_sequence_for<Parts...>{});
}

/// Whether a learned modifier writes into its gradient directly, so that a block of keys must be
/// one task's for all batches and heads.
template <class... Entries>
bool writes_directly(const std::tuple<Entries...>& entries) {
    const auto one = [](const auto& entry) {
        if constexpr (requires { entry.count; })
            return entry.count == 0;
        else
            return false;
    };
    return std::apply([&](const auto&... entry) { return (one(entry) || ...); }, entries);
}

template <class Entries>
inline constexpr bool learns_modifiers = false;
template <class... Entries>
inline constexpr bool learns_modifiers<std::tuple<Entries...>> =
    (!std::is_same_v<Entries, no_part> || ...);

/// The learned modifiers, for one batch, head and block of keys.
template <class T, class Entries>
struct learning_at {
    const Entries& entries;
    index place;  ///< (batch·heads + head)·blocks + block

    /// Modifier I turned s into out, whose gradient is g.
    template <std::size_t I>
    void add(const query_row& row, const key_lanes<T>& keys, vec<T> s, vec<T> out, vec<T> g) const {
        const auto& entry = std::get<I>(entries);
        if constexpr (requires { entry.count; }) {
            entry.part.template add_gradient<T>(
                entry.gradient, entry.partials + place * entry.count, row, keys, s, out, g);
        }
    }
};

/// What is left of the learned parts' gradients once all rows are done, in one order. `scale_dots`
/// and `row_numbers`, [batch, head, query], are what a learned scale and a learned normaliser need.
template <class T, class Call, class Statistics, class Gradients, class Entries>
void finish_learned(const Call& call, const call_place& place, const Statistics* statistics,
                    const Gradients& gradients, const Entries& entries,
                    [[maybe_unused]] const double* scale_dots,
                    [[maybe_unused]] const T* row_numbers) {
    const attention_shape& shape = call.shape;
    [[maybe_unused]] const auto finish = [&](const auto& entry) {
        if constexpr (requires { entry.count; })
            entry.part.template finish_gradient<T>(entry.gradient, entry.partials, shape,
                                                   count_blocks(shape.keys, key_block<T>));
    };
    std::apply([&](const auto&... entry) { (finish(entry), ...); }, entries);

    [[maybe_unused]] const auto for_each_row = [&](const auto& f) {
        index at = 0;
        for (index batch = 0; batch < shape.batch; ++batch)
            for (index head = 0; head < shape.heads; ++head)
                for (index query = 0; query < shape.queries; ++query, ++at)
                    f(make_row(place, batch, head, query), at);
    };
    for_learned<role::scale>(call.parts(), gradients, [&](const auto& part, const auto& gradient) {
        for_each_row([&](const query_row& row, index at) {
            part.template add_row_gradient<T>(gradient, row, scale_dots[at]);
        });
    });
    for_learned<role::normaliser>(call.parts(), gradients,
                                  [&](const auto& part, const auto& gradient) {
                                      for_each_row([&](const query_row& row, index at) {
                                          part.template add_row_gradient<T>(
                                              gradient, row.head, statistics[at], row_numbers[at]);
                                      });
                                  });
}

/// The gradients of learned biases of q and k, once those of q and k are done: their sums.
template <class T, class... Parts, class Gradients>
void finish_input_biases(const std::tuple<const Parts&...>& parts, const Gradients& gradients,
                         const tensor_view<T, 4>& dq, const tensor_view<T, 4>& dk) {
    for_learned<role::input_bias>(parts, gradients, [&](const auto& part, const auto& gradient) {
        part.sum_rows(gradient, part.of_queries ? dq : dk);
    });
}

/// g·∂f/∂s of a modifier bound to a row.
template <class T, class Modifier, class Bound>
vec<T> multiply_derivative(const Modifier& modifier, const Bound& bound, vec<T> s, vec<T> out,
                           const key_lanes<T>& keys, vec<T> g) {
    using modifier_type = std::remove_cvref_t<decltype(unwrap(modifier))>;
    if constexpr (is_additive<modifier_type>) {
        return g;
    } else {
        constexpr bool has_derivative = requires { bound.derivative(s, out, keys); };
        static_assert(has_derivative,
                      "heed: backward needs the derivative of every modifier: "
                      "heed::modifier(f, df)");
        if constexpr (has_derivative)
            return g * bound.derivative(s, out, keys);
        else
            return g;
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
