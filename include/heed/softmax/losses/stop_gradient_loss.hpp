#pragma once

#include <heed/core/architecture.hpp>
#include <heed/softmax/losses/kernel/loss_function.hpp>
#include <heed/softmax/losses/kernel/loss_rows.hpp>

/// \file
/// The loss that says of any probabilities what their gradient is to be.

namespace heed::inline HEED_ARCHITECTURE {

/// sg(p − onehot(t))·x.
class stop_gradient_row_loss : public detail::softmax_loss {
  public:
    static constexpr bool wants_expected_gap = true;

    /// For the kernel. Σp·x − x_t = Σ p·(x − x_t).
    detail::row_loss operator()(const detail::target_facts& row) const {
        return {row.expected_gap};
    }
    template <class T>
    auto rows(double scale) const {
        return detail::softmax_loss_rows<T>(*this, scale);
    }
};

/// The stop-gradient loss sg(p − onehot(t))·x, p = softmax(x) (kexue 10145): p counts as a
/// constant, so that the gradient is p − onehot(t), cross-entropy's, while the value is Σp·x − x_t.
///
///     auto [loss, dx] = heed::stop_gradient_loss.with_gradient(logits, labels);
///
/// The article's form, with the stop on another factor, has another gradient. The value may be
/// negative. See loss_function for labels, reductions, errors and cost.
inline constexpr loss_function<stop_gradient_row_loss> stop_gradient_loss{};

}  // namespace heed::inline HEED_ARCHITECTURE
