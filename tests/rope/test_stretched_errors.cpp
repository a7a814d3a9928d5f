#include <cmath>
#include <limits>
#include <vector>

#include <heed/rope/by_parts.hpp>
#include <heed/rope/interpolation.hpp>
#include <heed/rope/llama3.hpp>
#include <heed/rope/longrope.hpp>
#include <heed/rope/mixed_radix.hpp>
#include <heed/rope/ntk.hpp>
#include <heed/rope/proportional.hpp>
#include <heed/rope/yarn.hpp>

#include "support/catch.hpp"

namespace test_stretched_errors {

using namespace heed::rope;
using Catch::Matchers::Contains;

const double not_a_number = std::nan(""), infinite = std::numeric_limits<double>::infinity();

/// Every variant refuses what plain refuses, and what is no stretch.
template <class Options, class Variant>
void check_refusals(const Options& good, Variant variant, double least_stretch) {
    CHECK_NOTHROW(variant(good));
    for (const int dim : {-2, 0, 1, 7}) {
        Options bad = good;
        bad.dim = dim;
        CHECK_THROWS_AS(variant(bad), heed::argument_error);
        CHECK_THROWS_WITH(variant(bad), Contains("dim is ") && Contains("even"));
    }
    for (const double base : {1.0, 0.5, -3.0, not_a_number, infinite}) {
        Options bad = good;
        bad.base = base;
        CHECK_THROWS_AS(variant(bad), heed::argument_error);
        CHECK_THROWS_WITH(variant(bad), Contains("base is ") && Contains("greater than 1"));
    }
    for (const double stretch : {least_stretch - 1e-9, -1.0, not_a_number, infinite}) {
        Options bad = good;
        bad.stretch = stretch;
        CHECK_THROWS_AS(variant(bad), heed::argument_error);
        CHECK_THROWS_WITH(variant(bad), Contains("stretch is "));
    }
}

/// The variant throws an argument_error that says `words` once `spoil` has changed its options.
template <class Options, class Variant, class Spoil>
void check_refused(Options options, Variant variant, Spoil spoil, const char* words) {
    spoil(options);
    CHECK_THROWS_AS(variant(options), heed::argument_error);
    CHECK_THROWS_WITH(variant(options), Contains(words));
}

TEST_CASE("interpolation and the NTK family refuse what has no meaning, naming it") {
    const stretched_options good{.dim = 8, .stretch = 2};
    check_refusals(good, interpolation, 1e-9);
    CHECK_NOTHROW(interpolation({.dim = 8, .stretch = 0.5}));
    for (const auto variant : {ntk_aware, ntk_old, ntk_fixed}) check_refusals(good, variant, 1);
    CHECK_THROWS_WITH(ntk_aware({.dim = 2, .stretch = 2}), Contains("dim is 2"));
    CHECK_NOTHROW(ntk_old({.dim = 2, .stretch = 2}));

    const ntk_mixed_options mixed{.dim = 8, .stretch = 2};
    check_refusals(mixed, ntk_mixed, 1);
    for (const double power : {-0.1, not_a_number, infinite})
        check_refused(
            mixed, ntk_mixed, [&](auto& o) { o.power = power; }, "power is ");

    const dynamic_ntk_options dynamic{.dim = 8, .stretch = 2, .length = 30, .original_length = 20};
    check_refusals(dynamic, dynamic_ntk, 1);
    check_refused(
        dynamic, dynamic_ntk, [](auto& o) { o.dim = 2; }, "dim is 2");
    check_refused(
        dynamic, dynamic_ntk, [](auto& o) { o.length = -1; }, "length is -1");
    check_refused(
        dynamic, dynamic_ntk, [](auto& o) { o.original_length = 0; }, "original_length is 0");
}

TEST_CASE("by_parts, YaRN and Llama 3 refuse what has no meaning, naming it") {
    const by_parts_options parts{.dim = 8, .stretch = 2, .original_length = 100};
    const yarn_options yarns{.dim = 8, .stretch = 2, .original_length = 100};
    const llama3_options llama{.dim = 8, .stretch = 2, .original_length = 100};
    check_refusals(parts, by_parts, 1);
    check_refusals(yarns, yarn, 1);
    check_refusals(llama, llama3, 1);

    const auto no_length = [](auto& o) { o.original_length = 0; };
    check_refused(parts, by_parts, no_length, "original_length is 0");
    check_refused(yarns, yarn, no_length, "original_length is 0");
    check_refused(llama, llama3, no_length, "original_length is 0");

    const auto crossed = [](auto& o) { o.beta_slow = 32.5; };
    check_refused(parts, by_parts, crossed, "beta_fast is 32");
    check_refused(yarns, yarn, crossed, "beta_fast is 32");
    const auto negative = [](auto& o) { o.beta_slow = -1; };
    check_refused(parts, by_parts, negative, "beta_slow is -1");
    check_refused(yarns, yarn, negative, "beta_slow is -1");
    check_refused(
        llama, llama3, [](auto& o) { o.low_freq_factor = 0; }, "low_freq_factor is 0");
    check_refused(
        llama, llama3, [](auto& o) { o.low_freq_factor = 4.5; }, "high_freq_factor is 4");

    check_refused(
        yarns, yarn, [](auto& o) { o.mscale = 1; }, "mscale is given without mscale_all_dim");
    check_refused(
        yarns, yarn, [](auto& o) { o.mscale_all_dim = 1; },
        "mscale_all_dim is given without mscale");
    check_refused(
        yarns, yarn, [](auto& o) { o.mscale = 0, o.mscale_all_dim = 1; }, "mscale is 0");
    check_refused(
        yarns, yarn, [](auto& o) { o.mscale = 1, o.mscale_all_dim = -1; }, "mscale_all_dim is -1");
    check_refused(
        yarns, yarn, [](auto& o) { o.mscale = 1, o.mscale_all_dim = 1, o.attention_factor = 1; },
        "attention_factor is given, but also mscale");
    check_refused(
        yarns, yarn, [](auto& o) { o.attention_factor = -1; }, "attention_factor is -1");
}

TEST_CASE("LongRoPE and mixed radices refuse factors of another length or sign") {
    const longrope_options good{.dim = 4,
                                .stretch = 2,
                                .length = 30,
                                .original_length = 20,
                                .short_factor = {1, 2},
                                .long_factor = {1, 3}};
    check_refusals(good, longrope, 1);
    auto bad = good;
    bad.short_factor = {1};
    CHECK_THROWS_AS(longrope(bad), heed::shape_error);
    CHECK_THROWS_WITH(longrope(bad), Contains("short_factor has length 1") && Contains("2"));
    bad = good, bad.long_factor.push_back(1);
    CHECK_THROWS_AS(longrope(bad), heed::shape_error);
    CHECK_THROWS_WITH(longrope(bad), Contains("long_factor has length 3"));
    check_refused(
        good, longrope, [](auto& o) { o.long_factor[1] = 0; }, "long_factor of pair 1 is 0");
    check_refused(
        good, longrope, [](auto& o) { o.original_length = 1; }, "original_length is 1");
    check_refused(
        good, longrope, [](auto& o) { o.length = -1; }, "length is -1");

    CHECK_THROWS_AS(mixed_radix({.dim = 4, .factors = {2}}), heed::shape_error);
    CHECK_THROWS_WITH(mixed_radix({.dim = 4, .factors = {2}}), Contains("factors has length 1"));
    for (const auto& factors :
         {std::vector<double>{2, 3}, {2, 0.5}, {not_a_number, 1}, {infinite, 1}, {2, not_a_number}})
        CHECK_THROWS_AS(mixed_radix({.dim = 4, .factors = factors}), heed::argument_error);
    CHECK_THROWS_AS(mixed_radix({.dim = 3, .factors = {2}}), heed::argument_error);
    CHECK_THROWS_AS(mixed_radix({.dim = 2, .base = 1, .factors = {2}}), heed::argument_error);
}

TEST_CASE("proportional frequencies refuse a share outside [0, 1]") {
    const proportional_options good{.dim = 8, .proportion = 0.5, .stretch = 2};
    check_refusals(good, proportional, 1e-9);
    for (const double share : {-0.1, 1.1, not_a_number})
        check_refused(
            good, proportional, [&](auto& o) { o.proportion = share; }, "proportion is ");
}

}  // namespace test_stretched_errors
