#pragma once

#include <cmath>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/softmax/losses/kernel/loss_function.hpp>
#include <heed/softmax/losses/kernel/loss_rows.hpp>

/// \file
/// Cross-entropy on cosines with an additive margin.

namespace heed::inline HEED_ARCHITECTURE {

/// −log p_t, p the softmax of (cos − m·onehot(t))/τ.
class am_softmax_loss : public detail::softmax_loss {
  public:
    constexpr am_softmax_loss() = default;
    am_softmax_loss(double additive_margin, double temperature)
        : margin_(additive_margin), tau_(temperature) {}

    /// For the kernel.
    constexpr double margin() const { return margin_; }
    constexpr double tau() const { return tau_; }
    detail::row_loss operator()(const detail::target_facts& row) const { return {-row.log_p}; }
    template <class T>
    auto rows(double scale) const {
        return detail::softmax_loss_rows<T>(*this, scale);
    }

  private:
    double margin_ = 0;
    double tau_ = 1;
};

/// AM-softmax (arXiv 1801.05599, kexue 10145) on rows of cosines: cross-entropy with the logits
/// cos/τ, and (cos_t − m)/τ for the label; the gradient is that of the cosines, (p − onehot(t))/τ.
///
///     auto [loss, d_cos] = heed::am_softmax(0.35, 1 / 30.0).with_gradient(cosines, labels);
///
/// Throws argument_error unless m is finite and τ positive and finite. See loss_function for
/// labels, reductions, errors and cost.
inline auto am_softmax(double margin, double tau) {
    detail::require_argument(std::isfinite(margin), "heed::am_softmax: the margin is ", margin,
                             ", but must be finite");
    return loss_function<am_softmax_loss>(
        am_softmax_loss(margin, detail::checked_temperature("heed::am_softmax", tau)));
}

}  // namespace heed::inline HEED_ARCHITECTURE
