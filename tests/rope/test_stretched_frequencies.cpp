#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <heed/rope/by_parts.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/interpolation.hpp>
#include <heed/rope/llama3.hpp>
#include <heed/rope/longrope.hpp>
#include <heed/rope/mixed_radix.hpp>
#include <heed/rope/ntk.hpp>
#include <heed/rope/proportional.hpp>
#include <heed/rope/yarn.hpp>

#include "reference/rope.hpp"
#include "reference/rope_variants.hpp"
#include "support/catch.hpp"

namespace test_stretched_frequencies {

using namespace heed::rope;

/// The largest relative difference of two ladders.
double ladders_apart(const std::vector<double>& a, const std::vector<double>& b) {
    REQUIRE(a.size() == b.size());
    double worst = 0;
    for (std::size_t t = 0; t < a.size(); ++t)
        worst = std::max(worst, std::abs(a[t] - b[t]) / std::max(std::abs(b[t]), 1e-300));
    return worst;
}

bool same_ladder(const frequencies& rope, const std::vector<double>& expected) {
    return ladders_apart(rope.angular(), expected) < 1e-13;
}

TEST_CASE("stretched frequencies are those of the formulas") {
    for (const int d : {4, 6, 64, 96, 128, 256}) {
        for (const double b : {1.5, 10000.0, 500000.0}) {
            for (const double k : {1.0, 1.7, 8.0, 64.0}) {
                INFO("dim " << d << ", base " << b << ", stretch " << k);
                const stretched_options options{.dim = d, .base = b, .stretch = k};
                CHECK(same_ladder(interpolation(options), reference::interpolation(d, b, k)));
                CHECK(same_ladder(ntk_aware(options), reference::ntk_aware(d, b, k)));
                CHECK(same_ladder(ntk_old(options), reference::ntk_old(d, b, k)));
                CHECK(same_ladder(ntk_fixed(options), reference::ntk_fixed(d, b, k)));
                for (const double p : {0.0, 0.3, 0.625, 1.0, 2.0})
                    CHECK(same_ladder(ntk_mixed({.dim = d, .base = b, .stretch = k, .power = p}),
                                      reference::ntk_mixed(d, b, k, p)));
                for (const int n : {0, 100, 512, 513, 4096})
                    CHECK(same_ladder(dynamic_ntk({.dim = d,
                                                   .base = b,
                                                   .stretch = k,
                                                   .length = n,
                                                   .original_length = 512}),
                                      reference::dynamic_ntk(d, b, k, n, 512)));
            }
        }
    }
}

TEST_CASE("frequencies by parts are those of the formulas") {
    for (const int d : {2, 6, 64, 128}) {
        for (const double b : {100.0, 10000.0, 500000.0}) {
            for (const int L : {64, 2048, 8192}) {
                INFO("dim " << d << ", base " << b << ", length " << L);
                CHECK(
                    same_ladder(by_parts({.dim = d, .base = b, .stretch = 8, .original_length = L}),
                                reference::by_parts(d, b, 8, L, 1, 32)));
                CHECK(same_ladder(by_parts({.dim = d,
                                            .base = b,
                                            .stretch = 3,
                                            .original_length = L,
                                            .beta_fast = 16,
                                            .beta_slow = 0}),
                                  reference::by_parts(d, b, 3, L, 0, 16)));
                CHECK(same_ladder(llama3({.dim = d, .base = b, .stretch = 8, .original_length = L}),
                                  reference::by_parts(d, b, 8, L, 1, 4)));
                for (const bool truncate : {true, false})
                    CHECK(same_ladder(yarn({.dim = d,
                                            .base = b,
                                            .stretch = 8,
                                            .original_length = L,
                                            .truncate = truncate}),
                                      reference::yarn(d, b, 8, L, 1, 32, truncate)));
            }
        }
    }
}

TEST_CASE("at stretch 1 every variant is plain") {
    for (const int d : {6, 64, 128}) {
        for (const double b : {1.5, 10000.0, 500000.0}) {
            INFO("dim " << d << ", base " << b);
            const auto expected = plain({.dim = d, .base = b}).angular();
            const stretched_options options{.dim = d, .base = b, .stretch = 1};
            const std::vector<double> ones(expected.size(), 1);
            CHECK(interpolation(options).angular() == expected);
            CHECK(ntk_aware(options).angular() == expected);
            CHECK(ntk_old(options).angular() == expected);
            CHECK(ntk_fixed(options).angular() == expected);
            CHECK(ntk_mixed({.dim = d, .base = b, .stretch = 1}).angular() == expected);
            CHECK(mixed_radix({.dim = d, .base = b, .factors = ones}).angular() == expected);
            CHECK(by_parts({.dim = d, .base = b, .stretch = 1, .original_length = 512}).angular() ==
                  expected);
            CHECK(llama3({.dim = d, .base = b, .stretch = 1, .original_length = 512}).angular() ==
                  expected);
            CHECK(proportional({.dim = d, .base = b}).angular() == expected);

            const auto one_yarn = yarn({.dim = d, .base = b, .stretch = 1, .original_length = 512});
            CHECK(one_yarn.angular() == expected);
            CHECK(one_yarn.attention_factor() == 1);
            const auto one_longrope = longrope({.dim = d,
                                                .base = b,
                                                .stretch = 1,
                                                .length = 600,
                                                .original_length = 512,
                                                .short_factor = ones,
                                                .long_factor = ones});
            CHECK(one_longrope.angular() == expected);
            CHECK(one_longrope.attention_factor() == 1);
        }
    }
}

TEST_CASE("dynamic NTK is plain up to the trained length, and NTK-aware by growth beyond") {
    const auto at = [](int n) {
        return dynamic_ntk({.dim = 64, .stretch = 4, .length = n, .original_length = 1000});
    };
    CHECK(at(0).angular() == plain({.dim = 64}).angular());
    CHECK(at(1000).angular() == plain({.dim = 64}).angular());
    CHECK(at(1001).angular() != plain({.dim = 64}).angular());
    CHECK(same_ladder(at(3000), ntk_aware({.dim = 64, .stretch = 9}).angular()));
}

TEST_CASE("the NTK family is plain at the highest frequency and interpolated at the lowest") {
    for (const double k : {2.0, 8.0, 100.0}) {
        INFO("stretch " << k);
        const stretched_options options{.dim = 64, .stretch = k};
        const auto plainly = plain({.dim = 64}).angular();
        const double lowest = plainly.back() / k, lambda = std::pow(k, 2.0 / 64);
        const auto aware = ntk_aware(options).angular(), old = ntk_old(options).angular();
        const auto fixed = ntk_fixed(options).angular();
        const auto mixed = ntk_mixed({.dim = 64, .stretch = k}).angular();
        CHECK(aware.front() == 1);
        CHECK(aware.back() == Approx(lowest).epsilon(1e-13));
        CHECK(old.front() == 1);
        CHECK(old.back() == Approx(lowest * lambda).epsilon(1e-13));
        CHECK(fixed.front() == Approx(1 / lambda).epsilon(1e-13));
        CHECK(fixed.back() == Approx(lowest).epsilon(1e-13));
        CHECK(mixed.front() == Approx(std::exp(-std::log(k) / std::pow(32, 0.625))));
        CHECK(mixed.back() == Approx(lowest).epsilon(1e-13));
        // Mixed with p = 1 is fixed, with p = 0 interpolation.
        CHECK(same_ladder(ntk_mixed({.dim = 64, .stretch = k, .power = 1}), fixed));
        CHECK(same_ladder(ntk_mixed({.dim = 64, .stretch = k, .power = 0}),
                          interpolation(options).angular()));
    }
}

TEST_CASE("free mixed radices have interpolation and NTK-fixed among them") {
    for (const double k : {2.0, 10.0}) {
        std::vector<double> first(32, 1);
        first[0] = k;
        const std::vector<double> all(32, std::pow(k, 2.0 / 64));
        CHECK(same_ladder(mixed_radix({.dim = 64, .factors = first}),
                          interpolation({.dim = 64, .stretch = k}).angular()));
        CHECK(same_ladder(mixed_radix({.dim = 64, .factors = all}),
                          ntk_fixed({.dim = 64, .stretch = k}).angular()));
    }
    const std::vector<double> falling{5, 3, 1.5, 1};
    CHECK(same_ladder(mixed_radix({.dim = 8, .base = 50, .factors = falling}),
                      reference::mixed_radix(8, 50, falling)));
}

TEST_CASE("by parts and YaRN keep fast pairs and interpolate slow ones") {
    const auto plainly = plain({.dim = 128}).angular();
    const auto parts = by_parts({.dim = 128, .stretch = 16, .original_length = 2048}).angular();
    const auto yarned = yarn({.dim = 128, .stretch = 16, .original_length = 2048}).angular();
    for (const auto& stretched : {parts, yarned}) {
        CHECK(stretched.front() == plainly.front());
        CHECK(stretched.back() == plainly.back() / 16);
        CHECK(std::is_sorted(stretched.rbegin(), stretched.rend()));
    }
    // Ramps of different shape.
    CHECK(ladders_apart(parts, yarned) > 0.5);
}

TEST_CASE("YaRN's attention factor") {
    const yarn_options standard{.dim = 64, .stretch = 40, .original_length = 4096};
    const double log_k = std::log(40.0);
    CHECK(yarn(standard).attention_factor() == Approx(0.1 * log_k + 1));
    auto given = standard;
    given.attention_factor = 1.25;
    CHECK(yarn(given).attention_factor() == 1.25);
    auto ratio = standard;
    ratio.mscale = 1, ratio.mscale_all_dim = 1;
    CHECK(yarn(ratio).attention_factor() == 1);
    ratio.mscale = 0.707, ratio.mscale_all_dim = 2;
    CHECK(yarn(ratio).attention_factor() == Approx((0.0707 * log_k + 1) / (0.2 * log_k + 1)));
}

TEST_CASE("LongRoPE takes its factors by the length") {
    longrope_options options{.dim = 6,
                             .stretch = 4,
                             .length = 128,
                             .original_length = 128,
                             .short_factor = {1, 1.5, 2},
                             .long_factor = {1, 3, 8}};
    const auto plainly = plain({.dim = 6}).angular();
    const auto divided = [&](std::vector<double> by) {
        for (std::size_t t = 0; t < by.size(); ++t) by[t] = plainly[t] / by[t];
        return by;
    };
    CHECK(longrope(options).angular() == divided({1, 1.5, 2}));
    options.length = 129;
    CHECK(longrope(options).angular() == divided({1, 3, 8}));
    CHECK(longrope(options).attention_factor() ==
          Approx(std::sqrt(1 + std::log(4.0) / std::log(128.0))));
    options.attention_factor = 1.19;
    CHECK(longrope(options).attention_factor() == 1.19);
}

TEST_CASE("proportional frequencies stop, and partial ones have another ladder") {
    const auto quarter = proportional({.dim = 64, .proportion = 0.25, .stretch = 2}).angular();
    const auto plainly = plain({.dim = 64}).angular();
    for (std::size_t t = 0; t < 32; ++t) CHECK(quarter[t] == (t < 8 ? plainly[t] / 2 : 0));
    CHECK(proportional({.dim = 10, .proportion = 0.5}).angular()[2] == 0);  // ⌊2.5⌋ pairs
    CHECK(proportional({.dim = 4, .proportion = 0}).angular() == std::vector<double>{0, 0});
}

TEST_CASE("layouts and numbers of any type reach every variant") {
    const std::size_t length = 512;
    CHECK(ntk_mixed({.dim = 64L, .base = 10000, .stretch = 8, .layout = interleaved}).layout() ==
          interleaved);
    CHECK(interpolation({.dim = short(4), .stretch = 2U, .layout = interleaved}).layout() ==
          interleaved);
    CHECK(yarn({.dim = 64, .stretch = 2.F, .original_length = length, .layout = interleaved})
              .layout() == interleaved);
    CHECK(llama3({.dim = 64, .stretch = 2, .original_length = length, .layout = interleaved})
              .layout() == interleaved);
    CHECK(mixed_radix({.dim = 2, .factors = {3}, .layout = interleaved}).layout() == interleaved);
    CHECK(proportional({.dim = 2, .layout = interleaved}).layout() == interleaved);
}

}  // namespace test_stretched_frequencies
