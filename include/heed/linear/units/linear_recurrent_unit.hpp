#pragma once

#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/linear/units/kernel/recurrence_layer.hpp>

/// \file
/// The linear recurrent unit.

namespace heed::inline HEED_ARCHITECTURE {

/// What backward of heed::linear_recurrent_unit gives.
template <class U, class Parameter, class State>
struct linear_recurrent_unit_gradient {
    U u;
    Parameter nu_log, theta_log, gamma;
    State state;  ///< of the state before the first token
};

/// The linear recurrent unit (arXiv 2303.06349, kexue 9554): x_t = λx_{t−1} + γu_t in complex
/// numbers, λ = e^{−ν + iθ}, ν = e^{nu_log}, θ = e^{theta_log}, so that |λ| < 1 whatever is
/// learned.
///
///     const auto unit = heed::linear_recurrent_unit(nu_log, theta_log, gamma);  // [channels]
///     auto x = unit(u);                                  // u [batch, sequence, 2·channels]
///     auto x = unit(u, heed::carry(state));              // any pieces, down to a token
///     auto [du, d_nu_log, d_theta_log, d_gamma, d_state] = unit.backward(dx, x, u);
///     auto grad = unit.backward(dx, x, u, heed::carry(state), heed::state_gradient(d_next));
///
/// u and x are [batch, sequence, 2·channels] or [sequence, 2·channels] of any layout: the real
/// parts of all channels, then the imaginary ones, as one real product with [Re B ; Im B] gives
/// them. Parameters are vectors, seen where they lie if they are lvalues. The state is x of the
/// last token. x has the same bits for any threads, batch and pieces; gradients for any threads. A
/// NaN stays in its channel and in what comes after it.
///
/// Throws shape_error where shapes do not fit; argument_error where nu_log or theta_log is above
/// 709 or gamma is not finite, and for overlapping outputs. O(size of u); behind come heed::on
/// and heed::in too.
template <detail::vector_like NuLog, detail::vector_like ThetaLog, detail::vector_like Gamma>
[[nodiscard]] auto linear_recurrent_unit(NuLog&& nu_log, ThetaLog&& theta_log, Gamma&& gamma) {
    auto nu = detail::keep_vector("nu_log", std::forward<NuLog>(nu_log));
    auto theta = detail::keep_vector("theta_log", std::forward<ThetaLog>(theta_log));
    auto kept = detail::keep_vector("gamma", std::forward<Gamma>(gamma));
    return detail::recurrence_layer<decltype(nu), decltype(theta), decltype(kept),
                                    linear_recurrent_unit_gradient>(std::move(nu), std::move(theta),
                                                                    std::move(kept));
}

}  // namespace heed::inline HEED_ARCHITECTURE
