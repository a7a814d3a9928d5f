#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include <heed/rope/positions.hpp>

#include "support/catch.hpp"

namespace test_rope_positions {

using heed::rope::equal_mean_random_positions;
using heed::rope::random_sorted_positions;

TEST_CASE("random sorted positions are different, whole, in order and in range") {
    for (const int length : {0, 1, 2, 97, 1000}) {
        for (const int range : {length, length + 1, 8 * length + 3}) {
            const auto at = random_sorted_positions({.length = length, .range = range});
            REQUIRE(at.size() == static_cast<std::size_t>(length));
            for (std::size_t i = 0; i < at.size(); ++i) {
                CHECK(at[i] == std::floor(at[i]));
                CHECK((at[i] >= 0 && at[i] < range));
                if (i > 0) CHECK(at[i] > at[i - 1]);
            }
        }
    }
}

TEST_CASE("every position is as likely, and the whole range is ready") {
    std::vector<int> counts(20);
    for (int sequence = 0; sequence < 20000; ++sequence)
        for (const double p :
             random_sorted_positions({.length = 5, .range = 20, .seed = 3, .sequence = sequence}))
            ++counts[static_cast<std::size_t>(p)];
    // 5000 expected, of standard deviation √(20000·¼·¾) = 61.
    for (const int count : counts) CHECK(std::abs(count - 5000) < 5 * 61);
}

TEST_CASE("seeds and sequences choose the positions") {
    const auto draw = [](int seed, int sequence) {
        return random_sorted_positions({.length = 50,
                                        .range = 4000,
                                        .seed = static_cast<std::uint64_t>(seed),
                                        .sequence = sequence});
    };
    CHECK(draw(1, 2) == draw(1, 2));
    CHECK(draw(1, 2) != draw(2, 2));
    CHECK(draw(1, 2) != draw(1, 3));
    CHECK(equal_mean_random_positions({.length = 9, .seed = 1}) ==
          equal_mean_random_positions({.length = 9, .seed = 1}));
    CHECK(equal_mean_random_positions({.length = 9, .seed = 1}) !=
          equal_mean_random_positions({.length = 9, .seed = 1, .sequence = 1}));
}

TEST_CASE("equal-mean positions are even, and on average what they are without") {
    const int trials = 40000;
    double mean = 0, longest = 0;
    for (int sequence = 0; sequence < trials; ++sequence) {
        const auto at = equal_mean_random_positions({.length = 11, .sequence = sequence});
        REQUIRE(at.size() == 11);
        CHECK(at[0] == 0);
        CHECK(at[5] == Approx(at[10] / 2));
        mean += at[10] / trials;
        longest = std::max(longest, at[10]);
    }
    CHECK(std::abs(mean - 10) < 5 * 10 / std::sqrt(trials));  // deviation 10
    CHECK(longest > 50);
    CHECK(equal_mean_random_positions({.length = 0}).empty());
}

TEST_CASE("random positions refuse lengths that have no meaning, naming them") {
    using Catch::Matchers::Contains;
    CHECK_THROWS_AS(random_sorted_positions({.length = -1, .range = 3}), heed::argument_error);
    CHECK_THROWS_AS(random_sorted_positions({.length = 4, .range = 3}), heed::argument_error);
    CHECK_THROWS_WITH(random_sorted_positions({.length = 4, .range = 3}), Contains("range is 3"));
    CHECK_THROWS_AS(equal_mean_random_positions({.length = -1}), heed::argument_error);
    constexpr auto endless = std::numeric_limits<std::uint64_t>::max();
    CHECK_THROWS_AS(equal_mean_random_positions({.length = endless}), heed::argument_error);
    CHECK_THROWS_AS(random_sorted_positions({.length = endless, .range = endless}),
                    heed::argument_error);
    // Ids are told apart to their last bit, those beyond the signed ones too.
    CHECK(equal_mean_random_positions({.length = 3, .sequence = endless}) !=
          equal_mean_random_positions({.length = 3, .sequence = endless - 1}));
}

}  // namespace test_rope_positions
