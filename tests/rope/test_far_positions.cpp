#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <vector>

#include <heed/rope/frequencies.hpp>
#include <heed/rope/llama3.hpp>
#include <heed/rope/ntk.hpp>
#include <heed/rope/rotate.hpp>
#include <heed/rope/sinusoidal.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_far_positions {

using heed::index;

/// How many floats lie between a and b.
std::int64_t floats_between(float a, float b) {
    const auto order = [](float x) {
        const auto bits = std::bit_cast<std::int32_t>(x);
        return std::int64_t{bits < 0 ? std::numeric_limits<std::int32_t>::min() - bits : bits};
    };
    return std::abs(order(a) - order(b));
}

/// Whole and fractional positions, the last ones before 2²⁴ among them.
std::vector<double> far_positions() {
    heed_test::generator random;
    std::vector<double> result{0, 1, 65536, 16777215, 16777216, -16777216};
    for (int n = 0; n < 500; ++n) {
        result.push_back(static_cast<double>(random.integer(0, 1 << 24)));
        result.push_back(random.uniform(0, 1 << 24));
    }
    return result;
}

TEST_CASE("floats rotated at positions to 2^24 are within 2 ulp, by rows and by columns") {
    const auto positions = far_positions();
    const auto n = static_cast<index>(positions.size());
    for (const auto& rope :
         {heed::rope::plain({.dim = 128}), heed::rope::ntk_mixed({.dim = 64, .stretch = 8}),
          heed::rope::llama3(
              {.dim = 128, .base = 500000, .stretch = 32, .original_length = 8192})}) {
        const index pairs = rope.pairs();
        const auto rows = heed::sinusoidal_encoding<float>(n, rope, positions);
        Eigen::MatrixXf columns = Eigen::MatrixXf::Zero(n, 2 * pairs);
        columns.leftCols(pairs).setOnes();
        columns = heed::rotate(columns, rope, positions);
        std::int64_t worst = 0;
        for (index i = 0; i < n; ++i) {
            for (index t = 0; t < pairs; ++t) {
                const double angle = positions[static_cast<std::size_t>(i)] *
                                     rope.angular()[static_cast<std::size_t>(t)];
                const auto cosine = static_cast<float>(std::cos(angle));
                const auto sine = static_cast<float>(std::sin(angle));
                worst = std::max({worst, floats_between(rows(i, t), cosine),
                                  floats_between(rows(i, t + pairs), sine),
                                  floats_between(columns(i, t), cosine),
                                  floats_between(columns(i, t + pairs), sine)});
            }
        }
        CHECK(worst <= 2);
    }
}

TEST_CASE("the angle itself is within 2^-28 at positions to 2^24, of frequencies to 1") {
    // Two roundings: of the frequency, to 2⁻⁵² of itself, and of its product with the position.
    long double worst = 0;
    for (const int d : {64, 128}) {
        const auto rope = heed::rope::plain({.dim = d});
        for (const double position : far_positions()) {
            for (int t = 0; t < d / 2; ++t) {
                const long double theta = std::pow(10000.0L, -2.0L * t / d);
                const double angle = position * rope.angular()[static_cast<std::size_t>(t)];
                worst = std::max(worst, std::abs(angle - position * theta));
            }
        }
    }
    CHECK(worst <= 0x1p-28L);
    CHECK(worst > 0);  // long double is wider here, or the comparison says nothing
}

}  // namespace test_far_positions
