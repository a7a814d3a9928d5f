#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/attention/kernel/call/choices.hpp>
#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/kernel/program/learning.hpp>
#include <heed/attention/part.hpp>
#include <heed/attention/wanted_gradients.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>

/// \file
/// What attention_backward returns.

namespace heed::inline HEED_ARCHITECTURE {

/// The gradients of q, k and v, and behind them those of the learned parts in the order of the
/// parts: `grad.q`, `grad.of<0>()`, or `auto [dq, dk, dv, db] = grad`.
template <class Q, class K, class V, class... Learned>
struct gradient {
    Q q;
    K k;
    V v;
    std::tuple<Learned...> learned;

    /// The gradient of the I-th learned part.
    template <std::size_t I>
    auto& of() {
        return std::get<I>(learned);
    }
    template <std::size_t I>
    const auto& of() const {
        return std::get<I>(learned);
    }

    template <std::size_t I>
    friend auto& get(gradient& g) {
        return g.template element<I>();
    }
    template <std::size_t I>
    friend const auto& get(const gradient& g) {
        return const_cast<gradient&>(g).template element<I>();
    }
    template <std::size_t I>
    friend auto&& get(gradient&& g) {
        return std::move(g.template element<I>());
    }

  private:
    template <std::size_t I>
    auto& element() {
        if constexpr (I == 0)
            return q;
        else if constexpr (I == 1)
            return k;
        else if constexpr (I == 2)
            return v;
        else
            return std::get<I - 3>(learned);
    }
};

/// The caller's own memory for the gradients: attention_backward_into(heed::into(dq, dk, dv), …).
/// The objects must have their shapes already; for each learned part one more.
template <class Q, class K, class V, class... Learned>
gradient<Q&&, K&&, V&&, Learned&&...> into(Q&& q, K&& k, V&& v, Learned&&... learned) {
    static_assert(detail::writable_like<Q&&> && detail::writable_like<K&&> &&
                      detail::writable_like<V&&> && (detail::writable_like<Learned&&> && ...),
                  "heed: an output must be an object that can be written to: not const, not an "
                  "expression, and not a temporary Matrix, Array or Tensor");
    return {std::forward<Q>(q), std::forward<K>(k), std::forward<V>(v),
            std::forward_as_tuple(std::forward<Learned>(learned)...)};
}

/// The type of heed::log_sum_exp_gradient(d_lse).
template <class Kept>
struct log_sum_exp_gradient_part : detail::part_base<role::lse_gradient> {
    Kept kept;

    void check(const attention_shape& shape) const {
        constexpr const char* name = "the gradient of the log-sum-exp";
        const std::array<index, 3> rows{shape.batch, shape.heads, shape.queries};
        detail::check_view(name, kept.view());
        detail::require_shape(kept.view().extents == rows, name, " has shape ", kept.view().extents,
                              ", but must have ", rows);
    }
    template <class See>
    void inputs(See&& see) const {
        see("the gradient of the log-sum-exp", kept.view());
    }
};

/// A part of attention_backward: the gradient of the rows' log-sum-exp, [batch, heads, queries] as
/// stats.log_sum_exp() is. For z-losses, and for training through merged partial results.
template <tensor_like Gradient>
requires(rank_of<Gradient> == 3) auto log_sum_exp_gradient(Gradient&& d_lse) {
    auto kept = detail::keep(std::forward<Gradient>(d_lse));
    return log_sum_exp_gradient_part<decltype(kept)>{{}, std::move(kept)};
}

namespace detail {

template <class Q, class K, class V, class... Learned>
gradient<Q, K, V, Learned...> make_gradients(Q q, K k, V v, std::tuple<Learned...> learned) {
    return {std::move(q), std::move(k), std::move(v), std::move(learned)};
}

/// What heed::wanted_gradients among the parts says; all without one.
template <class... Parts>
gradient_choice wanted_of(const std::tuple<const Parts&...>& parts) {
    gradient_choice wanted;
    const auto one = [&]<class P>([[maybe_unused]] const P& part) {
        if constexpr (part_of<P, role::wanted_gradients>) wanted = part.wanted;
    };
    std::apply([&](const auto&... part) { (visit_part(part, one), ...); }, parts);
    return wanted;
}

/// An object for the gradient of an X: without elements where it is not wanted.
template <class X>
auto make_input_gradient(std::array<index, static_cast<std::size_t>(rank_of<X>)> extents,
                         bool is_wanted) {
    if (!is_wanted) extents.fill(0);
    return make_like<X>(extents);
}

/// Whether a learned part may be one of several: then its gradient would have no type.
template <class P>
inline constexpr bool learns_by_choice =
    !may_learn<P> && alternatives<P>::any([]<class A>() { return is_learned<A>; });

/// The gradient object of a part, as a tuple: empty unless the part is learned. That of an optional
/// one that is not there has no elements, or zeros if its type says how many.
template <class T, class P>
auto make_learned(const P& part, const attention_shape& shape) {
    if constexpr (is_learned<P>) {
        part.part.check(shape);  // before memory is asked for
        return std::make_tuple(part.part.template make_gradient<T>(shape));
    } else if constexpr (may_learn<P>) {
        if (part.has_value()) return make_learned<T>(*part, shape);
        decltype(make_learned<T>(*part, shape)) none;
        std::get<0>(none).setZero();
        return none;
    } else {
        return std::tuple<>();
    }
}

/// The views of the learned parts' gradients.
template <class T, class Tuple>
auto learned_views(Tuple& learned) {
    const auto view = [](auto& object) {
        static_assert(std::is_same_v<T, scalar_of<decltype(object)>>,
                      "heed: the gradient of a learned part must have the scalar of q, k and v");
        return view_of(object);
    };
    return std::apply([&](auto&... object) { return std::make_tuple(view(object)...); }, learned);
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE

template <class Q, class K, class V, class... Learned>
struct std::tuple_size<heed::gradient<Q, K, V, Learned...>>
    : std::integral_constant<std::size_t, 3 + sizeof...(Learned)> {};

template <std::size_t I, class Q, class K, class V, class... Learned>
struct std::tuple_element<I, heed::gradient<Q, K, V, Learned...>> {
    using type = std::tuple_element_t<I, std::tuple<Q, K, V, Learned...>>;
};
