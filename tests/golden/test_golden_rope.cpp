// Rotation alone and inside attention gives what transformers' gives.

#include "golden_attention.hpp"

namespace golden {
namespace test_golden_rope {

heed::rope::frequencies frequencies_of(const example& x) {
    return heed::rope::plain(
        {.dim = static_cast<int>(x.number("dim")),
         .base = x.number("base"),
         .layout = x.number("interleaved") != 0 ? heed::rope::interleaved : heed::rope::halves});
}

// |angle| may be large, and a sine of a double angle is exact to its own rounding.
template <class T>
void check_rotated(const std::string& label, const reference::tensor& actual,
                   const reference::tensor& expected, const reference::tensor& before) {
    INFO(label);
    const double bound = 4 * static_cast<double>(std::numeric_limits<T>::epsilon()) *
                             reference::largest_magnitude(before) +
                         1e-11 * reference::largest_magnitude(expected);
    CHECK(reference::largest_difference(actual, expected) <= bound);
}

TEMPLATE_TEST_CASE("rotate and its backward are those of transformers", "[golden]",
                   HEED_TEST_SCALARS) {
    for (const char* name : {"rotate_halves", "rotate_interleaved", "rotate_halves_in_part",
                             "rotate_interleaved_in_part", "rotate_at_positions"}) {
        INFO(name);
        const example& x = load("rope", name);
        const auto rope = frequencies_of(x);
        const auto at = x["positions"].values;
        const auto from = x.tensor<TestType, 4>("x"), d_y = x.tensor<TestType, 4>("d_y");
        const auto expected = x.reference("y");
        check_rotated<TestType>("y", to_reference(heed::rotate(from, rope, at), expected), expected,
                                x.reference("x"));
        check_rotated<TestType>("d_x", to_reference(heed::rotate_back(d_y, rope, at), expected),
                                x.reference("d_x"), x.reference("d_y"));
    }
}

TEST_CASE("attention with rotary positions is PyTorch's", "[golden]") {
    for (const char* name :
         {"attention_halves", "attention_interleaved", "attention_halves_in_part"}) {
        const auto rope = frequencies_of(load("rope", name));
        check_attention<double>("rope", name, "", heed::causal, heed::rotary(rope));
    }
}

TEST_CASE("attention at real positions is PyTorch's", "[golden]") {
    const example& x = load("rope", "attention_at_positions");
    const auto rope = frequencies_of(x);
    const auto queries = x["query_positions"].values, keys = x["key_positions"].values;
    check_attention<double>("rope", "attention_at_positions", "", heed::rotary(rope),
                            heed::positions(queries, keys));
}

}  // namespace test_golden_rope
}  // namespace golden
