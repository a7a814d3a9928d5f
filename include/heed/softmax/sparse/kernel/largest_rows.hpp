#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/unroll.hpp>
#include <heed/softmax/kernel/candidates.hpp>
#include <heed/softmax/kernel/exponential_sums.hpp>
#include <heed/softmax/sparse/kernel/sparse_row.hpp>

/// \file
/// Softmax over the largest scores of a row: which these are, and their probabilities.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// Where the largest scores of a row end: all above `cut`, and those equal to it up to a position.
template <class T>
struct cut_row {
    T maximum = -std::numeric_limits<T>::infinity();
    T inverse_sum = T(0);
    T cut = std::numeric_limits<T>::infinity();
    bits_of<T> last = -1;  ///< the position of the last score equal to the cut
};

template <class T>
struct selection {
    T value;
    T above;
};

/// So few that each is compared with each.
inline constexpr index few_scores = 64;

template <class T, class Measure>
selection<T> select_of_few(const T* scores, index count, T needed, T above, Measure&& measure) {
    constexpr index size = vec<T>::size;
    constexpr int vectors = static_cast<int>(few_scores / size);
    alignas(64) T own[few_scores], measures[few_scores], before[few_scores];
    array_of<vec<T>, vectors> x, greater;
    unroll<vectors>([&](int v) __attribute__((always_inline)) {
        x[v] = vec<T>::load_partial(scores + v * size, count - v * size,
                                    -std::numeric_limits<T>::infinity());
        greater[v] = vec<T>(above);
        x[v].store_aligned(own + v * size);
        measure(x[v]).store_aligned(measures + v * size);
    });
    for (index i = 0; i < count; ++i) {
        const vec<T> other(own[i]), m(measures[i]);
        unroll<vectors>([&](int v) __attribute__((always_inline)) {
            greater[v] += select(other > x[v], m, vec<T>(T(0)));
        });
    }
    unroll<vectors>([&](int v) __attribute__((always_inline)) {
        greater[v].store_aligned(before + v * size);
    });
    // The least score above which something is missing.
    selection<T> result{std::numeric_limits<T>::infinity(), above};
    for (index i = 0; i < count; ++i)
        if (before[i] < needed && own[i] < result.value) result = {own[i], before[i]};
    return result;
}

/// A score that at least k of a row reach, as near to the k-th largest as one look at each can
/// tell: the k-th largest of the maxima of groups. −∞ where that would not help.
template <class T>
T reached_by(const T* row, index count, index k) {
    static_assert(score_groups == few_scores);
    if (count < 4 * score_groups || k > score_groups / 2)
        return -std::numeric_limits<T>::infinity();
    alignas(64) T maxima[score_groups];
    find_group_maxima(row, count, maxima);
    return select_of_few(maxima, few_scores, static_cast<T>(k), T(0),
                         [](vec<T>) { return vec<T>(T(1)); })
        .value;
}

/// The largest score v with Σ_{x ≥ v} measure(x) ≥ `needed`, and how much of it the scores above v
/// are. Each round splits the scores that are left at a pivot: by turns halfway between the least
/// and the greatest, and one of them, so that neither a few far ones nor many near ones are slow.
/// `scores` is overwritten; `count` of them, and room for a vector more.
template <class T, class Measure>
selection<T> select_largest(T* scores, index count, T needed, Measure&& measure) {
    constexpr index size = vec<T>::size;
    constexpr T infinity = std::numeric_limits<T>::infinity();
    const vec<T> zero(T(0));
    T above = T(0);
    for (int round = 0;; ++round) {
        vec<T>(-infinity).store(scores + count);
        if (count <= few_scores) return select_of_few(scores, count, needed, above, measure);
        const index whole = round_up(count, size);
        T pivot = scores[count / 2];
        if (round % 2 == 0) {
            vec<T> least(infinity), greatest(-infinity);
            for (index j = 0; j < whole; j += size) {
                const vec<T> x = vec<T>::load(scores + j);
                greatest = max(x, greatest);
                least = min(select(x == vec<T>(-infinity), vec<T>(infinity), x), least);
            }
            const T middle = reduce_min(least) / 2 + reduce_max(greatest) / 2;
            if (middle > -infinity && middle < infinity) pivot = middle;
        }
        const vec<T> border(pivot);
        const auto [greater, equal] = sums_over<2>(scores, whole, [&](vec<T> x, auto& sums) {
            const vec<T> m = measure(x);
            sums[0] += select(x > border, m, zero);
            sums[1] += select(x == border, m, zero);
        });
        const bool is_above = above + greater >= needed;
        if (!is_above && (above + greater) + equal >= needed) return {pivot, above + greater};
        index kept = 0;
        for (index j = 0; j < whole; j += size) {
            const vec<T> x = vec<T>::load(scores + j);
            const vec_mask<T> keep = is_above ? x > border : (x < border) & (x > vec<T>(-infinity));
            x.compress(keep, scores + kept);
            kept += keep.count();
        }
        // Rounding may leave the sum of all below what is needed: then all are taken.
        if (kept == 0) return {pivot, above + greater};
        if (!is_above) above = (above + greater) + equal;
        count = kept;
    }
}

/// Softmax with temperature over the k largest scores of a row, or over the fewest that together
/// have a given mass. Of equal scores the first ones are taken.
template <class T>
class largest_row {
  public:
    using statistics = cut_row<T>;
    static constexpr bool is_sparse = true;

    /// `mass` is 0 where the number k decides.
    largest_row(index k, double mass, double tau)
        : k_(k), mass_(static_cast<T>(mass)), by_(tau), inverse_(static_cast<T>(1 / tau)) {}

    statistics normalise(T* row, index count, arena& scratch) const {
        const arena::scope mark(scratch);
        T* scores = scratch.take<T>(count + vec<T>::size);
        auto* positions = scratch.take<std::int32_t>(count + vec<T>::size);
        index kept = 0;
        const statistics solved =
            solve(row, count, largest_score(row, count), scores, positions, kept, scratch);
        recompute(solved, row, count);
        return solved;
    }

    void recompute(const statistics& solved, T* row, index count) const {
        for (index j = 0; j < count; j += vec<T>::size) {
            const vec<T> x = vec<T>::load_aligned(row + j);
            const vec_mask<T> kept = keeps(solved.cut, solved.last, x, j);
            vec<T> p(std::isnan(solved.maximum) ? solved.maximum : T(0));
            if (any(kept)) p = select(kept, probability(solved, x), vec<T>(T(0)));
            p.store_aligned(row + j);
        }
    }

    index support(const T* row, index count, T maximum, T* p, std::int32_t* positions,
                  statistics& solved, arena& scratch) const {
        index kept = 0;
        solved = solve(row, count, maximum, p, positions, kept, scratch);
        if (std::isnan(solved.maximum)) return invalid_support(row, count, p, positions);
        return keep_support(p, positions, kept, [&](vec<T> x) { return probability(solved, x); });
    }

    /// The sum with 0 keeps compilers from fusing the product with what comes next.
    [[gnu::always_inline]] vec<T> weight(vec<T> p) const { return product(p, vec<T>(inverse_)); }

    void gradient(const statistics&, const T*, const T* p, T* dp, index count, T*,
                  arena& scratch) const {
        weighted_gradient(
            p, dp, count, T(0), [&](vec<T> v) { return weight(v); }, scratch);
    }

    /// Which scores of a row are taken: they are left in `scores` and `positions`, which have room
    /// for a vector more than `count`.
    statistics solve(const T* row, index count, T maximum, T* scores, std::int32_t* positions,
                     index& kept, arena& scratch) const {
        constexpr T infinity = std::numeric_limits<T>::infinity();
        statistics solved;
        kept = 0;
        if (maximum == -infinity) {
            if (has_nan(row, count)) solved.maximum = std::numeric_limits<T>::quiet_NaN();
            return solved;
        }
        // All but −∞, or those of which many are not among the k largest.
        T reach = std::numeric_limits<T>::max();
        if (mass_ == T(0)) reach = std::min(reach, maximum - reached_by(row, count, k_));
        const index found = find_candidates(row, count, maximum, reach, scores, positions);
        if (maximum == infinity || has_nan(scores, found)) {
            solved.maximum = std::numeric_limits<T>::quiet_NaN();
            return solved;
        }
        solved.maximum = maximum;
        const auto exponential = [&](vec<T> x) {
            return exp2_fast(by_.exponent_of(x - vec<T>(maximum)));
        };

        // All of them, unless fewer are enough.
        solved.cut = -infinity;
        index last = found;
        const arena::scope mark(scratch);
        T* copy = scratch.take<T>(found + vec<T>::size);
        std::copy_n(scores, static_cast<std::size_t>(found), copy);
        if (mass_ == T(0) && k_ <= found) {
            const auto needed = static_cast<T>(k_);
            const auto end =
                select_largest(copy, found, needed, [](vec<T>) { return vec<T>(T(1)); });
            solved.cut = end.value;
            last = last_equal(scores, found, end.value, needed - end.above);
        } else if (mass_ > T(0) && mass_ < T(1)) {
            const T needed = mass_ * sum(copy, found, exponential);
            const auto end = select_largest(copy, found, needed, exponential);
            alignas(64) T each[vec<T>::size];
            exponential(vec<T>(end.value)).store_aligned(each);
            solved.cut = end.value;
            last = last_equal(scores, found, end.value, std::ceil((needed - end.above) / each[0]));
        }
        if (last < found && last >= 0) solved.last = positions[last];
        for (index j = 0; j < found; j += vec<T>::size) {
            const vec<T> x = vec<T>::load(scores + j);
            const vec_mask<T> taken = keeps(solved.cut, last, x, j) & (x > vec<T>(-infinity));
            x.compress(taken, scores + kept);
            taken.compress_positions(positions + j, positions + kept);
            kept += taken.count();
        }
        solved.inverse_sum = T(1) / sum(scores, kept, exponential);
        return solved;
    }

  private:
    /// Which scores of a vector, the first of which is number j, are above the cut, or equal to it
    /// and not behind number `last`.
    static vec_mask<T> keeps(T cut, index last, vec<T> x, index j) {
        const vec<T> border(cut);
        return (x > border) | ((x == border) & vec_mask<T>::first(last + 1 - j));
    }

    [[gnu::always_inline]] vec<T> probability(const statistics& solved, vec<T> x) const {
        return exp2_fast(by_.exponent_of(x - vec<T>(solved.maximum))) * vec<T>(solved.inverse_sum);
    }

    /// Σ measure(x); −∞ is stored behind the numbers.
    template <class Measure>
    static T sum(T* scores, index count, Measure&& measure) {
        constexpr index size = vec<T>::size;
        vec<T>(-std::numeric_limits<T>::infinity()).store(scores + count);
        const index whole = round_up(count, size);
        return sums_over<1>(scores, whole, [&](vec<T> x, auto& sums) { sums[0] += measure(x); })[0];
    }

    /// The number of the n-th score that is equal to the cut, or of the last one.
    static index last_equal(const T* scores, index count, T cut, T n) {
        index last = -1;
        for (index j = 0; j < count && n > T(0); j += vec<T>::size) {
            std::uint64_t equal = (vec<T>::load(scores + j) == vec<T>(cut)).bits();
            for (; equal != 0 && n > T(0); equal &= equal - 1, n -= T(1))
                last = j + std::countr_zero(equal);
        }
        return last;
    }

    index k_;
    T mass_;
    temperature_factors<T> by_;
    T inverse_;
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
