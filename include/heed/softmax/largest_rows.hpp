#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/unroll.hpp>
#include <heed/softmax/candidates.hpp>
#include <heed/softmax/exponential_sums.hpp>
#include <heed/softmax/sparse_row.hpp>

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
    vec<T> x[vectors], greater[vectors];
    unroll<vectors>([&](auto v) {
        x[v] = vec<T>::load_partial(scores + v * size, count - v * size,
                                    -std::numeric_limits<T>::infinity());
        greater[v] = vec<T>(above);
        x[v].store_aligned(own + v * size);
        measure(x[v]).store_aligned(measures + v * size);
    });
    for (index i = 0; i < count; ++i) {
        const vec<T> other(own[i]), m(measures[i]);
        unroll<vectors>([&](auto v) __attribute__((always_inline)) {
            greater[v] += select(other > x[v], m, vec<T>(T(0)));
        });
    }
    unroll<vectors>([&](auto v) { greater[v].store_aligned(before + v * size); });
    // The least score above which something is missing.
    selection<T> result{std::numeric_limits<T>::infinity(), above};
    for (index i = 0; i < count; ++i)
        if (before[i] < needed && own[i] < result.value) result = {own[i], before[i]};
    return result;
}

/// Drops scores that are not among the k largest, as many as one look at each can tell; returns how
/// many are left. At least k reach the k-th largest of the maxima of groups.
template <class T>
index drop_low_scores(T* scores, index count, index k) {
    constexpr index size = vec<T>::size;
    constexpr int vectors = static_cast<int>(few_scores / size);
    if (count < 4 * few_scores || k > few_scores / 2) return count;
    vec<T> greatest[vectors];
    unroll<vectors>([&](auto i) { greatest[i] = vec<T>::load(scores + i * size); });
    for (index j = few_scores; j + few_scores <= count; j += few_scores)
        unroll<vectors>(
            [&](auto i) { greatest[i] = max(greatest[i], vec<T>::load(scores + j + i * size)); });
    alignas(64) T maxima[few_scores];
    unroll<vectors>([&](auto i) { greatest[i].store_aligned(maxima + i * size); });
    const vec<T> border(select_of_few(maxima, few_scores, static_cast<T>(k), T(0), [](vec<T>) {
                            return vec<T>(T(1));
                        }).value);
    vec<T>(-std::numeric_limits<T>::infinity()).store(scores + count);
    index kept = 0;
    for (index j = 0; j < count; j += size) {
        const vec<T> x = vec<T>::load(scores + j);
        const vec_mask<T> reach = x >= border;
        x.compress(reach, scores + kept);
        kept += reach.count();
    }
    return kept;
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
        const index whole = (count + size - 1) / size * size;
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
        const statistics solved = solve(row, count, largest_score(row, count), scratch);
        recompute(solved, row, count);
        return solved;
    }

    void recompute(const statistics& solved, T* row, index count) const {
        for (index j = 0; j < count; j += vec<T>::size) {
            const vec<T> x = vec<T>::load_aligned(row + j);
            const vec_mask<T> kept = keeps(solved, x, j);
            vec<T> p(std::isnan(solved.maximum) ? solved.maximum : T(0));
            if (any(kept)) p = select(kept, probability(solved, x), vec<T>(T(0)));
            p.store_aligned(row + j);
        }
    }

    index support(const T* row, index count, T maximum, T* p, std::int32_t* positions,
                  statistics& solved, arena& scratch) const {
        solved = solve(row, count, maximum, scratch);
        if (std::isnan(solved.maximum)) return invalid_support(row, count, p, positions);
        index found = 0;
        for (index j = 0; j < count; j += vec<T>::size) {
            const vec<T> x = vec<T>::load_aligned(row + j);
            const vec_mask<T> kept = keeps(solved, x, j);
            if (!any(kept)) continue;
            const vec<T> probabilities = probability(solved, x);
            const vec_mask<T> positive = kept & (probabilities > vec<T>(T(0)));
            probabilities.compress(positive, p + found);
            positive.compress_positions(j, positions + found);
            found += positive.count();
        }
        return found;
    }

    /// The sum with 0 keeps compilers from fusing the product with what comes next.
    [[gnu::always_inline]] vec<T> weight(vec<T> p) const {
        return fma(p, vec<T>(inverse_), vec<T>(T(0)));
    }

    T gradient(const statistics&, const T*, const T* p, T* dp, index count, arena& scratch) const {
        weighted_gradient(
            p, dp, count, T(0), [&](vec<T> v) { return weight(v); }, scratch);
        return T(0);
    }

    statistics solve(const T* row, index count, T maximum, arena& scratch) const {
        constexpr T infinity = std::numeric_limits<T>::infinity();
        const arena::scope mark(scratch);
        T* scores = scratch.take<T>(count + vec<T>::size);
        statistics solved;
        if (maximum == infinity || has_nan(row, count)) {
            solved.maximum = std::numeric_limits<T>::quiet_NaN();
            return solved;
        }
        if (maximum == -infinity) return solved;
        solved.maximum = maximum;
        const auto exponential = [&](vec<T> x) {
            return exp2_fast(by_.exponent_of(x - vec<T>(maximum)));
        };

        index found =
            compress_row(row, count, scores, [](vec<T> x, index) { return x > vec<T>(-infinity); });
        solved.cut = -infinity;  // all of them, unless fewer are enough
        if (mass_ == T(0) && k_ < found) {
            const auto needed = static_cast<T>(k_);
            found = drop_low_scores(scores, found, k_);
            const auto end =
                select_largest(scores, found, needed, [](vec<T>) { return vec<T>(T(1)); });
            solved.cut = end.value;
            solved.last = last_equal(row, count, end.value, needed - end.above);
        } else if (mass_ > T(0) && mass_ < T(1)) {
            const T needed = mass_ * sum(scores, found, exponential);
            const auto end = select_largest(scores, found, needed, exponential);
            alignas(64) T each[vec<T>::size];
            exponential(vec<T>(end.value)).store_aligned(each);
            solved.cut = end.value;
            solved.last =
                last_equal(row, count, end.value, std::ceil((needed - end.above) / each[0]));
        }
        found = compress_row(row, count, scores,
                             [&](vec<T> x, index j) { return keeps(solved, x, j); });
        solved.inverse_sum = T(1) / sum(scores, found, exponential);
        return solved;
    }

  private:
    /// Which scores of a vector, whose first position is j, are among the largest.
    static vec_mask<T> keeps(const statistics& solved, vec<T> x, index j) {
        const vec<T> cut(solved.cut);
        return (x > cut) |
               ((x == cut) & vec_mask<T>::first(static_cast<index>(solved.last) + 1 - j));
    }

    [[gnu::always_inline]] vec<T> probability(const statistics& solved, vec<T> x) const {
        return exp2_fast(by_.exponent_of(x - vec<T>(solved.maximum))) * vec<T>(solved.inverse_sum);
    }

    template <class Keep>
    static index compress_row(const T* row, index count, T* to, Keep&& keep) {
        index found = 0;
        for (index j = 0; j < count; j += vec<T>::size) {
            const vec<T> x = vec<T>::load_aligned(row + j);
            const vec_mask<T> kept = keep(x, j);
            x.compress(kept, to + found);
            found += kept.count();
        }
        return found;
    }

    /// Σ measure(x); −∞ is stored behind the numbers.
    template <class Measure>
    static T sum(T* scores, index count, Measure&& measure) {
        constexpr index size = vec<T>::size;
        vec<T>(-std::numeric_limits<T>::infinity()).store(scores + count);
        const index whole = (count + size - 1) / size * size;
        return sums_over<1>(scores, whole, [&](vec<T> x, auto& sums) { sums[0] += measure(x); })[0];
    }

    /// The position of the n-th score that is equal to the cut, or the last one.
    static bits_of<T> last_equal(const T* row, index count, T cut, T n) {
        index last = -1;
        for (index j = 0; j < count && n > T(0); j += vec<T>::size) {
            std::uint64_t equal = (vec<T>::load_aligned(row + j) == vec<T>(cut)).bits();
            for (; equal != 0 && n > T(0); equal &= equal - 1, n -= T(1))
                last = j + std::countr_zero(equal);
        }
        return static_cast<bits_of<T>>(last);
    }

    index k_;
    T mass_;
    temperature_factors<T> by_;
    T inverse_;
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
