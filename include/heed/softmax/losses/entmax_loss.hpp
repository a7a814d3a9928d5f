#pragma once

#include <cmath>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/softmax/losses/kernel/loss_function.hpp>
#include <heed/softmax/losses/kernel/whole_row_loss.hpp>
#include <heed/softmax/sparse/entmax.hpp>

/// \file
/// The loss that belongs to entmax.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// (1 − p^{α−1}·(1 + (α−1)s))/(α(α−1)) = s²·∫₀¹ v(1 − sv)^{α−2} dv of p = 1 − s: what the label's
/// probability adds to the loss of entmax; −log p − s at α = 1.
inline double entmax_label_loss(double alpha, double p, double s) {
    if (s * (alpha + 1) < 1.0 / 16) {
        // The binomial series of the integral; each term is a sixteenth of the one before, or less.
        double sum = 0, term = s * s;
        for (int k = 0; k < 16; ++k) {
            sum += term / (k + 2);
            term *= -s * (alpha - 2 - k) / (k + 1);
        }
        return sum;
    }
    const double log_p = s < 0.5 ? std::log1p(-s) : std::log(p);
    if (alpha == 1) return -log_p - s;
    const double beta = alpha - 1;
    return -std::expm1(beta * log_p + std::log1p(beta * s)) / (alpha * beta);
}

}  // namespace detail

/// (p − onehot(t))·x + Σ(p − p^α)/(α(α − 1)), p = entmax(x).
class entmax_row_loss {
  public:
    explicit entmax_row_loss(double alpha) : entmax_(alpha) {}

    /// For the kernel.
    template <class T>
    auto whole_row() const {
        return entmax_.whole_row<T>(0);
    }
    /// With (α−1)x = p^{α−1} + λ on the support, what would cancel is gone.
    template <class T>
    double operator()(const detail::solved_row<T>& row) const {
        const double alpha = entmax_.alpha();
        const vec<T> exponent(alpha);
        const double powers = row.sum_others([&](vec<T> p) { return exp(exponent * log(p)); });
        if (row.p_t > T(0))
            return powers / alpha + detail::entmax_label_loss(alpha, static_cast<double>(row.p_t),
                                                              static_cast<double>(row.others));
        const double log_p = std::log(static_cast<double>(row.greatest_p));
        const double power = alpha == 1 ? log_p : std::expm1((alpha - 1) * log_p) / (alpha - 1);
        return (powers - 1) / alpha - row.gap() - power;
    }
    template <class T>
    auto rows(double scale) const {
        return detail::whole_row_loss_rows<T, entmax_row_loss>(*this, scale);
    }
    static void check(index) {}

  private:
    entmax_normaliser entmax_;
};

/// The Fenchel–Young loss of entmax, (p − onehot(t))·x + Σ(p − p^α)/(α(α − 1)), p = entmax(α)(x)
/// (arXiv 1905.05702, 1901.02324), whose gradient is p − onehot(t). α = 1 is cross-entropy, α = 2
/// heed::sparsemax_loss; for α > 1 it is 0 once x_t is greater than all others by 1/(α − 1).
///
///     auto [loss, dx] = heed::entmax_loss(1.5).with_gradient(logits, labels);
///
/// Throws argument_error unless α is at least 1 and finite. See loss_function for labels,
/// reductions, errors and cost.
inline auto entmax_loss(double alpha) {
    detail::require_argument(alpha >= 1 && std::isfinite(alpha), "heed::entmax_loss: alpha is ",
                             alpha, ", but must be at least 1 and finite");
    return loss_function<entmax_row_loss>(entmax_row_loss(alpha));
}

}  // namespace heed::inline HEED_ARCHITECTURE
