#pragma once

#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/role.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/rows/row_function.hpp>
#include <heed/softmax/kernel/row_gradients.hpp>
#include <heed/softmax/kernel/row_kernels.hpp>
#include <heed/softmax/kernel/streaming.hpp>

/// \file
/// Softmax, alone on rows and as the normaliser of attention.

namespace heed::inline HEED_ARCHITECTURE {

/// Softmax with temperature τ: p = e^{x/τ}/Σe^{x/τ} (kexue 10145); dx = p ⊙ (dp − p·dp)/τ.
///
///     auto p  = heed::softmax(x);                     // the rows of x, whatever x is
///     auto dx = heed::softmax.backward(x, p, dp);
///     heed::softmax.temperature(0.5).into(x, x);      // in place
///     auto o  = heed::attention(q, k, v, heed::softmax.temperature(2));
///
/// A row of −∞ gives zeros; a NaN, or +∞, makes its own row NaN. See row_function for shapes,
/// errors and cost.
class softmax_normaliser : public row_function<softmax_normaliser>, public normaliser_base {
  public:
    constexpr softmax_normaliser() = default;

    /// The softmax of another temperature. Throws argument_error unless τ is positive and finite.
    softmax_normaliser temperature(double tau) const {
        softmax_normaliser other;
        other.tau_ = detail::checked_temperature("heed::softmax", tau);
        return other;
    }
    constexpr double tau() const { return tau_; }

    /// For attention: a row block by block.
    template <class T>
    detail::softmax_stream<T> streaming(index) const {
        return {tau_, -std::numeric_limits<double>::infinity()};
    }

    /// For row_function.
    template <class T>
    detail::softmax_rows<T> forward() const {
        return {detail::temperature_factors<T>(tau_)};
    }
    template <class T>
    detail::softmax_backward_rows<T> gradient() const {
        return {detail::temperature_factors<T>(tau_)};
    }

  private:
    double tau_ = 1;
};

/// Softmax: what attention normalises with when it is given no normaliser.
inline constexpr softmax_normaliser softmax{};

}  // namespace heed::inline HEED_ARCHITECTURE
