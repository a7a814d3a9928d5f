#pragma once

#include <vector>

#include <unsupported/Eigen/CXX11/Tensor>

#include "sequence.hpp"

/// \file
/// What a rank holds of one layer's attention.

namespace context_parallel {

using tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;  ///< [batch, heads, tokens, dim]

/// The extents of attention, but for the tokens.
struct model_shape {
    index batch = 1, heads = 8, kv_heads = 2, dim = 64;

    /// k and v of so many tokens.
    index keys_and_values(index tokens) const { return 2 * batch * kv_heads * tokens * dim; }
};

/// One stretch of a sequence.
struct piece {
    stretch at;
    tensor q, k, v;
};

}  // namespace context_parallel
