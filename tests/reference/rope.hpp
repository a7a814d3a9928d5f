#pragma once

#include <cmath>
#include <functional>
#include <vector>

#include "tensor.hpp"

/// \file
/// Rotary positions (spec, section 3; kexue 8265).

namespace reference {

/// θ_t = base^(−2t/r), t = 0 .. r/2−1, where r is the number of rotated dimensions.
inline std::vector<double> plain_frequencies(index rotated_dimensions, double base = 10000) {
    std::vector<double> theta;
    for (index t = 0; t < rotated_dimensions / 2; ++t)
        theta.push_back(std::pow(
            base, -2.0 * static_cast<double>(t) / static_cast<double>(rotated_dimensions)));
    return theta;
}

/// How rows are rotated: pair t of row i by position(b, i)·θ_t. Dimensions beyond the pairs stay.
struct rotation {
    std::vector<double> frequencies;
    bool interleaved = false;  ///< pairs (x_2t, x_2t+1) instead of halves (x_t, x_t+r/2)
    double factor = 1;         ///< multiplies the rotated dimensions (YaRN's attention factor)
};

/// The position of row i of batch b.
using position_function = std::function<double(index b, index i)>;

/// Rotates every row by its position times `direction`: +1 rotates, −1 is the transposed rotation,
/// which is the inverse at factor 1 and the backward at any factor.
inline tensor rotate(const tensor& x, const rotation& how, const position_function& position,
                     double direction = 1) {
    tensor y = x;
    const auto pairs = static_cast<index>(how.frequencies.size());
    for_each_row(x, [&](index b, index h, index i) {
        for (index t = 0; t < pairs; ++t) {
            const index first = how.interleaved ? 2 * t : t;
            const index second = how.interleaved ? 2 * t + 1 : t + pairs;
            const double angle =
                direction * position(b, i) * how.frequencies[static_cast<std::size_t>(t)];
            const double cosine = how.factor * std::cos(angle);
            const double sine = how.factor * std::sin(angle);
            y(b, h, i, first) = x(b, h, i, first) * cosine - x(b, h, i, second) * sine;
            y(b, h, i, second) = x(b, h, i, first) * sine + x(b, h, i, second) * cosine;
        }
    });
    return y;
}

}  // namespace reference
