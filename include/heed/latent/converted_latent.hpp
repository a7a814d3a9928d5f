#pragma once

#include <optional>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/latent/latent_attention.hpp>
#include <heed/latent/latent_options.hpp>
#include <heed/latent/latent_weights.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// A latent attention that was made of another layer.

namespace heed::inline HEED_ARCHITECTURE {

/// A latent attention made of another layer: its weights, which it owns, sizes and frequencies.
template <class T>
struct converted_latent {
    using matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    using vector = Eigen::Matrix<T, Eigen::Dynamic, 1>;

    latent_options options;
    std::optional<rope::frequencies> rope = {};  ///< over all groups' rotated dimensions
    matrix q_proj = {}, kv_a_proj_with_mqa = {}, kv_b_proj = {}, o_proj = {};
    vector kv_a_proj_with_mqa_bias = {}, o_proj_bias = {};  ///< empty where the layer had none
    /// ‖W − W′‖/‖W‖ in Frobenius' norm, W making what is cached of a token but for rotated keys, W′
    /// what is left of it: 0 where the conversion is exact.
    double error = 0;

    /// Views of the members, which must stay.
    latent_weights<T> weights() const& {
        latent_weights<T> all;
        all.q_proj = q_proj;
        all.kv_a_proj_with_mqa = kv_a_proj_with_mqa;
        all.kv_b_proj = kv_b_proj;
        all.o_proj = o_proj;
        if (kv_a_proj_with_mqa_bias.size() > 0)
            all.kv_a_proj_with_mqa_bias = kv_a_proj_with_mqa_bias;
        if (o_proj_bias.size() > 0) all.o_proj_bias = o_proj_bias;
        return all;
    }
    latent_weights<T> weights() const&& = delete;

    /// The layer itself, which sees the members.
    latent_attention<T> attention() const& {
        if (rope) return {weights(), options, *rope};
        return {weights(), options};
    }
    latent_attention<T> attention() const&& = delete;
};

}  // namespace heed::inline HEED_ARCHITECTURE
