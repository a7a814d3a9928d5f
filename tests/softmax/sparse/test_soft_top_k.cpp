#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <vector>

#include <heed/softmax/sparse/soft_top_k.hpp>

#include "reference/sparse.hpp"
#include "rows/random_rows.hpp"
#include "rows/row_objects.hpp"
#include "softmax/sparse/sparse_rows.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_soft_top_k {

using heed_test::unit;
using reference::row;
using shape = heed::soft_top_k_shape;

constexpr shape shapes[] = {shape::clipped_exponential, shape::logistic,
                            shape::two_sided_exponential};

/// The scores that are not left out.
double visible(const row& x) {
    double count = 0;
    for (const double v : x) count += v > reference::minus_infinity;
    return count;
}

TEMPLATE_TEST_CASE("soft top-k of hard rows is the reference's, and sums to k", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    for (const row& exact : heed_test::hard_rows(random)) {
        if (exact.size() > 300 || std::abs(exact[0]) > 1e30) continue;
        const row x = heed_test::rounded_to<T>(exact);
        for (const double share : {0.0, 0.1, 0.5, 0.97, 1.0}) {
            const double k =
                std::max(1.0, std::round(share * 8 * static_cast<double>(x.size())) / 8);
            for (int f = 0; f < 3; ++f) {
                INFO(x.size() << " elements, the first " << x[0] << ", k " << k << ", shape " << f);
                const auto object = heed::soft_top_k(k, shapes[f]).whole_row<T>(0);
                const row p = heed_test::checked_probabilities<T>(object, x);
                const row expected = reference::soft_top_k(x, k, f);
                CHECK(heed_test::largest_difference(p, expected) <= 8 * unit<T>);
                const auto sum = static_cast<double>(std::accumulate(p.begin(), p.end(), 0.0L));
                CHECK(std::abs(sum - std::min(k, visible(x))) <=
                      4 * unit<T> * static_cast<double>(x.size()));
                const row dp = heed_test::rounded_to<T>(random.numbers<double>(x.size()));
                const row dx = heed_test::row_gradient<T>(object, x, dp);
                if (visible(x) > k)
                    CHECK(heed_test::largest_difference(
                              dx, reference::soft_top_k_backward(x, k, f, dp)) <= 100 * unit<T>);
                else
                    CHECK(heed_test::largest_difference(dx, row(x.size(), 0)) == 0);
            }
        }
    }
}

TEST_CASE("soft top-k finds its threshold in few steps") {
    heed_test::generator random;
    auto rows = heed_test::hard_rows(random);
    rows.push_back(random.numbers<double>(131072));
    int most = 0;
    for (const row& x : rows) {
        heed::arena memory;
        const heed_test::aligned_row<float> scores(x, memory);
        for (const double share : {0.0, 0.01, 0.5, 0.99}) {
            const double k = std::max(1.0, share * static_cast<double>(x.size()));
            for (const shape f : shapes)
                most = std::max(most, heed::soft_top_k(k, f)
                                          .whole_row<float>(0)
                                          .solve(scores.data, scores.count)
                                          .steps);
        }
    }
    CHECK(most <= 75);  // 40 but for ±3e38 in a row
    CHECK(most >= 3);
}

TEMPLATE_TEST_CASE("soft top-k of random rows: sums to k, in few steps", "", HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    for (int f = 0; f < 3; ++f) {
        heed_test::search_results all;
        for (int r = 0; r < 2000; ++r) {
            const row x = heed_test::random_row<T>(random, 1);
            const double n = visible(x);
            double k = std::max(1.0, random.uniform(0, n));
            if (random.chance(0.3)) k = std::round(k);
            const auto object = heed::soft_top_k(k, shapes[f]).whole_row<T>(0);
            heed_test::add_to<T>(all, object, x, reference::soft_top_k(x, k, f), std::min(k, n));
        }
        INFO("shape " << f);
        CHECK(all.error <= 8);
        CHECK(all.sum_error <= 8);
        CHECK(all.steps <= 100);
        CHECK(100 < heed::detail::soft_top_k_row<T>::most_steps);  // which no row can need
    }
}

TEMPLATE_TEST_CASE("soft top-k of scores as far apart as there are numbers", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    const double large = static_cast<double>(std::numeric_limits<T>::max());
    for (int f = 0; f < 3; ++f) {
        for (const row& x : {row{large, -large, large, 0, -large / 2}, row{large, large, large},
                             row{-large, 3, 2.5, -large, large, 3}, row{1e9, 1e9, -1e9, 5}}) {
            for (const double k : {1.0, 1.75, 2.0, 2.5}) {
                INFO("shape " << f << ", k " << k << ", " << x.size() << " scores");
                const auto object = heed::soft_top_k(k, shapes[f]).whole_row<T>(0);
                const row exact = heed_test::rounded_to<T>(x);
                const row p = heed_test::checked_probabilities<T>(object, exact);
                const auto sum = static_cast<double>(std::accumulate(p.begin(), p.end(), 0.0L));
                CHECK(std::abs(sum - k) <= 16 * unit<T>);
                CHECK(heed_test::steps_of<T>(object, exact) <= 120);
                for (std::size_t i = 0; i < x.size(); ++i)
                    for (std::size_t j = 0; j < x.size(); ++j)
                        if (exact[i] >= exact[j]) CHECK(p[i] >= p[j]);
            }
        }
    }
}

TEST_CASE("soft top-k of k = n gives ones, and of k = 1 by e^x of a flat row softmax") {
    heed_test::generator random;
    const auto x = random.matrix<double>(5, 40);
    for (const shape f : shapes) CHECK((heed::soft_top_k(40, f)(x).array() == 1).all());
    const auto p = heed::soft_top_k(1)(x);
    for (int r = 0; r < 5; ++r) {
        const row expected = reference::softmax(row(x.row(r).begin(), x.row(r).end()));
        for (int i = 0; i < 40; ++i)
            CHECK(std::abs(p(r, i) - expected[static_cast<std::size_t>(i)]) <= 1e-14);
    }
}

TEST_CASE("backward of soft top-k agrees with central differences") {
    heed_test::generator random;
    for (const shape f : shapes)
        for (const double k : {1.0, 3.5, 9.0})
            CHECK(heed_test::slope_error(heed::soft_top_k(k, f), random) <= 1e-7);
}

TEST_CASE("soft top-k: a NaN stays in its row; threads and layouts change no bit") {
    heed_test::generator random;
    for (const shape f : shapes) {
        heed_test::check_that_nan_stays(heed::soft_top_k(5, f));
        heed_test::check_invariance(heed::soft_top_k(20, f), random);
    }
}

TEST_CASE("a k of soft top-k outside [1, n] is refused") {
    const Eigen::MatrixXf x = Eigen::MatrixXf::Ones(4, 6);
    for (const double k : {0.0, 0.99, -2.0, double(NAN), double(INFINITY)})
        CHECK_THROWS_AS(heed::soft_top_k(k), heed::argument_error);
    CHECK_THROWS_WITH(heed::soft_top_k(6.5)(x),
                      Catch::Matchers::Contains(
                          "k is 6.5, but must lie between 1 and the length of the rows, 6"));
}

}  // namespace test_soft_top_k
