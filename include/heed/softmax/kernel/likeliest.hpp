#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/rows/lines.hpp>

/// \file
/// What is left of a distribution when only its likeliest outcomes count, and its entropy.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// −Σ p·log p of a row of log-probabilities.
template <class T>
double entropy_of(const contiguous_line<const T>& log_p) {
    const vec<T> sum = sum_over(
        log_p, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
            const vec<T> x = log_p.load(at, -std::numeric_limits<double>::infinity());
            // 0·(−∞) is NaN.
            const vec<T> finite = max(vec<T>(std::numeric_limits<T>::lowest()), x);
            return fnma(exp(x), finite, so_far);
        });
    return static_cast<double>(reduce_max(sum));
}

/// Of a row of log-probabilities, the greatest in turn, of equal ones the first, until their
/// weights, e^x or 1, sum to a target; the rest becomes −∞. In time linear in the row's length:
/// only those near the last that is kept are sorted.
template <class T>
class likeliest_cut {
  public:
    likeliest_cut(T* log_p, index n, T top, arena& scratch)
        : log_p_(log_p), n_(n), top_(top), scratch_(scratch) {}

    template <class Weight>
    void operator()(double target, Weight&& weight) const {
        const arena::scope mark(scratch_);
        double* sums = scratch_.take<double>(bins);
        index* last = scratch_.take<index>(n_);
        std::fill_n(sums, bins, 0.0);
        for (index j = 0; j < n_; ++j)
            if (log_p_[j] != lowest) sums[bin_of(j)] += weight(j);
        double sum = 0;
        index bin = 0;
        while (bin < bins && sum + sums[bin] < target) sum += sums[bin++];

        index found = 0;
        for (index j = 0; j < n_; ++j) {
            if (log_p_[j] == lowest || bin_of(j) < bin) continue;
            if (bin_of(j) == bin)
                last[found++] = j;
            else
                log_p_[j] = lowest;
        }
        std::sort(last, last + found, [&](index a, index b) {
            return log_p_[a] > log_p_[b] || (log_p_[a] == log_p_[b] && a < b);
        });
        for (index i = 0; i < found; ++i) {
            const double so_far = sum;
            sum += weight(last[i]);
            if (so_far >= target) log_p_[last[i]] = lowest;
        }
    }

  private:
    static constexpr T lowest = -std::numeric_limits<T>::infinity();
    static constexpr index bins = 4096;

    /// Sixty-four a unit of log p; what is far below the greatest is all in the last.
    index bin_of(index j) const {
        return static_cast<index>(std::min((top_ - log_p_[j]) * T(64), T(bins - 1)));
    }

    T* log_p_;
    index n_;
    T top_;
    arena& scratch_;
};

/// Leaves, of a row of log-probabilities, the k greatest (0: all), then the fewest of them whose
/// share is `mass` or more, and makes those sum to one again; the rest becomes −∞. Of equal ones
/// the first stay. A row with a NaN, or without a number, is left as it is.
template <class T>
void keep_likeliest(T* log_p, index n, index k, double mass, arena& scratch) {
    if ((k == 0 || k >= n) && mass >= 1) return;
    const contiguous_line<T> row{log_p, n};
    const T top = reduce_max(maximum_over(row));
    if (std::any_of(log_p, log_p + n, [](T x) { return std::isnan(x); }) || std::isinf(top)) return;

    const arena::scope mark(scratch);
    T* weights = scratch.take<T>(n);
    const contiguous_line<T> to{weights, n};
    // Relative to the greatest, so that one that is left alone has a logarithm of exactly 0.
    const vec<T> reference(top);
    for_each_vector(row, [&](auto at) { to.store(at, exp(row.load(at) - reference)); });
    const auto weight = [&](index j) { return static_cast<double>(weights[j]); };
    const auto total = [&] {
        double sum = 0;
        for (index j = 0; j < n; ++j) sum += std::isinf(log_p[j]) ? 0 : weight(j);
        return sum;
    };
    const likeliest_cut<T> cut(log_p, n, top, scratch);
    if (k > 0 && k < n) cut(static_cast<double>(k), [](index) { return 1.0; });
    if (mass < 1) cut(mass * total(), weight);
    const vec<T> log_total(std::log(total()));
    for_each_vector(row, [&](auto at) { row.store(at, (row.load(at) - reference) - log_total); });
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
