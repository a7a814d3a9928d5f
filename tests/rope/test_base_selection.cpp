#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/rope/base_selection.hpp>

#include "reference/base_selection.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_base_selection {

using heed::index;

/// Two digits, as the sources print them.
std::string two_digits(double number) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1e", number);
    return text;
}

TEST_CASE("the least base is what trying one base after the other finds, round by round") {
    // With dim 4 the worst sums are within 1e-9 of zero.
    for (const index dim : {4, 6, 32, 96, 130}) {
        for (const index length : {1, 2, 3, 7, 31, 128, 400}) {
            INFO("dim " << dim << ", length " << length);
            const auto least = heed::rope::least_base({.dim = dim, .length = length, .rounds = 3});
            CHECK(least.by_round == reference::least_bases(dim, length, 3));
            CHECK(least.base == least.by_round.back());
            const auto lasting =
                heed::rope::least_lasting_base({.dim = dim, .length = length, .rounds = 3});
            CHECK(lasting.by_round == reference::lasting_bases(dim, length, 3));
            CHECK(lasting.base == lasting.by_round.back());
        }
    }
}

TEST_CASE("a base suffices where no sum of cosines is negative") {
    heed_test::generator random;
    for (const index dim : {4, 16, 64, 128}) {
        for (const index length : {50, 129, 1537, 4000}) {
            const double middle = reference::least_bases(dim, 50, 2).back();
            for (int n = 0; n < 20; ++n) {
                const double base = middle * std::exp(random.uniform(-1, 8));
                INFO("dim " << dim << ", length " << length << ", base " << base);
                CHECK(heed::rope::base_suffices(base, dim, length) ==
                      reference::base_suffices(base, dim, length));
            }
        }
    }
}

TEST_CASE("where a sum is nearly zero it is decided as in double") {
    for (const index dim : {4, 32, 128}) {
        const auto found = heed::rope::least_base({.dim = dim, .length = 400, .rounds = 2});
        double fails = found.base - found.resolution, suffices = found.base;
        for (int n = 0; n < 60; ++n) {
            const double middle = fails + (suffices - fails) / 2;
            INFO("dim " << dim << ", step " << n);
            const bool expected = reference::base_suffices(middle, dim, 400);
            CHECK(heed::rope::base_suffices(middle, dim, 400) == expected);
            (expected ? suffices : fails) = middle;
        }
    }
}

TEST_CASE("the sum of cosines is that of the formula") {
    const auto theta = reference::plain_frequencies(128, 5e5);
    for (const index m : {0, 1, 17, 100'000})
        CHECK(heed::rope::cosine_sum(5e5, 128, m) == reference::cosine_sum(theta, m));
    CHECK(heed::rope::cosine_sum(10000, 64, 0) == 32);
}

TEST_CASE("least bases of kexue 10122") {
    const struct {
        index length;
        const char* base;
    } published[] = {{1024, "4.3e+03"}, {2048, "1.2e+04"},  {4096, "2.7e+04"},
                     {8192, "8.4e+04"}, {16384, "2.3e+05"}, {32768, "6.3e+05"}};
    for (const auto& each : published) {
        INFO("length " << each.length);
        const auto found = heed::rope::least_base({.dim = 128, .length = each.length});
        CHECK(two_digits(found.base) == each.base);
    }
}

TEST_CASE("a base found suffices, the next one below does not") {
    for (const index length : {300, 3000}) {
        const auto least = heed::rope::least_base({.dim = 64, .length = length, .rounds = 3});
        const auto lasting =
            heed::rope::least_lasting_base({.dim = 64, .length = length, .rounds = 3});
        for (const auto& found : {least, lasting}) {
            CHECK(reference::base_suffices(found.base, 64, length));
            CHECK_FALSE(reference::base_suffices(found.base - found.resolution, 64, length));
            REQUIRE(found.by_round.size() == 3);
        }
        CHECK(least.resolution == least.by_round[1] / 1000);
        CHECK(least.base < lasting.base);
    }
}

TEST_CASE("more threads find the same, and progress ends at 1 on the caller's thread") {
    Eigen::ThreadPool pool(3);
    std::vector<double> fractions;
    bool elsewhere = false;
    const auto caller = std::this_thread::get_id();
    const auto watch = [&](double fraction) {
        fractions.push_back(fraction);
        elsewhere = elsewhere || std::this_thread::get_id() != caller;
    };
    for (const bool lasting : {false, true}) {
        const auto search = lasting ? heed::rope::least_lasting_base<> : heed::rope::least_base<>;
        fractions.clear();
        const auto alone = search({.dim = 64, .length = 1000, .rounds = 3}, {nullptr});
        const auto together =
            search({.dim = 64, .length = 1000, .rounds = 3, .progress = watch}, heed::on(pool));
        CHECK(alone.by_round == together.by_round);
        CHECK(alone.resolution == together.resolution);
        REQUIRE_FALSE(fractions.empty());
        CHECK(std::is_sorted(fractions.begin(), fractions.end()));
        CHECK(fractions.front() >= 0);
        CHECK(fractions.back() == 1);
    }
    CHECK_FALSE(elsewhere);
}

TEST_CASE("the cosine integral") {
    const struct {
        double x, ci;
    } known[] = {{1e-3, -6.33053986408059377},    {0.5, -0.177784078806612901},
                 {1, 0.337403922900968135},       {2, 0.422980828774864996},
                 {2.5, 0.285871196365383495},     {4, -0.140981697886930412},
                 {10, -0.0454564330044553726},    {100, -0.00514882514261049214},
                 {12345, -8.05006602032259292e-5}};
    for (const auto& each : known) {
        INFO("x = " << each.x);
        CHECK(std::abs(heed::detail::cosine_integral(each.x) - each.ci) <= 2e-15);
    }
}

TEST_CASE("the mean cosine in the limit of many dimensions") {
    constexpr index dim = 200'000;
    for (const double base : {1.5, 10000.0, 5e5}) {
        const auto theta = reference::plain_frequencies(dim, base);
        for (const index m : {0, 1, 3, 50, 700}) {
            INFO("base " << base << ", m " << m);
            // A sum of rectangles: the ends' share is halved.
            const auto position = static_cast<double>(m);
            const double ends = (std::cos(position) - std::cos(position / base)) / 2;
            const double mean = (reference::cosine_sum(theta, m) - ends) * 2 / dim;
            CHECK(heed::rope::limit_mean_cosine(base, position) == Approx(mean).margin(1e-8));
        }
    }
    // The bound: without Ci(m), the mean at m = length is then zero.
    CHECK(std::abs(heed::detail::cosine_integral(1000 / heed::rope::limit_base(1000))) < 1e-15);
    CHECK(heed::rope::limit_base(4096) == Approx(4096 / 0.6165).epsilon(1e-4));
}

TEST_CASE("base selection refuses what has no answer, naming it") {
    using Catch::Matchers::Contains;
    using heed::rope::least_base;
    const double nan = std::nan("");
    CHECK_THROWS_WITH(least_base({.dim = 63, .length = 8}), Contains("dim is 63"));
    CHECK_THROWS_AS(least_base({.dim = 0, .length = 8}), heed::argument_error);
    CHECK_THROWS_WITH(least_base({.dim = 2, .length = 3}),
                      Contains("dim is 2") && Contains("length 3"));
    CHECK_NOTHROW(least_base({.dim = 2, .length = 2, .rounds = 1}));
    CHECK_THROWS_WITH(least_base({.dim = 64, .length = 0}), Contains("length is 0"));
    CHECK_THROWS_AS(least_base({.dim = 64, .length = index(1) << 31}), heed::argument_error);
    CHECK_THROWS_WITH(least_base({.dim = 64, .length = 8, .rounds = 0}), Contains("rounds is 0"));
    CHECK_THROWS_AS(least_base({.dim = 64, .length = 8, .rounds = 8}), heed::argument_error);
    CHECK_THROWS_AS(heed::rope::least_lasting_base({.dim = -4, .length = 8}), heed::argument_error);
    CHECK_THROWS_WITH(heed::rope::base_suffices(0.5, 64, 8), Contains("base is 0.5"));
    CHECK_THROWS_WITH(heed::rope::base_suffices(1e4, 7, 8), Contains("dim is 7"));
    CHECK_THROWS_WITH(heed::rope::base_suffices(1e4, 64, 0), Contains("length is 0"));
    CHECK_THROWS_WITH(heed::rope::cosine_sum(1e4, 64, -1), Contains("m is -1"));
    CHECK_THROWS_WITH(heed::rope::limit_mean_cosine(1, 5), Contains("base is 1"));
    CHECK_THROWS_AS(heed::rope::limit_mean_cosine(1e4, nan), heed::argument_error);
    CHECK_THROWS_WITH(heed::rope::limit_base(0), Contains("length is 0"));
}

}  // namespace test_base_selection
