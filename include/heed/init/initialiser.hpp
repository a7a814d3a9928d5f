#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/overlap.hpp>
#include <heed/core/random.hpp>
#include <heed/core/view.hpp>
#include <heed/rows/row_arguments.hpp>

/// \file
/// Initial weights of a layer y = xW with m inputs and n outputs.

namespace heed::inline HEED_ARCHITECTURE {
namespace init {

/// The shapes of the distributions, all of the same mean and standard deviation σ.
enum class distribution {
    normal,
    uniform,           ///< on [μ − √3·σ, μ + √3·σ]
    truncated_normal,  ///< cut off two deviations from μ, of a normal of 1.1368472…·σ
    cut_normal  ///< cut off at μ ± 2σ, of a normal of σ: its true deviation is 0.8796…·σ
};

/// σ² from the numbers of inputs and outputs.
using variance_rule = double (*)(double inputs, double outputs);

/// A distribution of weights.
///
///     Eigen::MatrixXf w(m, n);
///     heed::init::glorot.uniform().into(w, 42);                       // a seed
///     heed::init::lecun.into(w, heed::random_numbers(42, layer));     // a stream of that seed
///     heed::init::bert.into(w.transpose(), 42);                       // stored [outputs, inputs]
///
/// Normal with mean 0 unless said otherwise. The last two axes of what is filled are inputs and
/// outputs; axes in front of them, heads say, have weights of their own. A weight depends on the
/// seed and its place alone, not on the layout, and is the same on every platform; floats are the
/// doubles, rounded.
class initialiser {
  public:
    /// From a rule of the variance, times a factor.
    constexpr explicit initialiser(variance_rule rule, double factor = 1,
                                   distribution shape = distribution::normal)
        : rule_(rule), factor_(factor), shape_(shape) {}

    /// The same variance in another shape.
    constexpr initialiser normal() const { return with(distribution::normal); }
    constexpr initialiser uniform() const { return with(distribution::uniform); }
    constexpr initialiser truncated_normal() const { return with(distribution::truncated_normal); }
    constexpr initialiser cut_normal() const { return with(distribution::cut_normal); }
    /// The same around another mean. Throws argument_error unless it is finite.
    initialiser mean(double mu) const {
        detail::require_argument(std::isfinite(mu), "heed::init: the mean is ", mu,
                                 ", but must be finite");
        initialiser other = *this;
        other.mean_ = mu;
        return other;
    }

    /// σ² of m inputs and n outputs; σ may be a number where σ² is not.
    constexpr double variance(double inputs, double outputs) const {
        return rule_(inputs, outputs) * factor_ * size_ * size_;
    }
    /// σ. Throws argument_error if the rule's variance, or the factor, is negative or not finite.
    double deviation(double inputs, double outputs) const {
        const double variance = rule_(inputs, outputs);
        detail::require_argument(variance >= 0 && std::isfinite(variance),
                                 "heed::init: the rule's variance of ", inputs, " inputs and ",
                                 outputs, " outputs is ", variance,
                                 ", but must be finite and not negative");
        detail::require_argument(factor_ >= 0 && std::isfinite(factor_),
                                 "heed::init: the factor of the variance is ", factor_,
                                 ", but must be finite and not negative");
        return std::sqrt(variance) * std::sqrt(factor_) * size_;
    }

    /// Fills w. Throws shape_error for an impossible shape, argument_error if w overlaps itself,
    /// and before anything is written if a weight may be beyond w's scalar, or the variance is
    /// none.
    template <tensor_like W>
    void into(W&& w, const random_numbers& numbers) const {
        const auto all = detail::view_of(std::forward<W>(w));
        constexpr auto rank = static_cast<std::size_t>(rank_of<W>);
        static_assert(rank >= 2, "heed: weights have an axis of inputs and one of outputs");
        detail::check_computed_scalars<scalar_of<W>>();
        detail::check_row_output("the weights", all);
        if (all.empty()) return;
        const double sigma = deviation(static_cast<double>(all.extents[rank - 2]),
                                       static_cast<double>(all.extents[rank - 1]));
        constexpr double most = std::numeric_limits<scalar_of<W>>::max();
        detail::require_argument(std::abs(mean_) + reach() * sigma <= most,
                                 "heed::init: weights of deviation ", sigma, " and mean ", mean_,
                                 " may be beyond the scalar, whose greatest is ", most);
        index row = 0;
        fill(all, numbers, sigma, row);
    }
    template <tensor_like W>
    void into(W&& w, std::integral auto seed) const {
        into(std::forward<W>(w), random_numbers(static_cast<std::uint64_t>(seed)));
    }

    /// The weight at (i, j) of a layer of deviation σ.
    double weight(const random_numbers& numbers, index i, index j, double deviation) const {
        // Each step is rounded where it is written, whatever the compiler fuses.
        if (shape_ == distribution::uniform) {
            constexpr double root3 = 1.7320508075688772;
            return std::fma(2 * numbers.uniform(i, j) - 1, root3 * deviation, mean_);
        }
        if (shape_ == distribution::normal) return std::fma(numbers.normal(i, j), deviation, mean_);
        constexpr double below = 0.022750131948179207;  // Φ(−2)
        const double p = std::fma(numbers.uniform(i, j), 1 - 2 * below, below);
        const double z = std::clamp(detail::normal_quantile(p), -2.0, 2.0);
        const double correction = shape_ == distribution::truncated_normal ? truncation : 1;
        return std::fma(z, correction * deviation, mean_);
    }

    /// 1/σ of the normal distribution cut off at ±2.
    static constexpr double truncation = 1.1368472343385565;

  private:
    friend initialiser deviation(double sigma);

    constexpr initialiser with(distribution shape) const {
        initialiser other = *this;
        other.shape_ = shape;
        return other;
    }

    /// How many deviations from the mean a weight lies at most.
    double reach() const {
        switch (shape_) {
            case distribution::uniform:
                return std::sqrt(3.0);
            case distribution::truncated_normal:
                return 2 * truncation;
            case distribution::cut_normal:
                return 2;
            case distribution::normal:
                break;
        }
        return -detail::normal_quantile(0x1p-53);  // of the least number that is drawn
    }

    /// Row by row, `row` counting those of all axes in front.
    template <class T, int Rank>
    void fill(const tensor_view<T, Rank>& w, const random_numbers& numbers, double deviation,
              index& row) const {
        if constexpr (Rank == 1) {
            for (index j = 0; j < w.extents[0]; ++j)
                w(j) = static_cast<T>(weight(numbers, row, j, deviation));
            ++row;
        } else {
            tensor_view<T, Rank - 1> part{w.data, {}, {}};
            for (std::size_t axis = 1; axis < Rank; ++axis) {
                part.extents[axis - 1] = w.extents[axis];
                part.strides[axis - 1] = w.strides[axis];
            }
            for (index i = 0; i < w.extents[0]; ++i, part.data += w.strides[0])
                fill(part, numbers, deviation, row);
        }
    }

    variance_rule rule_;
    double factor_;
    distribution shape_;
    double mean_ = 0;
    double size_ = 1;  ///< of the deviation, beside the roots of the variance and of the factor
};

/// σ² = 1/m: outputs have the inputs' variance (LeCun et al., 1998; kexue 8620).
inline constexpr initialiser lecun([](double m, double) { return 1 / m; });
/// σ² = 2/m: the same behind a relu (arXiv 1502.01852, kexue 8620).
inline constexpr initialiser he([](double m, double) { return 2 / m; });
/// σ² = 2/(m + n): a compromise with the gradients' variance (Glorot and Bengio, 2010; kexue 8620).
inline constexpr initialiser glorot([](double m, double n) { return 2 / (m + n); });
/// σ² = 1/√(mn): the geometric mean of 1/m and 1/n (kexue 8725).
inline constexpr initialiser geometric_mean([](double m, double n) {
    return 1 / std::sqrt(m * n);
});
/// σ² = (m + n)/(m² + n²): the least squares of mσ² = 1 and nσ² = 1 (kexue 8725).
inline constexpr initialiser quadratic([](double m, double n) {
    return (m + n) / std::fma(m, m, n * n);
});
/// σ² = 1, for the NTK parameterisation y = xW/√m (kexue 8620, 8747): ntk_factor(m) is 1/√m.
inline constexpr initialiser ntk([](double, double) { return 1.0; });
/// 1/√m, by which the NTK parameterisation multiplies xW. Throws argument_error for m < 1.
[[nodiscard]] inline double ntk_factor(index inputs) {
    detail::require_argument(inputs >= 1, "heed::init::ntk_factor: there are ", inputs,
                             " inputs, but must be at least 1");
    return 1 / std::sqrt(static_cast<double>(inputs));
}
/// BERT's: σ = 0.02, cut off at ±0.04 and not corrected, so that the true deviation is 0.0176
/// (kexue 8747).
inline constexpr initialiser bert([](double, double) { return 0.0004; }, 1,
                                  distribution::cut_normal);

/// Any deviation, whatever the shape of the layer. Throws argument_error unless σ is finite and
/// not negative.
inline initialiser deviation(double sigma) {
    detail::require_argument(sigma >= 0 && std::isfinite(sigma),
                             "heed::init::deviation: the deviation is ", sigma,
                             ", but must be finite and not negative");
    initialiser result([](double, double) { return 1.0; });
    result.size_ = sigma;  // σ² may be no number where σ is one
    return result;
}

/// T5's for the projections to queries and keys of a head of d dimensions: σ² = 1/(m·√d), for
/// attention with heed::scale(1) (kexue 8620). Throws argument_error unless d ≥ 1.
inline initialiser t5_query_key(index dim) {
    detail::require_argument(dim >= 1, "heed::init::t5_query_key: d is ", dim,
                             ", but must be at least 1");
    return initialiser([](double m, double) { return 1 / m; },
                       1 / std::sqrt(static_cast<double>(dim)));
}

}  // namespace init
}  // namespace heed::inline HEED_ARCHITECTURE
