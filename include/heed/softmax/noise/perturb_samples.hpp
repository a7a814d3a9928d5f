#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/random.hpp>
#include <heed/core/view.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/softmax/kernel/numbered_rows.hpp>
#include <heed/softmax/noise/perturb_noises.hpp>

/// \file
/// How often a score is the largest of its row when noise is added again and again.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::perturb_samples(noise, seed, count).
template <class Noise>
class perturb_sampler {
  public:
    perturb_sampler(std::uint64_t seed, index count) : seed_(seed), count_(count) {}

    /// The frequencies, of x's kind, storage order and scalar.
    template <tensor_like X, class... Extras>
    [[nodiscard]] auto operator()(const X& x, const Extras&... extras) const {
        const auto held = detail::evaluate("x", x);
        auto y = detail::make_same<X>(held.view().extents);
        run(detail::row_view<X>(detail::view_of(y)), detail::row_view<X>(held.view()),
            detail::call_resources(extras...));
        return y;
    }

    /// The same in the caller's memory.
    template <tensor_like Y, tensor_like X, class... Extras>
    void into(Y&& y, const X& x, const Extras&... extras) const {
        const auto held = detail::evaluate(x);
        run(detail::row_view<Y>(detail::view_of(std::forward<Y>(y))),
            detail::row_view<X>(held.view()), detail::call_resources(extras...));
    }

  private:
    template <class A, int RankA, class T, int Rank>
    void run(const tensor_view<A, RankA>& y, const tensor_view<T, Rank>& x,
             const detail::call_resources& resources) const {
        static_assert(RankA == Rank, "heed: a function of rows gives what has the rank of x");
        detail::check_computed_scalars<A, std::remove_const_t<T>>();
        detail::check_row_output("y", y);
        detail::check_view("x", x);
        detail::check_same_shape("y", y, "x", x);
        detail::check_apart("y", y, "x", x);
        detail::for_numbered_rows(resources, y, [&](index row) {
            sample(detail::row_of(y, row), detail::row_of(x, row), row);
        });
    }

    template <class A, class T>
    void sample(const tensor_view<A, 1>& y, const tensor_view<T, 1>& x, index row) const {
        constexpr double infinity = std::numeric_limits<double>::infinity();
        const index length = x.extents[0];
        bool has_some = false, is_valid = true;
        for (index j = 0; j < length; ++j) {
            const auto score = static_cast<double>(x(j));
            has_some = has_some || score > -infinity;
            is_valid = is_valid && score < infinity;
        }
        for (index j = 0; j < length; ++j)
            y(j) = is_valid ? A(0) : std::numeric_limits<A>::quiet_NaN();
        if (!has_some || !is_valid) return;
        for (index draw = 0; draw < count_; ++draw) {
            const random_numbers numbers(seed_, draw);
            double largest = -infinity;
            index winner = 0;
            for (index j = 0; j < length; ++j) {
                const double score =
                    static_cast<double>(x(j)) + Noise::quantile(numbers.uniform(row, j));
                if (score > largest) {
                    largest = score;
                    winner = j;
                }
            }
            y(winner) += A(1);
        }
        for (index j = 0; j < length; ++j) y(j) /= static_cast<A>(count_);
    }

    std::uint64_t seed_;
    index count_;
};

/// How often x_i + ε_i is the largest of its row, of `count` draws: an estimate of
/// heed::perturb_max(noise)(x), with error √(p(1 − p)/count); one draw is a one-hot choice. The
/// number ε depends on the seed, the draw, the row's number (the last axis of rows running fastest)
/// and the column, on nothing else, and is the same on every platform. It has no gradient.
///
///     auto choice = heed::perturb_samples(heed::perturb::gumbel, seed)(x);    // from softmax(x)
///     auto p = heed::perturb_samples(heed::perturb::normal, seed, 1000)(x);
///
/// An element of −∞ is never chosen, a row of them gives zeros; a NaN, or +∞, makes its own row
/// NaN. Throws argument_error unless count is positive, or where y overlaps x; shape_error as
/// row_function. O(count·size of x).
template <class Noise>
perturb_sampler<Noise> perturb_samples(Noise, std::uint64_t seed, index count = 1) {
    detail::require_argument(count > 0, "heed::perturb_samples: the count is ", count,
                             ", but must be positive");
    return {seed, count};
}

}  // namespace heed::inline HEED_ARCHITECTURE
