#pragma once

#include <array>
#include <string_view>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/attention.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/latent/detail/latent_model.hpp>
#include <heed/latent/latent_weights.hpp>

/// \file
/// What a latent attention keeps for its backward, and what that returns.

namespace heed::inline HEED_ARCHITECTURE {

/// What heed::latent_attention's forward keeps for backward, row-major tensors [batch, sequence,
/// ·]: O(batch·sequence·heads·(content + rotated + value)) numbers. Those of one call that has
/// ended.
template <class T>
struct latent_saved {
    using tensor = Eigen::Tensor<T, 3, Eigen::RowMajor>;

    tensor compressed_queries;  ///< x·W_c'ᵀ before its norm; empty without q_a_proj
    tensor queries;             ///< [q_c, q_r] of each head, q_r rotated
    tensor compressed;          ///< x·W_cᵀ before its norm, and k_r, rotated
    tensor expanded;            ///< [k_c, v] of each head
    tensor output;              ///< o of each head, before the gate
    tensor gate;                ///< x·W_gᵀ before the sigmoid; empty without g_proj
    stats_for<T> stats;         ///< attention's

    /// Throws shape_error unless they are what a layer saves of so many sequences and rows.
    void check(const detail::latent_model<T>& model, const std::array<index, 2>& rows) const {
        const auto fits = [&](std::string_view name, const tensor& numbers, index columns) {
            const std::array<index, 3> held{numbers.dimension(0), numbers.dimension(1),
                                            numbers.dimension(2)};
            const std::array<index, 3> needed{rows[0], rows[1], columns};
            detail::require_shape(held == needed, "saved holds ", name, " of shape ", held,
                                  ", but those of x have shape ", needed);
        };
        fits("queries", queries, model.query_columns());
        fits("compressed queries", compressed_queries, model.query_rank());
        fits("compressed rows", compressed, model.options.latent_dim());
        fits("keys and values", expanded, model.expanded_columns());
        fits("heads' outputs", output, model.output_columns());
        fits("gates", gate, model.gate_columns());
    }
};

/// What heed::latent_attention's forward returns: `auto [y, saved] = mla.forward(x);`.
template <class Y, class T>
struct latent_result {
    Y y;
    latent_saved<T> saved;
};

/// What heed::latent_attention's backward returns: `grad.x`, `grad.weights.kv_b_proj`, ….
template <class X, class T>
struct latent_gradient {
    X x;
    latent_weight_gradients<T> weights;
};

}  // namespace heed::inline HEED_ARCHITECTURE
