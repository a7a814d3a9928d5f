#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/softmax/kernel/candidates.hpp>
#include <heed/softmax/sparse/kernel/sparse_normaliser.hpp>
#include <heed/softmax/sparse/kernel/sparse_row.hpp>
#include <heed/softmax/sparse/kernel/support_search.hpp>

/// \file
/// Entmax with α = 1.5, alone on rows and as the normaliser of attention.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// λ with Σ relu(x/2 − λ)² = 1. Newton's method on the square root of the sum, which is convex and
/// nearly straight, comes from the left and takes scores out of the support until Σy² is less than
/// 1 even at its least score c. Then λ solves the quadratic equation of the support, as c/2 − w: w
/// is a small difference that is hardly rounded. That c belongs to the support, and the next score
/// below does not, must be certain; otherwise the two are sought with numbers of twice the digits.
///
/// It ends: √Σ − 1 times its slope, at most n at the beginning, is made smaller by a factor of four
/// by each step, or of two at least with what is rounded, since Σ − 1 within `rounding` is the
/// last. The search ends as find_least_in_support does.
template <class T>
class entmax15_solver {
  public:
    using statistics = threshold<T>;

    /// More than log₂(n/rounding), n = 2³¹, and a search after it.
    static constexpr int most_steps = 256;

    static constexpr statistics invalid() { return statistics::invalid(); }
    static constexpr statistics empty() { return {}; }
    static constexpr bool is_invalid(const statistics& row) { return std::isnan(row.high); }

    /// 2λ = max x − reach(max p).
    static T reach(T largest_p) { return 2 * std::sqrt(largest_p); }

    static solution<statistics> solve(const T* x, index count, T maximum) {
        const bool is_long = count > few_candidates<T>;
        statistics row = statistics::sum(maximum / 2, T(-1));
        for (int steps = 1;; ++steps) {
            if (is_long) {
                const auto [sum, squares] = sums_above(row, x, count);
                if (std::isnan(squares)) return {invalid(), steps};
                row = row + newton_step(sum, squares);
                if (squares > T(1) + T(1) / 16) continue;
                ++steps;
            }
            const auto in = sums_of_support<true>(
                x,
                count, [&](vec<T> v) __attribute__((always_inline)) { return distance(row, v); });
            if (std::isnan(in.squares)) return {invalid(), steps};
            // Σ((x − c)/2)² − 1 and the same at the next score
            const T c = (in.least / 2 - row.high) - row.low;
            const T next = (in.next / 2 - row.high) - row.low;
            const T excess = in.squares - T(1);
            const T at_c = fma(c, fma(in.terms, c, -2 * in.sum), excess);
            const T at_next = fma(next, fma(in.terms, next, -2 * in.sum), excess);
            if (at_c < -rounding && at_next > rounding)
                return {threshold_below(x, count, in), steps + 1};
            const statistics before = std::exchange(row, row + newton_step(in.sum, in.squares));
            if (at_c < rounding || excess <= rounding || row == before)
                return search(x, count, maximum, in.least, steps);
        }
    }

    [[gnu::always_inline]] static vec<T> probability(const statistics& row, vec<T> x) {
        const vec<T> y = max(vec<T>(T(0)), distance(row, x));  // NaN if there is one
        return y * y;
    }
    [[gnu::always_inline]] static vec<T> weight(vec<T> p) { return sqrt(p); }
    static T origin(const T*, const T*, index) { return T(0); }
    static T parameter_gradient(const T*, const T*, index) { return T(0); }

  private:
    using limits = std::numeric_limits<T>;

    /// More than the additions of sums_over can lose of Σ ≤ 2.
    static constexpr T rounding = 32 * limits::epsilon();

    /// x/2 − λ
    [[gnu::always_inline]] static vec<T> distance(const statistics& row, vec<T> x) {
        return row.below(x * vec<T>(T(0.5)));
    }

    static T newton_step(T sum, T squares) { return (squares - std::sqrt(squares)) / sum; }

    /// Σ relu(x/2 − λ) and Σ relu(x/2 − λ)²
    static std::array<T, 2> sums_above(const statistics& row, const T* x, index count) {
        return sums_over<2>(x, count, [&](vec<T> v, auto& sums) {
            const vec<T> y = max(vec<T>(T(0)), distance(row, v));  // NaN if there is one
            sums[0] += y;
            sums[1] = fma(y, y, sums[1]);
        });
    }

    /// w with Σ(y + w)² = 1 over k terms, from Σy and 1 − Σy².
    static T root(T terms, T sum, T rest) {
        return rest / (sum + std::sqrt(fma(terms, rest, sum * sum)));
    }

    /// λ = c/2 − w, from differences to c, the least score of the support.
    static statistics threshold_below(const T* x, index count, const support_sums<T>& in) {
        const vec<T> zero(T(0)), half(T(0.5)), least(in.least);
        const auto [sum, squares] = sums_over<2>(x, count, [&](vec<T> v, auto& sums) {
            const vec<T> y = max(zero, v - least) * half;
            sums[0] += y;
            sums[1] = fma(y, y, sums[1]);
        });
        return {in.least / 2, -root(in.terms, sum, T(1) - squares)};
    }

    /// For scores within rounding of the threshold.
    [[gnu::noinline]] static solution<statistics> search(const T* x, index count, T maximum,
                                                         T guess, int steps) {
        const auto excess = [&](T t) {
            return exact_excess<T>(x, count, t, [](const auto& d, auto& total) {
                const double y = d.high / 2, lost = d.low / 2;
                const double square = std::fma(y, y, 0.0);
                total.add(square);
                total.add(std::fma(y, y, -square));
                total.add(std::fma(2 * y, lost, 0.0));
            });
        };
        // Rounded down once more, nothing of the support lies at `low`.
        const T low = std::nextafter(maximum - T(2), -limits::infinity());
        const auto [least, looks] = find_least_in_support(low, maximum, guess, [&](T t) {
            const exact_excess<T> at = excess(t);
            const double norm = std::sqrt(at.value + 1);
            const double step = at.terms > 0 ? 4 * norm * (norm - 1) / at.distances : -2;
            return support_look<T>{at.is_in, at.ties > 0, at.above, at.below,
                                   static_cast<T>(static_cast<double>(t) + step)};
        });
        const exact_excess<T> at = excess(least);
        const T w = root(static_cast<T>(at.terms + at.ties), static_cast<T>(at.distances / 2),
                         static_cast<T>(-at.value));
        return {{least / 2, -std::min(w, (least - at.below) / 2)}, steps + looks + 1};
    }
};

}  // namespace detail

/// Entmax with α = 1.5: p = relu(x/2 − λ)² with λ such that Σp = 1 (arXiv 1905.05702, kexue 10145).
/// dx = g ⊙ (dp − g·dp/Σg), g = √p.
///
///     auto p  = heed::entmax15(x);                      // the rows of x, whatever x is
///     auto dx = heed::entmax15.backward(x, p, dp);
///     auto o  = heed::attention(q, k, v, heed::entmax15);
///
/// λ and the support are exact. A row of −∞ gives zeros; a NaN, or +∞, makes its own row NaN. See
/// row_function for shapes, errors and cost; heed::entmax(α) is for any other α.
class entmax15_normaliser : public detail::sparse_normaliser<entmax15_normaliser> {
  public:
    constexpr entmax15_normaliser() = default;

    /// For attention: a row as a whole.
    template <class T>
    constexpr auto whole_row(index) const {
        return detail::sparse_row<T, detail::entmax15_solver<T>>({});
    }
};

/// Entmax with α = 1.5, in attention and on rows: see entmax15_normaliser.
inline constexpr entmax15_normaliser entmax15{};

}  // namespace heed::inline HEED_ARCHITECTURE
