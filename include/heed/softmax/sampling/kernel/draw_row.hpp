#pragma once

#include <algorithm>
#include <limits>
#include <type_traits>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/view.hpp>
#include <heed/rows/lines.hpp>
#include <heed/softmax/kernel/likeliest.hpp>
#include <heed/softmax/sampling/kernel/choice.hpp>

/// \file
/// One draw from a row of logits. All sums are of doubles in the order of the row, or of bins that
/// depend on the row alone: no neighbour, layout or thread changes a bit.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// What is left of a row before a draw; see heed::sample.
struct truncation {
    double tau = 1;
    index top_k = 0;  ///< 0: all
    double top_p = 1;
    double min_p = 0;
};

/// The lowest index of the largest of a row, or why there is none.
template <class T>
index largest_of(const tensor_view<T, 1>& x) {
    constexpr auto infinity = std::numeric_limits<std::remove_const_t<T>>::infinity();
    index best = nothing_to_choose;
    for (index j = 0; j < x.extents[0]; ++j) {
        if (!(x(j) < infinity)) return no_distribution;
        if (x(j) > (best < 0 ? -infinity : x(best))) best = j;
    }
    return best;
}

/// The index at which the cumulated sum of the row's truncated probabilities passes u, 0 < u < 1.
template <class T>
index draw_row(const tensor_view<const T, 1>& x, const truncation& cut, double u, arena& scratch) {
    constexpr T lowest = -std::numeric_limits<T>::infinity();
    const index best = largest_of(x);
    if (best < 0) return best;
    const index n = x.extents[0];
    T* const logits = scratch.take<T>(n);
    T* const weights = scratch.take<T>(n);
    for (index j = 0; j < n; ++j) logits[j] = x(j);

    // Relative to the largest, whose weight is 1.
    const contiguous_line<T> from{logits, n}, to{weights, n};
    // An infinite 1/τ would make it 0·∞.
    const double steepest = static_cast<double>(std::numeric_limits<T>::max());
    const vec<T> reference(x(best)), cold(static_cast<T>(std::min(1 / cut.tau, steepest)));
    for_each_vector(from, [&](auto at) { to.store(at, exp((from.load(at) - reference) * cold)); });

    const auto weight = [&](index j) { return static_cast<double>(weights[j]); };
    const auto is_left = [&](index j) { return logits[j] != lowest; };
    const auto total = [&] {
        double sum = 0;
        for (index j = 0; j < n; ++j) sum += is_left(j) ? weight(j) : 0;
        return sum;
    };
    // What is taken out becomes −∞.
    const likeliest_cut<T> keep(logits, n, x(best), scratch);
    if (cut.top_k > 0 && cut.top_k < n)
        keep(static_cast<double>(cut.top_k), [](index) { return 1.0; });
    if (cut.top_p < 1) keep(cut.top_p * total(), weight);
    if (cut.min_p > 0)
        for (index j = 0; j < n; ++j)
            if (weight(j) < cut.min_p) logits[j] = lowest;

    const double target = u * total();
    double sum = 0;
    index drawn = best;
    for (index j = 0; j < n; ++j) {
        if (!is_left(j) || weights[j] == 0) continue;
        drawn = j;  // the last one, should rounding leave the sum below the target
        sum += weight(j);
        if (sum > target) break;
    }
    return drawn;
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
