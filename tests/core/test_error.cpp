#include <limits>
#include <string>

#include <heed/core/error.hpp>

#include "support/catch.hpp"

TEST_CASE("a message is made of its parts, with numbers and shapes written out") {
    const std::array<heed::index, 3> shape{2, 0, -7};
    CHECK(heed::detail::message({"k has shape ", shape, ", d = ", 64, ", window = ",
                                 std::size_t{3}}) == "k has shape [2, 0, -7], d = 64, window = 3");
    CHECK(heed::detail::message({std::string("tau = "), 0.5f, " or ", 1e30, " or ",
                                 -std::numeric_limits<double>::infinity()}) ==
          "tau = 0.5 or 1e+30 or -inf");
    CHECK(heed::detail::message({true, ' ' == ' ' ? "literal" : ""}) == "trueliteral");
}

TEST_CASE("both errors are std::invalid_argument and carry their message") {
    CHECK_THROWS_AS(heed::detail::require_shape(false, "q"), heed::shape_error);
    CHECK_THROWS_AS(heed::detail::require_shape(false, "q"), std::invalid_argument);
    CHECK_THROWS_AS(heed::detail::require_argument(false, "tau"), heed::argument_error);
    CHECK_THROWS_WITH(heed::detail::require_argument(false, "tau is ", -1), "tau is -1");
    CHECK_NOTHROW(heed::detail::require_shape(true, "q"));
    CHECK_NOTHROW(heed::detail::require_argument(true, "tau"));
}
