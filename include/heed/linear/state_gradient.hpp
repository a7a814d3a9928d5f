#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/gradient.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/part.hpp>

/// \file
/// Gradients of states of linear attention: what reaches the last one, and what the first one gets.

namespace heed::inline HEED_ARCHITECTURE {

/// The gradient of a linear_state, as its S and Z are: `grad.state`, and what
/// heed::state_gradient takes.
template <class Scalar>
struct linear_state_gradient {
    /// Of S, [batch, heads of the state, d_v, features].
    Eigen::Tensor<Scalar, 4, Eigen::RowMajor> matrices;
    /// Of Z, [batch, heads of the state, features]; without elements where a call has no Z.
    Eigen::Tensor<Scalar, 3, Eigen::RowMajor> denominators;
};

/// What linear_attention_backward returns beside heed::carry: the gradients of q, k, v and the
/// learned parts, as without, and `grad.state`, that of the state which the call went on from.
template <class State, class Q, class K, class V, class... Learned>
struct linear_gradient : gradient<Q, K, V, Learned...> {
    State state;
};

namespace detail {

/// The gradients of Z where there are none.
template <class T>
struct no_denominators {
    tensor_view<const T, 3> view() const { return {nullptr, {0, 0, 0}, {0, 0, 0}}; }
};

/// The part that heed::state_gradient makes.
template <class T, class Matrices, class Denominators>
struct state_gradient_part : linear_part_base<role::state_gradient> {
    using scalar = T;
    Matrices matrices;
    Denominators denominators;

    state_gradient_part(Matrices of_s, Denominators of_z)
        : matrices(std::move(of_s)), denominators(std::move(of_z)) {}

    void check_call(const linear_shape& shape) const {
        require_shape(shape.queries == shape.keys, "heed::state_gradient: q has ", shape.queries,
                      " rows and k ", shape.keys,
                      ", but in a call that leaves a state they have the same sequence");
    }
    template <class See>
    void inputs(See&& see) const {
        see("heed::state_gradient", matrices.view());
        see("heed::state_gradient", denominators.view());
    }
};

/// Refuses gradients of a state that have another shape than its S and Z: `s` and `z`.
template <class Matrices, class Denominators>
void check_state_gradient(std::string_view name, const Matrices& matrices,
                          const Denominators& denominators, const std::array<index, 4>& s,
                          const std::array<index, 3>& z) {
    check_view(name, matrices);
    check_view(name, denominators);
    require_shape(matrices.extents == s, name, ": that of S has shape ", matrices.extents,
                  ", but must have ", s, " (batch, heads of the state, d_v, features)");
    const bool none = z[2] == 0 && denominators.empty();
    require_shape(none || denominators.extents == z, name, ": that of Z has shape ",
                  denominators.extents, ", but must have ", z,
                  z[2] == 0 ? ", since the call does not divide" : "");
}

}  // namespace detail

/// A part of linear_attention_backward: the gradient that reaches the state behind the call, of S
/// [batch, heads of the state, d_v, features], as linear_state::matrix is. So a sequence is trained
/// in pieces, the last one first:
///
///     heed::linear_state<float> state;
///     auto [o1, stats1] = heed::linear_attention_forward(q1, k1, v1, heed::causal,
///                                                        heed::carry(state));
///     auto between = state;              // a copy: the next call goes on in `state`
///     auto [o2, stats2] = heed::linear_attention_forward(q2, k2, v2, heed::causal,
///                                                        heed::carry(state));
///     auto grad2 = heed::linear_attention_backward(d_o2, o2, stats2, q2, k2, v2, heed::causal,
///                                                  heed::carry(between));
///     auto grad1 = heed::linear_attention_backward(d_o1, o1, stats1, q1, k1, v1, heed::causal,
///                                                  heed::state_gradient(grad2.state));
///
/// It goes with heed::causal. The call throws shape_error where a shape does not fit. Costs one
/// pass over the state.
template <tensor_like Matrices>
requires(rank_of<Matrices> == 4) [[nodiscard]] auto state_gradient(Matrices&& of_s) {
    using T = scalar_of<Matrices>;
    auto kept = detail::keep(std::forward<Matrices>(of_s));
    return detail::state_gradient_part<T, decltype(kept), detail::no_denominators<T>>(
        std::move(kept), {});
}
/// The same of a call that divides: of Z [batch, heads of the state, features] too.
template <tensor_like Matrices, tensor_like Denominators>
requires(rank_of<Matrices> == 4 && rank_of<Denominators> == 3 &&
         std::is_same_v<scalar_of<Matrices>, scalar_of<Denominators>>)
    [[nodiscard]] auto state_gradient(Matrices&& of_s, Denominators&& of_z) {
    auto s = detail::keep(std::forward<Matrices>(of_s));
    auto z = detail::keep(std::forward<Denominators>(of_z));
    return detail::state_gradient_part<scalar_of<Matrices>, decltype(s), decltype(z)>(std::move(s),
                                                                                      std::move(z));
}
/// The same of what a later piece's backward returned; it must outlive the part.
template <class Scalar>
[[nodiscard]] auto state_gradient(const linear_state_gradient<Scalar>& of) {
    return state_gradient(of.matrices, of.denominators);
}

}  // namespace heed::inline HEED_ARCHITECTURE

template <class State, class Q, class K, class V, class... Learned>
struct std::tuple_size<heed::linear_gradient<State, Q, K, V, Learned...>>
    : std::tuple_size<heed::gradient<Q, K, V, Learned...>> {};

template <std::size_t I, class State, class Q, class K, class V, class... Learned>
struct std::tuple_element<I, heed::linear_gradient<State, Q, K, V, Learned...>>
    : std::tuple_element<I, heed::gradient<Q, K, V, Learned...>> {};
