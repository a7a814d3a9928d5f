#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>
#include <vector>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/nystrom/segment_means.hpp>

#include "attention/problem.hpp"
#include "reference/nystrom.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_segment_means {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

TEST_CASE("segment means are means of segments that cover all rows once") {
    generator random(641);
    for (int round = 0; round < 30; ++round) {
        const index rows = random.integer(1, 200), m = random.integer(1, 250);
        const index columns = random.one_of<index>({1, 3, 8, 17, 64, 67});
        const auto x = random_numbers(random, 2, 3, rows, columns);
        const auto exact = reference::segment_means(x, std::min(m, rows));
        const auto means = heed::segment_means(to_tensor<double>(x), m);
        CHECK(reference::largest_difference(to_reference(means, exact), exact) < 1e-14);
        const auto floats = heed::segment_means(to_tensor<float>(x), m);
        CHECK(reference::largest_difference(to_reference(floats, exact), exact) < 1e-6);
    }
    // Of a million equal rows the mean is the row.
    const Eigen::MatrixXf equal = Eigen::MatrixXf::Constant(1 << 20, 1, 0.1f);
    CHECK(heed::segment_means(equal, 1)(0, 0) == Approx(0.1f).epsilon(1e-5));
}

TEST_CASE("segment means of any layout, into any layout, on threads, of nothing") {
    generator random(642);
    const auto x = random.matrix<float>(53, 19);
    const Eigen::MatrixXf columns = x;
    const auto means = heed::segment_means(x, 7);
    CHECK(means.rows() == 7);
    CHECK(heed::segment_means(columns, 7) == means);
    Eigen::MatrixXf wide = Eigen::MatrixXf::Zero(9, 25);
    heed::segment_means_into(wide.block(1, 2, 7, 19), x, 7);
    CHECK(wide.block(1, 2, 7, 19) == means);
    Eigen::ThreadPool pool(2);
    heed::workspace memory;
    CHECK(heed::segment_means(x, 7, always_on(pool), heed::in(memory)) == means);
    CHECK(heed::segment_means(Eigen::MatrixXf(0, 4), 7).rows() == 0);
    CHECK(heed::segment_means(x, 100) == x);
}

TEMPLATE_TEST_CASE("segment means of 16-bit numbers are those of floats, rounded once", "",
                   Eigen::bfloat16, Eigen::half) {
    using S = TestType;
    using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    generator random(644);
    for (const auto& [rows, columns, m] : {std::tuple(61, 67, 7), {200, 128, 1}, {5, 3, 9}}) {
        const matrix x =
            random.matrix<float>(rows, columns).template cast<S>().template cast<float>();
        const matrix d = random.matrix<float>(std::min(rows, m), columns)
                             .template cast<S>()
                             .template cast<float>();
        const auto means = heed::segment_means(x.cast<S>().eval(), m);
        CHECK(means == heed::segment_means(x, m).template cast<S>());
        const auto dx = heed::segment_means_backward(d.cast<S>().eval(), rows);
        CHECK(dx == heed::segment_means_backward(d, rows).template cast<S>());
        const Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic> by_columns = x.cast<S>();
        CHECK(heed::segment_means(by_columns, m) == means);
    }
}

TEST_CASE("the gradient of segment means is their transpose") {
    generator random(643);
    for (const auto& [rows, m] : {std::pair(13, 5), {64, 8}, {7, 7}}) {
        const auto x = random.tensor<double>(2, rows, 5);
        const auto d = random.tensor<double>(2, m, 5);
        const auto means = heed::segment_means(x, m);
        const auto dx = heed::segment_means_backward(d, rows);
        double forward = 0, backward = 0;
        for (index i = 0; i < d.size(); ++i) forward += d.data()[i] * means.data()[i];
        for (index i = 0; i < x.size(); ++i) backward += dx.data()[i] * x.data()[i];
        CHECK(forward == Approx(backward).epsilon(1e-12));
        // A row's share is its segment's, however the others are.
        CHECK(dx(1, 0, 2) * double(rows / m) == Approx(d(1, 0, 2)).epsilon(1e-12));
    }
}

}  // namespace test_segment_means
