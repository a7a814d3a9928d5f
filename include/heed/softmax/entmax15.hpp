#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/softmax/candidates.hpp>
#include <heed/softmax/row_function.hpp>
#include <heed/softmax/sparse_row.hpp>
#include <heed/softmax/whole_rows.hpp>

/// \file
/// Entmax with α = 1.5, alone on rows and as the normaliser of attention.

namespace heed::inline HEED_ARCHITECTURE {

namespace role {
struct normaliser;
}

namespace detail {

/// λ with Σ relu(x/2 − λ)² = 1. Newton's method on the square root of the sum, which is convex and
/// nearly straight, comes near from the left; then λ solves the quadratic equation of the support,
/// so that a tie at the threshold is one, and Newton's method takes away what was rounded.
template <class T>
class entmax15_solver {
  public:
    using statistics = threshold<T>;

    /// More than n = 2³¹ can need: each of the first steps makes the distance of the norm from 1,
    /// times its slope, smaller by a factor of four; at most n at the beginning, 1/64 at the end.
    static constexpr int most_steps = 64;

    static constexpr statistics invalid() { return statistics::invalid(); }
    static constexpr statistics empty() { return {}; }
    static constexpr bool is_invalid(const statistics& row) { return std::isnan(row.high); }

    /// 2λ = max x − reach(max p).
    static T reach(T largest_p) { return 2 * std::sqrt(largest_p); }

    static solution<statistics> solve(const T* x, index count, T maximum) {
        using limits = std::numeric_limits<T>;
        const T top = maximum / 2;
        statistics row = statistics::sum(top, T(-1));
        int steps = 0;
        for (; steps < most_steps; ++steps) {
            const auto [sum, squares] = first_sums(row, x, count);
            if (std::isnan(squares)) return {invalid(), steps};
            row = row + (squares - std::sqrt(squares)) / sum;
            if (squares <= T(1) + T(1) / 64) break;
        }
        T solved_for = T(0);
        while (steps < most_steps) {
            ++steps;
            const auto [terms, sum, squares] = support_sums(row, x, count, top);
            if (terms == solved_for) break;
            solved_for = terms;
            const T root = std::sqrt(std::max(fma(-terms, squares - T(1), sum * sum), T(0)));
            row = statistics::sum(top, (sum - root) / terms);
            for (int correction = 0; correction < 4; ++correction) {
                const auto [distance, one] = first_sums(row, x, count);
                ++steps;
                row = row + (one - T(1)) / (2 * distance);
                if (std::abs(one - T(1)) <= 2 * limits::epsilon()) break;
            }
        }
        return {row, steps};
    }

    [[gnu::always_inline]] static vec<T> probability(const statistics& row, vec<T> x) {
        const vec<T> y = distance(row, x);
        return y * y;
    }
    [[gnu::always_inline]] static vec<T> weight(vec<T> p) { return sqrt(p); }
    static T origin(const T*, const T*, index) { return T(0); }
    static T parameter_gradient(const T*, const T*, index) { return T(0); }

  private:
    /// relu(x/2 − λ)
    [[gnu::always_inline]] static vec<T> distance(const statistics& row, vec<T> x) {
        return max(vec<T>(T(0)), row.below(x * vec<T>(T(0.5))));  // NaN if there is one
    }

    /// Σ relu(x/2 − λ) and Σ relu(x/2 − λ)²
    static std::array<T, 2> first_sums(const statistics& row, const T* x, index count) {
        return sums_over<2>(x, count, [&](vec<T> v, auto& sums) {
            const vec<T> y = distance(row, v);
            sums[0] += y;
            sums[1] = fma(y, y, sums[1]);
        });
    }

    /// The size of the support, and Σu and Σu² there, u = x/2 − max x/2.
    static std::array<T, 3> support_sums(const statistics& row, const T* x, index count, T top) {
        return sums_over<3>(x, count, [&](vec<T> v, auto& sums) {
            const vec<T> zero(T(0));
            const vec_mask<T> in = distance(row, v) > zero;
            const vec<T> u = select(in, v * vec<T>(T(0.5)) - vec<T>(top), zero);
            sums[0] += select(in, vec<T>(T(1)), zero);
            sums[1] += u;
            sums[2] = fma(u, u, sums[2]);
        });
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
class entmax15_normaliser : public row_function<entmax15_normaliser> {
  public:
    using role = heed::role::normaliser;

    constexpr entmax15_normaliser() = default;

    /// For attention: a row as a whole.
    template <class T>
    constexpr auto whole_row(index) const {
        return detail::sparse_row<T, detail::entmax15_solver<T>>({});
    }

    /// For row_function.
    template <class T>
    auto forward() const {
        return detail::whole_rows(whole_row<T>(0));
    }
    template <class T>
    auto gradient() const {
        return detail::weighted_backward_rows(whole_row<T>(0));
    }
};

/// Entmax with α = 1.5, in attention and on rows: see entmax15_normaliser.
inline constexpr entmax15_normaliser entmax15{};

}  // namespace heed::inline HEED_ARCHITECTURE
