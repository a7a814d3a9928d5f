#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/simd.hpp>
#include <heed/softmax/kernel/candidates.hpp>

/// \file
/// A row normaliser made of a solver: sparsemax and entmax differ in their solvers alone.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// dp becomes g ⊙ (dp − Σg·dp/Σg), the gradient of the scores, with g = weight(p): all that differs
/// from one function of x − λ, Σp given, to another. Nothing changes if `origin` is taken from
/// every dp, but it may be rounded less.
template <class T, class Weight>
void weighted_gradient(const T* p, T* dp, index count, T origin, Weight&& weight, arena& scratch) {
    constexpr index size = vec<T>::size;
    const arena::scope mark(scratch);
    T* weights = scratch.take<T>(count);
    for (index j = 0; j < count; j += size) {
        weight(vec<T>::load(p + j)).store(weights + j);
        (vec<T>::load(dp + j) - vec<T>(origin)).store(dp + j);
    }
    const T* gradient = dp;
    const auto [sum, product] = sums_over<2>(weights, count, [&](vec<T> g, auto& sums) {
        sums[0] += g;
        sums[1] = fma(g, vec<T>::load(gradient), sums[1]);
        gradient += size;
    });
    const vec<T> mean(sum == T(0) ? T(0) : product / sum);
    for (index j = 0; j < count; j += size)
        (vec<T>::load(weights + j) * (vec<T>::load(dp + j) - mean)).store(dp + j);
}

/// A row of p = f(x − λ) with λ such that Σp = 1 and f(y) = 0 from some y on downward. `Solver` is
/// what sparsemax_solver is.
template <class T, class Solver>
class sparse_row {
  public:
    using statistics = typename Solver::statistics;
    static constexpr bool is_sparse = true;

    constexpr explicit sparse_row(Solver solver) : solver_(solver) {}

    /// Scores become probabilities, in place; −∞ is left out. `row` is aligned to 64 bytes, `count`
    /// is a whole number of pairs of vectors.
    statistics normalise(T* row, index count, arena& scratch) const {
        const arena::scope mark(scratch);
        T* candidates = scratch.take<T>(count + vec<T>::size);
        index found = 0;
        const auto solved =
            solve(row, count, largest_score(row, count), candidates, nullptr, found);
        recompute(solved.row, row, count);
        return solved.row;
    }

    /// The same bits from the statistics.
    void recompute(const statistics& solved, T* row, index count) const {
        for (index j = 0; j < count; j += vec<T>::size)
            solver_.probability(solved, vec<T>::load_aligned(row + j)).store_aligned(row + j);
    }

    /// The same, compressed: the probabilities that are not zero and their positions, ascending;
    /// returns how many there are. `p` and `positions` have room for a vector more than `count`.
    index support(const T* row, index count, T maximum, T* p, std::int32_t* positions,
                  statistics& solved, arena&) const {
        index found = 0;
        solved = solve(row, count, maximum, p, positions, found).row;
        if (solver_.is_invalid(solved)) return invalid_support(row, count, p, positions);
        return keep_support(p, positions, found,
                            [&](vec<T> x) { return solver_.probability(solved, x); });
    }

    /// g of dx = g ⊙ (dp − Σg·dp/Σg); 0 where p is.
    [[gnu::always_inline]] vec<T> weight(vec<T> p) const { return solver_.weight(p); }

    /// What is better taken from every dp before Σg·dp/Σg, which it does not change.
    T origin(const T* p, const T* dp, index count) const { return solver_.origin(p, dp, count); }

    /// dp becomes the gradient of the scores; *of_parameter, unless null, that of the solver's.
    void gradient(const statistics&, const T*, const T* p, T* dp, index count, T* of_parameter,
                  arena& scratch) const {
        if (of_parameter != nullptr) *of_parameter = solver_.parameter_gradient(p, dp, count);
        score_gradient(p, dp, count, scratch);
    }

    /// The gradient of the scores alone.
    void score_gradient(const T* p, T* dp, index count, arena& scratch) const {
        weighted_gradient(
            p, dp, count, solver_.origin(p, dp, count), [&](vec<T> v) { return solver_.weight(v); },
            scratch);
    }

    /// The gradient of the solver's parameter alone.
    T parameter_gradient(const T* p, const T* dp, index count) const {
        return solver_.parameter_gradient(p, dp, count);
    }

    /// λ of a row, from its candidates, which it leaves in scratch, with positions unless null.
    solution<statistics> solve(const T* row, index count, T maximum, T* candidates,
                               std::int32_t* positions, index& found) const {
        if (maximum == -std::numeric_limits<T>::infinity())
            return {has_nan(row, count) ? Solver::invalid() : Solver::empty(), 0};
        found =
            find_candidates(row, count, maximum, reach(row, count, maximum), candidates, positions);
        const index whole = round_up(found, vec<T>::size);
        return solver_.solve(candidates, whole, maximum);
    }

  private:
    using limits = std::numeric_limits<T>;

    /// How far below the maximum there may be probabilities that are not zero: as far as where the
    /// maximum alone gives 1, and, of a long row, where the maxima of groups do.
    T reach(const T* row, index count, T maximum) const {
        constexpr index long_row = 8192;
        constexpr T rounding = T(1) + T(1) / 1024, of_p = T(1) + 64 * limits::epsilon();
        const T alone = solver_.reach(T(1)) * rounding;
        if (count < long_row) return alone;
        alignas(64) T maxima[score_groups], p[vec<T>::size];
        find_group_maxima(row, count, maxima);
        const auto solved = solver_.solve(maxima, score_groups, maximum).row;
        solver_.probability(solved, vec<T>(maximum)).store_aligned(p);
        return std::min(alone, solver_.reach(p[0] * of_p) * rounding);  // alone, if that is NaN
    }

    Solver solver_;
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
