#pragma once

#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/linear/units/kernel/recurrence_layer.hpp>

/// \file
/// The linear recurrent unit in real numbers.

namespace heed::inline HEED_ARCHITECTURE {

/// What backward of heed::real_linear_recurrent_unit gives.
template <class U, class Parameter, class State>
struct real_linear_recurrent_unit_gradient {
    U u;
    Parameter nu_log, gamma;
    State state;  ///< of the state before the first token
};

/// The linear recurrent unit in real numbers, SLRU (kexue 9554): x_t = λx_{t−1} + γu_t, λ = e^{−ν},
/// ν = e^{nu_log}: an exponential mean of each channel.
///
///     const auto unit = heed::real_linear_recurrent_unit(nu_log, gamma);  // [channels]
///     auto x = unit(u);                                      // u [batch, sequence, channels]
///     auto x = unit(u, heed::carry(state));                  // any pieces, down to a token
///     auto [du, d_nu_log, d_gamma, d_state] = unit.backward(dx, x, u);
///
/// All else is as linear_recurrent_unit has it.
template <detail::vector_like NuLog, detail::vector_like Gamma>
[[nodiscard]] auto real_linear_recurrent_unit(NuLog&& nu_log, Gamma&& gamma) {
    auto nu = detail::keep_vector("nu_log", std::forward<NuLog>(nu_log));
    auto kept = detail::keep_vector("gamma", std::forward<Gamma>(gamma));
    return detail::recurrence_layer<decltype(nu), detail::no_angle, decltype(kept),
                                    real_linear_recurrent_unit_gradient>(
        std::move(nu), detail::no_angle(), std::move(kept));
}

}  // namespace heed::inline HEED_ARCHITECTURE
