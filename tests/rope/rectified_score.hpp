#pragma once

#include <cmath>
#include <functional>

#include "attention/problem.hpp"
#include "reference/attention.hpp"

/// \file
/// The scores of rectified rotary positions (spec, section 3; kexue 9708), a pair at a time.

namespace rectified_test {

using heed::index;

/// f(i, j), the distance that the rotation is told.
using distance = std::function<double(double i, double j)>;

/// ReRoPE at slope 0, Leaky ReRoPE at 1/k.
inline distance leaky(double window, double slope) {
    return [=](double i, double j) {
        const double r = i - j;
        if (std::abs(r) < window) return r;
        return std::copysign(window + (std::abs(r) - window) * slope, r);
    };
}
inline distance grouped(double window, double group) {
    return [=](double i, double j) {
        const double r = i - j;
        if (std::abs(r) < window) return r;
        const double shift = window - std::floor(window / group);
        return std::floor(i / group) - std::floor(j / group) + std::copysign(shift, r);
    };
}

inline reference::position_function consecutive(index first) {
    return [=](index, index i) { return static_cast<double>(first + i); };
}

/// The score (R_f q_i)·k_j/√d, in the place of whatever it was.
inline reference::modifier rotated_score(const heed_test::problem& from, const distance& f,
                                         const reference::rotation& how,
                                         const reference::position_function& query,
                                         const reference::position_function& key) {
    const auto score = [=, q = from.q, k = from.k](double, index b, index h, index i, index j) {
        const index d = q.columns(), kv = reference::kv_head(h, q, k);
        const auto pairs = static_cast<index>(how.frequencies.size());
        const double r = f(query(b, i), key(b, j));
        double turned = 0, left_alone = 0;
        for (index t = 0; t < pairs; ++t) {
            const index x = how.interleaved ? 2 * t : t, y = how.interleaved ? x + 1 : t + pairs;
            const double angle = r * how.frequencies[static_cast<std::size_t>(t)];
            const double c = std::cos(angle), s = std::sin(angle);
            turned += (q(b, h, i, x) * c - q(b, h, i, y) * s) * k(b, kv, j, x) +
                      (q(b, h, i, x) * s + q(b, h, i, y) * c) * k(b, kv, j, y);
        }
        for (index c = 2 * pairs; c < d; ++c) left_alone += q(b, h, i, c) * k(b, kv, j, c);
        return (how.factor * how.factor * turned + left_alone) / std::sqrt(static_cast<double>(d));
    };
    return {score, [](double, index, index, index, index) { return 1.0; }};
}

}  // namespace rectified_test
