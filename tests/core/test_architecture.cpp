#include <algorithm>
#include <type_traits>

#include <heed/core/architecture.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

TEST_CASE("the inline namespace carries the name of the instruction set", "[architecture]") {
    // Reached with and without the name: one type.
    STATIC_REQUIRE(std::is_same_v<heed::index, heed::HEED_ARCHITECTURE::index>);
    STATIC_REQUIRE(sizeof(heed::index) == 8);
}

TEST_CASE("two generators of one stream draw the same numbers", "[random]") {
    heed_test::generator first;
    heed_test::generator second;
    heed_test::generator other(1);
    const auto a = first.tensor<float>(2, 3, 5);
    const auto b = second.tensor<float>(2, 3, 5);
    const auto c = other.tensor<float>(2, 3, 5);
    REQUIRE(std::equal(a.data(), a.data() + a.size(), b.data()));
    REQUIRE_FALSE(std::equal(a.data(), a.data() + a.size(), c.data()));
}
