#pragma once

#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/units/kernel/recurrence_call.hpp>
#include <heed/linear/units/kernel/unit_call.hpp>
#include <heed/linear/units/unit_state.hpp>

/// \file
/// What linear_recurrent_unit and real_linear_recurrent_unit have in common.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// No θ: λ is real.
struct no_angle {};

/// A unit of kept parameters; ThetaLog may be no_angle. Gradient<U, Parameter, State> is what
/// backward gives.
template <class NuLog, class ThetaLog, class Gamma, template <class, class, class> class Gradient>
class recurrence_layer {
    static constexpr int parts = std::is_same_v<ThetaLog, no_angle> ? 1 : 2;

  public:
    recurrence_layer(NuLog nu_log, ThetaLog theta_log, Gamma gamma)
        : nu_log_(std::move(nu_log)), theta_log_(std::move(theta_log)), gamma_(std::move(gamma)) {}

    /// x, of u's kind, storage order and scalar.
    template <class U, class... Extras>
    [[nodiscard]] auto operator()(const U& u, const Extras&... extras) const {
        if constexpr (accepts<U>()) {
            const auto held = evaluate("u", u);
            auto x = make_like<U>(held.view().extents);
            into(x, held.view(), extras...);
            return x;
        }
    }

    /// x in the caller's memory, of any storage order; it must lie apart from u. A second call of
    /// the same shape allocates nothing.
    template <class X, class U, class... Extras>
    void into(X&& x, const U& u, const Extras&... extras) const {
        if constexpr (accepts<U, std::remove_cvref_t<X>>()) {
            using T = scalar_of<U>;
            if constexpr (check_unit_extras<T, false, Extras...>()) {
                const auto held = evaluate(u);
                run_recurrence<parts>(parameters<T>(), batched(view_of(std::forward<X>(x))),
                                      batched(held.view()), unit_extras<T>(extras...));
            }
        }
    }

    /// The gradients of u, of the parameters and of the state before the first token, from dx, the
    /// x that forward gave and the same u.
    template <class DX, class X, class U, class... Extras>
    [[nodiscard]] auto backward(const DX& dx, const X& x, const U& u,
                                const Extras&... extras) const {
        if constexpr (accepts<U, X, DX>()) {
            using T = scalar_of<U>;
            using parameter = Eigen::Matrix<T, Eigen::Dynamic, 1>;
            const auto held = evaluate("u", u);
            auto du = make_like<U>(held.view().extents);
            Gradient<decltype(du), parameter, unit_state<T>> gradient;
            gradient.u = std::move(du);
            gradient.nu_log.resize(channels());
            gradient.gamma.resize(channels());
            if constexpr (parts == 2) gradient.theta_log.resize(channels());
            backward_into(gradient, dx, x, held.view(), extras...);
            return gradient;
        }
    }

    /// The same in the caller's memory: `gradient` is what backward returned before, or has members
    /// of the same names. Nothing but its state is resized.
    template <class Gradients, class DX, class X, class U, class... Extras>
    void backward_into(Gradients&& gradient, const DX& dx, const X& x, const U& u,
                       const Extras&... extras) const {
        if constexpr (accepts<U, X, DX, std::remove_cvref_t<decltype(gradient.u)>>()) {
            using T = scalar_of<U>;
            if constexpr (check_unit_extras<T, true, Extras...>()) {
                const auto held_dx = evaluate(dx);
                const auto held_x = evaluate(x);
                const auto held_u = evaluate(u);
                recurrence_gradients<T> of_parameters{
                    parameter_output("d_nu_log", gradient.nu_log, channels()),
                    {},
                    parameter_output("d_gamma", gradient.gamma, channels())};
                if constexpr (parts == 2)
                    of_parameters.theta_log =
                        parameter_output("d_theta_log", gradient.theta_log, channels());
                run_recurrence_backward<parts>(
                    parameters<T>(),
                    recurrence_outputs<T>{batched(view_of(gradient.u)), of_parameters,
                                          &gradient.state},
                    batched(held_dx.view()), batched(held_x.view()), batched(held_u.view()),
                    unit_extras<T>(extras...));
            }
        }
    }

    index channels() const { return nu_log_.view().extents[0]; }

  private:
    template <class U, class... Others>
    static constexpr bool accepts() {
        if constexpr (check_unit_tensors<U, Others...>()) {
            if constexpr (parts == 1)
                return check_unit_parameters<scalar_of<U>, NuLog, Gamma>();
            else
                return check_unit_parameters<scalar_of<U>, NuLog, ThetaLog, Gamma>();
        } else {
            return false;
        }
    }

    template <class T>
    recurrence_parameters<T> parameters() const {
        recurrence_parameters<T> all{
            parts == 1 ? "heed::real_linear_recurrent_unit" : "heed::linear_recurrent_unit",
            nu_log_.view(),
            {},
            gamma_.view()};
        if constexpr (parts == 2) all.theta_log = theta_log_.view();
        return all;
    }

    NuLog nu_log_;
    [[no_unique_address]] ThetaLog theta_log_;
    Gamma gamma_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
