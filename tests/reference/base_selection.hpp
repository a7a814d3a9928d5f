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
inline std::vector<double> least_bases(index dim, index length, int rounds) {
    double bound = 1000.0 * static_cast<double>(length);
    while (!base_suffices(bound, dim, length)) bound *= 2;
    std::vector<double> found;
    double points = 1;
    while (static_cast<int>(found.size()) < rounds) {
        points *= 10;
        bound = cut_base(bound, points, dim, length, false);
        found.push_back(bound);
    }
    return found;
}

/// What each round finds, below a bound so high that it is in the lower half.
inline std::vector<double> lasting_bases(index dim, index length, int rounds) {
    for (double bound = 1000.0 * static_cast<double>(length);; bound *= 2) {
        if (!base_suffices(bound, dim, length)) continue;
        std::vector<double> found;
        for (int round = 1; round <= rounds; ++round)
            found.push_back(cut_base(bound, std::pow(10.0, round), dim, length, true));
        if (found.back() <= bound / 2) return found;
    }
}

}  // namespace reference
