#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/random.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/units/kernel/unit_call.hpp>

/// \file
/// First parameters of linear recurrent units.

namespace heed::inline HEED_ARCHITECTURE {
namespace init {

/// Where λ lies at first.
struct recurrent_ring_options {
    double least = 0.9;                ///< |λ|
    double greatest = 0.999;           ///< |λ|
    double angle = 6.283185307179586;  ///< its angle lies in (0, angle), 2π unless given
};

/// λ evenly distributed over a ring: |λ|² uniform on [least², greatest²], its angle on [0, angle],
/// and γ = √(1 − |λ|²), so that x has the variance of u (arXiv 2303.06349, kexue 9554).
///
///     Eigen::VectorXf nu_log(channels), theta_log(channels), gamma(channels);
///     const auto first = heed::init::recurrent_ring({.least = 0.9, .greatest = 0.999});
///     first.into(nu_log, theta_log, gamma, 42);                          // a seed
///     first.into(nu_log, gamma, heed::random_numbers(42, layer));        // of a real unit
///
/// Vectors of Eigen's. A number depends on the seed and its channel alone, and is the same on
/// every platform; floats are the doubles, rounded. Throws argument_error for radii that are not
/// 0 ≤ least ≤ greatest < 1, greatest > 0, or an angle that is not positive; shape_error for what
/// is no vector, or vectors of different lengths.
class recurrent_ring {
  public:
    explicit recurrent_ring(const recurrent_ring_options& options = {}) : options_(options) {
        detail::require_argument(options.least >= 0 && options.least <= options.greatest &&
                                     options.greatest > 0 && options.greatest < 1,
                                 "heed::init::recurrent_ring: radii from ", options.least, " to ",
                                 options.greatest,
                                 ", but must be 0 <= least <= greatest < 1, the greatest above 0");
        detail::require_argument(options.angle > 0 && std::isfinite(options.angle),
                                 "heed::init::recurrent_ring: the greatest angle is ",
                                 options.angle, ", but must be positive and finite");
    }

    /// Of heed::linear_recurrent_unit.
    template <tensor_like Nu, tensor_like Theta, tensor_like Gamma>
    void into(Nu&& nu_log, Theta&& theta_log, Gamma&& gamma, const random_numbers& numbers) const {
        const index channels = detail::view_of(nu_log).size();
        const auto theta = detail::parameter_output("theta_log", theta_log, channels);
        into(nu_log, gamma, numbers);
        for (index c = 0; c < channels; ++c)
            set(theta(c), detail::portable_log(options_.angle * numbers.uniform(1, c)));
    }
    template <tensor_like Nu, tensor_like Theta, tensor_like Gamma>
    void into(Nu&& nu_log, Theta&& theta_log, Gamma&& gamma, std::integral auto seed) const {
        into(nu_log, theta_log, gamma, random_numbers(static_cast<std::uint64_t>(seed)));
    }

    /// Of heed::real_linear_recurrent_unit.
    template <tensor_like Nu, tensor_like Gamma>
    void into(Nu&& nu_log, Gamma&& gamma, const random_numbers& numbers) const {
        const index channels = detail::view_of(nu_log).size();
        const auto nu = detail::parameter_output("nu_log", nu_log, channels);
        const auto factor = detail::parameter_output("gamma", gamma, channels);
        for (index c = 0; c < channels; ++c) {
            // |λ|², rounded where it is written, whatever the compiler fuses.
            const double low = options_.least * options_.least;
            const double range = std::fma(options_.greatest, options_.greatest, -low);
            const double square = std::fma(numbers.uniform(0, c), range, low);
            set(nu(c), detail::portable_log(-0.5 * detail::portable_log(square)));
            set(factor(c), std::sqrt(1 - square));
        }
    }
    template <tensor_like Nu, tensor_like Gamma>
    void into(Nu&& nu_log, Gamma&& gamma, std::integral auto seed) const {
        into(nu_log, gamma, random_numbers(static_cast<std::uint64_t>(seed)));
    }

  private:
    template <class T>
    static void set(T& to, double number) {
        to = static_cast<T>(number);
    }

    recurrent_ring_options options_;
};

}  // namespace init
}  // namespace heed::inline HEED_ARCHITECTURE
