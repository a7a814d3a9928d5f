#pragma once

#include <cmath>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/softmax/sparse/kernel/soft_top_k_row.hpp>
#include <heed/softmax/sparse/kernel/sparse_normaliser.hpp>

/// \file
/// The soft form of "the k largest", alone on rows and as the normaliser of attention.

namespace heed::inline HEED_ARCHITECTURE {

/// Soft top-k (kexue 10373): p = f(x − λ) with λ such that Σp = k: none above 1, near 1 for the k
/// largest scores and near 0 for the others. dx = g ⊙ (dp − g·dp/Σg), g = f′(x − λ).
///
///     auto p  = heed::soft_top_k(8)(x);
///     auto dx = heed::soft_top_k(8).backward(x, p, dp);
///     auto q  = heed::soft_top_k(2.5, heed::soft_top_k_shape::logistic)(x);
///
/// k = n gives ones. −∞ is left out: where no more than k scores are left, each gives 1; a row of
/// −∞ gives zeros. A NaN, or +∞, makes its own row NaN. See row_function for shapes and cost.
/// Throws argument_error unless 1 ≤ k ≤ n, n the length of the rows (alone; in attention any k ≥ 1
/// will do).
class soft_top_k_normaliser : public detail::sparse_normaliser<soft_top_k_normaliser> {
  public:
    using shape = soft_top_k_shape;

    soft_top_k_normaliser(double k, shape f) : k_(k), shape_(f) {
        detail::require_argument(k >= 1 && std::isfinite(k), "heed::soft_top_k: k is ", k,
                                 ", but must be at least 1 and finite");
    }
    double k() const { return k_; }

    /// For attention: a row as a whole.
    template <class T>
    auto whole_row(index) const {
        return detail::soft_top_k_row<T>(k_, shape_);
    }
    void check_length(index length) const {
        detail::require_argument(k_ <= static_cast<double>(length), "heed::soft_top_k: k is ", k_,
                                 ", but must lie between 1 and the length of the rows, ", length);
    }

  private:
    double k_;
    shape shape_;
};

/// Soft top-k with the clipped exponential, unless another shape is given.
[[nodiscard]] inline soft_top_k_normaliser soft_top_k(
    double k, soft_top_k_shape f = soft_top_k_shape::clipped_exponential) {
    return {k, f};
}

}  // namespace heed::inline HEED_ARCHITECTURE
