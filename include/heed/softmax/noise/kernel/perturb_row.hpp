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
#include <heed/softmax/noise/kernel/perturb_nodes.hpp>
#include <heed/softmax/noise/perturb_noises.hpp>

/// \file
/// A row of the probabilities that x_i plus noise is the largest, by quadrature.

namespace heed::inline HEED_ARCHITECTURE {

/// Backward of heed::perturb_max needs nothing but the scores.
struct perturb_statistics {};

namespace detail {

/// The row normaliser of heed::perturb_max; see attention/part.hpp for what it must do. With
/// r = φ/Φ and W(u) = weight·ΠΦ(u − x_j): p_i = Σ_u W r_i, dx_i = Σ_u W r_i (dp_i·Σr − Σ r dp).
template <class T, class Noise>
class perturb_row {
  public:
    using statistics = perturb_statistics;
    static constexpr bool is_sparse = false;

    statistics normalise(T* row, index count, arena& scratch) const {
        const arena::scope mark(scratch);
        T* p = scratch.take<T>(count);
        integrate(row, count, scratch, p, [&](index j, const node_sums& sums, const T* hazards) {
            vec<T> sum = vec<T>::load_aligned(p + j);
            unroll<nodes>([&](auto b) {
                sum = fma(sums.weight[b], vec<T>::load_aligned(hazards + b * count + j), sum);
            });
            sum.store_aligned(p + j);
        });
        std::copy_n(p, static_cast<std::size_t>(count), row);
        return {};
    }

    void recompute(const statistics&, T* row, index count) const {
        normalise(row, count, thread_workspace().slot(0));
    }

    void gradient(const statistics&, const T* scores, const T* p, T* dp, index count, T*,
                  arena& scratch) const {
        const arena::scope mark(scratch);
        T* dx = scratch.take<T>(count);
        // Gradients that are all alike have no effect: without it less is lost by cancellation.
        index at = 0;
        const auto [mean] = sums_over<1>(p, count, [&](vec<T> v, auto& sums) {
            sums[0] = fma(v, vec<T>::load(dp + at), sums[0]);
            at += vec<T>::size;
        });
        const vec<T> shift(mean);
        for (index j = 0; j < count; j += vec<T>::size)
            (vec<T>::load(dp + j) - shift).store(dp + j);
        integrate(
            scores, count, scratch, dx,
            [&](index j, const node_sums& sums, const T* hazards) {
                const vec<T> d = vec<T>::load(dp + j);
                vec<T> sum = vec<T>::load_aligned(dx + j);
                unroll<nodes>([&](auto b) {
                    const vec<T> across = fma(sums.hazard[b], d, -sums.product[b]);
                    const vec<T> r = vec<T>::load_aligned(hazards + b * count + j);
                    sum = fma(sums.weight[b] * r, across, sum);
                });
                sum.store_aligned(dx + j);
            },
            dp);
        std::copy_n(dx, static_cast<std::size_t>(count), dp);
    }

  private:
    static constexpr int nodes = perturb_nodes::count;

    /// Of a few nodes: W, Σr, Σ r·dp.
    struct node_sums {
        std::array<vec<T>, nodes> weight, hazard, product;
    };

    /// `to` begins at zero; add(j, sums, hazards) adds what a few nodes give to the vector at j.
    template <class Add>
    void integrate(const T* x, index count, arena& scratch, T* to, Add&& add,
                   const T* dp = nullptr) const {
        constexpr index size = vec<T>::size;
        constexpr T infinity = std::numeric_limits<T>::infinity();
        std::fill_n(to, static_cast<std::size_t>(count), T(0));
        vec<T> greatest(-infinity);
        for (index j = 0; j < count; j += size)
            greatest = max(vec<T>::load(x + j), greatest);  // of a NaN and a number, the second
        const T maximum = reduce_max(greatest);
        if (has_nan(x, count) || maximum == infinity) {
            std::fill_n(to, static_cast<std::size_t>(count), std::numeric_limits<T>::quiet_NaN());
            return;
        }
        if (maximum == -infinity) return;
        const vec<T> top(maximum);
        T* hazards = scratch.take<T>(nodes * count);
        for_perturb_nodes(Noise(), x, count, maximum, scratch, [&](const perturb_nodes& at) {
            index j = 0;
            const auto all = sums_over<3 * nodes>(x, count, [&](vec<T> score, auto& sums) {
                const vec<T> below = score - top;
                unroll<nodes>([&](auto b) {
                    const auto [log_probability, hazard] =
                        Noise::terms(vec<T>(static_cast<T>(at.at[b])) - below);
                    sums[3 * b] += log_probability;
                    sums[3 * b + 1] += hazard;
                    if (dp != nullptr)
                        sums[3 * b + 2] = fma(hazard, vec<T>::load(dp + j), sums[3 * b + 2]);
                    hazard.store_aligned(hazards + b * count + j);
                });
                j += size;
            });
            node_sums sums;
            bool all_zero = true;
            unroll<nodes>([&](auto b) {
                const double weight = at.weight[b] * std::exp(static_cast<double>(all[3 * b]));
                all_zero = all_zero && static_cast<T>(weight) == T(0);
                sums.weight[b] = vec<T>(static_cast<T>(weight));
                sums.hazard[b] = vec<T>(all[3 * b + 1]);
                sums.product[b] = vec<T>(all[3 * b + 2]);
            });
            if (!all_zero)
                for (index k = 0; k < count; k += size) add(k, sums, hazards);
            return is_last_node<T, Noise>(static_cast<double>(all[3 * (nodes - 1)]),
                                          static_cast<double>(all[3 * (nodes - 1) + 1]));
        });
    }

    static bool has_nan(const T* x, index count) {
        bool found = false;
        for (index j = 0; j < count; j += vec<T>::size) {
            const vec<T> v = vec<T>::load(x + j);
            found = found || any(v != v);
        }
        return found;
    }
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
