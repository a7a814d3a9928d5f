#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/shape.hpp>
#include <heed/latent/latent_weights.hpp>

/// \file
/// A layer of attention with grouped heads, as checkpoints have it: what becomes latent attention.

namespace heed::inline HEED_ARCHITECTURE {

/// The sizes of such a layer; in brackets what configurations of checkpoints call them.
struct grouped_options {
    detail::any_integral heads;     ///< H, of queries [num_attention_heads]: at least 1
    detail::any_integral kv_heads;  ///< G, of keys and values [num_key_value_heads]: divides H
    detail::any_integral dim;       ///< d, of a head's q and k [head_dim]: at least 1
    detail::any_integral value;     ///< d_v, of a head's values [head_dim]: at least 1
};

/// The weights of such a layer, seen where they lie: matrices [outputs, inputs]. D is the model's
/// width. Multi-head attention has G = H, multi-query attention G = 1. Biases may be missing.
template <class T>
struct grouped_weights {
    using matrix = detail::weight_view<T, 2>;
    using vector = detail::weight_view<T, 1>;

    matrix q_proj = {};       ///< [H·d, D]
    matrix k_proj = {};       ///< [G·d, D]
    vector k_proj_bias = {};  ///< [G·d]
    matrix v_proj = {};       ///< [G·d_v, D]
    vector v_proj_bias = {};  ///< [G·d_v]
    matrix o_proj = {};       ///< [outputs, H·d_v]
    vector o_proj_bias = {};  ///< [outputs]
};

}  // namespace heed::inline HEED_ARCHITECTURE
