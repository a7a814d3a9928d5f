#include <heed/softmax/sparsemax.hpp>

#include "reference/sparse.hpp"
#include "softmax/row_objects.hpp"
#include "softmax/sparse_rows.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_sparsemax {

using reference::row;

const heed_test::expectation expected = {
    [](const row& x) { return reference::sparsemax(x); },
    [](const row& p, const row& dp) { return reference::sparsemax_backward(p, dp); }};

TEMPLATE_TEST_CASE("sparsemax of the rows of anything is the reference's", "", float, double) {
    heed_test::generator random, numbers(1);
    heed_test::for_each_object<TestType>(random, [&](const auto& x) {
        heed_test::check_object(heed::sparsemax, expected, x, numbers);
    });
}

TEMPLATE_TEST_CASE("sparsemax of hard and of long rows: the exact support, and a sum of one", "",
                   float, double) {
    heed_test::generator random;
    for (const row& x : heed_test::hard_rows(random))
        heed_test::check_row<TestType>(heed::sparsemax, expected, x, random);
    for (const double deviation : {0.0, 1e-7, 1e-5, 1.0})
        heed_test::check_row<TestType>(heed::sparsemax, expected,
                                       random.numbers<double>(131072, deviation), random);
}

TEMPLATE_TEST_CASE("sparsemax finds its threshold in few steps", "", float, double) {
    heed_test::generator random;
    const int steps = heed_test::most_steps<TestType>(heed::sparsemax, random);
    CHECK(steps <= 14);  // of 64 that it allows itself
    CHECK(steps >= 3);
}

TEST_CASE("backward of sparsemax agrees with central differences") {
    heed_test::generator random;
    CHECK(heed_test::slope_error(heed::sparsemax, random) <= 1e-7);
}

TEST_CASE("sparsemax: a NaN stays in its row; threads and layouts change no bit") {
    heed_test::generator random;
    heed_test::check_that_nan_stays(heed::sparsemax);
    heed_test::check_invariance(heed::sparsemax, random);
}

}  // namespace test_sparsemax
