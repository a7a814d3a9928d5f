#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <tuple>
#include <type_traits>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/attention.hpp>
#include <heed/attention/observers/observer.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/random.hpp>
#include <heed/core/view.hpp>
#include <heed/measure/detail/trace_quadrature.hpp>
#include <heed/measure/detail/tridiagonal.hpp>

/// \file
/// The effective rank of an attention matrix that is never formed.

namespace heed::inline HEED_ARCHITECTURE {
namespace measure {

/// How carefully estimate_effective_rank looks.
struct rank_probes {
    index probes = 16;  ///< random vectors, at least 2: the standard error falls with their root
    index steps = 64;   ///< products with the matrix and its transpose for each, at least 1
    std::uint64_t seed = 0;
};

/// What estimate_effective_rank returns.
struct rank_estimate {
    double value = 0;
    double standard_error = 0;    ///< from the scatter of the probes, by the jackknife
    double quadrature_error = 0;  ///< half the distance of two rules, which more steps make smaller
};

}  // namespace measure

namespace detail {

/// √Σp² of each row: a number where p² is beyond the scalar.
struct row_length_observer : row_observer<row_length_observer> {
    double measure(const row_sums& row) const { return row.length; }
};

/// Attention as a matrix A [queries, keys] that multiplies blocks of vectors.
template <class T, class... Parts>
class attention_operator {
  public:
    using block = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    /// double, and T's: what is made of it is compiled where T is known.
    using wide = std::common_type_t<T, double>;

    attention_operator(const tensor_view<const T, 2>& q, const tensor_view<const T, 2>& k,
                       const Parts&... parts)
        : q_(q), k_(k), parts_(parts...), lengths_(1, 1, q.extents[0]) {}

    index rows() const { return q_.extents[0]; }
    index columns() const { return k_.extents[0]; }

    /// A·v: attention with v as its values.
    block times(const block& v) {
        block u(rows(), v.cols());
        std::apply(
            [&](const auto&... part) {
                attention_forward_into(u, stats_, q_, k_, v, part...,
                                       row_length_observer{}.into(lengths_));
            },
            parts_);
        return u;
    }

    /// Aᵀ·u: the gradient of the values where that of the output is u. The output itself has no
    /// part in it. After times.
    block transposed_times(const block& u, const block& v) const {
        return std::apply(
            [&](const auto&... part) {
                return attention_backward(u, u, stats_, q_, k_, v, part...).v;
            },
            parts_);
    }

    /// The sum of the squares of A's elements, in units of 2^{2·exponent}. After times.
    double square(int exponent) const {
        double sum = 0;
        for (index i = 0; i < rows(); ++i) {
            const double length = std::ldexp(static_cast<double>(lengths_(0, 0, i)), -exponent);
            sum = std::fma(length, length, sum);
        }
        return sum;
    }

  private:
    tensor_view<const T, 2> q_, k_;
    std::tuple<const Parts&...> parts_;
    stats_for<T, Parts...> stats_;
    Eigen::Tensor<T, 3, Eigen::RowMajor> lengths_;
};

/// Divides the columns by their lengths, of any size, which are returned; what is zero stays zero.
template <class Block, class Row = Eigen::RowVectorXd>
Row normalise_columns(Block& x) {
    using scalar = typename Block::Scalar;
    Row lengths = x.template cast<double>().colwise().stableNorm();
    for (index c = 0; c < x.cols(); ++c)
        if (lengths(c) != 0)
            x.col(c) = (x.col(c).template cast<double>() / lengths(c)).template cast<scalar>();
    return lengths;
}

/// x − y·diag(factor), in place.
template <class Block, class Row = Eigen::RowVectorXd>
void subtract_columns(Block& x, const Block& y, const std::type_identity_t<Row>& factor) {
    for (index c = 0; c < x.cols(); ++c)
        x.col(c) -= static_cast<typename Block::Scalar>(factor(c)) * y.col(c);
}

/// Golub and Kahan's steps from vectors of signs, number `first` and on, a column of `beside` each.
template <class Operator, class Beside>
void bidiagonalise(Operator& a, const measure::rank_probes& chosen, index first, Beside beside) {
    using block = typename Operator::block;
    const random_numbers numbers(chosen.seed);
    block v = block::NullaryExpr(a.columns(), beside.cols(), [&](index i, index c) {
        return numbers.words(i, first + c)[0] % 2 == 0 ? 1 : -1;
    });
    normalise_columns(v);
    block u = a.times(v);
    for (index step = 0; step < beside.rows() / 2; ++step) {
        if (step > 0) {
            block next = a.times(v);
            subtract_columns(next, u, beside.row(2 * step - 1));
            u.swap(next);
        }
        beside.row(2 * step) = normalise_columns(u);
        block next = a.transposed_times(u, v);
        subtract_columns(next, v, beside.row(2 * step));
        v.swap(next);
        beside.row(2 * step + 1) = normalise_columns(v);
    }
}

}  // namespace detail

namespace measure {

/// An estimate of effective_rank(A) of the matrix A that attention(q, k, v, parts…) multiplies v
/// with, q [queries, dim] and k [keys, dim] those of one head: A itself is never formed.
///
///     const auto rank = heed::measure::estimate_effective_rank(q, k, {.seed = 7}, heed::causal);
///     rank.value, rank.standard_error, rank.quadrature_error
///
/// exp(log S − T/S), S = Σσ and T = Σσ·log σ the traces of functions of AᵀA: by stochastic Lanczos
/// quadrature (Ubaru, Chen and Saad, 2017), that is by products with A, which attention gives, and
/// with Aᵀ, which its backward gives. Σσ² = ΣA_ij² is known exactly, from an observer, and its
/// estimate by the same probes corrects those of S and T. The value lies in the middle of Gauss's
/// rule and Gauss and Radau's, between which is what these probes would see in endless steps.
///
/// Takes the parts of heed::attention but observers, heed::on among them. The same seed gives the
/// same estimate for any number of threads. 0 for a matrix of zeros or an empty one; NaN if an
/// element is not finite. Costs `steps` times attention forward and backward with a value_dim of
/// `probes`, 64 at a time; O((queries + keys)·(dim + probes)) memory.
///
/// It does not depend on the size of A's elements, which a sink may make as small as it likes.
///
/// Throws argument_error unless probes ≥ 2 and steps ≥ 1, and what attention throws;
/// std::runtime_error should the rules' nodes not be found, which has not been seen.
template <tensor_like Q, tensor_like K, class... Parts>
rank_estimate estimate_effective_rank(const Q& q, const K& k, const rank_probes& chosen = {},
                                      const Parts&... parts) {
    static_assert(rank_of<Q> == 2 && rank_of<K> == 2,
                  "heed: an effective rank is that of one head, q [queries, dim], k [keys, dim]");
    static_assert(std::is_same_v<scalar_of<Q>, scalar_of<K>>,
                  "heed: q and k must have the same scalar");
    constexpr const char* name = "heed::measure::estimate_effective_rank: there are ";
    detail::require_argument(chosen.probes >= 2, name, chosen.probes,
                             " probes, but must be at least 2");
    detail::require_argument(chosen.steps >= 1, name, chosen.steps,
                             " steps, but must be at least 1");
    const auto held_q = detail::evaluate(q);
    const auto held_k = detail::evaluate(k);
    using matrix_a = detail::attention_operator<scalar_of<Q>, Parts...>;
    using table = Eigen::Matrix<typename matrix_a::wide, Eigen::Dynamic, Eigen::Dynamic>;
    using array = Eigen::Array<typename matrix_a::wide, Eigen::Dynamic, 1>;
    matrix_a a(held_q.view(), held_k.view(), parts...);
    if (a.rows() == 0 || a.columns() == 0) {
        // Nothing to see, but shapes are checked.
        a.times(typename matrix_a::block(a.columns(), 1));
        return {};
    }
    // There are no more nodes than this.
    const index steps = std::min(chosen.steps, std::min(a.rows(), a.columns()) + 1);
    detail::bidiagonal_probes<table> seen{table(2 * steps, chosen.probes),
                                          static_cast<double>(a.columns())};
    constexpr index together = 64;
    for (index p = 0; p < chosen.probes; p += together)
        detail::bidiagonalise(a, chosen, p,
                              seen.beside.middleCols(p, std::min(together, chosen.probes - p)));
    if (!seen.beside.allFinite()) {
        constexpr double nan = std::numeric_limits<double>::quiet_NaN();
        return {nan, nan, nan};
    }
    // A sink may leave A as little as it likes: what was seen is taken in units of its greatest.
    const int exponent = detail::exponent_of(seen.beside.maxCoeff());
    seen.beside = seen.beside.unaryExpr([&](double x) { return std::ldexp(x, -exponent); });
    const auto gauss = seen.template sums<array>(false);
    const auto radau = seen.template sums<array>(true);
    const detail::spectral_sums<array> middle{(gauss.sigma + radau.sigma) / 2,
                                              (gauss.sigma_log_sigma + radau.sigma_log_sigma) / 2,
                                              gauss.square};
    const double square = a.square(exponent);
    array others(chosen.probes);
    for (index p = 0; p < chosen.probes; ++p)
        others(p) = detail::effective_rank_of(middle, square, p);
    const auto count = static_cast<double>(chosen.probes);
    return {detail::effective_rank_of(middle, square, -1),
            std::sqrt((count - 1) / count * (others - others.mean()).square().sum()),
            std::abs(detail::effective_rank_of(gauss, square, -1) -
                     detail::effective_rank_of(radau, square, -1)) /
                2};
}

}  // namespace measure
}  // namespace heed::inline HEED_ARCHITECTURE
