#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/role.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/rows/row_function.hpp>
#include <heed/softmax/kernel/row_gradients.hpp>
#include <heed/softmax/kernel/row_kernels.hpp>
#include <heed/softmax/kernel/streaming.hpp>

/// \file
/// Softmax with one more logit, 0, that nobody attends to.

namespace heed::inline HEED_ARCHITECTURE {

/// p = e^{x/τ}/(1 + Σe^{x/τ}) ("off by one"): a row may give little to anyone;
/// dx = p ⊙ (dp − p·dp)/τ.
///
///     auto p = heed::softmax_plus_one(x);
///     auto o = heed::attention(q, k, v, heed::softmax_plus_one);
///
/// A row of −∞ gives zeros; a NaN, or +∞, makes its own row NaN. See row_function for shapes,
/// errors and cost; heed::sink is the same with a logit that can be learned.
class softmax_plus_one_normaliser : public row_function<softmax_plus_one_normaliser>,
                                    public normaliser_base {
  public:
    constexpr softmax_plus_one_normaliser() = default;

    /// The same with another temperature. Throws argument_error unless τ is positive and finite.
    softmax_plus_one_normaliser temperature(double tau) const {
        softmax_plus_one_normaliser other;
        other.tau_ = detail::checked_temperature("heed::softmax_plus_one", tau);
        return other;
    }
    constexpr double tau() const { return tau_; }

    /// For attention: a row block by block.
    template <class T>
    detail::softmax_stream<T> streaming(index) const {
        return {tau_, 0};
    }

    /// For row_function.
    template <class T>
    detail::softmax_plus_one_rows<T> forward() const {
        return {detail::temperature_factors<T>(tau_)};
    }
    template <class T>
    detail::softmax_backward_rows<T> gradient() const {
        return {detail::temperature_factors<T>(tau_)};
    }

  private:
    double tau_ = 1;
};

/// Softmax with 1 added to its sum, in attention and on rows: see softmax_plus_one_normaliser.
inline constexpr softmax_plus_one_normaliser softmax_plus_one{};

}  // namespace heed::inline HEED_ARCHITECTURE
