#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include <heed/rope/decay_index.hpp>
#include <heed/rope/digits.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/mixed_radix.hpp>
#include <heed/rope/sinusoidal.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_rope_views {

using heed::index;

TEMPLATE_TEST_CASE("the sinusoidal encoding is cosines and sines of the angles", "",
                   HEED_TEST_SCALARS) {
    const double bound = 4 * static_cast<double>(std::numeric_limits<TestType>::epsilon());
    const std::vector<double> positions{0, 2.5, -7, 100000};
    for (const auto layout : {heed::rope::halves, heed::rope::interleaved}) {
        const auto rope = heed::rope::plain({.dim = 22, .layout = layout});
        const auto at_rows = heed::sinusoidal_encoding<TestType>(50, rope);
        const auto at_list = heed::sinusoidal_encoding<TestType>(4, rope, positions);
        REQUIRE(at_rows.rows() == 50);
        REQUIRE(at_rows.cols() == 22);
        for (index t = 0; t < 11; ++t) {
            const index cosine = layout == heed::rope::halves ? t : 2 * t;
            const index sine = layout == heed::rope::halves ? t + 11 : 2 * t + 1;
            const double theta = rope.angular()[static_cast<std::size_t>(t)];
            const auto check = [&](const auto& encoding, index i, double position) {
                CHECK(std::abs(double(encoding(i, cosine)) - std::cos(position * theta)) <= bound);
                CHECK(std::abs(double(encoding(i, sine)) - std::sin(position * theta)) <= bound);
            };
            for (index i = 0; i < 50; ++i) check(at_rows, i, static_cast<double>(i));
            for (std::size_t i = 0; i < 4; ++i) check(at_list, static_cast<index>(i), positions[i]);
        }
    }
    CHECK(heed::sinusoidal_encoding(0, heed::rope::plain({.dim = 4})).rows() == 0);
    CHECK_THROWS_WITH(heed::sinusoidal_encoding(std::numeric_limits<std::uint64_t>::max(),
                                                heed::rope::plain({.dim = 4})),
                      "length is 18446744073709551615, but it must lie between 0 and 2^31 - 1");
    CHECK_THROWS_AS(heed::sinusoidal_encoding(-1, heed::rope::plain({.dim = 4})),
                    heed::argument_error);
}

TEST_CASE("the decay index is the mean length of the partial sums") {
    for (const int d : {2, 16, 128}) {
        const auto rope = heed::rope::plain({.dim = d});
        CHECK(heed::rope::decay_index(rope, 0) == Approx((d / 2 + 1) / 2.0));
        for (const double distance : {-3.0, 0.5, 40.0, 1000.0}) {
            double sum = 0;
            for (int j = 1; j <= d / 2; ++j) {
                std::complex<double> partial = 0;
                for (int t = 0; t < j; ++t)
                    partial +=
                        std::polar(1.0, distance * rope.angular()[static_cast<std::size_t>(t)]);
                sum += std::abs(partial);
            }
            CHECK(heed::rope::decay_index(rope, distance) == Approx(2 * sum / d).epsilon(1e-12));
        }
    }
    const auto rope = heed::rope::plain({.dim = 128});
    CHECK(heed::rope::decay_index(rope, 256) < heed::rope::decay_index(rope, 16) / 2);
    CHECK_THROWS_AS(heed::rope::decay_index(rope, std::nan("")), heed::argument_error);
}

TEST_CASE("digits at a base and at mixed radices put the number together again") {
    using list = std::vector<double>;
    CHECK(heed::rope::digits(1729, 10, 4) == list{9, 2, 7, 1});
    CHECK(heed::rope::digits(1729, 10, 6) == list{9, 2, 7, 1, 0, 0});
    CHECK(heed::rope::digits(3754, {24, 60, 60}) == list{10, 36, 2});
    CHECK(heed::rope::digits(0, 2, 3) == list{0, 0, 0});
    CHECK(heed::rope::digits(5, 2, 0).empty());
    heed_test::generator random;
    for (int trial = 0; trial < 200; ++trial) {
        list radices;
        double capacity = 1;
        while (capacity < 0x1p53) capacity *= radices.emplace_back(random.integer(2, 1000));
        const auto n = static_cast<double>(random.integer(0, (index(1) << 53) - 1));
        const auto digits = heed::rope::digits(n, radices);
        double sum = 0, place = 1;
        for (std::size_t t = 0; t < digits.size(); place *= radices[t++]) {
            CHECK((digits[t] >= 0 && digits[t] < radices[t]));
            sum += digits[t] * place;
        }
        CHECK(sum == n);
    }
}

TEST_CASE("a digit is the angle of its pair, modulo the radix") {
    const double beta = std::pow(10000.0, 2.0 / 8);
    const auto plain = heed::rope::plain({.dim = 8});
    const auto digits = heed::rope::digits(12345, beta, 4);
    // Free mixed radices: place t is β^{t−1}λ₁…λ_{t−1}, and the frequency has λ_t too.
    const std::vector<double> lambda{3, 2, 1.5, 1};
    std::vector<double> radices;
    for (const double factor : lambda) radices.push_back(beta * factor);
    const auto mixed = heed::rope::mixed_radix({.dim = 8, .factors = lambda});
    const auto mixed_digits = heed::rope::digits(12345, radices);
    for (std::size_t t = 0; t < 4; ++t) {
        CHECK(digits[t] == Approx(std::fmod(std::floor(12345 * plain.angular()[t]), beta)));
        const double turned = 12345 * mixed.angular()[t] * lambda[t];
        CHECK(mixed_digits[t] == Approx(std::fmod(std::floor(turned), radices[t])));
    }
}

TEST_CASE("digits refuse what has no meaning, naming it") {
    using Catch::Matchers::Contains;
    CHECK_THROWS_AS(heed::rope::digits(-1, 10, 3), heed::argument_error);
    CHECK_THROWS_AS(heed::rope::digits(1, 10, std::numeric_limits<std::uint64_t>::max()),
                    heed::argument_error);
    CHECK_THROWS_AS(heed::rope::digits(0x1p53, 10, 3), heed::argument_error);
    CHECK_THROWS_AS(heed::rope::digits(1, 1, 3), heed::argument_error);
    CHECK_THROWS_AS(heed::rope::digits(1, 10, -1), heed::argument_error);
    CHECK_THROWS_WITH(heed::rope::digits(1, {3, 0.5}), Contains("a radix is 0.5"));
    CHECK_THROWS_AS(heed::rope::digits(std::nan(""), 10, 3), heed::argument_error);
}

}  // namespace test_rope_views
