#pragma once

#include <cstddef>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/role.hpp>
#include <heed/rows/row_function.hpp>
#include <heed/softmax/kernel/whole_rows.hpp>
#include <heed/softmax/noise/kernel/perturb_row.hpp>
#include <heed/softmax/noise/kernel/quantile_row.hpp>
#include <heed/softmax/noise/perturb_noises.hpp>

/// \file
/// The probabilities that a score plus noise is the largest of its row.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// dx of each row, from x and y. Operands: dx, y, dy, x.
template <class Row>
struct perturb_backward_rows {
    static constexpr bool needs_input = true;

    Row row;

    template <class Layout, class T>
    void operator()(const Layout& layout, T* to, const T* value, const T* gradient,
                    const T* from) const {
        for (index l = 0; l < layout.lines; ++l) {
            const auto x = layout.template line<3>(from, l);
            if (x.length == 0) continue;
            arena& memory = *layout.memory;
            const arena::scope mark(memory);
            const auto scores = take_rows<T>(x, memory), p = take_rows<T>(x, memory),
                       d = take_rows<T>(x, memory);
            scores.load(x, -std::numeric_limits<T>::infinity());
            p.load(layout.template line<1>(value, l), T(0));
            d.load(layout.template line<2>(gradient, l), T(0));
            for (index r = 0; r < p.rows; ++r)
                row.gradient({}, scores.row(r), p.row(r), d.row(r), p.length, nullptr, memory);
            d.store(layout.template line<0>(to, l));
        }
    }
};

}  // namespace detail

/// The type of heed::perturb_max(noise).by_quantiles(count).
template <class Noise>
class perturb_quantiles_normaliser : public row_function<perturb_quantiles_normaliser<Noise>>,
                                     public normaliser_base {
  public:
    constexpr explicit perturb_quantiles_normaliser(index count) : count_(count) {}

    /// For attention: a row as a whole.
    template <class T>
    constexpr detail::quantile_row<T, Noise> whole_row(index) const {
        return detail::quantile_row<T, Noise>(count_);
    }

    /// For row_function.
    template <class T>
    auto forward() const {
        return detail::whole_rows(whole_row<T>(0));
    }
    template <class T>
    auto gradient() const {
        return detail::perturb_backward_rows<detail::quantile_row<T, Noise>>{whole_row<T>(0)};
    }

  private:
    index count_;
};

/// The type of heed::perturb_max(noise).
template <class Noise>
class perturb_max_normaliser : public row_function<perturb_max_normaliser<Noise>>,
                               public normaliser_base {
  public:
    constexpr perturb_max_normaliser() = default;

    /// The same by kexue 9085's rule, for comparison: the mean over ε = Φ⁻¹((k + ½)/count) of
    /// Π_{j≠i} Φ(x_i − x_j + ε). It loses every p below 1/count, its rows need not sum to 1, and it
    /// is O(n²·count). Throws argument_error unless count is positive.
    perturb_quantiles_normaliser<Noise> by_quantiles(index count) const {
        detail::require_argument(count > 0, "heed::perturb_max: the quantiles are ", count,
                                 ", but must be at least one");
        return perturb_quantiles_normaliser<Noise>(count);
    }

    /// For attention: a row as a whole.
    template <class T>
    constexpr detail::perturb_row<T, Noise> whole_row(index) const {
        return {};
    }

    /// For row_function.
    template <class T>
    auto forward() const {
        return detail::whole_rows(whole_row<T>(0));
    }
    template <class T>
    auto gradient() const {
        return detail::perturb_backward_rows<detail::perturb_row<T, Noise>>{whole_row<T>(0)};
    }
};

/// p_i = ∫ φ(u − x_i) Π_{j≠i} Φ(u − x_j) du, the probability that x_i plus noise of density φ and
/// distribution function Φ is the largest of its row (arXiv 2002.08676; kexue 10145, 9085);
/// dx_i = Σ_j ∂p_i/∂x_j·dp_j, by the same rule. `noise` is one of heed::perturb::gumbel (which
/// makes it softmax), normal, logistic and uniform (over an interval of length 1).
///
///     const auto f = heed::perturb_max(heed::perturb::normal);
///     auto p  = f(x);
///     auto dx = f.backward(x, p, dp);
///     auto o  = heed::attention(q, k, v, f);
///
/// One grid of u serves all of a row, products are sums of logarithms: O(n·nodes), for dozens to
/// hundreds of nodes. A p below the rounding error of 1 may be 0. An element of −∞ is left out, a
/// row of them gives zeros; a NaN, or +∞, makes its own row NaN. See row_function for shapes and
/// errors.
template <class Noise>
[[nodiscard]] constexpr perturb_max_normaliser<Noise> perturb_max(Noise) {
    return {};
}

}  // namespace heed::inline HEED_ARCHITECTURE
