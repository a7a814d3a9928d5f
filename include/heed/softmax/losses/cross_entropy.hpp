#pragma once

#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/softmax/losses/kernel/loss_function.hpp>
#include <heed/softmax/losses/kernel/loss_rows.hpp>
#include <heed/softmax/losses/weighted_cross_entropy.hpp>

/// \file
/// Cross-entropy on logits.

namespace heed::inline HEED_ARCHITECTURE {

/// −Σ q_j·log p_j, p = softmax(x), q = (1 − ε)·onehot(t) + ε/n.
class cross_entropy_loss : public detail::softmax_loss {
  public:
    cross_entropy_loss label_smoothing(double epsilon) const {
        detail::require_argument(epsilon >= 0 && epsilon <= 1,
                                 "heed::cross_entropy: the label smoothing is ", epsilon,
                                 ", but must lie in [0, 1]");
        cross_entropy_loss other;
        other.smoothing_ = epsilon;
        return other;
    }
    constexpr double smoothing() const { return smoothing_; }

    template <detail::vector_like Weights>
    auto class_weights(Weights&& w) const {
        auto kept = detail::keep_class_weights(std::forward<Weights>(w));
        return weighted_cross_entropy_loss<decltype(kept)>(std::move(kept), smoothing_);
    }

    /// For the kernel.
    constexpr bool wants_mean_log_p() const { return smoothing_ > 0; }
    detail::row_loss operator()(const detail::target_facts& row) const {
        if (smoothing_ == 0) return {-row.log_p};
        if (smoothing_ == 1) return {-row.mean_log_p, 1, 1};  // 0·(−∞) is NaN
        return {-(1 - smoothing_) * row.log_p - smoothing_ * row.mean_log_p, 1, smoothing_};
    }
    template <class T>
    auto rows(double scale) const {
        return detail::softmax_loss_rows<T>(*this, scale);
    }

  private:
    double smoothing_ = 0;
};

/// Cross-entropy log Σe^x − x_t, whose gradient is softmax(x) − onehot(t).
///
///     auto [loss, dx] = heed::cross_entropy.with_gradient(logits, labels);
///     const float bits = heed::cross_entropy.label_smoothing(0.1).ignored_label(-100)(x, labels);
///
/// With label smoothing ε the target is q = (1 − ε)·onehot(t) + ε/n (arXiv 1512.00567), the loss
/// −Σ q·log p, its gradient p − q; a logit of −∞ then makes the loss +∞. With a weight w_c for each
/// class, cross_entropy.class_weights(w), it is −Σ w·q·log p, and a mean is Σ loss/Σ w_t. See
/// loss_function for labels, reductions, errors and cost; soft_cross_entropy takes targets of any
/// kind.
inline constexpr loss_function<cross_entropy_loss> cross_entropy{};

}  // namespace heed::inline HEED_ARCHITECTURE
