#pragma once

#include <cmath>
#include <complex>
#include <cstddef>
#include <vector>

#include "tensor.hpp"

/// \file
/// Recurrent units in doubles, channel by channel and token by token, as they are written (spec,
/// section 4). Tensors are [batch, 1, sequence, channels], states [batch, 1, parts, channels].

namespace reference {

struct unit_result {
    tensor output, state;
};

/// x_t = λx_{t−1} + γu_t, λ = e^(−e^nu_log + i·e^theta_log): channels are real parts, then
/// imaginary ones. An empty theta_log: real numbers.
inline unit_result linear_recurrent_unit(const std::vector<double>& nu_log,
                                         const std::vector<double>& theta_log,
                                         const std::vector<double>& gamma, const tensor& u,
                                         const tensor& initial) {
    const index count = static_cast<index>(nu_log.size());
    const bool is_real = theta_log.empty();
    unit_result result{zeros_like(u), initial};
    for (index b = 0; b < u.batches(); ++b)
        for (index c = 0; c < count; ++c) {
            const auto i = static_cast<std::size_t>(c);
            const auto number = [&](const tensor& from, index t, index second_t,
                                    index second_column) {
                return std::complex<double>(from(b, 0, t, c),
                                            is_real ? 0 : from(b, 0, second_t, second_column));
            };
            const std::complex<double> lambda = std::exp(
                std::complex<double>(-std::exp(nu_log[i]), is_real ? 0 : std::exp(theta_log[i])));
            std::complex<double> x = number(initial, 0, 1, c);
            for (index t = 0; t < u.rows(); ++t) {
                x = lambda * x + gamma[i] * number(u, t, t, count + c);
                result.output(b, 0, t, c) = x.real();
                if (!is_real) result.output(b, 0, t, count + c) = x.imag();
            }
            result.state(b, 0, 0, c) = x.real();
            if (!is_real) result.state(b, 0, 1, c) = x.imag();
        }
    return result;
}

/// o_t = σ(r_t)·(y_{t−1} + e^(u+k_t) v_t)/(z_{t−1} + e^(u+k_t)), 0 where that is 0/0. States are y
/// and z themselves; long double holds e^k of any k that is asked of it here.
inline unit_result rwkv(const std::vector<double>& decay, const std::vector<double>& bonus,
                        const tensor& r, const tensor& k, const tensor& v, const tensor& initial) {
    unit_result result{zeros_like(r), initial};
    for (index b = 0; b < r.batches(); ++b)
        for (index c = 0; c < r.columns(); ++c) {
            const auto i = static_cast<std::size_t>(c);
            const long double lambda = std::exp(-std::exp(static_cast<long double>(decay[i])));
            long double y = initial(b, 0, 0, c), z = initial(b, 0, 1, c);
            for (index t = 0; t < r.rows(); ++t) {
                const bool hidden = k(b, 0, t, c) == -HUGE_VAL;
                const long double e = std::exp(static_cast<long double>(k(b, 0, t, c))),
                                  value = hidden ? 0 : v(b, 0, t, c),
                                  own = e * std::exp(static_cast<long double>(bonus[i]));
                const long double weights = z + own;
                const long double mean = weights == 0 ? 0 : (y + own * value) / weights;
                result.output(b, 0, t, c) = static_cast<double>(
                    mean / (1 + std::exp(-static_cast<long double>(r(b, 0, t, c)))));
                y = lambda * y + e * value;
                z = lambda * z + e;
            }
            result.state(b, 0, 0, c) = static_cast<double>(y);
            result.state(b, 0, 1, c) = static_cast<double>(z);
        }
    return result;
}

}  // namespace reference
