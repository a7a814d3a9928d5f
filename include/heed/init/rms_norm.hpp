#pragma once

#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/init/kernel/row_norm.hpp>

/// \file
/// RMSNorm.

namespace heed::inline HEED_ARCHITECTURE {

/// RMSNorm of every row: y = x̂·γ, x̂ = x/√(mean x² + ε) (arXiv 1910.07467, kexue 8620).
///
///     const auto norm = heed::rms_norm(gamma);                  // a vector of a row's length
///     auto y = norm(x);
///     auto [dx, d_gamma] = norm.backward(x, dy);
///
/// With g = dy·γ and r = 1/√(mean x² + ε): dx = r·(g − x̂·mean(g·x̂)), dγ = Σ dy·x̂ over the rows.
/// Arguments, errors and cost are those of layer_norm_layer.
template <class Gamma>
class rms_norm_layer : public detail::scaled_norm<false, Gamma> {
  public:
    using detail::scaled_norm<false, Gamma>::scaled_norm;
};

template <detail::vector_like Gamma>
[[nodiscard]] auto rms_norm(Gamma&& gamma, double epsilon = 1e-6) {
    auto kept = detail::keep_vector("gamma", std::forward<Gamma>(gamma));
    return rms_norm_layer<decltype(kept)>(std::move(kept),
                                          detail::checked_epsilon("heed::rms_norm", epsilon));
}

}  // namespace heed::inline HEED_ARCHITECTURE
