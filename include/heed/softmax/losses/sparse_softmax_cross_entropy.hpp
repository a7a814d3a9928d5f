#pragma once

#include <cmath>
#include <concepts>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/softmax/losses/kernel/loss_function.hpp>
#include <heed/softmax/losses/kernel/whole_row_loss.hpp>
#include <heed/softmax/sparse/sparse_softmax.hpp>

/// \file
/// Cross-entropy of a softmax over the largest logits.

namespace heed::inline HEED_ARCHITECTURE {

/// log Σ_Ω e^x − x_t, Ω the largest logits.
class sparse_softmax_row_loss {
  public:
    explicit constexpr sparse_softmax_row_loss(sparse_softmax_normaliser normaliser)
        : normaliser_(normaliser) {}

    /// For the kernel.
    template <class T>
    auto whole_row() const {
        return normaliser_.whole_row<T>(0);
    }
    template <class T>
    double operator()(const detail::solved_row<T>& row) const {
        if (row.p_t > T(0.5)) return -std::log1p(-static_cast<double>(row.others));
        // log Σ_Ω e^{x − max x} is −log of the greatest p.
        return -row.gap() - std::log(static_cast<double>(row.greatest_p));
    }
    template <class T>
    auto rows(double scale) const {
        return detail::whole_row_loss_rows<T, sparse_softmax_row_loss>(*this, scale);
    }
    void check(index length) const {
        detail::require_argument(normaliser_.k() <= length,
                                 "heed::sparse_softmax_cross_entropy: k is ", normaliser_.k(),
                                 ", but must lie between 1 and the length of the rows, ", length);
    }

  private:
    sparse_softmax_normaliser normaliser_;
};

/// Sparse-softmax cross-entropy log Σ_Ω e^x − x_t (arXiv 2112.12433, kexue 10145), Ω the k largest
/// logits: finite even where the label is none of them; the gradient is p − onehot(t), p =
/// heed::sparse_softmax(k)(x).
///
///     auto [loss, dx] = heed::sparse_softmax_cross_entropy(32).with_gradient(logits, labels);
///
/// Throws argument_error unless 1 ≤ k ≤ n, n the length of the rows. See loss_function for labels,
/// reductions, errors and cost.
[[nodiscard]] auto sparse_softmax_cross_entropy(std::integral auto k) {
    detail::require_argument(std::cmp_greater_equal(k, 1) && std::in_range<index>(k),
                             "heed::sparse_softmax_cross_entropy: k is ", k,
                             ", but must lie between 1 and the length of the rows");
    return loss_function<sparse_softmax_row_loss>(
        sparse_softmax_row_loss({static_cast<index>(k), 0}));
}

/// The same with Ω the fewest logits that have a given mass of the softmax of all. Throws
/// argument_error unless 0 < mass ≤ 1.
inline auto sparse_softmax_cross_entropy_by_mass(double mass) {
    detail::require_argument(mass > 0 && mass <= 1,
                             "heed::sparse_softmax_cross_entropy_by_mass: the mass is ", mass,
                             ", but must lie in (0, 1]");
    return loss_function<sparse_softmax_row_loss>(sparse_softmax_row_loss({0, mass}));
}

}  // namespace heed::inline HEED_ARCHITECTURE
