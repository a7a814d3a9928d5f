#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <unsupported/Eigen/CXX11/Tensor>

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
}

}  // namespace test_positions
