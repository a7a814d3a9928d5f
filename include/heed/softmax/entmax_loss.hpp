#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/softmax/entmax.hpp>
#include <heed/softmax/loss_function.hpp>
#include <heed/softmax/whole_row_loss.hpp>

/// \file
/// The loss that belongs to entmax.

namespace heed::inline HEED_ARCHITECTURE {

/// (p − onehot(t))·x + Σ(p − p^α)/(α(α − 1)), p = entmax(x).
class entmax_row_loss {
  public:
    explicit entmax_row_loss(double alpha) : entmax_(alpha) {}

    /// For the kernel.
    template <class T>
    auto whole_row() const {
        return entmax_.whole_row<T>(0);
    }
    template <class T>
    T operator()(const detail::solved_row<T>& row, T logit) const {
        const double alpha = entmax_.alpha();
        const vec<T> exponent(alpha - 1), inverse(1 / alpha);
        // (p − p^α)/(α − 1), without cancellation near 1, where it is −p·log p.
        const T sum = row.sum([&](vec<T> p, vec<T> gap) {
            const vec<T> power = alpha == 1 ? log(p) : expm1(exponent * log(p)) / exponent;
            return p * fnma(power, inverse, gap);
        });
        return sum - row.gap(logit);
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
    return loss_function<entmax_row_loss>(entmax_row_loss(alpha));
}

}  // namespace heed::inline HEED_ARCHITECTURE
