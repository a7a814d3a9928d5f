#pragma once

#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/core/view.hpp>
#include <heed/init/kernel/row_norm.hpp>
#include <heed/rows/row_arguments.hpp>

/// \file
/// LayerNorm.

namespace heed::inline HEED_ARCHITECTURE {

/// What backward of heed::layer_norm gives.
template <class X, class Parameter>
struct layer_norm_gradient {
    X x;
    Parameter gamma, beta;
};

/// LayerNorm of every row: y = x̂·γ + β, x̂ = (x − mean x)/√(var x + ε) (arXiv 1607.06450, kexue
/// 8620).
///
///     const auto norm = heed::layer_norm(gamma, beta);          // vectors of a row's length
///     auto y = norm(x);
///     auto [dx, d_gamma, d_beta] = norm.backward(x, dy);
///     auto [dx, d_gamma] = heed::layer_norm(gamma).backward(x, dy);   // without β
///
/// x, y and their gradients are what row_function takes. γ and β are any vectors, seen where they
/// lie if they are lvalues. With g = dy·γ and r = 1/√(var x + ε):
/// dx = r·(g − mean g − x̂·mean(g·x̂)), dγ = Σ dy·x̂, dβ = Σ dy over the rows, in their order, the
/// same bits for any number of threads. Rows may have any finite size and mean; see row_moments.
///
/// Throws shape_error where shapes differ, argument_error for overlapping outputs, or an ε that is
/// negative or not finite. O(size of x).
template <class Gamma, class Beta>
class layer_norm_layer : public detail::row_norm<true, Gamma, Beta> {
    using base = detail::row_norm<true, Gamma, Beta>;

  public:
    using base::base;

    template <tensor_like X, tensor_like DY, class... Extras>
    [[nodiscard]] auto backward(const X& x, const DY& dy, const Extras&... extras) const {
        using parameter = typename base::template column<X>;
        return this->with_inputs(x, dy, [&](const auto& x_rows, const auto& dy_rows) {
            auto dx = detail::make_rows<X>(x_rows.extents);
            parameter d_gamma(this->parameters()), d_beta(this->parameters());
            backward_into(detail::row_view<X>(detail::view_of(dx)), d_gamma, d_beta, x_rows,
                          dy_rows, extras...);
            return layer_norm_gradient<decltype(dx), parameter>{std::move(dx), std::move(d_gamma),
                                                                std::move(d_beta)};
        });
    }

    /// The same in the caller's memory; dx may be x or dy.
    template <tensor_like DX, tensor_like DGamma, tensor_like DBeta, tensor_like X, tensor_like DY,
              class... Extras>
    void backward_into(DX&& dx, DGamma&& d_gamma, DBeta&& d_beta, const X& x, const DY& dy,
                       const Extras&... extras) const {
        this->backward_to(std::forward<DX>(dx), d_gamma, &d_beta, x, dy, extras...);
    }
};

/// LayerNorm without β.
template <class Gamma>
class layer_norm_layer<Gamma, detail::no_offset> : public detail::scaled_norm<true, Gamma> {
  public:
    using detail::scaled_norm<true, Gamma>::scaled_norm;
};

template <detail::vector_like Gamma, detail::vector_like Beta>
[[nodiscard]] auto layer_norm(Gamma&& gamma, Beta&& beta, double epsilon = 1e-5) {
    auto kept_gamma = detail::keep_vector("gamma", std::forward<Gamma>(gamma));
    auto kept_beta = detail::keep_vector("beta", std::forward<Beta>(beta));
    return layer_norm_layer<decltype(kept_gamma), decltype(kept_beta)>(
        std::move(kept_gamma), std::move(kept_beta),
        detail::checked_epsilon("heed::layer_norm", epsilon));
}

template <detail::vector_like Gamma>
[[nodiscard]] auto layer_norm(Gamma&& gamma, double epsilon = 1e-5) {
    auto kept = detail::keep_vector("gamma", std::forward<Gamma>(gamma));
    return layer_norm_layer<decltype(kept), detail::no_offset>(
        std::move(kept), detail::checked_epsilon("heed::layer_norm", epsilon));
}

}  // namespace heed::inline HEED_ARCHITECTURE
