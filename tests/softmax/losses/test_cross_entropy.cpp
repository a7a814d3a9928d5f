#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <list>
#include <numeric>
#include <string>
#include <type_traits>
#include <vector>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/softmax/losses/cross_entropy.hpp>

#include "rows/row_objects.hpp"
#include "softmax/losses/loss_check.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_cross_entropy {

using heed_test::numbers_of;
using heed_test::rows_of;
using reference::row;
using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Labels as cross_entropy wants them for the rows of an X: a number, a vector, a tensor.
template <class X>
auto labels_for(const X& x, const std::vector<int>& labels) {
    constexpr int axes = heed::detail::row_axes<X>;
    if constexpr (axes == 0) {
        return labels[0];
    } else if constexpr (axes == 1) {
        return labels;
    } else {
        Eigen::Tensor<int, axes, Eigen::RowMajor> tensor;
        Eigen::array<Eigen::Index, static_cast<std::size_t>(axes)> extents;
        for (std::size_t axis = 0; axis < axes; ++axis)
            extents[axis] = heed::detail::evaluate(x).view().extents[axis];
        tensor.resize(extents);
        std::copy(labels.begin(), labels.end(), tensor.data());
        return tensor;
    }
}

TEST_CASE("cross_entropy of the rows of anything is the reference's") {
    heed_test::generator random;
    const auto loss = heed::cross_entropy.ignored_label(-1).per_row();
    heed_test::for_each_object<float>(random, [&](const auto& x) {
        const auto rows = rows_of(x);
        const auto labels = heed_test::random_labels(random, rows.size(), rows[0].size());
        const auto [losses, dx] = loss.with_gradient(x, labels_for(x, labels));
        CHECK(heed_test::agree<float>(
            rows, labels, numbers_of(losses), rows_of(dx),
            [](const row& one, std::size_t t) { return reference::cross_entropy(one, t); }));
    });
}

TEMPLATE_TEST_CASE("cross_entropy with smoothed labels is the reference's", "", HEED_TEST_SCALARS) {
    for (const double smoothing : {0.0, 0.1, 1.0})
        heed_test::check_loss<TestType>(
            heed::cross_entropy.label_smoothing(smoothing),
            [&](const row& x, std::size_t t) { return reference::cross_entropy(x, t, smoothing); });
}

TEST_CASE("the gradient of cross_entropy agrees with central differences") {
    heed_test::check_differences(heed::cross_entropy);
    heed_test::check_differences(heed::cross_entropy.label_smoothing(0.3));
}

TEST_CASE("losses are averaged, summed or given a row, ignored rows left out") {
    heed_test::generator random;
    const auto x = random.matrix<double>(6, 5);
    const std::vector<int> labels{4, -100, 0, 2, -100, 3};
    const auto loss = heed::cross_entropy.ignored_label(-100);
    const auto [rows, gradient] = loss.per_row().with_gradient(x, labels);
    const auto [mean, mean_gradient] = loss.with_gradient(x, labels);
    const auto [sum, sum_gradient] = loss.sum().with_gradient(x, labels);
    STATIC_REQUIRE(std::is_same_v<decltype(rows), const Eigen::VectorXd>);
    STATIC_REQUIRE(std::is_same_v<decltype(mean), const double>);
    CHECK(rows(1) == 0);
    CHECK(rows(0) > 0);
    const double total = std::accumulate(rows.data(), rows.data() + rows.size(), 0.0);
    CHECK(sum == Approx(total).epsilon(1e-14));
    CHECK(mean == Approx(total / 4).epsilon(1e-14));
    CHECK(sum_gradient == gradient);
    CHECK(mean_gradient.isApprox(gradient / 4, 1e-14));
    CHECK(gradient.row(1).isZero(0));
    CHECK(loss(x, labels) == mean);
    CHECK(loss.sum()(x, labels) == sum);
    CHECK(loss.sum().mean()(x, labels) == mean);

    const std::vector<int> none(6, -100);
    CHECK(loss(x, none) == 0);
    CHECK(loss.with_gradient(x, none).gradient.isZero(0));
}

TEST_CASE("labels may be anything that holds whole numbers") {
    heed_test::generator random;
    const auto x = random.matrix<float, Eigen::ColMajor>(4, 6);
    const float expected = heed::cross_entropy(x, std::vector<int>{1, 5, 0, 2});
    const Eigen::Vector4i column(1, 5, 0, 2);
    Eigen::Matrix<std::int64_t, 4, 3> table;
    table.setZero();
    table.col(1) = column.cast<std::int64_t>();
    Eigen::Tensor<std::uint8_t, 1> tensor(4);
    for (int i = 0; i < 4; ++i) tensor(i) = static_cast<std::uint8_t>(column(i));
    CHECK(heed::cross_entropy(x, column) == expected);
    CHECK(heed::cross_entropy(x, column.transpose()) == expected);
    CHECK(heed::cross_entropy(x, table.col(1)) == expected);
    CHECK(heed::cross_entropy(x, (column.array() - 1) + 1) == expected);
    CHECK(heed::cross_entropy(x, tensor) == expected);
    CHECK(heed::cross_entropy(x, std::array<short, 4>{1, 5, 0, 2}) == expected);
    CHECK(heed::cross_entropy(x, std::list<std::size_t>{1, 5, 0, 2}) == expected);
    STATIC_REQUIRE(std::is_same_v<decltype(heed::cross_entropy.per_row()(x.row(0), 3)), float>);
    CHECK(heed::cross_entropy(x.row(1), 5) == heed::cross_entropy.per_row()(x, column)(1));
}

TEST_CASE("losses go to the caller's memory, the gradient over the logits, without allocating") {
    heed_test::generator random;
    const auto x = random.matrix<float>(9, 300);
    const std::vector<int> labels{0, 299, 7, 8, 9, 10, 11, 12, 13};
    const auto [value, gradient] = heed::cross_entropy.with_gradient(x, labels);
    row_major in_place = x;
    float loss = 0;
    heed::cross_entropy.gradient_into(loss, in_place, in_place, labels);
    CHECK(loss == value);
    CHECK(in_place == gradient);

    Eigen::MatrixXf table(9, 3);
    row_major dx(9, 300);
    const auto by_row = heed::cross_entropy.per_row();
    by_row.gradient_into(table.col(2), dx, x, labels);
    const auto before = heed_test::allocations();
    by_row.gradient_into(table.col(1), dx, x, labels);
    by_row.into(table.col(0), x, labels);
    heed::cross_entropy.into(loss, x, labels);
    CHECK(heed_test::allocations() == before);
    CHECK(table.col(1) == by_row(x, labels));
    CHECK(table.col(0) == table.col(1));
    CHECK(loss == value);
}

TEST_CASE("a loss is the same bits for any number of threads, streamed or not") {
    heed_test::generator random;
    // More than 16 MB of gradient, rows that begin anywhere within a vector.
    const auto x = random.matrix<float>(513, 8209);
    std::vector<int> labels(513);
    for (std::size_t r = 0; r < labels.size(); ++r) labels[r] = static_cast<int>(r * 16);
    labels[17] = -1;
    const auto loss = heed::cross_entropy.ignored_label(-1).label_smoothing(0.1);
    const auto [value, gradient] = loss.with_gradient(x, labels);
    Eigen::ThreadPool pool(3);
    const auto [shared_value, shared_gradient] = loss.with_gradient(x, labels, heed::on(pool));
    CHECK(shared_value == value);
    CHECK(shared_gradient == gradient);
    const row_major few = x.middleRows(10, 20);
    const auto part =
        loss.sum().with_gradient(few, std::vector<int>(labels.begin() + 10, labels.begin() + 30));
    CHECK(part.gradient.isApprox(gradient.middleRows(10, 20) * 512, 1e-5f));
    CHECK(gradient.row(17).isZero(0));
}

TEMPLATE_TEST_CASE("cross_entropy of extreme rows", "", HEED_TEST_SCALARS) {
    const TestType infinity = std::numeric_limits<TestType>::infinity();
    using matrix = Eigen::Matrix<TestType, Eigen::Dynamic, Eigen::Dynamic>;
    matrix x(7, 3);
    x << 1e4, -1e4, 0, 1e4, -1e4, 0, -infinity, 1, 1, -infinity, 1, 1, NAN, 0, 0, 0, infinity, 0,
        -infinity, -infinity, -infinity;
    const std::vector<int> labels{0, 1, 1, 0, 1, 0, 2};
    const auto check = [&](const auto& rows) {
        const auto [loss, dx] = heed::cross_entropy.per_row().with_gradient(rows, labels);
        CHECK(loss(0) == 0);
        CHECK(dx.row(0).isZero(0));
        CHECK(loss(1) == TestType(2e4));
        CHECK(dx(1, 0) == 1);
        CHECK(dx(1, 1) == -1);
        CHECK(loss(2) == Approx(std::log(2.0)));
        CHECK(dx(2, 0) == 0);
        CHECK(loss(3) == infinity);
        CHECK(dx(3, 0) == -1);
        CHECK(dx(3, 1) == Approx(0.5));
        CHECK((std::isnan(loss(4)) && dx.row(4).array().isNaN().all()));
        CHECK((std::isnan(loss(5)) && dx.row(5).array().isNaN().all()));
        CHECK(loss(6) == infinity);
        CHECK(dx(6, 0) == 0);
        CHECK(dx(6, 2) == -1);
    };
    check(x);
    check(Eigen::Matrix<TestType, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>(x));

    // A row that is ignored counts for nothing, whatever is in it.
    const auto ignoring = heed::cross_entropy.ignored_label(7).sum();
    const auto [loss, dx] = ignoring.with_gradient(x, std::vector<int>{0, 7, 7, 7, 7, 7, 7});
    CHECK(loss == 0);
    CHECK(dx.isZero(0));
    CHECK(heed::cross_entropy(matrix(0, 3), std::vector<int>{}) == 0);
    CHECK(ignoring.with_gradient(matrix(2, 0), std::vector<int>{7, 7}).value == 0);
}

TEST_CASE("cross_entropy of a long row") {
    heed_test::generator random;
    const auto x = random.matrix<float>(2, 131072);
    const std::vector<int> labels{131071, 70000};
    const auto [losses, dx] = heed::cross_entropy.per_row().with_gradient(x, labels);
    CHECK(heed_test::agree<float>(
        rows_of(x), labels, numbers_of(losses), rows_of(dx),
        [](const row& one, std::size_t t) { return reference::cross_entropy(one, t); }));
}

TEST_CASE("cross_entropy refuses what it cannot do, and says why") {
    using Catch::Matchers::Contains;
    row_major x = row_major::Random(3, 4), dx(3, 4);
    float loss = -7;
    const auto into = [&](const std::vector<int>& labels) {
        heed::cross_entropy.gradient_into(loss, dx, x, labels);
    };
    dx.setConstant(5);
    CHECK_THROWS_AS(into({0, 1, 4}), heed::argument_error);
    CHECK_THROWS_WITH(into({0, 4, 1}), Contains("row 1") && Contains("4") && Contains("[0, 4)"));
    CHECK_THROWS_WITH(into({0, 1, -100}),
                      "the label of row 2 is -100, but must lie in [0, 4); to leave such rows out, "
                      "give the loss .ignored_label(-100)");
    CHECK_THROWS_WITH(
        heed::cross_entropy.ignored_label(-100)(x, std::vector<int>{0, -100, -1}),
        "the label of row 2 is -1, but must lie in [0, 4) or be the ignored label, -100");
    CHECK_THROWS_WITH(heed::cross_entropy(x, std::vector<std::size_t>{0, 1, std::size_t(-3)}),
                      Contains("18446744073709551613"));
    CHECK_THROWS_AS(into({0, 1}), heed::shape_error);
    CHECK_THROWS_AS(heed::cross_entropy(x, Eigen::Vector4i::Zero()), heed::shape_error);
    CHECK_THROWS_AS(heed::cross_entropy(x, Eigen::MatrixXi::Zero(3, 2)), heed::shape_error);
    CHECK_THROWS_AS(heed::cross_entropy(row_major(2, 0), std::vector<int>{0, 0}),
                    heed::argument_error);
    row_major other(4, 3);
    const std::vector<int> labels{0, 1, 2};
    CHECK_THROWS_AS(heed::cross_entropy.gradient_into(loss, other, x, labels), heed::shape_error);
    row_major wide(3, 5);
    CHECK_THROWS_AS(
        heed::cross_entropy.gradient_into(loss, wide.rightCols(4), wide.leftCols(4), labels),
        heed::argument_error);
    CHECK_THROWS_AS(heed::cross_entropy.per_row().gradient_into(dx.col(0), dx, x, labels),
                    heed::argument_error);
    CHECK(loss == -7);
    CHECK((dx.array() == 5).all());
    for (const double epsilon : {-0.1, 1.1, std::nan("")})
        CHECK_THROWS_AS(heed::cross_entropy.label_smoothing(epsilon), heed::argument_error);
    CHECK_THROWS_WITH(heed::cross_entropy.label_smoothing(2), Contains("2") && Contains("[0, 1]"));
}

}  // namespace test_cross_entropy
