#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <heed/core/architecture.hpp>
#include <heed/core/math.hpp>
#include <heed/core/scalar.hpp>
#include <heed/core/simd.hpp>
#include <heed/rows/line_parts.hpp>
#include <heed/rows/lines.hpp>
#include <heed/softmax/kernel/blockwise_softmax.hpp>
#include <heed/softmax/kernel/exponential_sums.hpp>

/// \file
/// Sums over a row of logits without its label's.
///
/// Where the label is all but certain, what the others' exponentials sum to is all that a loss
/// consists of; beside the label's 1 its digits would be lost. So the label is left out of every
/// sum, as if its logit were −∞.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// The labels of a line's rows: their logits, and where they stand; a lane a row, or all lanes the
/// one row's.
template <class T>
struct line_labels {
    vec<T> logit;
    std::array<index, static_cast<std::size_t>(vec<T>::size)> position;

    /// The positions counted from element `first`, so that T holds them where it matters.
    template <class Line>
    vec<T> behind(index first) const {
        if constexpr (is_lane_line<Line>) {
            lane_array<T> relative{};
            for (std::size_t lane = 0; lane < relative.size(); ++lane)
                relative[lane] = static_cast<T>(position[lane] - first);
            return vec<T>::load(relative.data());
        } else {
            return vec<T>(position[0] - first);
        }
    }
};

/// A line whose rows lack the elements at `missing`, which read as −∞.
template <class Line>
struct line_without {
    using vector = typename Line::vector;

    Line line;
    vector missing;

    index whole() const { return line.whole(); }
    index rest() const { return line.rest(); }

    template <class At>
    vector load(At at, double fill = 0) const {
        const vector lowest(-std::numeric_limits<double>::infinity());
        return select(positions<Line>(at.number) == missing, lowest, line.load(at, fill));
    }

    static vector sum(vector v) { return Line::sum(v); }
    static vector greatest(vector v) { return Line::greatest(v); }
};

/// Sums over the logits of a row, a lane a row where rows lie across.
template <class T>
struct logit_sums {
    vec<T> shift;     ///< near the maximum of all but the label's, not above; 0 if they are −∞
    vec<T> sum;       ///< Σ e^{(x − shift)/τ} over all but the label's
    vec<T> weighted;  ///< Σ e^{(x − shift)/τ}·(x − shift) over all but the label's
    vec<T> gaps;      ///< Σ (x − shift)·unit over all of them
    T unit;           ///< a power of two, at most 1/2n: gaps are sums of finite numbers
};

/// Σ e^{(x − shift)/τ} and, if a loss asks for it, Σ e^{(x − shift)/τ}·(x − shift).
template <class T>
struct exponential_pair {
    vec<T> sum, weighted;
};

template <class T, bool IsWeighted>
[[gnu::always_inline]] inline exponential_pair<T> exponentials_of(
    vec<T> x, vec<T> shift, const temperature_factors<T>& by) {
    const vec<T> gap = x - shift, e = exp2_fast(by.exponent_of(gap));
    if constexpr (!IsWeighted) return {e, e};
    // 0·(−∞) is NaN.
    const vec<T> finite = max(gap, vec<T>(std::numeric_limits<T>::lowest()));
    return {e, product(e, finite)};
}

/// Their sums over a line of a few blocks' length at most.
template <class T, bool IsWeighted, class Line>
[[gnu::always_inline]] inline exponential_pair<T> sum_pairs(const Line& x, vec<T> shift,
                                                            const temperature_factors<T>& by) {
    vec<T> sum[4] = {0, 0, 0, 0}, weighted[4] = {0, 0, 0, 0};
    const auto take = [&](int i, auto at) __attribute__((always_inline)) {
        const vec<T> v = x.load(at, -std::numeric_limits<double>::infinity());
        const auto e = exponentials_of<T, IsWeighted>(v, shift, by);
        sum[i] += e.sum;
        if constexpr (IsWeighted) weighted[i] += e.weighted;
    };
    sweep(0, x.whole(), take);
    if (x.rest() > 0) take(0, part_vector{x.whole(), x.rest()});
    const auto all = [](const vec<T>(&part)[4]) {
        return Line::sum((part[0] + part[1]) + (part[2] + part[3]));
    };
    return {all(sum), IsWeighted ? all(weighted) : vec<T>(T(0))};
}

/// The sums of a row, block by block. Out of line, so that its loop has all of the registers.
template <class T, class Loss, class Line>
[[gnu::noinline]] logit_sums<T> sum_logits(const Line& row, const line_labels<T>& labels,
                                           const temperature_factors<T>& by, const Loss& loss) {
    // Of rows that lie across, each element of a block may be in a cache line of its own.
    constexpr index block = is_lane_line<Line> ? block_vectors : 2 * block_elements<T>;
    constexpr bool is_weighted = Loss::wants_expected_gap;
    const vec<T> zero(T(0));
    vec<T> maximum(-std::numeric_limits<T>::infinity()), reference = maximum, shift(zero);
    compensated_sum<vec<T>> sum, weighted, gaps;
    T unit(1);
    if (loss.wants_mean_log_p()) {
        int digits = 0;  // n < 2^digits
        std::frexp(static_cast<double>(row.length), &digits);
        unit = std::ldexp(T(1), -1 - digits);
    }
    for (index first = 0; first < row.length; first += block) {
        const index length = std::min(block, row.length - first);
        const auto x = stretch_of(row, first, length);
        const vec<T> label = labels.template behind<Line>(first);
        const auto is_here = (label >= zero) & (label < vec<T>(length));
        const vec<T> before = maximum, reference_before = reference, shift_before = shift;
        const auto move = [&](vec<T> greatest) {
            maximum = max(greatest, before);
            reference = moved_reference(reference_before, maximum, by);
            shift = finite_shift(reference);
        };
        exponential_pair<T> part;
        const vec<T> greatest = maximum_over(x);
        if (any(is_here & (labels.logit == max(greatest, before)))) {
            const line_without<Line> others{x, label};
            move(maximum_over(others));
            part = sum_pairs<T, is_weighted>(others, shift, by);
        } else {
            move(greatest);
            part = sum_pairs<T, is_weighted>(x, shift, by);
            // The others' sum is 1 at least, and loses no digits when the label's is taken away.
            if (any(is_here)) {
                const auto e = exponentials_of<T, is_weighted>(labels.logit, shift, by);
                part.sum -= select(is_here, e.sum, zero);
                part.weighted -= select(is_here, e.weighted, zero);
            }
        }
        if (first > 0 && any(reference != reference_before)) {
            const auto fade = exponentials_of<T, is_weighted>(reference_before, shift, by);
            if constexpr (is_weighted) {
                weighted.scale(fade.sum);
                weighted.add(product(sum.value(), fade.weighted));
            }
            sum.scale(fade.sum);
        }
        if (first == 0)
            sum = compensated_sum<vec<T>>(part.sum);
        else
            sum.add(part.sum);
        if constexpr (is_weighted) weighted.add(part.weighted);
        if (loss.wants_mean_log_p()) {
            // In units so small that neither a difference nor a sum of them is infinite.
            const vec<T> by_unit(unit), shift_units(shift * by_unit);
            const vec<T> seen(static_cast<T>(first));
            gaps.add(product(fma(shift_before, by_unit, -shift_units), seen));
            gaps.add(sum_over(
                x, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
                    const vec<T> gap = fma(x.load(at), by_unit, -shift_units);
                    if constexpr (std::is_same_v<decltype(at), part_vector>)
                        return so_far + select(vec_mask<T>::first(at.count), gap, zero);
                    else
                        return so_far + gap;
                }));
        }
    }
    return {shift, sum.value(), weighted.value(), gaps.value(), unit};
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
