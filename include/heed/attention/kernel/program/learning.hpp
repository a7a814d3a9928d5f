#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/attention/kernel/call/choices.hpp>
#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/view.hpp>

/// \file
/// The gradients of learned parts while backward runs.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Whether an argument is a learned part, or one that may be missing.
template <class P>
inline constexpr bool may_learn = is_learned<P>;
template <class P>
inline constexpr bool may_learn<std::optional<P>> = may_learn<P>;

/// How many of the parts before the K-th are learned: where its gradient stands among them.
template <std::size_t K, class... Parts>
constexpr std::size_t learned_before() {
    constexpr std::array<bool, sizeof...(Parts) + 1> is{may_learn<Parts>..., false};
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
        if constexpr (may_learn<std::tuple_element_t<K, std::tuple<Parts...>>>)
            visit_part(std::get<K>(parts), [&](const auto& chosen) {
                chosen.part.check_gradient(std::get<learned_before<K, Parts...>()>(gradients),
                                           shape);
            });
    };
    [&]<std::size_t... K>(std::index_sequence<K...>) { (one.template operator()<K>(), ...); }
    (std::index_sequence_for<Parts...>{});
}

/// A learned part while backward runs: it plays its role, and knows where its gradient goes.
template <class T, class Part, class View>
struct learning_part {
    using role = role_of<Part>;
    const Part& part;
    View gradient;
    T* partials = nullptr;  ///< of a modifier: [batch, head, block, count]
    index count = 0;        ///< what a (batch, head, key block) sums up by itself
};

template <class T, class Part, class View>
inline constexpr bool is_learned<learning_part<T, Part, View>> = true;
template <class T, class Part, class View>
const Part& unwrap(const learning_part<T, Part, View>& learning) {
    return learning.part;
}

template <class T, class Part, class View>
learning_part<T, Part, View> make_learning(const learned<Part>& learned, const View& gradient,
                                           [[maybe_unused]] const attention_shape& shape,
                                           [[maybe_unused]] arena& scratch) {
    learning_part<T, Part, View> learning{learned.part, gradient};
    if constexpr (part_of<Part, role::modifier>) {
        learning.count = learned.part.template partials<T>();
        const index all =
            shape.batch * shape.heads * count_blocks(shape.keys, key_block<T>) * learning.count;
        learning.partials = scratch.take<T>(all);
        std::fill_n(learning.partials, static_cast<std::size_t>(all), T(0));
    }
    return learning;
}

/// The parts of a call, as a tuple of references, but for those that are learned: in their place
/// stands a learning_part. `gradients` has one entry a learned part.
template <class T, class... Parts, class Gradients>
auto make_learning_parts(const std::tuple<const Parts&...>& parts,
                         [[maybe_unused]] const Gradients& gradients,
                         [[maybe_unused]] const attention_shape& shape,
                         [[maybe_unused]] arena& scratch) {
    const auto one = [&]<std::size_t K>() -> decltype(auto) {
        const auto& part = std::get<K>(parts);
        using part_type = std::remove_cvref_t<decltype(part)>;
        if constexpr (!may_learn<part_type>) {
            return part;
        } else {
            const auto& gradient = std::get<learned_before<K, Parts...>()>(gradients);
            if constexpr (is_learned<part_type>) {
                return make_learning<T>(part, gradient, shape, scratch);
            } else {
                using learning = decltype(make_learning<T>(*part, gradient, shape, scratch));
                std::optional<learning> chosen;
                if (part.has_value())
                    chosen.emplace(make_learning<T>(*part, gradient, shape, scratch));
                return chosen;
            }
        }
    };
    return [&]<std::size_t... K>(std::index_sequence<K...>) {
        return std::tuple<decltype(one.template operator()<K>())...>(
            one.template operator()<K>()...);
    }
    (std::index_sequence_for<Parts...>{});
}

/// f(learning part) of each.
template <class F, class... Parts>
void for_each_learning(const std::tuple<Parts...>& parts, const F& f) {
    [[maybe_unused]] const auto one = [&]<class P>(const P& part) {
        if constexpr (is_learned<P>) f(part);
    };
    std::apply([&](const auto&... part) { (visit_part(part, one), ...); }, parts);
}
/// Whether a part of this role learns.
template <class Role, class... Parts>
bool any_learns(const std::tuple<Parts...>& parts) {
    bool learns = false;
    for_each_learning(parts, [&]<class P>(const P&) { learns = learns || part_of<P, Role>; });
    return learns;
}

/// Whether a learned modifier writes into its gradient directly, so that a block of keys must be
/// one task's for all batches and heads.
template <class... Parts>
bool writes_directly(const std::tuple<Parts...>& parts) {
    bool writes = false;
    for_each_learning(parts, [&]<class P>(const P& learning) {
        writes = writes || (part_of<P, role::modifier> && learning.count == 0);
    });
    return writes;
}

/// The learned modifiers, for one batch, head and block of keys.
struct learning_at {
    index place;  ///< (batch·heads + head)·blocks + block

    /// A modifier turned s into out, whose gradient is g.
    template <class T, class Modifier>
    void add([[maybe_unused]] const Modifier& modifier, [[maybe_unused]] const query_row& row,
             [[maybe_unused]] const key_lanes<T>& keys, [[maybe_unused]] vec<T> s,
             [[maybe_unused]] vec<T> out, [[maybe_unused]] vec<T> g) const {
        if constexpr (is_learned<Modifier>)
            modifier.part.template add_gradient<T>(modifier.gradient,
                                                   modifier.partials + place * modifier.count, row,
                                                   keys, s, out, g);
    }
};

/// What is left of the learned parts' gradients once all rows are done, in one order. `scale_dots`
/// and `row_numbers`, [batch, head, query], are what a learned scale and a learned normaliser need;
/// `statistics` are those of `Normaliser`.
template <class T, class Normaliser, class Statistics, class... Parts>
void finish_learned(const std::tuple<Parts...>& parts, const attention_program<T>& program,
                    [[maybe_unused]] const Statistics* statistics,
                    [[maybe_unused]] const double* scale_dots,
                    [[maybe_unused]] const T* row_numbers, const tensor_view<T, 4>& dq,
                    const tensor_view<T, 4>& dk) {
    const attention_shape& shape = program.shape();
    [[maybe_unused]] const auto for_each_row = [&](const auto& f) {
        index at = 0;
        for (index batch = 0; batch < shape.batch; ++batch)
            for (index head = 0; head < shape.heads; ++head)
                for (index query = 0; query < shape.queries; ++query, ++at)
                    f(make_row(program.place, batch, head, query), at);
    };
    for_each_learning(parts, [&]<class Part, class View>(
                                 const learning_part<T, Part, View>& learning) {
        [[maybe_unused]] const auto& [part, gradient, partials, count] = learning;
        if constexpr (part_of<Part, role::modifier>) {
            part.template finish_gradient<T>(gradient, partials, shape,
                                             count_blocks(shape.keys, key_block<T>));
        } else if constexpr (part_of<Part, role::scale>) {
            for_each_row([&](const query_row& row, index at) {
                learning.part.template add_row_gradient<T>(learning.gradient, row, scale_dots[at]);
            });
        } else if constexpr (std::is_same_v<Part, Normaliser>) {
            for_each_row([&](const query_row& row, index at) {
                learning.part.template add_row_gradient<T>(learning.gradient, row.head,
                                                           statistics[at], row_numbers[at]);
            });
        } else if constexpr (part_of<Part, role::input_bias>) {
            part.sum_rows(gradient, part.of_queries ? dq : dk, program.threads.pool,
                          program.memory);
        }
    });
}

/// g·∂f/∂s of a modifier bound to a row.
template <class T, class Modifier, class Bound>
vec<T> multiply_derivative(const Modifier&, const Bound& bound, vec<T> s, vec<T> out,
                           const key_lanes<T>& keys, vec<T> g) {
    if constexpr (unwrapped<Modifier>::is_additive) {
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
