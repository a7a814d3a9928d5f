#pragma once

#include <cmath>
#include <vector>

#include "rope.hpp"

/// \file
/// The least base of rotary positions for a length, candidate by candidate and cosine by cosine
/// (spec, section 3; kexue 10122).

namespace reference {

inline double cosine_sum(const std::vector<double>& frequencies, index m) {
    double sum = 0;
    for (const double theta : frequencies) sum += std::cos(static_cast<double>(m) * theta);
    return sum;
}

inline bool base_suffices(double base, index dim, index length) {
    if (!(base > 1)) return false;
    const std::vector<double> theta = plain_frequencies(dim, base);
    for (index m = 0; m < length; ++m)
        if (cosine_sum(theta, m) < 0) return false;
    return true;
}

/// The least of the points bound·j/points that suffices, or, if `lasting`, the least from which on
/// all do; the bound itself does.
inline double cut_base(double bound, double points, index dim, index length, bool lasting) {
    double found = bound;
    for (double j = points - 1; j >= 1; --j) {
        const double base = bound * j / points;
        const bool suffices = base_suffices(base, dim, length);
        if (suffices) found = base;
        if (lasting && !suffices) break;
    }
    return found;
}

/// What each round finds.
inline std::vector<double> select_base(index dim, index length, int rounds, bool lasting) {
    double bound = 1000.0 * static_cast<double>(length);
    while (!base_suffices(bound, dim, length) ||
           (lasting && cut_base(bound, 100, dim, length, true) > bound / 2))
        bound *= 2;
    std::vector<double> found;
    double points = 1;
    for (int round = 1; round <= rounds; ++round) {
        points *= 10;
        bound = cut_base(bound, points, dim, length, lasting);
        found.push_back(bound);
    }
    return found;
}

}  // namespace reference
