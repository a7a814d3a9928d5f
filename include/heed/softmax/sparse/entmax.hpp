#pragma once

#include <cmath>
#include <cstddef>
#include <type_traits>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/role.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/core/view.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/rows/row_function.hpp>
#include <heed/rows/rows.hpp>
#include <heed/softmax/kernel/whole_rows.hpp>
#include <heed/softmax/sparse/kernel/entmax_solver.hpp>
#include <heed/softmax/sparse/kernel/sparse_row.hpp>

/// \file
/// Entmax with any α ≥ 1, alone on rows and as the normaliser of attention.

namespace heed::inline HEED_ARCHITECTURE {

/// Entmax: p = relu((α−1)x − λ)^{1/(α−1)} with λ such that Σp = 1 (arXiv 1905.05702, kexue 10145).
/// α = 1 is softmax, 2 is sparsemax; the larger α, the sparser p. dx = g ⊙ (dp − g·dp/Σg),
/// g = p^{2−α} where p > 0, else 0.
///
///     auto p  = heed::entmax(1.3)(x);
///     auto dx = heed::entmax(1.3).backward(x, p, dp);
///     auto da = heed::entmax(1.3).alpha_gradient(p, dp);   // Σ dp·∂p/∂α over all rows
///     auto o  = heed::attention(q, k, v, heed::entmax(1.3));   // α by heed::learn, too
///
/// A row of −∞ gives zeros; a NaN, or +∞, makes its own row NaN. See row_function for shapes,
/// errors and cost. Throws argument_error unless α is at least 1 and finite.
class entmax_normaliser : public row_function<entmax_normaliser>, public normaliser_base {
  public:
    explicit entmax_normaliser(double alpha) : alpha_(alpha) {
        detail::require_argument(alpha >= 1 && std::isfinite(alpha), "heed::entmax: alpha is ",
                                 alpha, ", but must be at least 1 and finite");
    }
    double alpha() const { return alpha_; }

    /// The gradient of α, Σ dp·∂p/∂α over all rows of p: with g = p^{2−α}, p̃ = g/Σg and
    /// h = −p·log p, ∂p/∂α = (p − p̃)/(α−1)² + (h − p̃·Σh)/(α−1). Rows are summed in one order.
    template <tensor_like P, tensor_like DP, class... Extras>
    [[nodiscard]] auto alpha_gradient(const P& p, const DP& dp, const Extras&... extras) const {
        const auto held_p = detail::evaluate(p);
        const auto held_dp = detail::evaluate(dp);
        return sum_over_rows(detail::row_view<P>(held_p.view()),
                             detail::row_view<DP>(held_dp.view()),
                             detail::call_resources(extras...));
    }

    /// For attention: a row as a whole.
    template <class T>
    auto whole_row(index) const {
        return detail::sparse_row<T, detail::entmax_solver<T>>(detail::entmax_solver<T>(alpha_));
    }

    /// For attention: the gradient of α, if it is learned.
    template <class T, class Shape>
    auto make_gradient(const Shape&) const {
        return Eigen::Matrix<T, 1, 1>(T(0));
    }
    template <class View, class Shape>
    void check_gradient(const View& gradient, const Shape&) const {
        detail::check_vector_gradient("the gradient of heed::entmax", gradient, 1);
    }
    template <class T, class View, class Statistics>
    void add_row_gradient(const View& gradient, index, const Statistics&, T of_row) const {
        *gradient.data += of_row;
    }

    /// For row_function.
    template <class T>
    auto forward() const {
        return detail::whole_rows(whole_row<T>(0));
    }
    template <class T>
    auto gradient() const {
        return detail::output_rows_backward(whole_row<T>(0));
    }

  private:
    template <class T, int Rank, class D, int RankD>
    auto sum_over_rows(const tensor_view<T, Rank>& p, const tensor_view<D, RankD>& dp,
                       const detail::call_resources& resources) const {
        static_assert(Rank == RankD, "heed: p and its gradient have the same rank");
        detail::check_scalars<std::remove_const_t<T>, std::remove_const_t<D>>();
        using scalar = detail::computed_in<std::remove_const_t<T>>;
        detail::check_view("p", p);
        detail::check_view("dp", dp);
        detail::check_same_shape("p", p, "dp", dp);
        constexpr auto axes = static_cast<std::size_t>(Rank - 1);
        const auto leading = detail::leading<axes>(p.extents);
        index rows = 1;
        for (const index extent : leading) rows *= extent;
        arena& memory = resources.memory->slot(0);
        const arena::scope mark(memory);
        // A number a row, summed afterwards in the order of the rows, whatever the threads.
        const detail::row_operand<scalar, axes> each{memory.take<scalar>(rows),
                                                     detail::row_major_strides(leading), 0, true};
        detail::for_each_row<scalar>(resources, leading, p.extents[axes],
                                     detail::parameter_backward_rows(whole_row<scalar>(0)), each,
                                     detail::line_operand(p), detail::line_operand(dp));
        double sum = 0;
        for (index row = 0; row < rows; ++row) sum += static_cast<double>(each.data[row]);
        return static_cast<scalar>(sum);
    }

    double alpha_;
};

/// Entmax of that α; heed::sparsemax, heed::entmax15 and heed::softmax are its cases 2, 1.5 and 1.
inline entmax_normaliser entmax(double alpha) { return entmax_normaliser(alpha); }

}  // namespace heed::inline HEED_ARCHITECTURE
