#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/role.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/core/view.hpp>
#include <heed/softmax/sparse/kernel/entmax_solver.hpp>
#include <heed/softmax/sparse/kernel/sparse_row.hpp>

/// \file
/// Entmax in attention with an α for each head.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::entmax(alphas).
class entmax_of_heads : public normaliser_base {
  public:
    template <detail::vector_like Alphas>
    explicit entmax_of_heads(const Alphas& alphas) {
        const auto given = detail::checked_vector("heed::entmax", alphas);
        for (index head = 0; head < given.extents[0]; ++head) {
            const auto alpha = static_cast<double>(given(head));
            detail::require_argument(alpha >= 1 && std::isfinite(alpha),
                                     "heed::entmax: alpha of head ", head, " is ", alpha,
                                     ", but must be at least 1 and finite");
            alphas_.push_back(alpha);
        }
    }
    double alpha(index head) const { return alphas_[static_cast<std::size_t>(head)]; }

    /// For attention: a row as a whole.
    template <class T>
    auto whole_row(index head) const {
        return detail::sparse_row<T, detail::entmax_solver<T>>(
            detail::entmax_solver<T>(alpha(head)));
    }

    /// For attention: checks, and the gradients of the α, if they are learned.
    template <class Shape>
    void check(const Shape& shape) const {
        detail::require_shape(heads() == shape.heads, "heed::entmax has ", heads(),
                              " alphas, but there are ", shape.heads, " query heads");
    }
    template <class T, class Shape>
    auto make_gradient(const Shape&) const {
        using gradient = Eigen::Matrix<T, Eigen::Dynamic, 1>;
        return gradient(gradient::Zero(heads()));
    }
    template <class View, class Shape>
    void check_gradient(const View& gradient, const Shape&) const {
        detail::check_vector_gradient("the gradient of heed::entmax", gradient, heads());
    }
    template <class T, class View, class Statistics>
    void add_row_gradient(const View& gradient, index head, const Statistics&, T of_row) const {
        detail::vector_element(gradient, head) += of_row;
    }

  private:
    index heads() const { return static_cast<index>(alphas_.size()); }

    std::vector<double> alphas_;
};

/// Entmax with an α ≥ 1 for each query head, a normaliser of attention ("Adaptively sparse
/// transformers", arXiv 1909.00015): heads become as sparse as they are useful, by heed::learn. A
/// head has the bits that heed::entmax(its α) has. The vector is read when the part is made.
///
///     auto f = heed::learn(heed::entmax(alphas));
///     auto [o, stats] = heed::attention_forward(q, k, v, f);
///     auto grad = heed::attention_backward(d_o, o, stats, q, k, v, f);   // grad.of<0>()(head)
///
/// argument_error unless each α is at least 1 and finite; the call throws shape_error if there is
/// not one a query head.
template <detail::vector_like Alphas>
[[nodiscard]] auto entmax(const Alphas& alphas) {
    return entmax_of_heads(alphas);
}

}  // namespace heed::inline HEED_ARCHITECTURE
