#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/unroll.hpp>
#include <heed/rows/layouts.hpp>
#include <heed/softmax/kernel/exponential_sums.hpp>

/// \file
/// Softmax of column-major rows, a lane a row.
///
/// Elements of a row that lie a power of two apart fall on a few sets of the cache, and would be
/// fetched again at each visit. So x is visited once, a block of elements after the other: the
/// block's exponentials, relative to its reference, near the maximum so far, wait in scratch. Then
/// y is written once, each block times 2^(its reference − the row's maximum)/sum.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// One vector an element for each of `Lines` lines, or, if there is but one, maybe less.
template <class T, int Lines>
struct lane_stripe {
    static constexpr index size = vec<T>::size;

    index rows;

    vec<T> load(const T* from, int l) const {
        return Lines > 1 ? vec<T>::load(from + l * size) : vec<T>::load_partial(from, rows);
    }
    void store(T* to, int l, vec<T> v) const {
        if (Lines > 1)
            v.store(to + l * size);
        else
            v.store_partial(to, rows);
    }
};

/// y = numerator(l)·softmax(x/τ) of lines first_line … first_line + Lines − 1 of the layout.
template <int Lines, class T, class Layout, class Sink, class Numerator>
void lane_softmax_stripe(const Layout& layout, index first_line, T* to, const T* from,
                         const temperature_factors<T>& factors, Sink&& sink,
                         Numerator&& numerator) {
    constexpr index size = vec<T>::size;
    constexpr index width = Lines * size;
    const lane_stripe<T, Lines> stripe{layout.rows_of(first_line)};
    const temperature_factors<T> by = factors;  // a copy that stores do not make doubtful
    const auto for_lines = [](auto&& f) __attribute__((always_inline)) { unroll<Lines>(f); };
    T* exponentials = layout.scratch;
    T* references = layout.scratch + layout.length * width;
    // Sixteen blocks are summed by themselves, and faded since the part before.
    constexpr index blocks_a_part = 16;
    array_of<vec<T>, Lines> maximum, reference, part, fade;
    array_of<compensated_sum<vec<T>>, Lines> sum;
    for_lines([&](int l) __attribute__((always_inline)) {
        maximum[l] = reference[l] = vec<T>(-std::numeric_limits<T>::infinity());
        part[l] = vec<T>(T(0));
        fade[l] = vec<T>(T(1));
    });

    const T* x = from + first_line * size;
    T* e = exponentials;
    for (index first = 0, b = 0; first < layout.length; first += Layout::block, ++b) {
        const index last = std::min(first + Layout::block, layout.length);
        array_of<vec<T>, Lines> greatest, shift, shrink, block_sum;
        for_lines([&](int l) __attribute__((always_inline)) { greatest[l] = maximum[l]; });
        const T* ahead = x;
        for (index k = first; k < last; ++k, ahead += layout.steps[1]) {
            for_lines([&](int l) __attribute__((always_inline)) {
                greatest[l] = max(stripe.load(ahead, l), greatest[l]);
            });
        }
        for_lines([&](int l) __attribute__((always_inline)) {
            maximum[l] = greatest[l];
            const vec<T> before = reference[l];
            reference[l] = moved_reference(before, maximum[l], by);
            reference[l].store(references + b * width + l * size);
            shift[l] = finite_shift(reference[l]);
            shrink[l] = vec<T>(T(1));
            if (b > 0 && any(reference[l] != before))
                shrink[l] = exp2_fast(by.exponent_of(before - shift[l]));
            block_sum[l] = vec<T>(T(0));
        });
        for (index k = first; k < last; ++k, x += layout.steps[1], e += width) {
            for_lines([&](int l) __attribute__((always_inline)) {
                const vec<T> v = exp2_fast(by.exponent_of(stripe.load(x, l) - shift[l]));
                v.store(e + l * size);
                block_sum[l] += v;
            });
        }
        const bool ends_part = (b + 1) % blocks_a_part == 0 || last == layout.length;
        for_lines([&](int l) __attribute__((always_inline)) {
            part[l] = fma(part[l], shrink[l], block_sum[l]);
            fade[l] = product(fade[l], shrink[l]);
            if (!ends_part) return;
            if (b < blocks_a_part) {
                sum[l] = compensated_sum<vec<T>>(part[l]);
            } else {
                sum[l].scale(fade[l]);
                sum[l].add(part[l]);
            }
            part[l] = vec<T>(T(0));
            fade[l] = vec<T>(T(1));
        });
    }

    array_of<vec<T>, Lines> shift, inverse;
    for_lines([&](int l) __attribute__((always_inline)) {
        const auto logit = sink(first_line + l);
        shift[l] = finite_shift(with_sink(maximum[l], logit));
        const vec<T> all = fma(sum[l].value(), exp2_fast(by.exponent_of(reference[l] - shift[l])),
                               sink_weight(shift[l], by, logit));
        inverse[l] = row_weights<T>{shift[l], all}.inverse(numerator(first_line + l));
    });

    T* y = to + first_line * size;
    e = exponentials;
    for (index first = 0, b = 0; first < layout.length; first += Layout::block, ++b) {
        const index last = std::min(first + Layout::block, layout.length);
        array_of<vec<T>, Lines> factor;
        for_lines([&](int l) __attribute__((always_inline)) {
            const vec<T> of_block = vec<T>::load(references + b * width + l * size);
            factor[l] = exp2_fast(by.exponent_of(of_block - shift[l])) * inverse[l];
        });
        for (index k = first; k < last; ++k, y += layout.steps[0], e += width) {
            for_lines([&](int l) __attribute__((always_inline)) {
                stripe.store(y, l, vec<T>::load(e + l * size) * factor[l]);
            });
        }
    }
}

/// y = numerator(l)·softmax(x/τ) of layout.lines lines. Operands 0 and 1: y, x.
template <class T, class Layout, class Sink, class Numerator>
void lane_softmax(const Layout& layout, T* to, const T* from, const temperature_factors<T>& by,
                  Sink&& sink, Numerator&& numerator) {
    constexpr index together = Layout::together;
    if (layout.rows == together * vec<T>::size) {
        lane_softmax_stripe<together>(layout, 0, to, from, by, sink, numerator);
    } else {
        for (index l = 0; l < layout.lines; ++l)
            lane_softmax_stripe<1>(layout, l, to, from, by, sink, numerator);
    }
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
