#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <vector>

/// \file
/// The references are the specification in plain C++: doubles, loops and nothing of heed's, so that
/// they share no mistake with what they check.

namespace reference {

using index = std::ptrdiff_t;

/// Doubles of shape [batch, head, row, column], the column running fastest.
struct tensor {
    std::array<index, 4> extents{0, 0, 0, 0};
    std::vector<double> values;

    tensor() = default;
    tensor(index batches, index heads, index rows, index columns, double value = 0)
        : extents{batches, heads, rows, columns},
          values(static_cast<std::size_t>(batches * heads * rows * columns), value) {}

    index batches() const { return extents[0]; }
    index heads() const { return extents[1]; }
    index rows() const { return extents[2]; }
    index columns() const { return extents[3]; }

    double& operator()(index b, index h, index i, index c) { return values[offset(b, h, i, c)]; }
    double operator()(index b, index h, index i, index c) const {
        return values[offset(b, h, i, c)];
    }

  private:
    std::size_t offset(index b, index h, index i, index c) const {
        return static_cast<std::size_t>(((b * extents[1] + h) * extents[2] + i) * extents[3] + c);
    }
};

/// A tensor of zeros with the shape of `like`.
inline tensor zeros_like(const tensor& like) {
    return tensor(like.batches(), like.heads(), like.rows(), like.columns());
}

/// Calls f(b, h, i) for every row of `x`.
template <class F>
void for_each_row(const tensor& x, F f) {
    for (index b = 0; b < x.batches(); ++b)
        for (index h = 0; h < x.heads(); ++h)
            for (index i = 0; i < x.rows(); ++i) f(b, h, i);
}

/// The largest |a - b| over all elements; NaN where only one of the two is NaN.
inline double largest_difference(const tensor& a, const tensor& b) {
    double largest = 0;
    for (std::size_t e = 0; e < a.values.size(); ++e) {
        const double x = a.values[e], y = b.values[e];
        if (x == y || (std::isnan(x) && std::isnan(y))) continue;
        const double difference = std::abs(x - y);
        if (!(difference <= largest)) largest = difference;
        if (std::isnan(difference)) return difference;
    }
    return largest;
}

/// The largest |a| over all elements.
inline double largest_magnitude(const tensor& a) {
    double largest = 0;
    for (const double x : a.values) largest = std::fmax(largest, std::abs(x));
    return largest;
}

}  // namespace reference
