#include <cmath>
#include <cstddef>

#include <heed/softmax/sparse/entmax15.hpp>

#include "reference/sparse.hpp"
#include "rows/random_rows.hpp"
#include "rows/row_objects.hpp"
#include "softmax/sparse/sparse_rows.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_entmax15 {

using reference::row;

const heed_test::expectation expected = {
    [](const row& x) { return reference::entmax15(x); },
    [](const row& p, const row& dp) { return reference::entmax_backward(p, 1.5, dp); }};

TEMPLATE_TEST_CASE("entmax15 of the rows of anything is the reference's", "", HEED_TEST_SCALARS) {
    heed_test::generator random, numbers(1);
    heed_test::for_each_object<TestType>(random, [&](const auto& x) {
        heed_test::check_object(heed::entmax15, expected, x, numbers);
    });
}

TEMPLATE_TEST_CASE("entmax15 of hard and of long rows: the exact support, and a sum of one", "",
                   HEED_TEST_SCALARS) {
    heed_test::generator random;
    for (const row& x : heed_test::hard_rows(random))
        heed_test::check_row<TestType>(heed::entmax15, expected, x, random);
    for (const double deviation : {0.0, 1e-7, 1e-5, 1.0})
        heed_test::check_row<TestType>(heed::entmax15, expected,
                                       random.numbers<double>(131072, deviation), random);
}

TEMPLATE_TEST_CASE("entmax15 finds its threshold in few steps", "", HEED_TEST_SCALARS) {
    heed_test::generator random;
    const int steps = heed_test::most_steps<TestType>(heed::entmax15, random);
    CHECK(steps <= 14);
    CHECK(steps >= 3);
}

TEMPLATE_TEST_CASE("entmax15 of random rows: exact supports, in few steps", "", HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    const auto object = heed::entmax15.whole_row<T>(0);
    heed_test::search_results all;
    for (int r = 0; r < 4000; ++r) {
        const row x = heed_test::random_row<T>(random, 2);
        heed_test::add_to<T>(all, object, x, reference::entmax15(x));
    }
    CHECK(all.misjudged == 0);
    CHECK(all.error <= 2);
    CHECK(all.sum_error <= 4);
    CHECK(all.steps <= 100);
    CHECK(100 < heed::detail::entmax15_solver<T>::most_steps);  // which no row can need
}

TEMPLATE_TEST_CASE("entmax15 of many scores around the threshold, and exactly at it", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    const auto object = heed::entmax15.whole_row<T>(0);
    for (const double offset : {0.0, 0.75, -6.0, 1024.0}) {
        INFO("offset " << offset);
        row x(2000);
        for (double& v : x) v = offset - 2 + 1e-6 * random.uniform();
        x[123] = offset;
        x = heed_test::rounded_to<T>(x);
        row p = heed_test::checked_probabilities<T>(object, x);
        CHECK(heed_test::same_support(p, reference::entmax15(x)));
        CHECK(heed_test::distance_from_one(p) <= 4 * heed_test::unit<T>);

        // Σ((x − c)/2)² = 1: 3² + 2² + 1 + 1 + 1 = 4²; 7² + 3² + 2² + 1 + 1 = 8².
        for (const row& parts : {row{3, 2, 1, 1, 1}, row{3.5, 1.5, 1, 0.5, 0.5}, row{4}}) {
            x = {offset, offset, offset - 1e-3};
            for (const double part : parts) x.push_back(offset + part / 2);
            p = heed_test::checked_probabilities<T>(object, heed_test::rounded_to<T>(x));
            for (std::size_t i = 0; i < x.size(); ++i) CHECK((p[i] > 0) == (i >= 3));
        }
    }
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
