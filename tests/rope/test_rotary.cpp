#include <cstring>
#include <vector>

#include <heed/attention/position_encoding.hpp>
#include <heed/attention/positions.hpp>
#include <heed/core/arena.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotary.hpp>
#include <heed/rope/rotate.hpp>

#include "rope/tensors.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_rotary {

using namespace rope_test;
using heed::index;

static_assert(heed::position_encoding_part<decltype(heed::rotary(heed::rope::plain({.dim = 64})))>);
static_assert(heed::position_encoding_part<
              decltype(heed::rotary(std::declval<const heed::rope::frequencies&>()))>);
static_assert(!heed::position_encoding_part<heed::rope::frequencies>);

template <class T>
using rows = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

heed::attention_shape shape_of(index batch, index queries, index keys, index dim) {
    return {batch, 2, 1, queries, keys, dim, dim};
}

TEMPLATE_TEST_CASE("rows turn to the bits of heed::rotate", "", HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    heed::arena scratch;
    for (const auto layout : {heed::rope::halves, heed::rope::interleaved}) {
        const auto rope = heed::rope::plain({.dim = 44, .layout = layout});
        const auto part = heed::rotary(rope);
        // As many queries as keys, the last of them, more than keys, none of them keys.
        for (const auto& [queries, keys, first] :
             {std::array<index, 3>{30, 30, 0}, {5, 30, 25}, {30, 5, -25}, {4, 7, 100}}) {
            const auto shape = shape_of(1, queries, keys, 50);
            const heed::call_positions where{.query_first = first};
            const auto prepared = part.template prepare<T>(scratch, shape, where);
            const auto q = random.matrix<T>(queries, 50), k = random.matrix<T>(keys, 50);
            rows<T> one = q;
            for (index i = 0; i < queries; ++i) prepared.rotate_query(one.row(i).data(), 0, i);
            CHECK(one == heed::rotate(q, rope, first));
            for (index i = 0; i < queries; ++i) prepared.rotate_query_back(one.row(i).data(), 0, i);
            CHECK(one == heed::rotate_back(heed::rotate(q, rope, first), rope, first));

            one = k;
            for (index j = 0; j < keys; ++j) prepared.rotate_key(one.row(j).data(), 0, j);
            CHECK(one == heed::rotate(k, rope));
            for (index j = 0; j < keys; ++j) prepared.rotate_key_back(one.row(j).data(), 0, j);
            CHECK(one == heed::rotate_back(heed::rotate(k, rope), rope));
        }
    }
}

TEMPLATE_TEST_CASE("rows turn by the positions that are given", "", HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    heed::arena scratch;
    const auto rope = heed::rope::plain({.dim = 20});
    const index B = 3, N = 6, M = 9;
    const auto shape = shape_of(B, N, M, 20);
    Eigen::MatrixXd queries(B, N);
    std::vector<int> keys(static_cast<std::size_t>(M));
    for (index b = 0; b < B; ++b)
        for (index i = 0; i < N; ++i) queries(b, i) = random.uniform(0, 1000);
    for (int& key : keys) key = static_cast<int>(random.integer(0, 1000));

    const auto positions = heed::positions(queries, keys);
    positions.check(shape);
    const auto prepared =
        heed::rotary(rope).prepare<T>(scratch, shape, positions.prepare(scratch, shape));
    for (index b = 0; b < B; ++b) {
        const auto q = random.matrix<T>(N, 20), k = random.matrix<T>(M, 20);
        rows<T> turned_q = q, turned_k = k;
        for (index i = 0; i < N; ++i) prepared.rotate_query(turned_q.row(i).data(), b, i);
        for (index j = 0; j < M; ++j) prepared.rotate_key(turned_k.row(j).data(), b, j);
        const Eigen::VectorXd of_batch = queries.row(b);
        CHECK(turned_q == heed::rotate(q, rope, of_batch));
        CHECK(turned_k == heed::rotate(k, rope, keys));
    }
}

TEST_CASE("queries that stand where keys do share their table") {
    heed::arena scratch;
    const auto rope = heed::rope::plain({.dim = 64});
    const auto shape = shape_of(1, 1000, 1000, 64);
    const auto bytes = [&](const heed::call_positions& where) {
        const heed::arena::scope scope(scratch);
        const auto before = scratch.used();
        heed::rotary(rope).prepare<float>(scratch, shape, where);
        return scratch.used() - before;
    };
    std::vector<double> positions(1000), others(1000, 1.0);
    for (std::size_t i = 0; i < positions.size(); ++i) positions[i] = 0.5 * static_cast<double>(i);
    const auto alone = bytes({});
    CHECK(bytes({positions.data(), positions.data()}) == alone);
    CHECK(bytes({positions.data(), std::vector<double>(positions).data()}) == alone);
    CHECK(bytes({positions.data(), others.data()}) > alone * 3 / 2);
    CHECK(bytes({.query_first = 1}) > alone * 3 / 2);
}

TEST_CASE("an lvalue of frequencies is viewed, a temporary one owned") {
    const auto rope = heed::rope::plain({.dim = 64});
    const auto before = heed_test::allocations();
    const auto viewing = heed::rotary(rope);
    CHECK(heed_test::allocations() == before);
    CHECK(&viewing.frequencies == &rope);
    const auto owning = heed::rotary(heed::rope::plain({.dim = 32}));
    CHECK(owning.frequencies.dim() == 32);
}

TEST_CASE("more rotated dimensions than there are is an error") {
    using Catch::Matchers::Contains;
    const auto part = heed::rotary(heed::rope::plain({.dim = 66}));
    CHECK_NOTHROW(part.check(shape_of(1, 2, 2, 66)));
    CHECK_THROWS_AS(part.check(shape_of(1, 2, 2, 64)), heed::shape_error);
    CHECK_THROWS_WITH(part.check(shape_of(1, 2, 2, 64)), Contains("66") && Contains("64"));
}

}  // namespace test_rotary
