#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <string_view>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/memory_span.hpp>

/// \file
/// Do two strided views share a byte? Answered exactly, not by bounding boxes, so that the three
/// gradients interleaved in one [B, N, 3, H, D] tensor are seen to be apart.
///
/// Element a(i₁, i₂, …) and b(j₁, j₂, …) share a byte when the difference of their addresses, a
/// constant plus Σ stride·index, falls into a window of a few bytes around zero. That is a linear
/// equation in bounded integers. It is solved by first merging axes that together form one longer
/// progression, then by trying the largest stride's indices that can still reach the window, and so
/// on; the last two axes at once, by Euclid's algorithm.
///
/// Cost: O(rank²) for dense views and for the slices and permutations of dense tensors, since after
/// merging at most one index of each axis can reach the window. Strides made up to be
/// nasty (many of like size, without a common divisor) can take time exponential in the rank.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

__extension__ typedef __int128 wide_integer;

/// Sums Σ step·index with 0 ≤ index ≤ last, every step > 0: the addresses that axes can reach.
struct progression_sum {
    struct axis {
        index step;
        index last;
    };
    std::array<axis, 2 * most_axes + 1> axes;  // the first `count` of them
    std::size_t count = 0;
    /// The address at which every index is 0.
    index origin = 0;

    /// Adds an axis whose indices run from 0 to `last`; a negative step is walked from its end.
    void add(index step, index last) {
        if (step == 0 || last == 0) return;
        if (step < 0) origin += step * last;
        axes[count++] = {std::abs(step), last};
    }

    /// Joins axes whose sums are one progression: step s up to index l, and a step k·s ≤ s·(l + 1),
    /// together reach every multiple of s up to their greatest sum.
    [[gnu::noinline]] void merge() {
        // By hand: GCC 12 warns of std::sort's branch for more than 16 elements.
        for (std::size_t i = 1; i < count; ++i) {
            for (std::size_t j = i; j > 0 && axes[j].step < axes[j - 1].step; --j)
                std::swap(axes[j], axes[j - 1]);
        }
        for (std::size_t i = 0; i < count; ++i) {
            for (std::size_t j = i + 1; j < count;) {
                axis& fine = axes[i];
                const axis coarse = axes[j];
                if (coarse.step % fine.step == 0 && coarse.step / fine.step <= fine.last + 1) {
                    fine.last += coarse.step / fine.step * coarse.last;
                    std::copy(axes.begin() + static_cast<index>(j) + 1,
                              axes.begin() + static_cast<index>(count),
                              axes.begin() + static_cast<index>(j));
                    --count;
                    j = i + 1;  // the longer progression may now take what it could not before
                } else {
                    ++j;
                }
            }
        }
    }
};

inline index floor_divide(index a, index b) { return a / b - (a % b < 0 ? 1 : 0); }
inline index ceil_divide(index a, index b) { return a / b + (a % b > 0 ? 1 : 0); }

/// The inverse of a modulo m; gcd(a, m) = 1.
inline index modular_inverse(index a, index m) {
    index previous = 0;
    index current = 1;
    for (index r = m, s = a % m; s > 1;) {
        const index quotient = r / s;
        r = std::exchange(s, r - quotient * s);
        previous = std::exchange(current, previous - quotient * current);
    }
    return m == 1 ? 0 : (current % m + m) % m;
}

/// Whether a·x + b·y = target for some 0 ≤ x ≤ last_x, 0 ≤ y ≤ last_y, with gcd(a, b) = 1.
inline bool solves_pair(index a, index last_x, index b, index last_y, index target) {
    const index lowest = std::max<index>(0, ceil_divide(target - b * last_y, a));
    const index highest = std::min(last_x, floor_divide(target, a));
    if (highest < lowest) return false;
    // x = target/a modulo b: the first such x that is not below `lowest`.
    const auto residue = static_cast<index>(static_cast<wide_integer>(target % b + b) % b *
                                            modular_inverse(a, b) % b);
    const index step = ((residue - lowest) % b + b) % b;
    return step <= highest - lowest;
}

/// Whether some sum of the first `count` axes (sorted by step) lies in [low, high].
[[gnu::noinline]] inline bool reaches(const progression_sum::axis* axes, std::size_t count,
                                      index low, index high) {
    index greatest = 0;
    index divisor = 0;
    for (std::size_t i = 0; i < count; ++i) {
        greatest += axes[i].step * axes[i].last;
        divisor = std::gcd(divisor, axes[i].step);
    }
    low = std::max<index>(low, 0);
    high = std::min(high, greatest);
    if (low > high) return false;
    if (count == 0) return true;
    // Only multiples of the common divisor can be met.
    low = ceil_divide(low, divisor) * divisor;
    if (low > high) return false;
    if (count == 1) return true;
    const progression_sum::axis& fine = axes[0];
    const progression_sum::axis& coarse = axes[count - 1];
    if (count == 2) {
        for (index target = low; target <= high; target += divisor)
            if (solves_pair(coarse.step / divisor, coarse.last, fine.step / divisor, fine.last,
                            target / divisor))
                return true;
        return false;
    }
    const index rest = greatest - coarse.step * coarse.last;
    const index first = std::max<index>(0, ceil_divide(low - rest, coarse.step));
    const index last = std::min(coarse.last, high / coarse.step);
    for (index i = first; i <= last; ++i)
        if (reaches(axes, count - 1, low - i * coarse.step, high - i * coarse.step)) return true;
    return false;
}

/// Whether any element of `a` shares a byte with any element of `b`. Exact.
[[gnu::noinline]] inline bool overlap(const memory_span& a, const memory_span& b) {
    if (a.empty() || b.empty()) return false;
    progression_sum difference;
    for (std::size_t axis = 0; axis < a.rank(); ++axis)
        difference.add(a.strides[axis] * a.element, a.extents[axis] - 1);
    for (std::size_t axis = 0; axis < b.rank(); ++axis)
        difference.add(-b.strides[axis] * b.element, b.extents[axis] - 1);
    difference.origin +=
        reinterpret_cast<std::intptr_t>(a.data) - reinterpret_cast<std::intptr_t>(b.data);
    difference.merge();
    // Bytes are shared when −(bytes of a's element) < address(a) − address(b) < (of b's).
    return reaches(difference.axes.data(), difference.count, 1 - a.element - difference.origin,
                   b.element - 1 - difference.origin);
}

/// Whether two different elements of `x` share a byte: such a view cannot be written to.
[[gnu::noinline]] inline bool overlaps_itself(const memory_span& x) {
    if (x.empty()) return false;
    // Two elements that first differ along `axis`, by 1 … extent − 1, and further on by anything.
    for (std::size_t axis = 0; axis < x.rank(); ++axis) {
        if (x.extents[axis] < 2) continue;
        if (x.strides[axis] == 0) return true;
        progression_sum difference;
        difference.origin = x.strides[axis] * x.element;
        difference.add(x.strides[axis] * x.element, x.extents[axis] - 2);
        for (std::size_t later = axis + 1; later < x.rank(); ++later) {
            difference.add(x.strides[later] * x.element, x.extents[later] - 1);
            difference.add(-x.strides[later] * x.element, x.extents[later] - 1);
        }
        difference.merge();
        if (reaches(difference.axes.data(), difference.count, 1 - x.element - difference.origin,
                    x.element - 1 - difference.origin))
            return true;
    }
    return false;
}

/// Refuses, by argument_error, an output that shares memory with an input.
[[gnu::noinline]] inline void check_apart(std::string_view output_name, const memory_span& output,
                                          std::string_view input_name, const memory_span& input) {
    require_argument(!overlap(output, input), output_name, " (shape ", output.extents,
                     ") overlaps ", input_name, " (shape ", input.extents,
                     ") in memory, but outputs must lie apart from inputs");
}

/// Refuses, by argument_error, two outputs that share memory.
[[gnu::noinline]] inline void check_outputs_apart(std::string_view name_a, const memory_span& a,
                                                  std::string_view name_b, const memory_span& b) {
    require_argument(!overlap(a, b), name_a, " (shape ", a.extents, ") overlaps ", name_b,
                     " (shape ", b.extents,
                     ") in memory, but outputs must lie apart from one another");
}

/// Refuses, by argument_error, an output in which two elements are the same memory.
[[gnu::noinline]] inline void check_writable(std::string_view name, const memory_span& output) {
    require_argument(!overlaps_itself(output), name, " has shape ", output.extents,
                     " with strides ", output.strides,
                     ", but the elements of an output must not share memory");
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
