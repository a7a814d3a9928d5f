#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/unroll.hpp>
#include <heed/core/workspace.hpp>
#include <heed/softmax/kernel/candidates.hpp>
#include <heed/softmax/noise/kernel/perturb_row.hpp>

/// \file
/// A row of the probabilities that x_i plus noise is the largest, by the noise's quantiles.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The row normaliser of heed::perturb_max(noise).by_quantiles(K); see attention/part.hpp for what
/// it must do. With ε_k = Φ⁻¹((k + ½)/K): p_i = (1/K) Σ_k W_ik, W_ik = Π_{j≠i} Φ(x_i − x_j + ε_k).
template <class T, class Noise>
class quantile_row {
  public:
    using statistics = perturb_statistics;
    static constexpr bool is_sparse = false;

    constexpr explicit quantile_row(index quantiles) : quantiles_(quantiles) {}

    statistics normalise(T* row, index count, arena& scratch) const {
        const arena::scope mark(scratch);
        T* p = scratch.take<T>(count);
        std::fill_n(p, static_cast<std::size_t>(count), T(0));
        for_weights(row, count, scratch, [&](index i, T weight, T, const T*) { p[i] += weight; });
        std::copy_n(p, static_cast<std::size_t>(count), row);
        return {};
    }

    void recompute(const statistics&, T* row, index count) const {
        normalise(row, count, thread_workspace().slot(0));
    }

    /// ∂p_i/∂x_j = −(1/K) Σ_k W_ik·(φ/Φ)(x_i − x_j + ε_k) for j ≠ i; those of a p_i sum to zero.
    void gradient(const statistics&, const T* scores, const T*, T* dp, index count, T*,
                  arena& scratch) const {
        constexpr index size = vec<T>::size;
        const arena::scope mark(scratch);
        T* dx = scratch.take<T>(count);
        std::fill_n(dx, static_cast<std::size_t>(count), T(0));
        for_weights(scores, count, scratch, [&](index i, T weight, T all, const T* hazards) {
            const T by = dp[i] * weight;
            const vec<T> factor(by);
            for (index j = 0; j < count; j += size)
                fnma(factor, vec<T>::load_aligned(hazards + j), vec<T>::load_aligned(dx + j))
                    .store_aligned(dx + j);
            dx[i] = fma(by, all, dx[i]);
        });
        std::copy_n(dx, static_cast<std::size_t>(count), dp);
    }

  private:
    static constexpr int nodes = 4;

    /// use(i, W_ik/K, Σ_{j≠i} φ/Φ, φ/Φ of each j, 0 for i) for every i that is not left out and
    /// every k.
    template <class Use>
    void for_weights(const T* x, index count, arena& scratch, Use&& use) const {
        constexpr index size = vec<T>::size;
        T* hazards = scratch.take<T>(nodes * count);
        for (index i = 0; i < count; ++i) {
            if (x[i] == -std::numeric_limits<T>::infinity()) continue;
            for (index k = 0; k < quantiles_; k += nodes) {
                std::array<T, nodes> offset{};
                for (index b = 0; b < nodes; ++b)
                    offset[static_cast<std::size_t>(b)] = quantile(std::min(k + b, quantiles_ - 1));
                index j = 0;
                const auto sums = sums_over<2 * nodes>(x, count, [&](vec<T> score, auto& so_far) {
                    unroll<nodes>([&](auto b) {
                        const auto [log_probability, hazard] =
                            Noise::terms((vec<T>(x[i]) - score) + vec<T>(offset[b]));
                        so_far[2 * b] += log_probability;
                        so_far[2 * b + 1] += hazard;
                        hazard.store_aligned(hazards + b * count + j);
                    });
                    j += size;
                });
                for (index b = 0; b < std::min<index>(nodes, quantiles_ - k); ++b) {
                    const auto at = static_cast<std::size_t>(2 * b);
                    const vec<T> own =
                        Noise::terms(vec<T>(offset[static_cast<std::size_t>(b)])).log_probability;
                    T* of_node = hazards + b * count;
                    const T rest = sums[at + 1] - of_node[i];
                    of_node[i] = T(0);
                    const double log_product =
                        static_cast<double>(sums[at]) - static_cast<double>(reduce_max(own));
                    use(i, static_cast<T>(std::exp(log_product) / static_cast<double>(quantiles_)),
                        rest, of_node);
                }
            }
        }
    }

    T quantile(index k) const {
        return static_cast<T>(
            Noise::quantile((static_cast<double>(k) + 0.5) / static_cast<double>(quantiles_)));
    }

    index quantiles_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
