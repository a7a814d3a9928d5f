// Dictionaries as released models carry them: fields beside, fields that are too much, lists.

#include <array>
#include <cmath>
#include <list>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include <Eigen/Core>

#include <heed/rope/from_parameters.hpp>

#include "support/catch.hpp"

namespace test_checkpoint_dictionaries {

using namespace heed::rope;
using Catch::Matchers::Contains;

bool same_rotation(const frequencies& a, const frequencies& b) {
    return a.angular() == b.angular() && a.attention_factor() == b.attention_factor() &&
           a.layout() == b.layout();
}

const parameters yarns{
    {"rope_type", "yarn"}, {"factor", 16}, {"original_max_position_embeddings", 512}};
const parameters longs{{"rope_type", "longrope"},
                       {"original_max_position_embeddings", 512},
                       {"short_factor", {1, 2}},
                       {"long_factor", {3, 4}}};

parameters with(parameters fields, const parameters& more) {
    fields.insert(more.begin(), more.end());
    return fields;
}

void check_refused(const parameters& fields, const std::string& words,
                   checkpoint_options options = {.head_dim = 64}) {
    INFO(words);
    CHECK_THROWS_AS(from_parameters(fields, options), heed::argument_error);
    CHECK_THROWS_WITH(from_parameters(fields, options), Contains(words));
}

TEST_CASE("equal bounds of a ramp are a step") {
    const auto& theta = plain({.dim = 128, .base = 500000}).angular();
    const auto stepped = from_parameters({{"rope_type", "llama3"},
                                          {"rope_theta", 500000},
                                          {"factor", 16},
                                          {"low_freq_factor", 1},
                                          {"high_freq_factor", 1},
                                          {"original_max_position_embeddings", 8192}},
                                         {.head_dim = 128})
                             .angular();
    for (std::size_t t = 0; t < theta.size(); ++t) {
        const bool turns_once = 8192 * theta[t] >= 2 * 3.14159265358979323846;
        CHECK(stepped[t] == (turns_once ? theta[t] : theta[t] * (1.0 / 16)));
    }

    // YaRN's is between two neighbouring pairs, the ends of its rounded ramp.
    const auto& usual = plain({.dim = 64}).angular();
    for (const double turns : {1.0, 4.0, 32.0}) {
        const auto yarn_step =
            from_parameters(with(yarns, {{"beta_fast", turns}, {"beta_slow", turns}}),
                            {.head_dim = 64})
                .angular();
        for (std::size_t t = 0; t < usual.size(); ++t) {
            const bool fast = 512 * usual[t] > turns * 2 * 3.14159265358979323846;
            CHECK(yarn_step[t] == (fast ? usual[t] : usual[t] * (1.0 / 16)));
        }
    }
    check_refused(with(yarns, {{"beta_fast", 1}, {"beta_slow", 1.5}}), "beta_fast is 1");
}

TEST_CASE("one of YaRN's two mscales, or one that is 0, makes no attention factor") {
    const auto usual = from_parameters(yarns, {.head_dim = 64});
    for (const parameters& more : {parameters{{"mscale", 1}},
                                   {{"mscale", 0.707}, {"mscale_all_dim", 0}},
                                   {{"mscale_all_dim", 1}},
                                   {{"mscale", 0}, {"mscale_all_dim", 1}},
                                   {{"mscale", 0}, {"mscale_all_dim", 0}},
                                   {{"mscale", nullptr}, {"mscale_all_dim", 1}}})
        CHECK(same_rotation(from_parameters(with(yarns, more), {.head_dim = 64}), usual));
    const auto given =
        yarn({.dim = 64, .stretch = 16, .original_length = 512, .attention_factor = 1.5});
    CHECK(same_rotation(
        from_parameters(with(yarns, {{"mscale", 1}, {"attention_factor", 1.5}}), {.head_dim = 64}),
        given));
    check_refused(with(yarns, {{"mscale", 1}, {"mscale_all_dim", 1}, {"attention_factor", 1.5}}),
                  "attention_factor is given, but also mscale");
}

TEST_CASE("PhiMoE's mscales are the attention factor, by the length") {
    const auto two = with(longs, {{"short_mscale", 1.25}, {"long_mscale", 1.5}});
    for (const int length : {0, 512, 513}) {
        const auto rope = from_parameters(two, {.head_dim = 4, .length = length});
        CHECK(rope.attention_factor() == (length > 512 ? 1.5 : 1.25));
        CHECK(rope.angular() == std::vector<double>{1 / (length > 512 ? 3.0 : 1.0),
                                                    0.01 / (length > 512 ? 4.0 : 2.0)});
    }
    check_refused(with(longs, {{"long_mscale", 1.5}}), "short_mscale is missing", {.head_dim = 4});
    check_refused(with(longs, {{"short_mscale", 1.5}}), "long_mscale is missing",
                  {.head_dim = 4, .length = 1000});
    check_refused(with(two, {{"attention_factor", 2}}), "attention_factor is given, but also",
                  {.head_dim = 4});
    check_refused(with(longs, {{"short_mscale", 1}, {"long_mscale", 0}}), "long_mscale is 0",
                  {.head_dim = 4});
}

TEST_CASE("HunYuan's alpha stretches the base once for all lengths") {
    parameters fields{{"rope_type", "dynamic"}, {"factor", 1.0},    {"alpha", 1000},
                      {"beta_fast", 32},        {"beta_slow", 1},   {"mscale", 1.0},
                      {"mscale_all_dim", 1.0},  {"rope_theta", 1e4}};
    const auto expected = ntk_aware({.dim = 128, .stretch = 1000});
    for (const int length : {0, 100000})
        CHECK(
            same_rotation(from_parameters(fields, {.head_dim = 128, .length = length}), expected));
    fields.at("rope_type") = "xdrope";
    fields.emplace("xdrope_section", std::vector<float>{16, 16, 16, 16});
    CHECK(axial_from_parameters(fields, {.head_dim = 128}).angular() ==
          sections(expected, {16, 16, 16, 16}).angular());
    check_refused(fields, "axial_from_parameters");
    fields.emplace("mrope_section", std::vector<int>{16, 16, 32});
    CHECK_THROWS_WITH(axial_from_parameters(fields, {.head_dim = 128}), Contains("differ"));
    fields.at("mrope_section") = {16, 16, 16, 16};
    CHECK_NOTHROW(axial_from_parameters(fields, {.head_dim = 128}));

    check_refused({{"rope_type", "dynamic"}, {"alpha", 0.5}}, "alpha is 0.5");
    check_refused({{"rope_type", "dynamic"}, {"factor", 2}, {"alpha", nullptr}, {"mscale", 1}},
                  "mscale is given");
}

TEST_CASE("fields that nothing reads are taken") {
    const auto usual = from_parameters(yarns, {.head_dim = 64});
    for (const parameters& more : {parameters{{"finetuned", true}},
                                   {{"finetuned", false}},
                                   {{"max_position_embeddings", 262144}},
                                   {{"attn_factor", 1}, {"extrapolation_factor", 1}}})
        CHECK(same_rotation(from_parameters(with(yarns, more), {.head_dim = 64}), usual));
    CHECK_NOTHROW(from_parameters(
        {{"rope_type", "linear"}, {"factor", 2}, {"original_max_position_embeddings", 2048}},
        {.head_dim = 64}));
    const parameters qwen{{"rope_type", "default"},
                          {"mrope_section", {2, 1, 1}},
                          {"mrope_interleaved", true},
                          {"interleaved", true}};
    CHECK(axial_from_parameters(qwen, {.head_dim = 8}).angular() ==
          interleaved_sections(plain({.dim = 8}), {2, 1, 1}).angular());

    // The dictionary's max_position_embeddings stands in where the option is not given.
    parameters no_factor{{"type", "yarn"},
                         {"original_max_position_embeddings", 512},
                         {"max_position_embeddings", 2048}};
    CHECK(same_rotation(from_parameters(no_factor, {.head_dim = 64}),
                        yarn({.dim = 64, .stretch = 4, .original_length = 512})));
    CHECK(
        same_rotation(from_parameters(no_factor, {.head_dim = 64, .max_position_embeddings = 1024}),
                      yarn({.dim = 64, .stretch = 2, .original_length = 512})));
    no_factor.at("max_position_embeddings") = 0.5;
    check_refused(no_factor, "max_position_embeddings is 0.5");
}

TEST_CASE("fields that do more than frequencies can are refused, whatever is ignored") {
    for (const bool ignore : {false, true}) {
        const checkpoint_options options{.head_dim = 64, .ignore_unknown = ignore};
        check_refused(with(yarns, {{"llama_4_scaling_beta", 0.1}}),
                      "llama_4_scaling_beta scales queries", options);
        check_refused(with(yarns, {{"attn_factor", 0.5}}), "attn_factor is read by some", options);
        check_refused({{"mrope_section", {16, 8, 8}}}, "mrope_section is of a model of several",
                      options);
    }
    CHECK_NOTHROW(
        from_parameters(with(yarns, {{"llama_4_scaling_beta", nullptr}}), {.head_dim = 64}));
}

TEST_CASE("unknown fields are named before missing ones, and can be left out") {
    const parameters misspelt{{"rope_type", "linear"}, {"facto", 4}};
    check_refused(misspelt, "facto is given, but rope_type \"linear\" has no such field");
    check_refused(misspelt, "ignore_unknown");
    check_refused(misspelt, "factor is missing", {.head_dim = 64, .ignore_unknown = true});
    check_refused({{"rope_type", "llama3"}, {"low_frequency_factor", 1}},
                  "low_frequency_factor is given");
    check_refused({{"rope_type", "yarn"}, {"factor", 0.5}, {"low_freq_factor", 1}},
                  "low_freq_factor is given");

    const parameters stranger = with(yarns, {{"made_by", "somebody"}, {"numbers", {1, 2}}});
    check_refused(stranger, "made_by is given");
    const checkpoint_options lenient{.head_dim = 64, .ignore_unknown = true};
    CHECK(same_rotation(from_parameters(stranger, lenient), from_parameters(yarns, lenient)));
    const parameters axes{{"mrope_section", {2, 2}}, {"made_by", 3}};
    CHECK_THROWS_WITH(axial_from_parameters(axes, {.head_dim = 8}), Contains("made_by is given"));
    CHECK_NOTHROW(axial_from_parameters(axes, {.head_dim = 8, .ignore_unknown = true}));
}

TEST_CASE("a list is any range of numbers, a text any text") {
    const std::vector<double> expected{16, 24, 24};
    const auto is_list = [&](const parameter& value) {
        const auto* list = value.get<parameter::list>();
        return list != nullptr && *list == expected;
    };
    CHECK(is_list(std::vector<double>{16, 24, 24}));
    CHECK(is_list(std::vector<float>{16, 24, 24}));
    CHECK(is_list(std::vector<int>{16, 24, 24}));
    CHECK(is_list(std::vector<long long>{16, 24, 24}));
    CHECK(is_list(std::array<unsigned, 3>{16, 24, 24}));
    CHECK(is_list(std::list<short>{16, 24, 24}));
    CHECK(is_list(std::initializer_list<int>{16, 24, 24}));
    CHECK(is_list({16, 24.0, 24.0F}));
    CHECK(is_list(Eigen::Vector3f(16, 24, 24)));
    const int plain_array[] = {16, 24, 24};
    CHECK(is_list(plain_array));
    CHECK(is_list(std::variant<int, std::vector<int>>(std::vector<int>{16, 24, 24})));
    CHECK(parameter(std::vector<int>()).get<parameter::list>()->empty());

    for (const parameter& text :
         {parameter("yarn"), parameter(std::string("yarn")), parameter(std::string_view("yarn"))})
        CHECK(*text.get<std::string>() == "yarn");
    CHECK_FALSE(std::is_constructible_v<parameter, std::vector<std::string>>);
    CHECK_FALSE(std::is_constructible_v<parameter, std::vector<bool>>);
    CHECK(*parameter(true).get<bool>());
    CHECK(*parameter(3).get<double>() == 3);
}

}  // namespace test_checkpoint_dictionaries
