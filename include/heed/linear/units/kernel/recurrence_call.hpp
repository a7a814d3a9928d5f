#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/memory_span.hpp>
#include <heed/core/shape.hpp>
#include <heed/linear/units/kernel/recurrence_rows.hpp>
#include <heed/linear/units/kernel/token_rows.hpp>
#include <heed/linear/units/kernel/unit_call.hpp>
#include <heed/linear/units/unit_state.hpp>

/// \file
/// Calls of x_t = λx_{t−1} + γu_t, once they are views: linear_recurrent_unit in complex numbers,
/// real_linear_recurrent_unit in real ones.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// What a unit was given, a number for each channel; θ is not there in real numbers.
template <class T>
struct recurrence_parameters {
    std::string_view unit;
    tensor_view<const T, 1> nu_log, theta_log, gamma;
};

/// Their gradients.
template <class T>
struct recurrence_gradients {
    tensor_view<T, 1> nu_log, theta_log, gamma;
};

/// The real or the imaginary parts of a tensor.
template <int Parts, class T>
std::array<tensor_view<T, 3>, std::size_t(Parts)> parts_of(tensor_view<T, 3> x) {
    x.extents[2] /= Parts;
    std::array<tensor_view<T, 3>, std::size_t(Parts)> parts;
    for (tensor_view<T, 3>& part : parts) {
        part = x;
        if (x.data != nullptr) x.data += x.extents[2] * x.strides[2];
    }
    return parts;
}

/// The parameters as the kernel takes them, for all channels.
template <class T, int Parts>
recurrence_group<T, Parts> recurrence_numbers(const recurrence_parameters<T>& of, arena& memory) {
    const index channels = of.nu_log.extents[0];
    recurrence_group<T, Parts> all{};
    for (std::size_t part = 0; part < std::size_t(Parts); ++part) {
        const auto exact = [&](index c) {
            const double r = std::exp(-std::exp(static_cast<double>(of.nu_log(c))));
            if constexpr (Parts == 1) {
                return r;
            } else {
                const double theta = std::exp(static_cast<double>(of.theta_log(c)));
                return r * (part == 0 ? std::cos(theta) : std::sin(theta));
            }
        };
        all.lambda[part] = numbers_of_channels<T>(channels, memory, exact);
        const T* const rounded = all.lambda[part];
        all.less[part] = numbers_of_channels<T>(
            channels, memory, [&](index c) { return exact(c) - static_cast<double>(rounded[c]); });
    }
    all.gamma = numbers_of_channels<T>(channels, memory, [&](index c) { return of.gamma(c); });
    return all;
}

/// The same from a group's first channel on.
template <class T, int Parts>
recurrence_group<T, Parts> numbers_of_group(recurrence_group<T, Parts> all,
                                            const channel_group& group) {
    all.width = group.width;
    for (std::size_t part = 0; part < std::size_t(Parts); ++part) {
        all.lambda[part] += group.first;
        all.less[part] += group.first;
    }
    all.gamma += group.first;
    return all;
}

/// A token_reader or a token_writer of each part of x.
template <class Walker, int Parts, class T>
std::array<Walker, std::size_t(Parts)> walkers_of(const tensor_view<T, 3>& x,
                                                  const channel_group& group, arena& memory) {
    const auto parts = parts_of<Parts>(x);
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
        return std::array<Walker, sizeof...(I)>{Walker(parts[I], group, memory)...};
    }
    (std::make_index_sequence<std::size_t(Parts)>{});
}
template <class T, std::size_t Parts>
recurrence_rows<const T, int(Parts)> rows_of(const std::array<token_reader<T>, Parts>& readers,
                                             index first, index tokens) {
    recurrence_rows<const T, int(Parts)> rows;
    for (std::size_t i = 0; i < Parts; ++i) rows.part[i] = readers[i](first, tokens);
    return rows;
}
template <class T, std::size_t Parts>
recurrence_rows<T, int(Parts)> rows_of(const std::array<token_writer<T>, Parts>& writers,
                                       index first) {
    recurrence_rows<T, int(Parts)> rows;
    for (std::size_t i = 0; i < Parts; ++i) rows.part[i] = writers[i].rows(first);
    return rows;
}

/// Each part of a state for a group of channels.
template <class T, int Parts>
std::array<T*, std::size_t(Parts)> load_parts(const unit_state<T>* state,
                                              const channel_group& group, arena& memory) {
    std::array<T*, std::size_t(Parts)> parts{};
    for (std::size_t i = 0; i < parts.size(); ++i)
        parts[i] = load_part(state, static_cast<index>(i), T(0), group, memory);
    return parts;
}

template <int Parts, class View>
std::array<named_memory, std::size_t(Parts) + 1> named_parameters(const View& nu_log,
                                                                  const View& theta_log,
                                                                  const View& gamma,
                                                                  bool are_gradients) {
    const named_memory nu{are_gradients ? "d_nu_log" : "nu_log", nu_log},
        theta{are_gradients ? "d_theta_log" : "theta_log", theta_log},
        last{are_gradients ? "d_gamma" : "gamma", gamma};
    if constexpr (Parts == 1)
        return {nu, last};
    else
        return {nu, theta, last};
}

/// Refuses tensors that are impossible or differ in shape, u the first, and parameters that do not
/// suit them.
template <int Parts, class T>
void check_recurrence(const recurrence_parameters<T>& of, std::span<const named_memory> inputs) {
    const memory_span& u = inputs.front().memory;
    check_view("u", u);
    const index columns = u.extents.back();
    require_shape(columns > 0 && columns % Parts == 0, "u has shape ", u.extents,
                  Parts == 1 ? ", but must have channels"
                             : ", but its channels must be the real parts and as many imaginary "
                               "ones behind them");
    check_unit_inputs(inputs, named_parameters<Parts>(of.nu_log, of.theta_log, of.gamma, false),
                      columns / Parts);
    check_finite_parameter(of.unit, "nu_log", of.nu_log, true);
    if constexpr (Parts == 2) check_finite_parameter(of.unit, "theta_log", of.theta_log, true);
    check_finite_parameter(of.unit, "gamma", of.gamma, false);
}

template <int Parts, class T>
void run_recurrence(const recurrence_parameters<T>& of, const tensor_view<T, 3>& x,
                    const tensor_view<const T, 3>& u, const unit_extras<T>& extras) {
    const named_memory input{"u", u}, output{"x", x};
    const std::span<const named_memory> inputs(&input, 1);
    check_recurrence<Parts>(of, inputs);
    check_unit_outputs({&output, 1}, input, {}, inputs,
                       named_parameters<Parts>(of.nu_log, of.theta_log, of.gamma, false));
    const index batch = u.extents[0], tokens = u.extents[1], channels = u.extents[2] / Parts;
    check_unit_state("the state", extras.carried, Parts, batch, channels);

    arena& own = extras.resources.memory->slot(0);
    const arena::scope scope(own);
    const auto all = recurrence_numbers<T, Parts>(of, own);
    const bool begins = extras.carried == nullptr || extras.carried->empty();
    if (begins && extras.carried != nullptr)
        unit_state_access<T>::shape(*extras.carried, Parts, batch, channels);
    for_each_group<T>(
        extras.resources, batch, channels, [&](arena& memory, const channel_group& group) {
            const auto numbers = numbers_of_group(all, group);
            const auto from = walkers_of<token_reader<T>, Parts>(u, group, memory);
            const auto to = walkers_of<token_writer<T>, Parts>(x, group, memory);
            const auto state =
                load_parts<T, Parts>(begins ? nullptr : extras.carried, group, memory);
            for_each_block(tokens, [&](index first, index count) {
                recurrence_forward(numbers, count, rows_of(from, first, count), rows_of(to, first),
                                   state);
                for (const token_writer<T>& part : to) part.done(first, count);
            });
            for (std::size_t i = 0; i < state.size(); ++i)
                store_part(state[i], extras.carried, static_cast<index>(i), group);
        });
}

/// Gradients of a call: tensors, parameters, and the state before the first token.
template <class T>
struct recurrence_outputs {
    tensor_view<T, 3> u;
    recurrence_gradients<T> parameters;
    unit_state<T>* state;
};

template <int Parts, class T>
void run_recurrence_backward(const recurrence_parameters<T>& of, const recurrence_outputs<T>& to,
                             const tensor_view<const T, 3>& dx, const tensor_view<const T, 3>& x,
                             const tensor_view<const T, 3>& u, const unit_extras<T>& extras) {
    const std::array<named_memory, 3> inputs{named_memory{"u", u}, {"x", x}, {"dx", dx}};
    check_recurrence<Parts>(of, inputs);
    const index batch = u.extents[0], tokens = u.extents[1], channels = u.extents[2] / Parts;
    const named_memory output{"du", to.u};
    const auto gradients = named_parameters<Parts>(to.parameters.nu_log, to.parameters.theta_log,
                                                   to.parameters.gamma, true);
    check_unit_outputs({&output, 1}, inputs[0], gradients, inputs,
                       named_parameters<Parts>(of.nu_log, of.theta_log, of.gamma, false));
    check_unit_state("the initial state", extras.initial, Parts, batch, channels);
    check_unit_state("the gradient of the final state", extras.of_final_state, Parts, batch,
                     channels);

    constexpr std::size_t parts = Parts;
    arena& own = extras.resources.memory->slot(0);
    const arena::scope scope(own);
    const auto all = recurrence_numbers<T, Parts>(of, own);
    const parameter_sums sums(1 + Parts, batch, channels, own);  // γ's, then λ's parts
    unit_state<T> state_gradient;
    unit_state_access<T>::shape(state_gradient, parts, batch, channels);
    for_each_group<T>(
        extras.resources, batch, channels, [&](arena& memory, const channel_group& group) {
            const auto numbers = numbers_of_group(all, group);
            const auto dx_from = walkers_of<token_reader<T>, Parts>(dx, group, memory);
            const auto x_from = walkers_of<token_reader<T>, Parts>(x, group, memory);
            const auto u_from = walkers_of<token_reader<T>, Parts>(u, group, memory);
            const auto du_to = walkers_of<token_writer<T>, Parts>(to.u, group, memory);
            recurrence_backward_rows<T, Parts> rows{};
            const auto of_final_state = load_parts<T, Parts>(extras.of_final_state, group, memory);
            rows.later = load_parts<T, Parts>(nullptr, group, memory);
            rows.of_gamma = filled(T(0), group.width, memory);
            rows.of_lambda = load_parts<T, Parts>(nullptr, group, memory);
            const auto add_lambda = [&] {
                for (std::size_t i = 0; i < parts; ++i)
                    sums.add(group, static_cast<index>(1 + i), rows.of_lambda[i]);
            };
            for_each_block_backward(tokens, [&](index first, index count) {
                rows.dx = rows_of(dx_from, first, count);
                rows.x = rows_of(x_from, first, count);
                rows.u = rows_of(u_from, first, count);
                rows.du = rows_of(du_to, first);
                index last = count;
                if (first + count == tokens) {
                    rows.added = of_final_state;
                    recurrence_backward(numbers, --last, count, rows);
                    rows.added = {};
                }
                recurrence_backward(numbers, 0, last, rows);
                for (const token_writer<T>& part : du_to) part.done(first, count);
                sums.add(group, 0, rows.of_gamma);
                add_lambda();
            });
            if (tokens > 0) {
                const auto before = load_parts<T, Parts>(extras.initial, group, memory);
                recurrence_backward_state(numbers, before, rows);
                add_lambda();
            }
            const auto& of_initial_state = tokens > 0 ? rows.later : of_final_state;
            for (std::size_t i = 0; i < parts; ++i)
                store_part(of_initial_state[i], &state_gradient, static_cast<index>(i), group);
        });
    for (index c = 0; c < channels; ++c) {
        // With A = λ Σ x̄_t⁻ x_{t−1}: dν = −Re A, dθ = −Im A.
        const double real = sums.total(1, c), nu = std::exp(static_cast<double>(of.nu_log(c)));
        if constexpr (Parts == 1) {
            to.parameters.nu_log(c) = static_cast<T>(-nu * std::exp(-nu) * real);
        } else {
            const double theta = std::exp(static_cast<double>(of.theta_log(c)));
            const std::complex<double> a = std::exp(std::complex<double>(-nu, theta)) *
                                           std::complex<double>(real, sums.total(2, c));
            to.parameters.nu_log(c) = static_cast<T>(-nu * a.real());
            to.parameters.theta_log(c) = static_cast<T>(-theta * a.imag());
        }
        to.parameters.gamma(c) = static_cast<T>(sums.total(0, c));
    }
    *to.state = std::move(state_gradient);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
