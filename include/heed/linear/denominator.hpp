#pragma once

#include <cmath>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/linear/part.hpp>

/// \file
/// Whether linear attention divides by the sum of its weights.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::normalised.
class normalised_denominator : public denominator_base {
  public:
    static constexpr bool divides = true;

    /// Divides by max(z, ε). The call throws argument_error unless ε ≥ 0 is finite.
    [[nodiscard]] constexpr normalised_denominator at_least(double epsilon) const {
        normalised_denominator other;
        other.least_ = epsilon;
        return other;
    }

    double least() const { return least_; }
    void check_call(const linear_shape&) const {
        detail::require_argument(least_ >= 0 && std::isfinite(least_),
                                 "heed::normalised.at_least: the least denominator is ", least_,
                                 ", but must be finite and not negative");
    }

  private:
    double least_ = 0;
};

/// o = N/z with z_i = Σ_j φ(q_i)·φ(k_j), 0 where z = 0: what a call with a feature map does by
/// itself. heed::normalised.at_least(1e-6) divides by max(z, 1e-6).
inline constexpr normalised_denominator normalised{};

/// The type of heed::unnormalised.
struct unnormalised_denominator : denominator_base {
    static constexpr bool divides = false;
    double least() const { return 0; }
};

/// o = N = Σ_j φ(q_i)·φ(k_j) v_j: what a call without a feature map does by itself.
inline constexpr unnormalised_denominator unnormalised{};

}  // namespace heed::inline HEED_ARCHITECTURE
