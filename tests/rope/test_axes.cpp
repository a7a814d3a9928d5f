#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/core/parallel.hpp>
#include <heed/rope/axes.hpp>
#include <heed/rope/positions.hpp>
#include <heed/rope/rotate_axes.hpp>
#include <heed/rope/yarn.hpp>

#include "rope/tensors.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_axes {

using namespace rope_test;
using Catch::Matchers::Contains;
using heed::index;
using heed::rope::axial_frequencies;

/// Rows of x turned as the formula says, by positions(b, i, axis).
template <class Positions>
reference::tensor turned_by_axes(const reference::tensor& x, const axial_frequencies& rope,
                                 const Positions& positions, double direction = 1) {
    reference::tensor y = x;
    const bool halves = rope.layout() == heed::rope::halves;
    reference::for_each_row(x, [&](index b, index h, index i) {
        for (index t = 0; t < rope.pairs(); ++t) {
            double angle = 0;
            for (index a = 0; a < rope.axes(); ++a)
                angle += positions(b, i, a) *
                         rope.angular()[static_cast<std::size_t>(a * rope.pairs() + t)];
            const index one = halves ? t : 2 * t, other = halves ? t + rope.pairs() : 2 * t + 1;
            const double cosine = rope.attention_factor() * std::cos(angle);
            const double sine = direction * rope.attention_factor() * std::sin(angle);
            y(b, h, i, one) = x(b, h, i, one) * cosine - x(b, h, i, other) * sine;
            y(b, h, i, other) = x(b, h, i, one) * sine + x(b, h, i, other) * cosine;
        }
    });
    return y;
}

template <class T, class Y, class X, class Positions>
bool is_turned(const Y& y, const X& x, const axial_frequencies& rope, const Positions& positions,
               double direction = 1) {
    const auto before = to_reference(x);
    const auto expected = turned_by_axes(before, rope, positions, direction);
    return reference::largest_difference(to_reference(y), expected) <= tolerance<T>(before);
}

TEMPLATE_TEST_CASE("random axes, shapes, layouts and positions", "", HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    for (int trial = 0; trial < 25; ++trial) {
        const index axes = random.integer(1, 3), n = random.integer(1, 150);
        const auto layout = random.one_of({heed::rope::halves, heed::rope::interleaved});
        heed::rope::axial_options options{.dims = {}, .base = 100, .layout = layout};
        for (index a = 0; a < axes; ++a) options.dims.emplace_back(2 * random.integer(1, 20));
        const auto rope = heed::rope::axial(options);
        const index dim = rope.dim() + random.integer(0, 9);
        INFO(axes << " axes, r = " << rope.dim() << " of " << dim << ", n = " << n);
        const auto x = random.tensor<T>(2, 3, n, dim);
        const auto shared = random.matrix<double, Eigen::RowMajor>(n, axes);
        const auto at_shared = [&](index, index i, index a) { return shared(i, a); };
        CHECK(is_turned<T>(heed::rotate(x, rope, shared), x, rope, at_shared));
        CHECK(is_turned<T>(heed::rotate_back(x, rope, shared), x, rope, at_shared, -1));

        const auto own = random.tensor<double>(2, n, axes);
        const auto at_own = [&](index b, index i, index a) { return own(b, i, a); };
        CHECK(is_turned<T>(heed::rotate(x, rope, own), x, rope, at_own));

        const Eigen::Matrix<T, -1, -1> columns = random.matrix<T>(n, dim);
        CHECK(is_turned<T>(heed::rotate(columns, rope, shared), columns, rope, at_shared));
    }
}

TEST_CASE("threads and storage orders change no bit") {
    heed_test::generator random;
    Eigen::ThreadPool pool(3);
    const auto rope = heed::rope::axial({.dims = {12, 20, 8}});
    const auto positions = heed::rope::grid_positions({5, 6, 7});
    const auto x = random.matrix<float, Eigen::RowMajor>(210, 43);
    const auto expected = heed::rotate(x, rope, positions);
    CHECK(heed::rotate(x, rope, positions, heed::on(pool)) == expected);
    const Eigen::MatrixXf columns = x;
    CHECK(heed::rotate(columns, rope, positions) == expected);
    const Eigen::MatrixXd other_order = positions;
    CHECK(heed::rotate(x, rope, other_order) == expected);
    CHECK(heed::rotate(x, rope, positions.cast<int>()) == expected);
    auto in_place = x;
    heed::rotate_into(in_place, in_place, rope, positions);
    CHECK(in_place == expected);
    heed::rotate_back_into(in_place, in_place, rope, positions);
    CHECK(reference::largest_difference(to_reference(in_place), to_reference(x)) < 1e-5);
}

TEST_CASE("an axis of its own turns as it does alone") {
    heed_test::generator random;
    const auto x = random.matrix<double, Eigen::RowMajor>(20, 16);
    const auto rope =
        heed::rope::axial({.dims = {6, 10}, .base = 50, .layout = heed::rope::interleaved});
    const auto grid = heed::rope::grid_positions({4, 5});
    const auto y = heed::rotate(x, rope, grid);
    const std::vector<double> rows(grid.col(0).begin(), grid.col(0).end());
    const std::vector<double> columns(grid.col(1).begin(), grid.col(1).end());
    const auto first = heed::rope::plain({.dim = 6, .base = 50, .layout = heed::rope::interleaved});
    const auto second =
        heed::rope::plain({.dim = 10, .base = 50, .layout = heed::rope::interleaved});
    CHECK(y.leftCols(6) == heed::rotate(x.leftCols(6), first, rows));
    CHECK(y.rightCols(10) == heed::rotate(x.rightCols(10), second, columns));
}

TEST_CASE("sections at equal numbers are the ladder itself, its attention factor too") {
    heed_test::generator random;
    const auto x = random.matrix<double, Eigen::RowMajor>(9, 16);
    const auto ladder = heed::rope::yarn({.dim = 16, .stretch = 4, .original_length = 64});
    Eigen::MatrixXd positions(9, 3);
    for (index i = 0; i < 9; ++i) positions.row(i).setConstant(static_cast<double>(7 * i));
    const auto expected = heed::rotate(x, ladder, Eigen::VectorXd(positions.col(0)));
    CHECK(heed::rotate(x, heed::rope::sections(ladder, {2, 3, 3}), positions) == expected);
    CHECK(heed::rotate(x, heed::rope::interleaved_sections(ladder, {4, 2, 2}), positions) ==
          expected);
}

/// The axis along which each pair turns.
std::vector<int> axes_of_pairs(const axial_frequencies& rope) {
    std::vector<int> result;
    for (index t = 0; t < rope.pairs(); ++t)
        for (index a = 0; a < rope.axes(); ++a)
            if (rope.angular()[static_cast<std::size_t>(a * rope.pairs() + t)] != 0)
                result.push_back(static_cast<int>(a));
    return result;
}

TEST_CASE("which pair turns along which axis") {
    const auto ladder = heed::rope::plain({.dim = 16});
    CHECK(axes_of_pairs(heed::rope::sections(ladder, {2, 3, 3})) ==
          std::vector<int>{0, 0, 1, 1, 1, 2, 2, 2});
    CHECK(axes_of_pairs(heed::rope::sections(ladder, {0, 8})) == std::vector<int>(8, 1));
    CHECK(axes_of_pairs(heed::rope::interleaved_sections(ladder, {4, 2, 2})) ==
          std::vector<int>{0, 1, 2, 0, 1, 2, 0, 0});
    CHECK(axes_of_pairs(heed::rope::axial({.dims = {4, 6, 2}})) ==
          std::vector<int>{0, 0, 1, 1, 1, 2});
}

TEST_CASE("a score depends on the differences of the positions, and lengths are kept") {
    heed_test::generator random;
    const auto rope = heed::rope::axial({.dims = {8, 8}});
    Eigen::MatrixXd x = random.matrix<double>(2, 16), positions = random.matrix<double>(2, 2);
    const auto score = [&] {
        const Eigen::MatrixXd y = heed::rotate(x, rope, positions);
        CHECK(y.row(0).norm() == Approx(x.row(0).norm()));
        return y.row(0).dot(y.row(1));
    };
    const double before = score();
    positions.col(0).array() += 3.5;
    positions.col(1).array() -= 20;
    CHECK(score() == Approx(before));
}

TEST_CASE("angles of the user's own, along axes that share pairs") {
    heed_test::generator random;
    const axial_frequencies rope({{1, 0.5}, {0.25, -2}}, heed::rope::interleaved, 1.5);
    const auto x = random.matrix<double, Eigen::RowMajor>(7, 5);
    const auto positions = random.matrix<double, Eigen::RowMajor>(7, 2);
    CHECK(is_turned<double>(heed::rotate(x, rope, positions), x, rope,
                            [&](index, index i, index a) { return positions(i, a); }));
}

TEST_CASE("the points of a grid, the last axis fastest") {
    const auto grid = heed::rope::grid_positions({2, 3});
    Eigen::MatrixXd expected(6, 2);
    expected << 0, 0, 0, 1, 0, 2, 1, 0, 1, 1, 1, 2;
    CHECK(grid == expected);
    CHECK(heed::rope::grid_positions({3, 0}).rows() == 0);
    CHECK_THROWS_AS(heed::rope::grid_positions({}), heed::shape_error);
    CHECK_THROWS_AS(heed::rope::grid_positions({2, -1}), heed::shape_error);
    CHECK_THROWS_WITH(heed::rope::grid_positions({heed::index(1) << 40, heed::index(1) << 40}),
                      Catch::Matchers::Contains("64 bits"));
}

TEST_CASE("axes refuse what has no meaning, naming it") {
    const auto ladder = heed::rope::plain({.dim = 16});
    CHECK_THROWS_AS(heed::rope::axial({.dims = {}}), heed::shape_error);
    CHECK_THROWS_AS(heed::rope::axial({.dims = {4, 3}}), heed::argument_error);
    CHECK_THROWS_AS(heed::rope::axial({.dims = {4}, .base = 1}), heed::argument_error);
    CHECK_THROWS_AS(heed::rope::sections(ladder, {4, 3}), heed::shape_error);
    CHECK_THROWS_WITH(heed::rope::sections(ladder, {4, 3}), Contains("sections have 7"));
    CHECK_THROWS_AS(heed::rope::sections(ladder, {9, -1}), heed::argument_error);
    constexpr auto endless = std::numeric_limits<std::uint64_t>::max();
    CHECK_THROWS_AS(heed::rope::sections(ladder, {endless, endless, 10}), heed::shape_error);
    CHECK_THROWS_AS(heed::rope::interleaved_sections(ladder, {4, endless}), heed::shape_error);
    CHECK_THROWS_AS(heed::rope::grid_positions({endless, 1}), heed::shape_error);
    CHECK_THROWS_AS(heed::rope::interleaved_sections(ladder, {2, 3, 3}), heed::shape_error);
    CHECK_THROWS_AS(axial_frequencies({}), heed::shape_error);
    CHECK_THROWS_AS(axial_frequencies({{1, 2}, {1}}), heed::shape_error);
    CHECK_THROWS_AS(axial_frequencies({{1, std::nan("")}}), heed::argument_error);

    const auto rope = heed::rope::sections(ladder, {4, 4});
    const Eigen::MatrixXd x = Eigen::MatrixXd::Ones(5, 16);
    Eigen::MatrixXd positions = Eigen::MatrixXd::Zero(5, 3);
    CHECK_THROWS_AS(heed::rotate(x, rope, positions), heed::shape_error);
    CHECK_THROWS_WITH(heed::rotate(x, rope, positions), Contains("[5, 3]") && Contains("[5, 2]"));
    positions = Eigen::MatrixXd::Zero(4, 2);
    CHECK_THROWS_AS(heed::rotate(x, rope, positions), heed::shape_error);
    positions = Eigen::MatrixXd::Zero(5, 2);
    positions(3, 1) = std::numeric_limits<double>::infinity();
    CHECK_THROWS_AS(heed::rotate(x, rope, positions), heed::argument_error);
    CHECK_THROWS_WITH(heed::rotate(x, rope, positions), Contains("[0, 3, 1]"));
    const Eigen::MatrixXd narrow = Eigen::MatrixXd::Ones(5, 14);
    CHECK_THROWS_AS(heed::rotate(narrow, rope, Eigen::MatrixXd(Eigen::MatrixXd::Zero(5, 2))),
                    heed::shape_error);
}

}  // namespace test_axes
