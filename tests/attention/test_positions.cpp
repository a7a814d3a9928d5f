#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/positions.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/view.hpp>

#include "support/catch.hpp"

namespace test_positions {

using heed::index;

heed::attention_shape shape_of(index batch, index queries, index keys) {
    return {batch, 1, 1, queries, keys, 8, 8};
}

TEST_CASE("without arrays rows stand one after the other") {
    const heed::call_positions where{.query_first = 5, .key_first = 2};
    const auto shape = shape_of(2, 3, 4);
    CHECK(where.query(shape, 1, 2) == 7);
    CHECK(where.key(shape, 0, 3) == 5);
}

TEST_CASE("lists of any kind and type become doubles") {
    heed::arena scratch;
    const auto shape = shape_of(2, 3, 4);
    const auto first_key = [&](const auto& part) {
        part.check(shape);
        const auto where = part.prepare(scratch, shape);
        CHECK(!where.per_batch);
        CHECK(where.query(shape, 1, 0) == 1);
        CHECK(where.query(shape, 0, 2) == 3);
        return where.key(shape, 1, 3);
    };
    const std::vector<int> queries{1, 2, 3};
    CHECK(first_key(heed::positions(queries, std::vector<std::int64_t>{0, 0, 0, 9})) == 9);
    CHECK(first_key(heed::positions(queries, std::array<float, 4>{0, 0, 0, 2.5F})) == 2.5);
    CHECK(first_key(heed::positions(queries, Eigen::Vector4f(0, 0, 0, 7))) == 7);
    CHECK(first_key(heed::positions(queries, Eigen::RowVectorXd::Constant(4, 0.1))) == 0.1);
    Eigen::Tensor<double, 1> tensor(4);
    tensor.setValues({0, 0, 0, -1.5});
    CHECK(first_key(heed::positions(queries, tensor)) == -1.5);
    const double numbers[] = {4, 0, 3, 0, 2, 0, 1};
    CHECK(first_key(heed::positions(queries, heed::view(numbers, {4}, {2}))) == 1);
}

TEST_CASE("a matrix has a row a sequence, and shares with a list") {
    heed::arena scratch;
    const auto shape = shape_of(2, 3, 2);
    Eigen::MatrixXi queries(2, 3);
    queries << 1, 2, 3, 4, 5, 6;
    const auto part = heed::positions(queries, std::vector<double>{0.5, 1.5});
    part.check(shape);
    const auto where = part.prepare(scratch, shape);
    CHECK(where.per_batch);
    CHECK(where.query(shape, 1, 0) == 4);
    CHECK(where.query(shape, 0, 2) == 3);
    CHECK(where.key(shape, 0, 1) == 1.5);
    CHECK(where.key(shape, 1, 1) == 1.5);
    // Seen, not copied.
    queries(1, 0) = 40;
    CHECK(part.prepare(scratch, shape).query(shape, 1, 0) == 40);
}

TEST_CASE("temporary lists are owned") {
    heed::arena scratch;
    const auto shape = shape_of(1, 2, 2);
    auto part = [] {
        return heed::positions(std::vector<int>{3, 4}, Eigen::VectorXi::LinSpaced(2, 7, 8));
    }();
    const auto moved = std::move(part);
    CHECK(moved.prepare(scratch, shape).query(shape, 0, 1) == 4);
    CHECK(moved.prepare(scratch, shape).key(shape, 0, 0) == 7);
}

TEST_CASE("one list for queries and keys") {
    heed::arena scratch;
    const std::vector<float> both{0, 0.5, 3};
    const auto part = heed::positions(both);
    const auto shape = shape_of(4, 3, 3);
    CHECK_NOTHROW(part.check(shape));
    const auto where = part.prepare(scratch, shape);
    CHECK(where.queries == where.keys);
    CHECK(where.query(shape, 3, 1) == 0.5);
    CHECK_THROWS_AS(part.check(shape_of(4, 2, 3)), heed::shape_error);
}

TEST_CASE("wrong lengths and numbers are refused by name") {
    using Catch::Matchers::Contains;
    const std::vector<int> three{1, 2, 3};
    const auto part = heed::positions(three, three);
    CHECK_NOTHROW(part.check(shape_of(2, 3, 3)));
    CHECK_THROWS_AS(part.check(shape_of(2, 4, 3)), heed::shape_error);
    CHECK_THROWS_WITH(part.check(shape_of(2, 4, 3)),
                      Contains("queries") && Contains("3") && Contains("4"));
    CHECK_THROWS_WITH(part.check(shape_of(2, 3, 5)), Contains("keys") && Contains("5"));
    const Eigen::MatrixXf each = Eigen::MatrixXf::Zero(2, 3);
    CHECK_NOTHROW(heed::positions(each).check(shape_of(2, 3, 3)));
    CHECK_THROWS_AS(heed::positions(each).check(shape_of(3, 3, 3)), heed::shape_error);
    CHECK_THROWS_AS(heed::positions(each).check(shape_of(2, 2, 2)), heed::shape_error);
    const double inf = std::numeric_limits<double>::infinity();
    CHECK_THROWS_AS(heed::positions(std::vector<double>{0, inf}).check(shape_of(1, 2, 2)),
                    heed::argument_error);
    CHECK_THROWS_WITH(heed::positions(std::vector<double>{0, inf}).check(shape_of(1, 2, 2)),
                      Contains("inf") && Contains("finite"));
    // To 2⁵³ a double is told from the next, from there on it is not.
    constexpr index end = index(1) << 53;
    CHECK_NOTHROW(heed::positions(std::vector{end - 1, 1 - end}).check(shape_of(1, 2, 2)));
    for (const index far :
         {end, -end, end + 1, std::numeric_limits<index>::max(), std::numeric_limits<index>::min()})
        CHECK_THROWS_WITH(heed::positions(std::vector{index(0), far}).check(shape_of(1, 2, 2)),
                          "the positions of queries and keys hold " + std::to_string(far) +
                              " at [0, 1], but must be finite and below 2^53 in magnitude");
    const std::vector<std::uint64_t> endless(2, std::numeric_limits<std::uint64_t>::max());
    CHECK_THROWS_WITH(heed::positions(endless).check(shape_of(1, 2, 2)),
                      Contains("18446744073709551615"));
    CHECK_THROWS_WITH(heed::positions(std::vector{1e30F, -1e30F}).check(shape_of(1, 2, 2)),
                      Contains("finite"));
    CHECK_THROWS_AS(heed::positions(std::vector{0.0, -1e300}).check(shape_of(1, 2, 2)),
                    heed::argument_error);
}

TEMPLATE_TEST_CASE("keys far from one another keep their last digits", "", HEED_TEST_SCALARS) {
    using T = TestType;
    // A vector of keys whose first, or any, stands far away, as padding may.
    const index size = heed::vec<T>::size;
    const std::vector<index> far{0, -1, index(1) << 31, -(index(1) << 40), (index(1) << 53) - 1};
    for (index odd = 0; odd < size; ++odd) {
        for (const index away : far) {
            std::vector<double> keys;
            for (index j = 0; j < size; ++j)
                keys.push_back(static_cast<double>(j == odd ? away : 1000 + j));
            const heed::attention_shape shape{1, 1, 1, size, size, 1, 1};
            heed::arena scratch;
            const auto part = heed::positions(keys);
            const heed::call_positions where = part.prepare(scratch, shape);
            const heed::detail::call_place place{shape, where, true};
            const auto lanes = heed::detail::make_lanes<T>(place, 0, 0);
            for (index i = 0; i < size; ++i) {
                const auto here = heed::lanes<T>::all(1000 + i);
                for (index j = 0; j < size; ++j) {
                    const index position = j == odd ? away : 1000 + j;
                    CHECK(((lanes.position <= here).bits() >> j & 1) == (position <= 1000 + i));
                    CHECK(((lanes.position == here).bits() >> j & 1) == (position == 1000 + i));
                }
            }
        }
    }
}

}  // namespace test_positions
