#pragma once

#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/core/view.hpp>
#include <heed/init/row_norm.hpp>

/// \file
/// RMSNorm.

namespace heed::inline HEED_ARCHITECTURE {

/// What backward of heed::rms_norm gives.
template <class X, class Parameter>
struct rms_norm_gradient {
    X x;
    Parameter gamma;
};

/// RMSNorm of every row: y = x̂·γ, x̂ = x/√(mean x² + ε) (arXiv 1910.07467, kexue 8620).
///
///     const auto norm = heed::rms_norm(gamma);                  // a vector of a row's length
///     auto y = norm(x);
///     auto [dx, d_gamma] = norm.backward(x, dy);
///
/// With g = dy·γ and r = 1/√(mean x² + ε): dx = r·(g − x̂·mean(g·x̂)), dγ = Σ dy·x̂ over the rows.
/// Arguments, errors and cost are those of layer_norm_layer.
template <class Gamma>
class rms_norm_layer : public detail::row_norm<false, Gamma, detail::no_offset> {
    using base = detail::row_norm<false, Gamma, detail::no_offset>;

  public:
    using base::base;

    template <tensor_like X, tensor_like DY, class... Extras>
    auto backward(const X& x, const DY& dy, const Extras&... extras) const {
        using parameter = typename base::template column<X>;
        auto dx = detail::make_same(x);
        parameter d_gamma(this->parameters());
        backward_into(dx, d_gamma, x, dy, extras...);
        return rms_norm_gradient<decltype(dx), parameter>{std::move(dx), std::move(d_gamma)};
    }

    /// The same in the caller's memory; dx may be x or dy.
    template <tensor_like DX, tensor_like DGamma, tensor_like X, tensor_like DY, class... Extras>
    void backward_into(DX&& dx, DGamma&& d_gamma, const X& x, const DY& dy,
                       const Extras&... extras) const {
        this->backward_to(std::forward<DX>(dx), d_gamma, static_cast<void*>(nullptr), x, dy,
                          extras...);
    }
};

template <detail::vector_like Gamma>
auto rms_norm(Gamma&& gamma, double epsilon = 1e-6) {
    auto kept = detail::keep_vector(std::forward<Gamma>(gamma));
    return rms_norm_layer<decltype(kept)>(std::move(kept), {},
                                          detail::checked_epsilon("heed::rms_norm", epsilon));
}

}  // namespace heed::inline HEED_ARCHITECTURE
