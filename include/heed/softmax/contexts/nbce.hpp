#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/view.hpp>
#include <heed/rows/lines.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/softmax/kernel/likeliest.hpp>
#include <heed/softmax/log_softmax.hpp>

/// \file
/// Naive Bayes-based context extension: one next token from many contexts, each read alone.

namespace heed::inline HEED_ARCHITECTURE {

/// How the contexts' log-probabilities become one.
enum class pooling {
    mean,          ///< their mean: naive Bayes at β = number of contexts − 1
    max,           ///< the greatest, token by token
    least_entropy  ///< those of the context that is surest of itself
};

/// The choices of heed::nbce.
struct nbce_options {
    double beta = 0.25;  ///< how much of what the model says without a context is taken away
    heed::pooling pooling = heed::pooling::least_entropy;
    index top_k = 0;   ///< only the k likeliest tokens of each context count; 0: all
    double top_p = 1;  ///< only the fewest tokens whose probabilities sum to p or more count
    double eta = 0;    ///< what the entropy of the context of the step before is lessened by
};

/// What heed::nbce finds: log p of every token, and the context of least entropy; −1 if the
/// pooling is another, or no context allows a token.
template <class Row>
struct nbce_step {
    Row log_p;
    index context;
};

/// Naive Bayes-based context extension (kexue 9617, 9632): of a token T after contexts S_1 … S_K,
///
///     log p(T|S_1 … S_K) = (β + 1)·P[log p(T|S_k)] − β·log p(T) + const,
///
/// P the pooling, from the logits of each context, the rows of a matrix, and those without one.
/// All of them are log-softmaxed, the result is again.
///
///     const auto nbce = heed::nbce({.beta = 0.25, .top_p = 0.95, .eta = 0.1});
///     auto [log_p, context] = nbce(contexts, without);                  // [K, n], a row of n
///     auto [next, which]    = nbce.after(context)(contexts, without);   // η for the same again
///
/// Top-k, then top-p, come first, for the contexts and for p(T), each by itself, whose
/// probabilities then sum to one over what is left; of equal ones the first stay. What the contexts
/// keep may differ: the mean allows only what all of them keep (all −∞ if there is nothing), the
/// maximum what any does, the least entropy what the surest does. Where log p(T) = −∞ the pooled
/// value counts alone. A token that the pooling gives −∞ has −∞.
///
/// The surest context is the first of least entropy; entropies within 32·2⁻²³·(1 + least) of the
/// least (2⁻⁵² in double), as rounding may tell apart, count as the least. A context of −∞ only is
/// never the surest; a NaN, or +∞, makes everything NaN that it touches.
///
/// Contexts and what is without one are float or double, of any layout; log p is a plain row of
/// contexts' scalar. Throws shape_error where shapes differ, or there is no context;
/// argument_error for options out of range. O(K·n).
class nbce {
  public:
    /// Throws argument_error unless β is finite, 0 ≤ k, 0 < p ≤ 1 and η is finite.
    explicit nbce(const nbce_options& how) : how_(how) {
        detail::require_argument(std::isfinite(how.beta), "heed::nbce: beta is ", how.beta,
                                 ", but must be finite");
        detail::require_argument(how.top_k >= 0, "heed::nbce: top_k is ", how.top_k,
                                 ", but must be at least 1, or 0 for all");
        detail::require_argument(how.top_p > 0 && how.top_p <= 1, "heed::nbce: top_p is ",
                                 how.top_p, ", but must lie in (0, 1]");
        detail::require_argument(std::isfinite(how.eta), "heed::nbce: eta is ", how.eta,
                                 ", but must be finite");
    }

    /// The same for the step after one that chose this context; −1 is none.
    nbce after(index context) const {
        nbce other = *this;
        other.before_ = context;
        return other;
    }

    template <tensor_like Contexts, tensor_like Without, class... Extras>
    [[nodiscard]] auto operator()(const Contexts& contexts, const Without& without,
                                  const Extras&... extras) const {
        using scalar = scalar_of<Contexts>;
        static_assert(rank_of<Contexts> == 2, "heed: the logits of contexts are a matrix");
        detail::check_computed_scalars<scalar, scalar_of<Without>>();
        const auto held = detail::evaluate(contexts);
        const auto held_without = detail::evaluate(without);
        const auto all = held.view();
        const auto one =
            detail::number_view<1, Without>("the logits without a context", held_without.view());
        detail::check_view("the contexts", all);
        detail::check_view("the logits without a context", one);
        detail::require_shape(all.extents[0] >= 1, "the contexts have shape ", all.extents,
                              ", but there must be at least one");
        detail::require_shape(all.extents[1] == one.extents[0], "the contexts have shape ",
                              all.extents, " and the logits without one ", one.extents,
                              ", but there must be as many tokens");
        detail::require_argument(before_ >= -1 && before_ < all.extents[0],
                                 "heed::nbce: the context before is ", before_,
                                 ", but must lie in [-1, ", all.extents[0], ")");
        Eigen::Matrix<scalar, 1, Eigen::Dynamic> log_p(all.extents[1]);
        const index context = run<scalar>(log_p.data(), all, one, extras...);
        return nbce_step<decltype(log_p)>{std::move(log_p), context};
    }

  private:
    template <class T, class... Extras>
    index run(T* log_p, const tensor_view<const T, 2>& contexts,
              const tensor_view<const T, 1>& without, const Extras&... extras) const {
        const detail::call_resources resources(extras...);
        const index count = contexts.extents[0], n = contexts.extents[1];
        arena& memory = resources.memory->slot(0);
        const arena::scope scope(memory);
        T* rows = memory.take<T>((count + 1) * n);
        T* prior = rows + count * n;
        heed::log_softmax.into(heed::view(rows, {count, n}), contexts, extras...);
        heed::log_softmax.into(heed::view(prior, {n}), without, extras...);
        for (index row = 0; row <= count; ++row)
            detail::keep_likeliest(rows + row * n, n, how_.top_k, how_.top_p, memory);

        const index context =
            how_.pooling == pooling::least_entropy ? surest(rows, count, n, memory) : index(-1);
        pool(rows, count, n, context);
        for (index j = 0; j < n; ++j) {
            const T pooled = rows[j];
            log_p[j] = prior[j] == lowest<T> ? pooled
                                             : static_cast<T>(how_.beta + 1) * pooled -
                                                   static_cast<T>(how_.beta) * prior[j];
        }
        // A token without probability stays so, whatever the sign of β + 1.
        for (index j = 0; j < n; ++j)
            if (rows[j] == lowest<T>) log_p[j] = lowest<T>;
        const auto result = heed::view(log_p, {n});
        heed::log_softmax.into(result, result, extras...);
        return context;
    }

    /// The context of least entropy, or the first of NaN; −1 if all are −∞. Of entropies that only
    /// rounding tells apart, those of the same numbers in another order for one, the first.
    template <class T>
    index surest(const T* rows, index count, index n, arena& memory) const {
        constexpr double infinity = std::numeric_limits<double>::infinity();
        const arena::scope scope(memory);
        double* const entropies = memory.take<double>(count);
        double least = infinity;
        for (index row = 0; row < count; ++row) {
            const detail::contiguous_line<const T> line{rows + row * n, n};
            const T top = reduce_max(detail::maximum_over(line));
            double entropy = detail::entropy_of(line);
            if (std::isnan(entropy)) return row;
            if (row == before_) entropy -= how_.eta;
            entropies[row] = top == lowest<T> ? infinity : entropy;
            least = std::min(least, entropies[row]);
        }
        if (least == infinity) return -1;
        constexpr double rounding = 32 * double{std::numeric_limits<T>::epsilon()};
        const double as_good = least + rounding * (1 + std::abs(least));
        return std::find_if(entropies, entropies + count,
                            [&](double entropy) { return entropy <= as_good; }) -
               entropies;
    }

    /// The first of the rows becomes what they are together.
    template <class T>
    void pool(T* rows, index count, index n, index context) const {
        if (how_.pooling == pooling::least_entropy) {
            if (context > 0) std::copy_n(rows + context * n, n, rows);
            return;
        }
        const bool is_mean = how_.pooling == pooling::mean;
        for (index row = 1; row < count; ++row) {
            for (index j = 0; j < n; ++j) {
                const T other = rows[row * n + j];
                if (is_mean)
                    rows[j] += other;
                else if (!(other <= rows[j]) && !std::isnan(rows[j]))
                    rows[j] = other;
            }
        }
        if (is_mean)
            for (index j = 0; j < n; ++j) rows[j] /= static_cast<T>(count);
    }

    template <class T>
    static constexpr T lowest = -std::numeric_limits<T>::infinity();

    nbce_options how_;
    index before_ = -1;
};

}  // namespace heed::inline HEED_ARCHITECTURE
