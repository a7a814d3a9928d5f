#pragma once

#include <heed/core/architecture.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/rows/row_function.hpp>
#include <heed/softmax/kernel/row_gradients.hpp>
#include <heed/softmax/kernel/row_kernels.hpp>

/// \file
/// The logarithm of softmax, on rows.

namespace heed::inline HEED_ARCHITECTURE {

/// y = log softmax(x/τ) = x/τ − log Σe^{x/τ} (kexue 10145); dx = (dy − e^y·Σdy)/τ.
///
///     auto y  = heed::log_softmax(x);
///     auto dx = heed::log_softmax.backward(x, y, dy);
///
/// A row of −∞ stays −∞; a NaN, or +∞, makes its own row NaN. See row_function for shapes, errors
/// and cost.
class log_softmax_function : public row_function<log_softmax_function> {
  public:
    constexpr log_softmax_function() = default;

    /// The same with another temperature. Throws argument_error unless τ is positive and finite.
    log_softmax_function temperature(double tau) const {
        log_softmax_function other;
        other.tau_ = detail::checked_temperature("heed::log_softmax", tau);
        return other;
    }
    constexpr double tau() const { return tau_; }

    /// For row_function.
    template <class T>
    detail::log_softmax_rows<T> forward() const {
        return {detail::temperature_factors<T>(tau_)};
    }
    template <class T>
    detail::log_softmax_backward_rows<T> gradient() const {
        return {detail::temperature_factors<T>(tau_)};
    }

  private:
    double tau_ = 1;
};

/// log softmax on rows: see log_softmax_function.
inline constexpr log_softmax_function log_softmax{};

}  // namespace heed::inline HEED_ARCHITECTURE
