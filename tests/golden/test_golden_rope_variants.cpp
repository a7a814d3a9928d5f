// Frequencies read from rope_parameters are those that transformers computes from them.

#include <cmath>
#include <cstddef>
#include <set>
#include <string>

#include <heed/rope/from_parameters.hpp>

#include "golden.hpp"
#include "support/catch.hpp"

namespace golden {
namespace {

heed::rope::parameters fields_of(const std::string& type, const example& x) {
    heed::rope::parameters fields{{"rope_type", type}};
    for (const auto& [label, values] : x.arrays) {
        if (label.starts_with("expected_") || label == "head_dim" || label == "length" ||
            label == "max_position_embeddings")
            continue;
        if (label == "short_factor" || label == "long_factor")
            fields.emplace(label, values.values);
        else if (label == "truncate")
            fields.emplace(label, values.values.at(0) != 0);
        else
            fields.emplace(label, values.values.at(0));
    }
    return fields;
}

}  // namespace

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

}  // namespace golden
