#pragma once

#include <algorithm>
#include <optional>
#include <utility>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/latent/converted_latent.hpp>
#include <heed/latent/detail/convert_to_latent.hpp>
#include <heed/latent/detail/grouped_layer.hpp>
#include <heed/latent/detail/low_rank.hpp>
#include <heed/latent/grouped_weights.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// Trained attention of other kinds as latent attention: exactly, or with fewer numbers a token.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

template <class T, class Matrix = Eigen::MatrixXd>
converted_latent<T> convert_exactly(const grouped_layer<T>& layer) {
    layer.check();
    const low_rank_factors<Matrix> whole{.right = layer.template cached_matrix<Matrix>()};
    return conversion<T, Matrix>(layer, whole).result();
}

template <class T, class Matrix = Eigen::MatrixXd>
converted_latent<T> convert_to_rank(const grouped_layer<T>& layer, index rank) {
    layer.check();
    const Matrix cached = layer.template cached_matrix<Matrix>();
    const index most = std::min(cached.rows(), cached.cols());
    require_argument(rank >= 1 && rank <= most, layer.function, ": rank is ", rank,
                     ", but must be at least 1 and at most ", most,
                     ", that of keys and values as they are");
    require_argument(cached.allFinite(), layer.function,
                     ": k_proj and v_proj with their biases must be finite");
    const low_rank_factors<Matrix> nearest = truncate_to_rank(cached, rank);
    return conversion<T, Matrix>(layer, nearest).result();
}

}  // namespace detail

/// Grouped-query attention (multi-head and multi-query attention with it) as latent attention,
/// exactly (TransMLA, arXiv 2502.07864; kexue 10091): y is that of
///
///     o = heed::attention(q, k, v, heed::causal, heed::rotary(rope)),  y = [o_1 … o_H]·W_oᵀ + b
///
/// with q = x·W_qᵀ and so on, to rounding. c is made of the keys' content and the values of all
/// groups side by side, not normed, and [W_kc; W_v] of a head copies its group's: blocks of 0 and
/// 1. Rotated keys cannot go through c: those of all groups are k_r, and a head's rotated q is 0
/// against others'. The cache holds what that of the grouped heads does, G·(d + d_v) numbers. All
/// that holds for finite numbers: what is not finite in one group's keys or values, times those
/// zeros, reaches the heads of all groups.
///
///     const auto converted = heed::latent_from_grouped<float>(
///         {.q_proj = q, .k_proj = k, .v_proj = v, .o_proj = o},
///         {.heads = 32, .kv_heads = 8, .dim = 128, .value = 128}, rope);
///     const auto mla = converted.attention();
///
/// `rope` rotates the first rope.dim() numbers of a head's q and k, as heed::rotary; it may be
/// missing. Throws argument_error for sizes out of range and weights that are missing, shape_error
/// for weights and frequencies that do not fit, by name. O(H·G·(d_c + d_v)² + H·(d + d_v +
/// G·d_r)·D), where d_r of d dimensions are rotated and d_c are not: kv_b_proj alone has
/// H(d_c + d_v)·G(d_c + d_v) numbers.
template <class T>
[[nodiscard]] converted_latent<T> latent_from_grouped(const grouped_weights<T>& weights,
                                                      const grouped_options& options) {
    return detail::convert_exactly<T>(
        {"heed::latent_from_grouped", weights, options, std::nullopt});
}
template <class T>
[[nodiscard]] converted_latent<T> latent_from_grouped(const grouped_weights<T>& weights,
                                                      const grouped_options& options,
                                                      rope::frequencies rope) {
    return detail::convert_exactly<T>(
        {"heed::latent_from_grouped", weights, options, std::move(rope)});
}

/// Multi-head (or grouped-query) attention as latent attention of a smaller cache: the keys'
/// content and values of all heads, W·x, are made of the `rank` numbers c = W_c·x for which
/// ‖W − W_kv·W_c‖ is least, by truncated singular value decomposition of W = [W_k; W_v]:
/// `.error` = √(Σ_{j>rank} σ_j² / Σ σ_j²) says how much of W is lost. Biases go along, as the
/// column of an input that is always 1. Rotated keys stay whole, as in heed::latent_from_grouped:
/// rank + G·rope.dim() numbers a token are cached, so it pays where little or nothing is rotated.
///
///     const auto converted = heed::latent_from_heads<float>(
///         weights, {.heads = 16, .kv_heads = 16, .dim = 64, .value = 64}, 256);
///     std::cout << converted.error;
///
/// The rows of W_c, with its bias as a column if there are biases, are orthonormal, so that c is no
/// larger than x; above the rank that W truly has they may be 0 or noise. Throws as
/// latent_from_grouped does, and argument_error for a rank below 1 or above that of W, and for
/// numbers of W that are not finite. In double: with n and m the smaller and the larger of G(d +
/// d_v) and D, some ten sweeps of 4·n²·m multiply-adds (heed's own Jacobi rotations).
template <class T>
[[nodiscard]] converted_latent<T> latent_from_heads(const grouped_weights<T>& weights,
                                                    const grouped_options& options,
                                                    detail::any_integral rank) {
    return detail::convert_to_rank<T>({"heed::latent_from_heads", weights, options, std::nullopt},
                                      rank.value);
}
template <class T>
[[nodiscard]] converted_latent<T> latent_from_heads(const grouped_weights<T>& weights,
                                                    const grouped_options& options,
                                                    detail::any_integral rank,
                                                    rope::frequencies rope) {
    return detail::convert_to_rank<T>(
        {"heed::latent_from_heads", weights, options, std::move(rope)}, rank.value);
}

}  // namespace heed::inline HEED_ARCHITECTURE
