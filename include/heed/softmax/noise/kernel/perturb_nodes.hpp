#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <type_traits>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/simd.hpp>
#include <heed/softmax/noise/perturb_noises.hpp>

/// \file
/// The nodes of the integral ∫ φ(u − x_i) Π_{j≠i} Φ(u − x_j) du, the same for all i of a row.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A few nodes, relative to the row's maximum, and their weights.
struct perturb_nodes {
    static constexpr int count = 4;
    std::array<double, count> at, weight;
};

/// Calls use(nodes) from below upward until it returns that nothing is left above. The integrand is
/// analytic and falls off quickly, so that the trapezoid rule converges exponentially.
template <class T, class Noise, class Use>
void for_perturb_nodes(Noise, const T*, index, T, arena&, Use&& use) {
    // Beyond this nothing is left of floats or doubles with 2³¹ scores.
    constexpr double last = 80;
    constexpr double step = Noise::template step<T>;
    for (double u = Noise::template first<T>; u < last; u += perturb_nodes::count * step) {
        perturb_nodes nodes;
        for (int b = 0; b < perturb_nodes::count; ++b) {
            nodes.at[static_cast<std::size_t>(b)] = u + b * step;
            nodes.weight[static_cast<std::size_t>(b)] = step;
        }
        if (use(nodes)) return;
    }
}

/// The nodes of Gauss's rule with eight nodes on [left, right], the upper four first.
template <class Use>
bool for_gauss_nodes(double left, double right, Use&& use) {
    constexpr std::array<double, 4> at{0.9602898564975363, 0.7966664774136267, 0.5255324099163290,
                                       0.1834346424956498};
    constexpr std::array<double, 4> weight{0.1012285362903763, 0.2223810344533745,
                                           0.3137066458778873, 0.3626837833783620};
    const double middle = (left + right) / 2, half = (right - left) / 2;
    for (const double side : {1.0, -1.0}) {
        perturb_nodes nodes;
        for (std::size_t b = 0; b < 4; ++b) {
            // Upper nodes come from the right, lower ones toward the left.
            const std::size_t n = side > 0 ? b : 3 - b;
            nodes.at[b] = std::fma(side * half, at[n], middle);
            nodes.weight[b] = half * weight[n];
        }
        if (use(nodes)) return true;
    }
    return false;
}

/// With uniform noise, from above downward. Between the scores within 1 of the largest one the
/// integrand is a polynomial of one degree less than there are scores above: with up to 16 of
/// them Gauss's rule is exact; with more, it falls so quickly that pieces are taken in which it
/// falls by e² at most.
template <class T, class Use>
void for_perturb_nodes(perturb::uniform_noise, const T* x, index count, T maximum, arena& scratch,
                       Use&& use) {
    const arena::scope mark(scratch);
    double* edges = scratch.take<double>(count + 1);
    index active = 0;
    for (index j = 0; j < count; ++j) {
        const double below = static_cast<double>(x[j]) - static_cast<double>(maximum);
        if (below > -1) edges[active++] = below;
    }
    std::sort(edges, edges + active, std::greater<>());
    edges[active] = -1;
    for (index m = 1; m <= active; ++m) {
        double right = edges[m - 1];
        while (right > edges[m]) {
            double left = edges[m];
            // The slope of the logarithm is m/(right + 1) at most.
            if (m > 16) left = std::max(left, right - 2 * (right + 1) / static_cast<double>(m));
            if (!(left < right)) break;
            if (for_gauss_nodes(left, right, use)) return;
            right = left;
        }
    }
}

/// Whether nothing is left beyond the last of these nodes: above it, of a rule that goes upward,
/// less than ΣΦ'/Φ; below it, of one that goes downward, ΠΦ.
template <class T, class Noise>
bool is_last_node(double log_probability, double hazard) {
    constexpr double tiny = static_cast<double>(std::numeric_limits<T>::epsilon()) / 64;
    if constexpr (std::is_same_v<Noise, perturb::uniform_noise>)
        return std::exp(log_probability) < tiny;
    else
        return hazard < tiny;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
