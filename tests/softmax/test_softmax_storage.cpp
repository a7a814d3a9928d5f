#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/core/error.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>
#include <heed/softmax/dense/entropy_normalised.hpp>
#include <heed/softmax/log_softmax.hpp>
#include <heed/softmax/log_sum_exp.hpp>
#include <heed/softmax/losses/cross_entropy.hpp>
#include <heed/softmax/losses/soft_cross_entropy.hpp>
#include <heed/softmax/losses/sparsemax_loss.hpp>
#include <heed/softmax/sink.hpp>
#include <heed/softmax/softmax.hpp>
#include <heed/softmax/sparse/entmax.hpp>
#include <heed/softmax/sparse/sparsemax.hpp>

#include "rows/stored_rows.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/threads.hpp"

/// \file
/// The softmax family and losses on rows of 16-bit numbers.

namespace test_softmax_storage {

using namespace heed_test;
using heed::index;

template <class S>
using matrix = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

TEMPLATE_TEST_CASE("softmax of 16-bit rows has the bits of their floats, rounded once", "",
                   HEED_TEST_STORAGES) {
    generator random(9501);
    for_each_layout<TestType>(random, [](const auto& x, const auto& dy) {
        const auto check = [&](const auto& f) {
            const auto y = f(x);
            CHECK(is_rounded(y, f(widened(x))));
            CHECK(
                is_rounded(f.backward(x, y, dy), f.backward(widened(x), widened(y), widened(dy))));
        };
        check(heed::softmax.temperature(0.7));
        check(heed::log_softmax);
    });
}

TEMPLATE_TEST_CASE("log_sum_exp of 16-bit rows has the bits of their floats, rounded once", "",
                   HEED_TEST_STORAGES) {
    generator random(9502);
    for_each_layout<TestType>(random, [](const auto& x, const auto& dy) {
        if (x.cols() == 0) return;
        const auto z = heed::log_sum_exp(x);
        static_assert(std::is_same_v<typename decltype(z)::Scalar, TestType>);
        CHECK(is_rounded(z, heed::log_sum_exp(widened(x))));
        const auto dz = dy.col(0);
        CHECK(is_rounded(heed::log_sum_exp.backward(x, z, dz),
                         heed::log_sum_exp.backward(widened(x), widened(z), widened(dz))));
    });
    // A vector is one row, and its result a number.
    const Eigen::Matrix<TestType, 5, 1> row(
        Eigen::Matrix<float, 5, 1>(1, 2, 3, -1, 0).template cast<TestType>());
    const TestType z = heed::log_sum_exp(row);
    CHECK(z == static_cast<TestType>(heed::log_sum_exp(widened(row))));
}

TEST_CASE("rows that are neither side by side nor lanes are rounded once too") {
    using S = Eigen::bfloat16;
    generator random(9503);
    const auto numbers = stored_matrix<S, Eigen::RowMajor>(random, 26, 42);
    using stride = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
    const Eigen::Map<const matrix<S>, 0, stride> x(numbers.data(), 13, 20, stride(84, 2));
    matrix<S> y = matrix<S>::Zero(26, 42);
    Eigen::Map<matrix<S>, 0, stride> y_part(y.data(), 13, 20, stride(84, 2));
    heed::softmax.into(y_part, x);
    CHECK(is_rounded(y_part, heed::softmax(widened(x))));
    y_part.setZero();
    CHECK(y == matrix<S>::Zero(26, 42));  // what lies between was left alone
}

TEST_CASE("whole rows of 16 bits, and sinks, have the bits of their floats") {
    using S = Eigen::half;
    generator random(9504);
    for_each_layout<S>(random, [](const auto& x, const auto& dp) {
        const auto p = heed::sparsemax(x);
        CHECK(is_rounded(p, heed::sparsemax(widened(x))));
        CHECK(is_rounded(heed::sparsemax.backward(x, p, dp),
                         heed::sparsemax.backward(widened(x), widened(p), widened(dp))));
        const auto f = heed::sink(0.5);
        const auto with_sink = f(x);
        CHECK(is_rounded(with_sink, f(widened(x))));
        const auto [dx, ds] = f.backward(x, with_sink, dp);
        const auto wide = f.backward(widened(x), widened(with_sink), widened(dp));
        CHECK(is_rounded(dx, wide.x));
        static_assert(std::is_same_v<std::remove_cvref_t<decltype(ds(0))>, float>);
        CHECK(ds(0) == wide.logit(0));
    });
}

TEMPLATE_TEST_CASE("losses of 16-bit logits: the gradient is rounded once, a mean is a float", "",
                   HEED_TEST_STORAGES) {
    generator random(9505);
    for_each_layout<TestType>(random, [&](const auto& x, const auto&) {
        std::vector<int> labels(static_cast<std::size_t>(x.rows()));
        for (int& label : labels) label = static_cast<int>(random.integer(0, x.cols() - 1));
        if (!labels.empty()) labels.back() = -100;
        const auto f = heed::cross_entropy.ignored_label(-100).label_smoothing(0.1);
        const auto mean = f.with_gradient(x, labels);
        const auto wide = f.with_gradient(widened(x), labels);
        static_assert(std::is_same_v<decltype(mean.value), float>);
        CHECK(mean.value == wide.value);
        CHECK(f(x, labels) == wide.value);
        CHECK(is_rounded(mean.gradient, wide.gradient));
        const auto rows = f.per_row().with_gradient(x, labels);
        const auto wide_rows = f.per_row().with_gradient(widened(x), labels);
        CHECK(is_rounded(rows.value, wide_rows.value));
        CHECK(is_rounded(rows.gradient, wide_rows.gradient));
    });
}

TEST_CASE("soft targets, sparse losses and learned normalisers of 16-bit rows") {
    using S = Eigen::bfloat16;
    generator random(9508);
    const auto x = stored_matrix<S, Eigen::RowMajor>(random, 9, 131);
    const auto dp = stored_matrix<S, Eigen::ColMajor>(random, 9, 131);
    const auto wide = widened(x);
    const auto check_loss = [](const auto& found, const auto& expected) {
        CHECK(found.value == expected.value);
        CHECK(is_rounded(found.gradient, expected.gradient));
    };
    const auto targets = heed::softmax(dp);
    check_loss(heed::soft_cross_entropy.with_gradient(x, targets),
               heed::soft_cross_entropy.with_gradient(wide, widened(targets)));
    const std::vector<int> labels(9, 130);
    check_loss(heed::sparsemax_loss.with_gradient(x, labels),
               heed::sparsemax_loss.with_gradient(wide, labels));

    const auto even = heed::entropy_normalised(2);
    const auto q = even(x);
    CHECK(is_rounded(q, even(wide)));
    const auto back = even.backward(x, q, dp);
    const auto wide_back = even.backward(wide, widened(q), widened(dp));
    CHECK(is_rounded(back.x, wide_back.x));
    CHECK(back.entropy == wide_back.entropy);
    const auto sparse = heed::entmax(1.3);
    const auto p = sparse(x);
    CHECK(sparse.alpha_gradient(p, dp) == sparse.alpha_gradient(widened(p), widened(dp)));
}

TEMPLATE_TEST_CASE("16-bit rows: special values stay in their rows", "", HEED_TEST_STORAGES) {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    generator random(9506);
    auto x = stored_matrix<TestType, Eigen::RowMajor>(random, 5, 19);
    x(1, 3) = static_cast<TestType>(std::numeric_limits<float>::quiet_NaN());
    x.row(2).setConstant(static_cast<TestType>(-infinity));
    x(3, 7) = static_cast<TestType>(-infinity);
    x(4, 0) = static_cast<TestType>(60000.0F);
    const auto p = heed::softmax(x);
    for (index j = 0; j < 19; ++j) {
        const auto at = [&](index i) { return static_cast<float>(p(i, j)); };
        CHECK(std::isnan(at(1)));
        CHECK(at(2) == 0);
        CHECK((at(3) == 0) == (j == 7));
        CHECK(at(4) == (j == 0 ? 1 : 0));
    }
    CHECK(is_rounded(p.row(0), heed::softmax(widened(x.row(0)))));
    CHECK(static_cast<float>(heed::log_sum_exp(x)(2)) == -infinity);
}

TEST_CASE("16-bit rows: in place, on threads, refusals, and no allocation by a second call") {
    using S = Eigen::half;
    generator random(9507);
    const auto x = stored_matrix<S, Eigen::RowMajor>(random, 300, 301);
    const auto expected = heed::softmax(x);
    auto y = x;
    heed::softmax.into(y, y);
    CHECK(y == expected);
    Eigen::ThreadPool pool(3);
    await_threads(pool);
    CHECK(heed::softmax(x, heed::on(pool)) == expected);

    matrix<S> other = matrix<S>::Zero(300, 300);
    CHECK_THROWS_AS(heed::softmax.into(other, x), heed::shape_error);
    CHECK_THROWS_AS(heed::softmax.into(y.leftCols(300), y.rightCols(300)), heed::argument_error);
    CHECK(other == matrix<S>::Zero(300, 300));
    CHECK(y == expected);
    CHECK_THROWS_AS(heed::cross_entropy(x, std::vector<int>(300, 301)), heed::argument_error);

    heed::workspace memory;
    heed::softmax.into(y, x, heed::in(memory));
    const std::size_t before = allocations();
    heed::softmax.into(y, x, heed::in(memory));
    CHECK(allocations() == before);
}

}  // namespace test_softmax_storage
