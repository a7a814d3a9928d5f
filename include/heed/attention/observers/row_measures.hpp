#pragma once

#include <cmath>

#include <heed/attention/observers/observer.hpp>
#include <heed/core/architecture.hpp>

/// \file
/// Observers: entropy, sparsity and gradient size of each row of an attention, without its matrix.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::row_entropy.
struct row_entropy_observer : row_observer<row_entropy_observer> {
    double measure(const row_sums& row) const { return row.p_log_p == 0 ? 0 : -row.p_log_p; }
};

/// −Σ_j p_ij log p_ij of each row, in nats (kexue 8823): log n where all keys count the same, 0
/// where one key takes all or none is seen. A part of attention_forward, which returns it behind
/// stats, [batch, heads, queries]:
///
///     auto [o, stats, entropy] = heed::attention_forward(q, k, v, heed::row_entropy);
///     heed::attention_into(o, q, k, v, heed::row_entropy.into(entropy));
inline constexpr row_entropy_observer row_entropy{};

/// The type of heed::row_sparsity.
struct row_sparsity_observer : row_observer<row_sparsity_observer> {
    double measure(const row_sums& row) const {
        if (row.length == 0) return 0;
        return row.p / (row.length * std::sqrt(static_cast<double>(row.visible)));
    }
};

/// S* = n_i^{−1/2}·‖p_i‖₁/‖p_i‖₂ of each row (kexue 9595), n_i the keys that it sees: 1 where all
/// count the same, small where few do; 0 for a row that sees nothing. It does not depend on the
/// size of the p, those beside a sink that takes almost all. Returned as row_entropy is.
inline constexpr row_sparsity_observer row_sparsity{};

/// The type of heed::row_gradient_size.
struct row_gradient_size_observer : row_observer<row_gradient_size_observer> {
    double measure(const row_sums& row) const { return row.p == 0 ? 0 : 1 - row.square; }
};

/// 1 − Σ_j p_ij² of each row, half the sum of |∂p/∂s| of a softmax (kexue 9812): 0 where one key
/// takes all, so that nothing is learned from the row. Returned as row_entropy is.
inline constexpr row_gradient_size_observer row_gradient_size{};

}  // namespace heed::inline HEED_ARCHITECTURE
