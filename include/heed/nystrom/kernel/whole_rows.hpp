#pragma once

#include <algorithm>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/math.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/unroll.hpp>
#include <heed/softmax/softmax.hpp>

/// \file
/// Softmax of short rows, all of whose scores are there.
///
/// A row has so few scores that what is done once a row counts: largest scores and sums of as many
/// rows as a vector has lanes are found together, a row a lane.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Of each vector of a block what `join` makes of its lanes; lane l is that of the l-th.
template <class T, class Join>
[[gnu::always_inline]] inline vec<T> join_lanes(array_of<vec<T>, vec<T>::size>& block,
                                                const Join& join) {
    constexpr index size = vec<T>::size;
    transpose(block);
    for (index apart = 1; apart < size; apart *= 2)
        for (index l = 0; l < size; l += 2 * apart) block[l] = join(block[l], block[l + apart]);
    return block[0];
}

/// The scores of a row, pairs of whole vectors, become weights; their sums are those of lanes.
template <class T, class Exponent>
[[gnu::always_inline]] inline vec<T> weigh_row(const Exponent& exponent_of, T reference, T* row,
                                               index width) {
    constexpr index size = vec<T>::size;
    const vec<T> from(reference);
    array_of<vec<T>, 2> sum;
    unroll<2>([&](auto c) { sum[c] = vec<T>(T(0)); });
    for (index j = 0; j < width; j += 2 * size)
        unroll<2>([&](auto c) __attribute__((always_inline)) {
            T* at = row + j + c * size;
            const vec<T> weight = exp2_nonpositive(exponent_of(vec<T>::load(at), from));
            sum[c] += weight;
            weight.store(at);
        });
    return sum[0] + sum[1];
}

/// weigh_whole_rows, whose weights are 2^exponent_of(s, max).
template <class T, class Exponent>
void weigh_rows_by(const Exponent& exponent_of, index count, T* scores, index stride, index width,
                   T* factor, softmax_statistics<T>* statistics) {
    constexpr index size = vec<T>::size;
    const vec<T> zero(T(0)), least(-std::numeric_limits<T>::infinity());
    for (index first = 0; first < count; first += size) {
        const index rows = std::min(size, count - first);
        T* const of_first = scores + first * stride;
        array_of<vec<T>, size> block;
        for (index r = 0; r < size; ++r) block[r] = least;
        for (index r = 0; r < rows; ++r) {
            const T* row = of_first + r * stride;
            vec<T> even = vec<T>::load(row), odd = vec<T>::load(row + size);
            for (index j = 2 * size; j < width; j += 2 * size) {
                even = max(even, vec<T>::load(row + j));
                odd = max(odd, vec<T>::load(row + j + size));
            }
            block[r] = max(even, odd);
        }
        const vec<T> maximum = join_lanes<T>(block, [](vec<T> a, vec<T> b) { return max(a, b); });
        array_of<T, size> reference, largest, sums;
        maximum.store(largest);
        select(maximum == least, zero, maximum).store(reference);
        for (index r = 0; r < rows; ++r)
            block[r] = weigh_row(exponent_of, reference[r], of_first + r * stride, width);
        const vec<T> sum = join_lanes<T>(block, [](vec<T> a, vec<T> b) { return a + b; });
        select(sum == zero, zero, vec<T>(T(1)) / sum).store(factor + first);
        if (statistics == nullptr) continue;
        sum.store(sums);
        for (index r = 0; r < rows; ++r) statistics[first + r] = {largest[r], sums[r]};
    }
}

/// Rows of `width` scores, pairs of whole vectors and `stride` apart, become weights e^{(s −
/// max)/τ}, and factor[row] what they are to be multiplied by to be probabilities, 0 for a row of
/// −∞. Writes statistics unless null. `factor` has room for whole vectors.
template <class T>
void weigh_whole_rows(const softmax_normaliser& normaliser, index count, T* scores, index stride,
                      index width, T* factor, softmax_statistics<T>* statistics) {
    const relative_exponents<T> exponents(normaliser.tau());
    if (exponents.is_plain())
        weigh_rows_by(
            [&](vec<T> s, vec<T> reference)
                __attribute__((always_inline)) { return exponents.plain(s, reference); },
            count, scores, stride, width, factor, statistics);
    else
        weigh_rows_by([&](vec<T> s, vec<T> reference) { return exponents.scaled(s, reference); },
                      count, scores, stride, width, factor, statistics);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
