#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include <heed/rope/frequencies.hpp>

#include "reference/rope.hpp"
#include "support/catch.hpp"

namespace test_frequencies {

TEST_CASE("plain frequencies are those of the formula") {
    for (const int dim : {2, 6, 64, 96, 128, 256}) {
        for (const double base : {10000.0, 500000.0, 1.5}) {
            INFO("dim " << dim << ", base " << base);
            const auto rope = heed::rope::plain({.dim = dim, .base = base});
            CHECK(rope.dim() == dim);
            CHECK(rope.pairs() == dim / 2);
            CHECK(rope.angular() == reference::plain_frequencies(dim, base));
        }
    }
}

TEST_CASE("the first pair turns by one radian, and 10000 and halves are the defaults") {
    const auto rope = heed::rope::plain({.dim = 64});
    CHECK(rope.angular().front() == 1);
    CHECK(rope.angular() == heed::rope::plain({.dim = 64, .base = 10000}).angular());
    CHECK(rope.layout() == heed::rope::halves);
    CHECK(rope.attention_factor() == 1);
}

TEST_CASE("options are numbers of any type") {
    const std::size_t dim = 32;
    const auto expected = heed::rope::plain({.dim = 32, .base = 500.0}).angular();
    CHECK(heed::rope::plain({.dim = dim, .base = 500}).angular() == expected);
    CHECK(heed::rope::plain({.dim = 32L, .base = 500.F}).angular() == expected);
    CHECK(heed::rope::plain({.dim = short(32), .base = 500U, .layout = heed::rope::interleaved})
              .layout() == heed::rope::interleaved);
}

TEST_CASE("a user's own angles are frequencies") {
    const heed::rope::frequencies rope({0.5, 0.25, 0}, heed::rope::interleaved, 1.2);
    CHECK(rope.dim() == 6);
    CHECK(rope.angular() == std::vector<double>{0.5, 0.25, 0});
    CHECK(rope.attention_factor() == 1.2);
}

TEST_CASE("frequencies refuse what has no meaning, naming it") {
    using Catch::Matchers::Contains;
    const double inf = std::numeric_limits<double>::infinity(), nan = std::nan("");
    CHECK_THROWS_AS(heed::rope::plain({.dim = 63}), heed::argument_error);
    CHECK_THROWS_WITH(heed::rope::plain({.dim = 63}), Contains("dim is 63") && Contains("even"));
    CHECK_THROWS_AS(heed::rope::plain({.dim = 0}), heed::argument_error);
    CHECK_THROWS_AS(heed::rope::plain({.dim = -2}), heed::argument_error);
    CHECK_THROWS_WITH(heed::rope::plain({.dim = heed::index(1) << 60}), Contains("at most 2^24"));
    CHECK_THROWS_AS(heed::rope::plain({.dim = std::numeric_limits<std::uint64_t>::max() - 1}),
                    heed::argument_error);
    CHECK_THROWS_AS(heed::rope::plain({.dim = 64, .base = 1}), heed::argument_error);
    CHECK_THROWS_WITH(heed::rope::plain({.dim = 64, .base = 0.5}),
                      Contains("base is 0.5") && Contains("greater than 1"));
    CHECK_THROWS_AS(heed::rope::plain({.dim = 64, .base = nan}), heed::argument_error);
    CHECK_THROWS_AS(heed::rope::plain({.dim = 64, .base = inf}), heed::argument_error);
    CHECK_THROWS_AS(heed::rope::frequencies({1, nan}), heed::argument_error);
    CHECK_THROWS_AS(heed::rope::frequencies({1}, heed::rope::halves, inf), heed::argument_error);
    CHECK_THROWS_AS(heed::rope::frequencies(std::vector<double>{}), heed::shape_error);
}

TEST_CASE("angles taken from a value that ends are a value of their own") {
    CHECK(std::is_same_v<decltype(heed::rope::plain({.dim = 2}).angular()), std::vector<double>>);
    const auto rope = heed::rope::plain({.dim = 4});
    CHECK(std::is_same_v<decltype(rope.angular()), const std::vector<double>&>);
}

}  // namespace test_frequencies
