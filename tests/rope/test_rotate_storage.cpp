#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/core/error.hpp>
#include <heed/core/parallel.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotate.hpp>
#include <heed/rope/rotate_by_tables.hpp>

#include "rows/stored_rows.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

/// \file
/// Rotations of 16-bit rows: those of their floats, rounded once.

namespace test_rotate_storage {

using namespace heed_test;

TEMPLATE_TEST_CASE("16-bit rows are rotated as floats, and rounded once", "", HEED_TEST_STORAGES) {
    generator random(9701);
    for (const auto layout : {heed::rope::halves, heed::rope::interleaved}) {
        const auto rope = heed::rope::plain({.dim = 22, .layout = layout});
        const auto check = [&](const auto& x, const auto&... positions) {
            CHECK(is_rounded(heed::rotate(x, rope, positions...),
                             heed::rotate(widened(x), rope, positions...)));
            CHECK(is_rounded(heed::rotate_back(x, rope, positions...),
                             heed::rotate_back(widened(x), rope, positions...)));
        };
        // 45 of 67 dimensions are beyond the pairs.
        const auto x = stored_matrix<TestType, Eigen::RowMajor>(random, 71, 67);
        check(x);
        check(stored_matrix<TestType, Eigen::ColMajor>(random, 71, 22), 1000);
        check(stored_matrix<TestType, Eigen::RowMajor>(random, 3, 23), std::vector<int>{5, -2, 70});
        check(stored_matrix<TestType, Eigen::RowMajor>(random, 0, 22));

        auto in_place = x;
        Eigen::ThreadPool pool(3);
        heed::rotate_into(in_place, in_place, rope, heed::on(pool));
        CHECK(in_place == heed::rotate(x, rope));
    }
}

TEST_CASE("16-bit rows are rotated by tables of floats") {
    generator random(9702);
    const auto x = stored_matrix<Eigen::half, Eigen::RowMajor>(random, 5, 12);
    const auto cosines = random.matrix<float>(5, 6), sines = random.matrix<float>(5, 6);
    const auto turns = heed::rope::tables(cosines, sines);
    CHECK(is_rounded(heed::rotate(x, turns), heed::rotate(widened(x), turns)));
}

TEST_CASE("rotations of 16-bit rows refuse what others refuse") {
    generator random(9703);
    auto x = stored_matrix<Eigen::half, Eigen::RowMajor>(random, 5, 12);
    const auto before = x;
    const auto rope = heed::rope::plain({.dim = 8});
    CHECK_THROWS_AS(heed::rotate_into(x.leftCols(11), x.rightCols(11), rope), heed::argument_error);
    CHECK_THROWS_AS(heed::rotate(x.leftCols(7), rope), heed::shape_error);
    CHECK(x == before);
}

}  // namespace test_rotate_storage
