#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <set>
#include <vector>

#include <heed/core/random.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_random {

using words = std::array<std::uint32_t, 4>;

/// Mean, variance, skewness and kurtosis.
template <class Draw>
std::array<double, 4> moments(Draw draw, int count) {
    double mean = 0;
    for (int i = 0; i < count; ++i) mean += draw(i) / count;
    std::array<double, 4> central{};
    for (int i = 0; i < count; ++i) {
        const double d = draw(i) - mean;
        for (int power = 2; power <= 4; ++power) {
            central[static_cast<std::size_t>(power - 1)] += std::pow(d, power) / count;
        }
    }
    const double variance = central[1];
    return {mean, variance, central[2] / std::pow(variance, 1.5), central[3] / variance / variance};
}

TEST_CASE("Philox gives the published answers") {
    // kat_vectors of the authors' Random123 library.
    static_assert(heed::detail::philox({0, 0, 0, 0}, {0, 0}) ==
                  words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    constexpr std::uint32_t ones = 0xffffffff;
    static_assert(heed::detail::philox({ones, ones, ones, ones}, {ones, ones}) ==
                  words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    static_assert(heed::detail::philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                                       {0xa4093822, 0x299f31d0}) ==
                  words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
    SUCCEED();
}

TEST_CASE("words of many counters at once are those of each") {
    const heed::random_numbers numbers(42, 1, 2);
    for (const heed::index first : {0, 16, -3}) {
        const auto lanes = numbers.lanes_of_words<16>(7, first);
        for (std::size_t l = 0; l < 16; ++l)
            for (std::size_t w = 0; w < 4; ++w)
                REQUIRE(lanes[w][l] == numbers.words(7, first + static_cast<heed::index>(l))[w]);
    }
}

TEST_CASE("random numbers are the same on every platform") {
    // These bits were written down once; a change of one is a change of every user's results.
    const heed::random_numbers numbers(42, 1, 2);
    REQUIRE(numbers.words(3, 4) == words{0x4fed1d86, 0x30da871e, 0x2ec4df71, 0xcba75f01});
    REQUIRE(numbers.uniform(3, 4) == 0x1.3fb47618c36a2p-2);
    REQUIRE(numbers.uniform<float>(3, 4) == 0x1.3fb474p-2f);
    std::uint64_t hash = 0;  // of normal deviates, tails included
    for (heed::index i = 0; i < 20000; ++i) {
        hash = heed::detail::mix(hash ^ std::bit_cast<std::uint64_t>(numbers.normal(i)));
    }
    REQUIRE(hash == 0x913f4a17a6ae416a);
}

TEST_CASE("a number depends on its address, on all of it, and on nothing else") {
    const auto row = [](const heed::random_numbers& numbers) {
        std::vector<double> drawn(1000);
        for (std::size_t i = 0; i < drawn.size(); ++i) {
            drawn[i] = numbers.uniform(static_cast<heed::index>(i), 7);
        }
        return drawn;
    };
    const auto forwards = row(heed::random_numbers(1, 2, 3));
    const heed::random_numbers again(1, 2, 3);
    for (std::size_t i = forwards.size(); i-- > 0;) {
        REQUIRE(again.uniform(static_cast<heed::index>(i), 7) == forwards[i]);
    }

    std::set<std::uint64_t> seen;
    int count = 0;
    const auto add = [&](words drawn) {
        seen.insert(std::uint64_t{drawn[0]} << 32 | drawn[1]);
        ++count;
    };
    for (const int seed : {0, 1, -1}) {
        for (const std::int64_t i : {0L, 1L, 2L, -1L, 1L << 32, 1L << 40}) {
            for (const std::int64_t j : {0L, 1L, 2L, -1L, 1L << 32, 1L << 40}) {
                const auto bits = static_cast<std::uint64_t>(seed);
                add(heed::random_numbers(bits).words(i, j));
                add(heed::random_numbers(bits, 0).words(i, j));
                add(heed::random_numbers(bits, 0, 0).words(i, j));
                add(heed::random_numbers(bits, 0, 1).words(i, j));
                add(heed::random_numbers(bits, 1, 0).words(i, j));
                add(heed::random_numbers(bits, 1).words(i, j));
            }
        }
    }
    REQUIRE(static_cast<int>(seen.size()) == count);
}

TEST_CASE("uniform numbers are uniform, and inside (0, 1)") {
    constexpr int count = 1 << 20;
    const heed::random_numbers numbers(heed_test::seed());
    const auto [mean, variance, skewness, kurtosis] =
        moments([&](int i) { return numbers.uniform(i); }, count);
    // Five standard deviations of each estimate.
    REQUIRE(std::abs(mean - 0.5) < 5 * std::sqrt(1.0 / 12 / count));
    REQUIRE(std::abs(variance - 1.0 / 12) < 5 * std::sqrt(1.0 / 180 / count));
    REQUIRE(std::abs(skewness) < 0.01);
    REQUIRE(std::abs(kurtosis - 1.8) < 0.01);

    std::array<int, 256> histogram{};
    for (int i = 0; i < count; ++i) {
        const float u = numbers.uniform<float>(i);
        REQUIRE((u > 0 && u < 1));
        ++histogram[static_cast<std::size_t>(u * 256)];
    }
    double chi_squared = 0;
    for (const int n : histogram) chi_squared += std::pow(n - count / 256.0, 2) / (count / 256.0);
    REQUIRE(chi_squared < 255 + 5 * std::sqrt(2.0 * 255));
    REQUIRE(chi_squared > 255 - 5 * std::sqrt(2.0 * 255));
}

TEST_CASE("normal numbers are normal") {
    constexpr int count = 1 << 20;
    const heed::random_numbers numbers(heed_test::seed(), 1);
    const auto [mean, variance, skewness, kurtosis] =
        moments([&](int i) { return numbers.normal(0, i); }, count);
    REQUIRE(std::abs(mean) < 5 / std::sqrt(count));
    REQUIRE(std::abs(variance - 1) < 5 * std::sqrt(2.0 / count));
    REQUIRE(std::abs(skewness) < 5 * std::sqrt(6.0 / count));
    REQUIRE(std::abs(kurtosis - 3) < 5 * std::sqrt(24.0 / count));
}

TEST_CASE("neighbours, rows and streams do not go together") {
    constexpr int count = 1 << 18;
    const heed::random_numbers one(heed_test::seed(), 0), other(heed_test::seed(), 1);
    double next = 0, below = 0, beside = 0;
    for (int i = 0; i < count; ++i) {
        const double x = one.normal(0, i);
        next += x * one.normal(0, i + 1) / count;
        below += x * one.normal(1, i) / count;
        beside += x * other.normal(0, i) / count;
    }
    for (const double correlation : {next, below, beside}) {
        REQUIRE(std::abs(correlation) < 5 / std::sqrt(count));
    }
}

TEST_CASE("the quantile of the normal distribution is the inverse of its integral") {
    heed_test::generator random;
    for (int repeat = 0; repeat < 20000; ++repeat) {
        // Evenly over the exponents, so that the far tail is seen too.
        const double p = 0.5 * std::exp2(-52 * random.uniform());
        const double x = heed::detail::normal_quantile(p);
        const long double integral = std::erfc(-static_cast<long double>(x) * std::sqrt(0.5L)) / 2;
        // The integral's relative change is about −x times the error of x.
        REQUIRE(std::abs(static_cast<double>(integral / p - 1)) < 4e-15 * (1 + x * x));
        const double above = 1 - p;
        REQUIRE(heed::detail::normal_quantile(above) == -heed::detail::normal_quantile(1 - above));
    }
    REQUIRE(heed::detail::normal_quantile(0.5) == 0);
}

}  // namespace test_random
