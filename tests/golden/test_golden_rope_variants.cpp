// Frequencies read from rope_parameters are those that transformers computes from them.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include <heed/rope/axes.hpp>
#include <heed/rope/from_parameters.hpp>
#include <heed/rope/rotate_axes.hpp>

#include "golden.hpp"
#include "support/catch.hpp"

namespace golden {
namespace test_golden_rope_variants {

heed::rope::parameters fields_of(const std::string& type, const example& x) {
    heed::rope::parameters fields{{"rope_type", type}};
    for (const auto& [label, values] : x.arrays) {
        if (label.starts_with("expected_") || label == "head_dim" || label == "length" ||
            label == "max_position_embeddings")
            continue;
        if (label == "short_factor" || label == "long_factor")
            fields.emplace(label, values.values);
        else if (label == "truncate" || label == "finetuned")
            fields.emplace(label, values.values.at(0) != 0);
        else
            fields.emplace(label.starts_with("field_") ? label.substr(6) : label,
                           values.values.at(0));
    }
    return fields;
}

heed::rope::axial_frequencies axes_of(const std::string& name, const example& x) {
    std::vector<heed::detail::any_integral> sections;
    for (const double section : x["sections"].values)
        sections.emplace_back(static_cast<int>(section));
    const auto ladder = heed::rope::plain({.dim = 16});
    if (name == "axes/axial") return heed::rope::axial({.dims = sections});
    if (name == "axes/sections") return heed::rope::sections(ladder, sections);
    return heed::rope::interleaved_sections(ladder, sections);
}

TEST_CASE("every rope_type has transformers' frequencies and attention factor", "[golden]") {
    std::set<std::string> types;
    for (const auto& [name, x] : read("rope_variants")) {
        const std::string type = name.substr(0, name.find('/'));
        if (type == "axes") continue;
        INFO(name);
        types.insert(type);
        const auto rope = heed::rope::from_parameters(
            fields_of(type, x),
            {.head_dim = static_cast<int>(x.number("head_dim")),
             .max_position_embeddings = static_cast<int>(x.number("max_position_embeddings")),
             .length = static_cast<int>(x.number("length"))});
        const auto& expected = x["expected_frequencies"].values;
        REQUIRE(rope.angular().size() == expected.size());
        // The vectors have twelve digits.
        for (std::size_t t = 0; t < expected.size(); ++t)
            CHECK(std::abs(rope.angular()[t] - expected[t]) <= 1e-11 * expected[t]);
        CHECK(std::abs(rope.attention_factor() - x.number("expected_attention_factor")) <= 1e-11);
    }
    CHECK(types ==
          std::set<std::string>{"linear", "dynamic", "yarn", "longrope", "llama3", "proportional"});
}

TEMPLATE_TEST_CASE("rotation along several axes is transformers'", "[golden]", HEED_TEST_SCALARS) {
    for (const char* name : {"axes/sections", "axes/interleaved_sections", "axes/axial"}) {
        INFO(name);
        const example& x = load("rope_variants", name);
        const auto y = heed::rotate(x.tensor<TestType, 4>("x"), axes_of(name, x),
                                    x.matrix<double>("positions"));
        const auto expected = x.tensor<TestType, 4>("y");
        double worst = 0;
        for (Eigen::Index e = 0; e < y.size(); ++e)
            worst =
                std::max(worst, static_cast<double>(std::abs(y.data()[e] - expected.data()[e])));
        CHECK(worst <= 1e-10 + 20 * std::numeric_limits<TestType>::epsilon());
    }
}

}  // namespace test_golden_rope_variants
}  // namespace golden
