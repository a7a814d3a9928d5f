#include <cmath>
#include <cstddef>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/core/parallel.hpp>
#include <heed/core/view.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotate_by_tables.hpp>

#include "rope/tensors.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_rotate_by_tables {

using namespace rope_test;
using heed::index;
template <class T>
using matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;

/// cos(p·θ_t), or the sine, of the first positions.
template <class T, class F>
matrix<T> table(const heed::rope::frequencies& rope, index positions, F&& f) {
    matrix<T> result(positions, rope.pairs());
    for (index p = 0; p < positions; ++p)
        for (index t = 0; t < rope.pairs(); ++t)
            result(p, t) = static_cast<T>(
                f(static_cast<double>(p) * rope.angular()[static_cast<std::size_t>(t)]));
    return result;
}
template <class T>
auto tables(const heed::rope::frequencies& rope, index positions) {
    return heed::rope::tables(table<T>(rope, positions, [](double a) { return std::cos(a); }),
                              table<T>(rope, positions, [](double a) { return std::sin(a); }),
                              rope.layout());
}

TEMPLATE_TEST_CASE("rotation by tables is that by the frequencies that they are of", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    for (int trial = 0; trial < 30; ++trial) {
        const auto dim = random.integer(2, 70);
        const auto rotated = 2 * random.integer(1, dim / 2);
        const auto layout = random.one_of({heed::rope::halves, heed::rope::interleaved});
        const auto rope = heed::rope::plain({.dim = rotated, .layout = layout});
        const auto n = random.integer(1, 90);
        const auto turns = tables<T>(rope, 200);
        const auto check = [&](const auto& x) {
            const auto before = to_reference(x);
            const auto is = [&](const auto& y, const auto& position, double direction) {
                const auto expected =
                    reference::rotate(before, to_reference(rope), position, direction);
                return reference::largest_difference(to_reference(y), expected) <=
                       tolerance<T>(before);
            };
            CHECK(is(heed::rotate(x, turns), row, 1));
            CHECK(is(heed::rotate_back(x, turns), row, -1));
            CHECK(is(
                heed::rotate(x, turns, 100),
                [](index, index i) { return static_cast<double>(100 + i); }, 1));
            std::vector<int> positions(static_cast<std::size_t>(n));
            for (int& p : positions) p = static_cast<int>(random.integer(0, 199));
            CHECK(is(
                heed::rotate(x, turns, positions),
                [&](index, index i) {
                    return static_cast<double>(positions[static_cast<std::size_t>(i)]);
                },
                1));
        };
        check(random.tensor<T>(2, 3, n, dim));
        check(matrix<T>(random.matrix<T>(n, dim)));
    }
}

TEST_CASE("tables are seen where they lie, on threads, in place, and have a gradient") {
    heed_test::generator random;
    const auto rope = heed::rope::plain({.dim = 16});
    Eigen::MatrixXd cosines = table<double>(rope, 64, [](double a) { return std::cos(a); });
    Eigen::MatrixXd sines = table<double>(rope, 64, [](double a) { return std::sin(a); });
    const auto turns = heed::rope::tables(cosines, sines);
    const auto x = random.tensor<double>(2, 3, 50, 20), dy = random.tensor<double>(2, 3, 50, 20);
    const auto y = heed::rotate(x, turns);
    const auto same = [](const auto& a, const auto& b) {
        return reference::largest_difference(to_reference(a), to_reference(b)) == 0;
    };
    Eigen::ThreadPool pool(3);
    CHECK(same(heed::rotate(x, turns, heed::on(pool)), y));
    auto over = x;
    heed::rotate_into(over, over, turns);
    CHECK(same(over, y));
    heed::rotate_back_into(over, over, turns);
    CHECK(reference::largest_difference(to_reference(over), to_reference(x)) < 1e-14);
    // ⟨rotate x, dy⟩ = ⟨x, rotate_back dy⟩
    const Eigen::Tensor<double, 0, Eigen::RowMajor> there = (y * dy).sum();
    const Eigen::Tensor<double, 0, Eigen::RowMajor> back = (x * heed::rotate_back(dy, turns)).sum();
    CHECK(there() == Approx(back()).epsilon(1e-12));
    cosines *= 2;
    sines *= 2;
    CHECK(heed::rotate(x, turns)(0, 1, 7, 3) == Approx(2 * y(0, 1, 7, 3)));
}

TEST_CASE("rotation by tables refuses what does not fit") {
    using Catch::Matchers::Contains;
    Eigen::MatrixXf cosines = Eigen::MatrixXf::Ones(10, 4), sines = Eigen::MatrixXf::Zero(10, 4);
    const auto turns = heed::rope::tables(cosines, sines);
    Eigen::MatrixXf x = Eigen::MatrixXf::Ones(6, 8), y = Eigen::MatrixXf::Constant(6, 8, 5);
    CHECK_THROWS_WITH(heed::rope::tables(cosines, sines.leftCols(3)),
                      Contains("cosines") && Contains("sines") && Contains("3"));
    CHECK_THROWS_WITH(heed::rope::tables(cosines.leftCols(0), sines.leftCols(0)),
                      "cosines has shape [10, 0], but tables must have a column for one pair at "
                      "least");
    CHECK_THROWS_AS(heed::rotate(Eigen::MatrixXf(6, 7), turns), heed::shape_error);
    CHECK_THROWS_WITH(heed::rotate(x, turns, 5),
                      "the position of row 5 is 10, but must be a whole number in [0, 10), the "
                      "rows of the tables");
    CHECK_THROWS_AS(heed::rotate_into(y, x, turns, -1), heed::argument_error);
    CHECK_THROWS_AS(heed::rotate_into(y, x, turns, 0.5), heed::argument_error);
    CHECK_THROWS_AS(heed::rotate_into(y, x, turns, std::vector<double>{0, 1, 2, 3, 4, NAN}),
                    heed::argument_error);
    CHECK(y == Eigen::MatrixXf::Constant(6, 8, 5));
    Eigen::MatrixXf both = Eigen::MatrixXf::Ones(10, 8);
    CHECK_THROWS_AS(
        heed::rotate_into(both, both, heed::rope::tables(both.leftCols(4), both.rightCols(4))),
        heed::argument_error);
}

}  // namespace test_rotate_by_tables
