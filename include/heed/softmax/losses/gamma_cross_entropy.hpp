#pragma once

#include <algorithm>
#include <cmath>
#include <string_view>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/softmax/losses/kernel/loss_function.hpp>
#include <heed/softmax/losses/kernel/loss_rows.hpp>

/// \file
/// Between cross-entropy and accuracy: γ-cross-entropy, and its thresholded form.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

inline double checked_gamma(std::string_view of, double gamma) {
    require_argument(gamma >= 0 && gamma <= 1, of, ": gamma is ", gamma,
                     ", but must lie in [0, 1]");
    return gamma;
}

/// p/(γ + (1 − γ)p), 1 at γ = 0 even where p underflows.
inline double gamma_weight(double gamma, double log_p) {
    if (gamma == 0) return std::isnan(log_p) ? log_p : 1;
    return 1 / (gamma * std::exp(-log_p) + (1 - gamma));
}

}  // namespace detail

/// −log(γ + (1 − γ)p_t)/(1 − γ).
class gamma_cross_entropy_loss : public detail::softmax_loss {
  public:
    constexpr gamma_cross_entropy_loss() = default;
    explicit gamma_cross_entropy_loss(double gamma) : gamma_(gamma) {}

    /// For the kernel.
    detail::row_loss operator()(const detail::target_facts& row) const {
        return {value(row), detail::gamma_weight(gamma_, row.log_p)};
    }
    template <class T>
    auto rows(double scale) const {
        return detail::softmax_loss_rows<T>(*this, scale);
    }

  private:
    double value(const detail::target_facts& row) const {
        if (gamma_ == 0) return -row.log_p;
        if (gamma_ == 1) return row.others;
        // Whichever way loses nothing near its end.
        const double rest = 1 - gamma_, missing = rest * row.others;
        if (missing > 0.5) return -std::log(gamma_ + rest * row.p) / rest;
        return -std::log1p(-missing) / rest;
    }

    double gamma_ = 0;
};

/// w·(−log p_t), w = max(b, p_t/(γ + (1 − γ)p_t)) held constant.
class thresholded_cross_entropy_loss : public detail::softmax_loss {
  public:
    constexpr thresholded_cross_entropy_loss() = default;
    thresholded_cross_entropy_loss(double gamma, double least)
        : gamma_(gamma), least_weight_(least) {}

    /// For the kernel.
    detail::row_loss operator()(const detail::target_facts& row) const {
        // In this order a NaN stays one.
        const double weight = std::max(detail::gamma_weight(gamma_, row.log_p), least_weight_);
        return {weight == 0 ? 0 : -weight * row.log_p, weight};
    }
    template <class T>
    auto rows(double scale) const {
        return detail::softmax_loss_rows<T>(*this, scale);
    }

  private:
    double gamma_ = 0;
    double least_weight_ = 0;
};

/// γ-cross-entropy −log(γ + (1 − γ)p_t)/(1 − γ) (kexue 9526), whose gradient is w·(p − onehot(t)),
/// w = p_t/(γ + (1 − γ)p_t). γ = 0 is cross-entropy; at γ = 1 it is its limit 1 − p_t, a smooth
/// error rate (the article drops the 1), with gradient p_t·(p − onehot(t)).
///
///     auto [loss, dx] = heed::gamma_cross_entropy(0.1).with_gradient(logits, labels);
///
/// Throws argument_error unless 0 ≤ γ ≤ 1. See loss_function for labels, reductions, errors and
/// cost.
inline auto gamma_cross_entropy(double gamma) {
    return loss_function<gamma_cross_entropy_loss>(
        gamma_cross_entropy_loss(detail::checked_gamma("heed::gamma_cross_entropy", gamma)));
}

/// Its thresholded form (kexue 9526): cross-entropy times w = max(b, p_t/(γ + (1 − γ)p_t)), which
/// is held constant: the gradient is w·(p − onehot(t)). With b > 0 even what has p_t ≈ 0 is
/// learned.
///
///     auto [loss, dx] = heed::thresholded_cross_entropy(0.1, 0.01).with_gradient(logits, labels);
///
/// The loss is no function whose derivative that gradient is. Throws argument_error unless
/// 0 ≤ γ ≤ 1 and 0 ≤ b ≤ 1. See loss_function for labels, reductions, errors and cost.
inline auto thresholded_cross_entropy(double gamma, double least_weight) {
    detail::require_argument(least_weight >= 0 && least_weight <= 1,
                             "heed::thresholded_cross_entropy: the least weight is ", least_weight,
                             ", but must lie in [0, 1]");
    return loss_function<thresholded_cross_entropy_loss>(thresholded_cross_entropy_loss(
        detail::checked_gamma("heed::thresholded_cross_entropy", gamma), least_weight));
}

}  // namespace heed::inline HEED_ARCHITECTURE
