#pragma once

#include <concepts>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/softmax/sparse/kernel/largest_rows.hpp>
#include <heed/softmax/sparse/kernel/sparse_normaliser.hpp>

/// \file
/// Softmax over the largest scores of a row, alone on rows and as the normaliser of attention.

namespace heed::inline HEED_ARCHITECTURE {

/// Sparse softmax (arXiv 2112.12433, kexue 10145): p = e^{x/τ}/Σ_Ω e^{x/τ} on Ω and 0 elsewhere,
/// where Ω are the k largest scores of the row, or the fewest that together have a given mass of
/// the softmax of all (top-p); dx = p ⊙ (dp − p·dp)/τ. Of equal scores those of the lowest index
/// are taken.
///
///     auto p  = heed::sparse_softmax(32)(x);
///     auto dx = heed::sparse_softmax(32).backward(x, p, dp);
///     auto o  = heed::attention(q, k, v, heed::causal, heed::sparse_softmax_by_mass(0.9));
///
/// −∞ is never taken: where fewer than k scores are left, as in the first rows under a causal mask,
/// Ω is all of them, and a row of −∞ gives zeros. A NaN, or +∞, makes its own row NaN. See
/// row_function for shapes and cost. Throws argument_error unless 1 ≤ k ≤ n, n the length of the
/// rows (alone; in attention any k ≥ 1 will do), or 0 < mass ≤ 1.
class sparse_softmax_normaliser : public detail::sparse_normaliser<sparse_softmax_normaliser> {
  public:
    /// One of the two is 0; heed::sparse_softmax and heed::sparse_softmax_by_mass check the other.
    constexpr sparse_softmax_normaliser(index k, double mass) : k_(k), mass_(mass) {}

    /// The same with another temperature. Throws argument_error unless τ is positive and finite.
    sparse_softmax_normaliser temperature(double tau) const {
        sparse_softmax_normaliser other = *this;
        other.tau_ = detail::checked_temperature("heed::sparse_softmax", tau);
        return other;
    }
    constexpr double tau() const { return tau_; }
    constexpr index k() const { return k_; }
    constexpr double mass() const { return mass_; }

    /// For attention: a row as a whole.
    template <class T>
    auto whole_row(index) const {
        return detail::largest_row<T>(k_, mass_, tau_);
    }
    void check_length(index length) const {
        detail::require_argument(k_ <= length, "heed::sparse_softmax: k is ", k_,
                                 ", but must lie between 1 and the length of the rows, ", length);
    }

  private:
    index k_;
    double mass_;
    double tau_ = 1;
};

/// Softmax over the k largest scores of each row.
template <std::integral Integer>
[[nodiscard]] sparse_softmax_normaliser sparse_softmax(Integer k) {
    detail::require_argument(k >= 1, "heed::sparse_softmax: k is ", k, ", but must be at least 1");
    return {detail::to_index(k), 0};
}

/// Softmax over the fewest scores of each row that have that mass of the softmax of all.
[[nodiscard]] inline sparse_softmax_normaliser sparse_softmax_by_mass(double mass) {
    detail::require_argument(mass > 0 && mass <= 1, "heed::sparse_softmax_by_mass: the mass is ",
                             mass, ", but must lie in (0, 1]");
    return {0, mass};
}

}  // namespace heed::inline HEED_ARCHITECTURE
