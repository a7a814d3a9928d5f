#include <algorithm>
#include <cmath>
#include <cstddef>

#include <heed/softmax/sparse/sparsemax.hpp>

#include "reference/sparse.hpp"
#include "rows/random_rows.hpp"
#include "rows/row_objects.hpp"
#include "softmax/sparse/sparse_rows.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_sparsemax {

using reference::row;

const heed_test::expectation expected = {
    [](const row& x) { return reference::sparsemax(x); },
    [](const row& p, const row& dp) { return reference::sparsemax_backward(p, dp); }};

TEMPLATE_TEST_CASE("sparsemax of the rows of anything is the reference's", "", HEED_TEST_SCALARS) {
    heed_test::generator random, numbers(1);
    heed_test::for_each_object<TestType>(random, [&](const auto& x) {
        heed_test::check_object(heed::sparsemax, expected, x, numbers);
    });
}

TEMPLATE_TEST_CASE("sparsemax of hard and of long rows: the exact support, and a sum of one", "",
                   HEED_TEST_SCALARS) {
    heed_test::generator random;
    for (const row& x : heed_test::hard_rows(random))
        heed_test::check_row<TestType>(heed::sparsemax, expected, x, random);
    for (const double deviation : {0.0, 1e-7, 1e-5, 1.0})
        heed_test::check_row<TestType>(heed::sparsemax, expected,
                                       random.numbers<double>(131072, deviation), random);
}

TEMPLATE_TEST_CASE("sparsemax finds its threshold in few steps", "", HEED_TEST_SCALARS) {
    heed_test::generator random;
    const int steps = heed_test::most_steps<TestType>(heed::sparsemax, random);
    CHECK(steps <= 14);
    CHECK(steps >= 3);
}

TEMPLATE_TEST_CASE("sparsemax of random rows: exact supports, in few steps", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    const auto object = heed::sparsemax.whole_row<T>(0);
    heed_test::search_results all;
    for (int r = 0; r < 4000; ++r) {
        const row x = heed_test::random_row<T>(random, 1);
        heed_test::add_to<T>(all, object, x, reference::sparsemax(x));
    }
    CHECK(all.misjudged == 0);
    CHECK(all.error <= 2);
    CHECK(all.sum_error <= 4);
    CHECK(all.steps <= 100);
    CHECK(100 < heed::detail::sparsemax_solver<T>::most_steps);  // which no row can need
}

TEMPLATE_TEST_CASE("sparsemax of many scores around the threshold: the exact support", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    for (const double width : {2e-7, 1e-6, 1e-4, 1e-2}) {
        for (const double offset : {0.0, 0.3, -7.0, 1e3}) {
            row x(2000);
            for (double& v : x) v = offset - 1 + width * random.uniform();
            x[123] = offset;
            x = heed_test::rounded_to<T>(x);
            INFO("width " << width << ", offset " << offset);
            const row p = heed_test::checked_probabilities<T>(heed::sparsemax.whole_row<T>(0), x);
            const row right = reference::sparsemax(x);
            CHECK(heed_test::same_support(p, right));
            CHECK(heed_test::largest_difference(p, right) <= 2 * heed_test::unit<T>);
            CHECK(heed_test::distance_from_one(p) <= 4 * heed_test::unit<T>);
        }
    }
}

TEMPLATE_TEST_CASE("sparsemax: scores exactly at the threshold are not in the support", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    for (int r = 0; r < 500; ++r) {
        // Σ(x − c) = 1 over some scores, all multiples of 2⁻⁹; others at c, and below.
        row x;
        for (int left = 512; left > 0;) {
            const auto part = random.integer(1, left);
            x.push_back(static_cast<double>(part) / 512);
            left -= static_cast<int>(part);
        }
        const std::size_t members = x.size();
        for (int i = 0; i < 5; ++i) x.push_back(i < 3 ? 0 : -random.uniform());
        const double offset = random.one_of({0.0, 1.0, -37.0, 1e4});
        for (double& v : x) v += offset;
        const row p = heed_test::checked_probabilities<T>(heed::sparsemax.whole_row<T>(0),
                                                          heed_test::rounded_to<T>(x));
        for (std::size_t i = 0; i < x.size(); ++i) CHECK((p[i] > 0) == (i < members));
    }
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
