#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/unroll.hpp>

/// \file
/// What the sparse normalisers share: a row's candidates, sums over them, and a threshold.
///
/// Of a row's scores only those within some reach of the maximum can have a probability that is
/// not zero. One pass gathers these candidates with their positions; the threshold is then sought
/// among them alone.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// What a solver found, and in how many steps.
template <class Statistics>
struct solution {
    Statistics row;
    int steps;
};

/// λ = high + low: one number of type T has too few digits for Σp = 1, beside scores of 1e4 or with
/// thousands of probabilities that are nearly alike.
template <class T>
struct threshold {
    T high = std::numeric_limits<T>::infinity();  ///< no score lies above it
    T low = T(0);

    /// λ of a row with a NaN, which makes everything NaN.
    static threshold invalid() { return {std::numeric_limits<T>::quiet_NaN(), T(0)}; }

    /// a + b
    static threshold sum(T a, T b) {
        const T high = a + b, from_b = high - a;
        return {high, (a - (high - from_b)) + (b - from_b)};
    }
    threshold operator+(T step) const { return sum(high, low + step); }
    friend bool operator==(const threshold&, const threshold&) = default;

    /// x − λ. Where x is near λ, this is rounded once.
    [[gnu::always_inline]] vec<T> below(vec<T> x) const { return (x - vec<T>(high)) - vec<T>(low); }
};

/// Adds numbers and what their additions lose.
template <class T>
class exact_sum {
  public:
    void add(T x) {
        const auto next = threshold<T>::sum(sum_, x);
        sum_ = next.high;
        lost_ += next.low;
    }
    T value() const { return sum_ + lost_; }

  private:
    T sum_ = T(0), lost_ = T(0);
};

/// Σ of each of `Sums` terms over x[0 … count), where count is a whole number of vectors:
/// term(x, sums) adds the terms of a vector. Blocks are summed from zero and added exactly: a long
/// chain of additions loses digits.
template <std::size_t Sums, class T, class Term>
[[gnu::always_inline]] inline std::array<T, Sums> sums_over(const T* x, index count, Term&& term) {
    constexpr index size = vec<T>::size, block = 32 * size;
    using sums = std::array<vec<T>, Sums>;
    std::array<exact_sum<T>, Sums> total{};
    for (index first = 0; first < count; first += block) {
        const index last = first + block < count ? first + block : count;
        sums even, odd;
        even.fill(vec<T>(T(0)));
        odd.fill(vec<T>(T(0)));
        index j = first;
        for (; j + size < last; j += 2 * size) {
            term(vec<T>::load(x + j), even);
            term(vec<T>::load(x + j + size), odd);
        }
        if (j < last) term(vec<T>::load(x + j), even);
        for (std::size_t s = 0; s < Sums; ++s) total[s].add(reduce_add(even[s] + odd[s]));
    }
    std::array<T, Sums> result;
    for (std::size_t s = 0; s < Sums; ++s) result[s] = total[s].value();
    return result;
}

/// A row's largest score; NaNs are passed over. `count` is a whole number of pairs of vectors.
template <class T>
T largest_score(const T* row, index count) {
    constexpr index size = vec<T>::size;
    vec<T> even(-std::numeric_limits<T>::infinity()), odd = even;
    for (index j = 0; j < count; j += 2 * size) {
        even = max(vec<T>::load_aligned(row + j), even);
        odd = max(vec<T>::load_aligned(row + j + size), odd);
    }
    return reduce_max(max(even, odd));
}

/// How many groups stand for a long row.
inline constexpr index score_groups = 64;

/// The largest of each of the groups that a row of score_groups scores at least is dealt out to.
template <class T>
void find_group_maxima(const T* row, index count, T* maxima) {
    constexpr index size = vec<T>::size;
    constexpr int vectors = static_cast<int>(score_groups / size);
    array_of<vec<T>, vectors> greatest;
    unroll<vectors>([&](int i) __attribute__((always_inline)) {
        greatest[i] = vec<T>::load(row + i * size);
    });
    for (index j = score_groups; j + score_groups <= count; j += score_groups)
        unroll<vectors>([&](int i) __attribute__((always_inline)) {
            greatest[i] = max(greatest[i], vec<T>::load(row + j + i * size));
        });
    unroll<vectors>([&](int i) __attribute__((always_inline)) {
        greatest[i].store_aligned(maxima + i * size);
    });
}

/// Whether there is a NaN in the row, whole vectors of which can be read.
template <class T>
bool has_nan(const T* row, index count) {
    for (index j = 0; j < count; j += vec<T>::size)
        if (any(is_nan(vec<T>::load(row + j)))) return true;
    return false;
}

/// Gathers those of a row's scores that lie at most `reach` below the maximum, and NaNs; returns
/// how many there are. Behind them stands a vector of −∞. Positions are found unless null.
template <class T>
index find_candidates(const T* row, index count, T maximum, T reach, T* scores,
                      std::int32_t* positions) {
    constexpr index size = vec<T>::size;
    const vec<T> top(maximum), lowest(-reach);
    index found = 0;
    const auto gather = [&](auto with_positions) __attribute__((always_inline)) {
        const auto is_near = [&](index j) {
            return !(vec<T>::load_aligned(row + j) - top < lowest);
        };
        const auto take = [&](index j, vec_mask<T> near) {
            vec<T>::load_aligned(row + j).compress(near, scores + found);
            if constexpr (with_positions) near.compress_positions(j, positions + found);
            found += near.count();
        };
        index j = 0;
        for (; j + 4 * size <= count; j += 4 * size) {
            // One branch for four vectors: for one it would be mispredicted as often as not.
            const vec_mask<T> a = is_near(j), b = is_near(j + size), c = is_near(j + 2 * size),
                              d = is_near(j + 3 * size);
            if (!any((a | b) | (c | d))) continue;
            take(j, a);
            take(j + size, b);
            take(j + 2 * size, c);
            take(j + 3 * size, d);
        }
        for (; j < count; j += size) take(j, is_near(j));
    };
    if (positions != nullptr)
        gather(std::true_type{});
    else
        gather(std::false_type{});
    vec<T>(-std::numeric_limits<T>::infinity()).store(scores + found);
    return found;
}

/// Of the candidates, keeps those whose probability(x) is not zero: their probabilities in the
/// place of the scores, and their positions.
template <class T, class Probability>
index keep_support(T* scores, std::int32_t* positions, index candidates,
                   Probability&& probability) {
    index kept = 0;
    for (index j = 0; j < candidates; j += vec<T>::size) {
        const vec<T> p = probability(vec<T>::load(scores + j));
        const vec_mask<T> positive = p > vec<T>(T(0));
        p.compress(positive, scores + kept);
        positive.compress_positions(positions + j, positions + kept);
        kept += positive.count();
    }
    return kept;
}

/// The support of a row with a NaN: whatever is not left out, with probabilities that are NaN.
template <class T>
index invalid_support(const T* row, index count, T* p, std::int32_t* positions) {
    index kept = 0;
    for (index j = 0; j < count; j += vec<T>::size) {
        const vec<T> x = vec<T>::load_aligned(row + j);
        const vec_mask<T> visible = x != vec<T>(-std::numeric_limits<T>::infinity());
        vec<T>(std::numeric_limits<T>::quiet_NaN()).store(p + kept);
        visible.compress_positions(j, positions + kept);
        kept += visible.count();
    }
    return kept;
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
