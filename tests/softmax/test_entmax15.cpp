#include <heed/softmax/entmax15.hpp>

#include "reference/sparse.hpp"
#include "softmax/row_objects.hpp"
#include "softmax/sparse_rows.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_entmax15 {

using reference::row;

const heed_test::expectation expected = {
    [](const row& x) { return reference::entmax15(x); },
    [](const row& p, const row& dp) { return reference::entmax_backward(p, 1.5, dp); }};

TEMPLATE_TEST_CASE("entmax15 of the rows of anything is the reference's", "", float, double) {
    heed_test::generator random, numbers(1);
    heed_test::for_each_object<TestType>(random, [&](const auto& x) {
        heed_test::check_object(heed::entmax15, expected, x, numbers);
    });
}

TEMPLATE_TEST_CASE("entmax15 of hard and of long rows: the exact support, and a sum of one", "",
                   float, double) {
    heed_test::generator random;
    for (const row& x : heed_test::hard_rows(random))
        heed_test::check_row<TestType>(heed::entmax15, expected, x, random);
    for (const double deviation : {0.0, 1e-7, 1e-5, 1.0})
        heed_test::check_row<TestType>(heed::entmax15, expected,
                                       random.numbers<double>(131072, deviation), random);
}

TEMPLATE_TEST_CASE("entmax15 finds its threshold in few steps", "", float, double) {
    heed_test::generator random;
    const int steps = heed_test::most_steps<TestType>(heed::entmax15, random);
    CHECK(steps <= 14);  // of 64 that it allows itself
    CHECK(steps >= 3);
}

TEST_CASE("backward of entmax15 agrees with central differences") {
    heed_test::generator random;
    CHECK(heed_test::slope_error(heed::entmax15, random) <= 1e-7);
}

TEST_CASE("entmax15: a NaN stays in its row; threads and layouts change no bit") {
    heed_test::generator random;
    heed_test::check_that_nan_stays(heed::entmax15);
    heed_test::check_invariance(heed::entmax15, random);
}

}  // namespace test_entmax15
