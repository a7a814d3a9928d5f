#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/random.hpp>
#include <heed/core/view.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/softmax/sampling/kernel/choice.hpp>
#include <heed/softmax/sampling/kernel/draw_row.hpp>

/// \file
/// Tokens drawn from rows of logits.

namespace heed::inline HEED_ARCHITECTURE {

/// What makes a draw random, and all that does: a row draws the same alone and among others.
struct draw {
    std::uint64_t seed = 0;
    index row = 0;   ///< the id of the first row of x; the others follow it
    index step = 0;  ///< another number for each token of a text
};

/// Draws from softmax(x/τ) of each row, cut in this order: the k likeliest, of equal ones the
/// lowest index; the fewest of these, the likeliest first, whose share is p or more, at least one
/// (nucleus sampling, arXiv 1904.09751); those of m times the largest probability or more (min-p,
/// arXiv 2407.01082). What is left is made to sum to one again.
///
///     const auto sample = heed::sample.temperature(0.8).top_k(40).top_p(0.95).min_p(0.05);
///     auto tokens = sample(logits, {.seed = 7, .step = step});
///
/// x: rows of logits, as row_function takes them. The result is a number for a vector, a column of
/// heed::index for a matrix, a tensor of one rank less for a tensor; `into` writes to whole numbers
/// of any type but bool. A logit of −∞ is never drawn.
///
/// The number that decides, even in (0, 1), is a function of (seed, row id, step); the token is the
/// first index at which the cumulated probabilities pass it. Hence the same for any layout, batch
/// and number of threads.
///
/// Throws shape_error where shapes differ, argument_error for a row with a NaN or +∞ or without a
/// logit above −∞, for tokens of a type whose largest number is below a row's last index, and for
/// tokens that overlap x; nothing has been written then. O(size of x); only tokens near the last
/// one kept are sorted.
class sample_function {
  public:
    constexpr sample_function() = default;

    /// The same with another temperature. Throws argument_error unless τ is positive and finite.
    sample_function temperature(double tau) const {
        sample_function other = *this;
        other.cut_.tau = detail::checked_temperature("heed::sample", tau);
        return other;
    }
    /// The same from the k likeliest. Throws argument_error unless k ≥ 1.
    sample_function top_k(std::integral auto k) const {
        detail::require_argument(k >= 1, "heed::sample: top_k is ", k, ", but must be at least 1");
        sample_function other = *this;
        other.cut_.top_k = static_cast<index>(k);
        return other;
    }
    /// The same from the fewest that have a share of p. Throws argument_error unless 0 < p ≤ 1.
    sample_function top_p(double p) const {
        detail::require_argument(p > 0 && p <= 1, "heed::sample: top_p is ", p,
                                 ", but must lie in (0, 1]");
        sample_function other = *this;
        other.cut_.top_p = p;
        return other;
    }
    /// The same from those of m times the largest probability. Throws argument_error unless
    /// 0 ≤ m ≤ 1.
    sample_function min_p(double m) const {
        detail::require_argument(m >= 0 && m <= 1, "heed::sample: min_p is ", m,
                                 ", but must lie in [0, 1]");
        sample_function other = *this;
        other.cut_.min_p = m;
        return other;
    }

    /// A token for each row.
    template <tensor_like X, class... Extras>
    [[nodiscard]] auto operator()(const X& x, const draw& at, const Extras&... extras) const {
        const auto held = detail::evaluate("x", x);
        auto tokens = detail::make_choices<X>(held.view().extents);
        run<X>(tokens, detail::row_view<X>(held.view()), at, detail::call_resources(extras...));
        return tokens;
    }

    /// The same in the caller's memory.
    template <class Tokens, tensor_like X, class... Extras>
    void into(Tokens&& tokens, const X& x, const draw& at, const Extras&... extras) const {
        const auto held = detail::evaluate(x);
        run<X>(tokens, detail::row_view<X>(held.view()), at, detail::call_resources(extras...));
    }

  private:
    /// Keeps these numbers apart from those that other parts draw from the same seed.
    static constexpr std::uint64_t stream = 0x73616D706C65;

    template <class X, class Tokens, class T, int Rank>
    void run(Tokens& tokens, const tensor_view<T, Rank>& x, const draw& at,
             const detail::call_resources& resources) const {
        const random_numbers numbers(at.seed, stream);
        detail::choose_rows("heed::sample", detail::places_of_choices<X>(tokens), x, resources,
                            [&](const auto& row, index number, arena& scratch) {
                                const double u = numbers.uniform(at.row + number, at.step);
                                return detail::draw_row<std::remove_const_t<T>>(
                                    {row.data, row.extents, row.strides}, cut_, u, scratch);
                            });
    }

    detail::truncation cut_;
};

/// Tokens drawn from rows of logits: see sample_function.
inline constexpr sample_function sample{};

}  // namespace heed::inline HEED_ARCHITECTURE
