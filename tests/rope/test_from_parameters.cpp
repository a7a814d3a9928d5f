#include <cmath>
#include <map>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include <heed/rope/from_parameters.hpp>

#include "support/catch.hpp"

namespace test_from_parameters {

using namespace heed::rope;
using Catch::Matchers::Contains;

bool same_rotation(const frequencies& a, const frequencies& b) {
    return a.angular() == b.angular() && a.attention_factor() == b.attention_factor() &&
           a.layout() == b.layout();
}

TEST_CASE("a checkpoint's fields become the frequencies they stand for") {
    CHECK(same_rotation(from_parameters({}, {.head_dim = 64}), plain({.dim = 64})));
    CHECK(same_rotation(
        from_parameters(
            {{"rope_type", "default"}, {"rope_theta", 500000}, {"partial_rotary_factor", 0.5}},
            {.head_dim = 64, .layout = interleaved}),
        plain({.dim = 32, .base = 500000, .layout = interleaved})));
    CHECK(same_rotation(from_parameters({{"type", "linear"}, {"factor", 4.0}}, {.head_dim = 64}),
                        interpolation({.dim = 64, .stretch = 4})));
    CHECK(same_rotation(
        from_parameters({{"rope_type", "dynamic"}, {"factor", 2}},
                        {.head_dim = 64, .max_position_embeddings = 2048, .length = 5000}),
        dynamic_ntk({.dim = 64, .stretch = 2, .length = 5000, .original_length = 2048})));
    CHECK(same_rotation(
        from_parameters({{"rope_type", "llama3"},
                         {"factor", 32.0},
                         {"low_freq_factor", 1},
                         {"high_freq_factor", 4},
                         {"original_max_position_embeddings", 8192},
                         {"rope_theta", 500000}},
                        {.head_dim = 128}),
        llama3({.dim = 128, .base = 500000, .stretch = 32, .original_length = 8192})));
    CHECK(same_rotation(
        from_parameters(
            {{"rope_type", "proportional"}, {"rope_theta", 1e6}, {"partial_rotary_factor", 0.25}},
            {.head_dim = 512}),
        proportional({.dim = 512, .base = 1e6, .proportion = 0.25})));
}

TEST_CASE("YaRN's and LongRoPE's fields, and what stands in for those that are missing") {
    const parameters yarns{{"rope_type", "yarn"},
                           {"factor", 40},
                           {"beta_fast", 16},
                           {"beta_slow", 2},
                           {"mscale", 0.707},
                           {"mscale_all_dim", 1},
                           {"truncate", false},
                           {"original_max_position_embeddings", 4096},
                           {"attention_factor", nullptr}};
    CHECK(same_rotation(from_parameters(yarns, {.head_dim = 64}), yarn({.dim = 64,
                                                                        .stretch = 40,
                                                                        .original_length = 4096,
                                                                        .beta_fast = 16,
                                                                        .beta_slow = 2,
                                                                        .truncate = false,
                                                                        .mscale = 0.707,
                                                                        .mscale_all_dim = 1})));
    CHECK(same_rotation(
        from_parameters({{"type", "yarn"},
                         {"factor", nullptr},
                         {"original_max_position_embeddings", 1024},
                         {"attention_factor", 1.5}},
                        {.head_dim = 64, .max_position_embeddings = 8192}),
        yarn({.dim = 64, .stretch = 8, .original_length = 1024, .attention_factor = 1.5})));
    CHECK(same_rotation(from_parameters({{"type", "yarn"}, {"factor", 4}},
                                        {.head_dim = 64, .max_position_embeddings = 8192}),
                        yarn({.dim = 64, .stretch = 4, .original_length = 8192})));

    const std::vector<double> small{1, 2}, large{3, 4};
    for (const char* type : {"longrope", "su"}) {
        for (const int length : {0, 100, 5000})
            CHECK(same_rotation(
                from_parameters(
                    {{"type", type},
                     {"short_factor", small},
                     {"long_factor", large},
                     {"original_max_position_embeddings", 4096}},
                    {.head_dim = 4, .max_position_embeddings = 16384, .length = length}),
                longrope({.dim = 4,
                          .stretch = 4,
                          .length = length,
                          .original_length = 4096,
                          .short_factor = small,
                          .long_factor = large})));
    }
}

TEST_CASE("any map of names to values will do") {
    using value = std::variant<double, std::string, bool, std::vector<double>>;
    const std::map<std::string, value> fields{{"rope_type", std::string("yarn")},
                                              {"factor", 4.0},
                                              {"truncate", false},
                                              {"original_max_position_embeddings", 512.0}};
    const auto expected =
        yarn({.dim = 64, .stretch = 4, .original_length = 512, .truncate = false});
    CHECK(same_rotation(from_parameters(fields, {.head_dim = 64}), expected));
    const std::unordered_map<std::string, value> other(fields.begin(), fields.end());
    CHECK(same_rotation(from_parameters(other, {.head_dim = 64}), expected));
}

TEST_CASE("older names of types, and both at once where they agree") {
    const auto expected = plain({.dim = 64});
    CHECK(same_rotation(
        from_parameters({{"type", "mrope"}, {"rope_type", "default"}}, {.head_dim = 64}),
        expected));
    CHECK(
        same_rotation(from_parameters({{"type", "linear"}, {"rope_type", "linear"}, {"factor", 1}},
                                      {.head_dim = 64}),
                      expected));
}

TEST_CASE("a model of several axes has sections") {
    parameters fields{{"type", "mrope"},
                      {"rope_type", "default"},
                      {"mrope_section", std::vector<double>{4, 2, 2}}};
    const auto ladder = plain({.dim = 16});
    const checkpoint_options options{.head_dim = 16};
    CHECK(axial_from_parameters(fields, options).angular() ==
          sections(ladder, {4, 2, 2}).angular());
    fields.emplace("mrope_interleaved", true);
    CHECK(axial_from_parameters(fields, options).angular() ==
          interleaved_sections(ladder, {4, 2, 2}).angular());

    CHECK_THROWS_WITH(from_parameters(fields, options),
                      Contains("mrope_interleaved is of a model"));
    fields.at("mrope_section") = std::vector<double>{4, 2, 1};
    CHECK_THROWS_AS(axial_from_parameters(fields, options), heed::shape_error);
    fields.at("mrope_section") = std::vector<double>{4, 2, 1.5};
    CHECK_THROWS_WITH(axial_from_parameters(fields, options), Contains("mrope_section holds 1.5"));
    fields.erase("mrope_section");
    CHECK_THROWS_WITH(axial_from_parameters(fields, options), Contains("mrope_section is missing"));
}

void check_field_refused(const parameters& fields, const char* words,
                         checkpoint_options options = {.head_dim = 64}) {
    INFO(words);
    CHECK_THROWS_AS(from_parameters(fields, options), heed::argument_error);
    CHECK_THROWS_WITH(from_parameters(fields, options), Contains(words));
}

TEST_CASE("fields that make no sense are named") {
    check_field_refused({{"rope_type", "magic"}}, "rope_type is \"magic\"");
    check_field_refused({{"type", "magic"}}, "type is \"magic\"");
    check_field_refused({{"rope_type", "yarn"}, {"type", "linear"}}, "type is \"linear\"");
    check_field_refused({{"rope_type", 3}}, "rope_type must be a text");
    check_field_refused({{"rope_theta", 1}}, "rope_theta is 1");
    check_field_refused({{"rope_theta", "10000"}}, "rope_theta must be a number");
    check_field_refused({{"partial_rotary_factor", 1.5}}, "partial_rotary_factor is 1.5");
    check_field_refused({{"partial_rotary_factor", 0.02}}, "partial_rotary_factor is 0.02");
    check_field_refused({{"partial_rotary_factor", 0.55}}, "leaves 35");
    check_field_refused({}, "head_dim is 63", {.head_dim = 63});
    check_field_refused({{"factor", 2}}, "factor is given, but rope_type \"default\"");
    check_field_refused({{"rope_type", "linear"}, {"factor", 2}, {"attention_factor", 1.1}},
                        "attention_factor is given, but rope_type \"linear\"");
    check_field_refused({{"rope_type", "linear"}}, "factor is missing");
    check_field_refused({{"rope_type", "linear"}, {"factor", nullptr}}, "factor is missing");
    check_field_refused({{"rope_type", "linear"}, {"factor", 0.5}}, "factor is 0.5");
    check_field_refused({{"rope_type", "linear"}, {"factor", std::nan("")}}, "factor is nan");
    check_field_refused({{"rope_type", "linear"}, {"factor", true}}, "factor must be a number");
}

TEST_CASE("fields that are missing or contradict one another are named") {
    const parameters dynamic{{"rope_type", "dynamic"}, {"factor", 2}};
    check_field_refused(dynamic, "original_max_position_embeddings is missing");
    auto two = dynamic;
    two.emplace("original_max_position_embeddings", 1000);
    CHECK_NOTHROW(from_parameters(two, {.head_dim = 64, .max_position_embeddings = 1000}));
    check_field_refused(two,
                        "original_max_position_embeddings is 1000, but "
                        "max_position_embeddings is 2000",
                        {.head_dim = 64, .max_position_embeddings = 2000});

    parameters yarns{{"rope_type", "yarn"}, {"original_max_position_embeddings", 512}};
    check_field_refused(yarns, "factor is missing");
    yarns.emplace("factor", 4);
    auto bad = yarns;
    bad.emplace("truncate", 1);
    check_field_refused(bad, "truncate must be true or false");
    bad = yarns, bad.emplace("mscale", -1);
    check_field_refused(bad, "mscale is -1");
    bad = yarns, bad.emplace("mscale_all_dim", std::nan(""));
    check_field_refused(bad, "mscale_all_dim is nan");
    bad = yarns, bad.emplace("beta_slow", 64);
    check_field_refused(bad, "beta_fast is 32");
    bad = yarns, bad.emplace("short_factor", std::vector<double>{1});
    check_field_refused(bad, "short_factor is given");
    bad = yarns, bad.at("original_max_position_embeddings") = 0.5;
    check_field_refused(bad, "original_max_position_embeddings is 0.5");
    bad.at("original_max_position_embeddings") = 100.5;
    check_field_refused(bad, "original_max_position_embeddings is 100.5");

    parameters llama{{"rope_type", "llama3"},
                     {"factor", 8},
                     {"original_max_position_embeddings", 512},
                     {"low_freq_factor", 1}};
    check_field_refused(llama, "high_freq_factor is missing");
    llama.emplace("high_freq_factor", 0.5);
    check_field_refused(llama, "high_freq_factor is 0.5");

    const std::vector<double> short_by_one(31, 1), right(32, 1);
    parameters longs{{"rope_type", "longrope"},
                     {"factor", 8},
                     {"short_factor", right},
                     {"original_max_position_embeddings", 512}};
    check_field_refused(longs, "long_factor is missing");
    longs.emplace("long_factor", short_by_one);
    CHECK_THROWS_AS(from_parameters(longs, {.head_dim = 64}), heed::shape_error);
    CHECK_THROWS_WITH(from_parameters(longs, {.head_dim = 64}), Contains("long_factor"));
    longs.at("long_factor") = 2;
    check_field_refused(longs, "long_factor must be a list of numbers");
}

}  // namespace test_from_parameters
