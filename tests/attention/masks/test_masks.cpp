#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include <heed/attention/masks/boolean_mask.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/masks/mask.hpp>
#include <heed/attention/masks/segments.hpp>
#include <heed/attention/masks/sliding_window.hpp>

#include "attention/masks/mask_checks.hpp"
#include "reference/masks.hpp"
#include "support/catch.hpp"

namespace test_masks {

using heed::index;  // inside a namespace: <strings.h> has a global one
using heed::key_interval;
using heed::visibility;
using heed_test::check_mask;
using heed_test::random_shape;
using heed_test::row_at;
using heed_test::wrong_tiles;

template <class Mask>
void check_call(const Mask& mask, const heed::attention_shape& shape) {
    mask.check(shape);
}

TEST_CASE("causal and window masks are their definitions") {
    heed_test::generator random(1);
    for (int round = 0; round < 40; ++round) {
        const auto shape = random_shape(random);
        check_mask(heed::causal, shape, reference::causal(shape.queries, shape.keys), random);
        check_mask(heed::causal.top_left(), shape, reference::causal_from_start(), random);
        const index left = random.integer(0, 20), right = random.integer(0, 20);
        check_mask(heed::sliding_window(left, right), shape,
                   reference::sliding_window(left, right, shape.queries, shape.keys), random);
    }
}

TEST_CASE("a window without an end sees everything on its side") {
    constexpr auto endless = std::numeric_limits<std::uint64_t>::max();
    heed_test::generator random(2);
    for (int round = 0; round < 10; ++round) {
        const auto shape = random_shape(random);
        check_mask(heed::sliding_window(endless, 0), shape,
                   reference::causal(shape.queries, shape.keys), random);
        check_mask(
            heed::sliding_window(heed::unlimited, endless), shape,
            [](index, index, index, index) { return true; }, random);
    }
}

TEMPLATE_TEST_CASE("positions are compared exactly, far out and between whole numbers", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    const index far = index(1) << 40;
    const auto sees = [](const auto& mask, heed::query_row row, index position, T offset) {
        const heed::key_lanes<T> keys{0, 1, {position, heed::vec<T>(offset)}};
        return (mask.template on_row<T>(row)(keys).bits() & 1) != 0;
    };
    const heed::query_row here{.position = far, .fraction = 0.25};
    CHECK(sees(heed::causal, here, far, T(0.25)));
    CHECK(sees(heed::causal, here, far - 1, T(0.5)));
    CHECK_FALSE(sees(heed::causal, here, far, T(0.5)));
    CHECK_FALSE(sees(heed::causal, here, far + 1, T(0)));

    const auto window = heed::sliding_window(3, 2);
    CHECK(sees(window, here, far - 3, T(0.25)));
    CHECK_FALSE(sees(window, here, far - 3, T(0)));
    CHECK(sees(window, here, far + 2, T(0.25)));
    CHECK_FALSE(sees(window, here, far + 2, T(0.5)));

    // Both counted from their beginnings, wherever they stand.
    const heed::query_row third{.query = 2, .position = far};
    CHECK(sees(heed::causal.top_left(), third, far + 5, T(0)));
}

TEST_CASE("which intervals hold only by position") {
    STATIC_REQUIRE(heed::causal_mask::by_position);
    STATIC_REQUIRE(heed::sliding_window_mask::by_position);
    STATIC_REQUIRE(!heed::causal_top_left_mask::by_position);
    STATIC_REQUIRE(!decltype(heed::key_lengths({1}))::by_position);
    STATIC_REQUIRE(!heed::segments_mask::by_position);
}

TEST_CASE("key lengths are their definition") {
    heed_test::generator random(3);
    for (int round = 0; round < 30; ++round) {
        const auto shape = random_shape(random);
        std::vector<index> lengths;
        std::vector<int> short_lengths;
        for (index b = 0; b < shape.batch; ++b) {
            lengths.push_back(random.integer(0, shape.keys));
            short_lengths.push_back(static_cast<int>(lengths.back()));
        }
        const auto seen = reference::key_lengths(lengths);
        check_mask(heed::key_lengths(lengths), shape, seen, random);
        check_mask(heed::key_lengths(std::vector<int>(short_lengths)), shape, seen, random);
        Eigen::VectorX<std::uint16_t> vector(shape.batch);
        for (index b = 0; b < shape.batch; ++b)
            vector(b) = static_cast<std::uint16_t>(lengths[static_cast<std::size_t>(b)]);
        check_mask(heed::key_lengths(vector), shape, seen, random);
    }
}

TEST_CASE("ids of two types are the same where the numbers are") {
    const heed::attention_shape shape{1, 1, 1, 4, 4, 8, 8};
    heed_test::generator random(6);
    const auto check = [&](const auto& query_ids, const auto& key_ids) {
        const reference::mask same = [&](index, index, index i, index j) {
            return std::cmp_equal(query_ids[static_cast<std::size_t>(i)],
                                  key_ids[static_cast<std::size_t>(j)]);
        };
        check_mask(heed::segments(query_ids, key_ids), shape, same, random);
    };
    constexpr auto wide = std::numeric_limits<std::uint64_t>::max();
    const std::vector<std::uint64_t> large{wide, 0, 7, wide - 6}, also{7, wide, wide - 6, 1};
    const std::vector<std::int64_t> negative{-1, 0, -7, 7};
    const std::vector<std::uint8_t> narrow{255, 0, 7, 249};
    check(large, also);
    check(large, negative);
    check(negative, large);
    check(narrow, negative);
    check(negative, narrow);
    check(narrow, large);
    check(large, narrow);
}

/// Ids of one sequence: documents one after the other, or scattered.
std::vector<index> random_ids(index length, bool runs, heed_test::generator& random) {
    std::vector<index> ids;
    index id = 7;
    for (index j = 0; j < length; ++j) {
        if (runs)
            id += random.chance(0.2) ? 1 : 0;
        else
            id = random.integer(-2, 2) * (index(1) << 40);
        ids.push_back(id);
    }
    return ids;
}

TEST_CASE("segments are their definition, in runs and scattered, shared and per sequence") {
    heed_test::generator random(4);
    for (int round = 0; round < 40; ++round) {
        const auto shape = random_shape(random);
        const bool runs = random.chance(0.5);
        const bool share_queries = random.chance(0.3), share_keys = random.chance(0.3);
        std::vector<std::vector<index>> queries, keys;
        for (index b = 0; b < shape.batch; ++b) {
            queries.push_back(share_queries && b > 0 ? queries[0]
                                                     : random_ids(shape.queries, runs, random));
            keys.push_back(share_keys && b > 0 ? keys[0] : random_ids(shape.keys, runs, random));
        }
        Eigen::Matrix<index, -1, -1, Eigen::RowMajor> query_ids(share_queries ? 1 : shape.batch,
                                                                shape.queries);
        Eigen::Tensor<index, 2> key_ids(share_keys ? 1 : shape.batch, shape.keys);
        for (index b = 0; b < shape.batch; ++b) {
            const auto row = static_cast<std::size_t>(b);
            if (b == 0 || !share_queries)
                for (index i = 0; i < shape.queries; ++i)
                    query_ids(b, i) = queries[row][static_cast<std::size_t>(i)];
            if (b == 0 || !share_keys)
                for (index j = 0; j < shape.keys; ++j)
                    key_ids(b, j) = keys[row][static_cast<std::size_t>(j)];
        }
        INFO("runs " << runs << ", shared queries " << share_queries << ", shared keys "
                     << share_keys);
        check_mask(heed::segments(query_ids, key_ids), shape,
                   reference::same_segment(queries, keys), random);
        if (shape.batch == 1)
            check_mask(heed::segments(queries[0], std::vector<index>(keys[0])), shape,
                       reference::same_segment(queries, keys), random);
    }
}

TEST_CASE("segments in runs skip tiles, and do not look at the ids again") {
    std::vector<int> ids{1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3};
    const auto mask = heed::segments(ids, ids);
    std::fill(ids.begin(), ids.end(), 9);
    const heed::attention_shape shape{1, 1, 1, 12, 12, 4, 4};
    const auto tile = [&](index i, index last, key_interval keys) {
        return mask.tile(row_at(shape, 0, 0, i), row_at(shape, 0, 0, last), keys);
    };
    CHECK(tile(4, 7, {4, 8}) == visibility::all);
    CHECK(tile(4, 7, {0, 4}) == visibility::none);
    CHECK(tile(0, 7, {8, 12}) == visibility::none);
    CHECK(tile(3, 4, {4, 8}) == visibility::mixed);
    const key_interval own = mask.interval(row_at(shape, 0, 0, 5), shape);
    CHECK(own.first == 4);
    CHECK(own.last == 8);
}

/// A boolean tensor of these extents; the mask that it is.
template <int Rank, int Order>
reference::mask fill_random(Eigen::Tensor<bool, Rank, Order>& tensor, double density,
                            heed_test::generator& random) {
    for (index e = 0; e < tensor.size(); ++e) tensor.data()[e] = random.chance(density);
    const auto all = heed::detail::broadcast_over_scores(heed::detail::evaluate(tensor).view());
    return [all](index b, index h, index i, index j) { return all(b, h, i, j); };
}

TEST_CASE("boolean masks are their tensor, broadcast, in either storage order") {
    heed_test::generator random(5);
    for (int round = 0; round < 40; ++round) {
        const auto shape = random_shape(random);
        const double density = random.one_of({0.0, 0.5, 0.95, 1.0});
        const auto or_one = [&](index extent) { return random.chance(0.3) ? 1 : extent; };
        Eigen::Tensor<bool, 2> matrix(or_one(shape.queries), or_one(shape.keys));
        check_mask(heed::boolean_mask(matrix), shape, fill_random(matrix, density, random), random);
        Eigen::Tensor<bool, 3, Eigen::RowMajor> per_head(or_one(shape.heads), shape.queries,
                                                         shape.keys);
        const auto seen = fill_random(per_head, density, random);
        check_mask(heed::boolean_mask(per_head), shape, seen, random);
        Eigen::Tensor<bool, 4, Eigen::RowMajor> full(or_one(shape.batch), or_one(shape.heads),
                                                     or_one(shape.queries), or_one(shape.keys));
        const auto full_seen = fill_random(full, density, random);
        check_mask(heed::boolean_mask(full), shape, full_seen, random);
    }
}

TEMPLATE_TEST_CASE_SIG("a boolean mask tells of its tiles what is so", "", ((int Order), Order),
                       Eigen::RowMajor, Eigen::ColMajor) {
    const heed::attention_shape shape{1, 1, 1, 8, 8, 4, 4};
    Eigen::Array<bool, 8, 8, Order> causal;
    for (index i = 0; i < 8; ++i)
        for (index j = 0; j < 8; ++j) causal(i, j) = j <= i;
    const auto mask = heed::boolean_mask(causal);
    const auto tile = [&](index i, index last, key_interval keys) {
        return mask.tile(row_at(shape, 0, 0, i), row_at(shape, 0, 0, last), keys);
    };
    CHECK(tile(4, 7, {0, 4}) == visibility::all);
    CHECK(tile(0, 3, {4, 8}) == visibility::none);
    CHECK(tile(0, 7, {0, 8}) == visibility::mixed);
}

TEST_CASE("a user's mask takes positions or batch and head too, in vectors or in numbers") {
    heed_test::generator random(6);
    for (int round = 0; round < 20; ++round) {
        const auto shape = random_shape(random);
        const index shift = shape.keys - shape.queries;
        const reference::mask banded = [=](index, index, index i, index j) {
            return i + shift - j < 5 && (i + shift + j) % 3 != 0;
        };
        check_mask(heed::mask([](auto i, auto j) { return i - j < 5 && (i + j) % 3 != 0; }), shape,
                   banded, random);
        check_mask(heed::mask(heed::scalar(
                       [](index i, index j) { return i - j < 5 && ((i + j) % 3 + 3) % 3 != 0; })),
                   shape, banded, random);
        const reference::mask by_head = [=](index b, index h, index i, index j) {
            return h % 2 == 0 ? j <= i + shift : j + b >= i + shift;
        };
        check_mask(heed::mask([](index b, index h, auto i, auto j) {
                       return h % 2 == 0 ? j <= i : j + b >= i;
                   }),
                   shape, by_head, random);
        check_mask(heed::mask(heed::scalar([](int b, int h, auto i, auto j) {
                       return h % 2 == 0 ? j <= i : j + b >= i;
                   })),
                   shape, by_head, random);
        check_mask(
            heed::mask([](auto, auto) { return true; }), shape,
            [](index, index, index, index) { return true; }, random);
    }
}

TEST_CASE("a user's tile function is asked in positions, both ends included") {
    const auto mask = heed::mask([](auto i, auto j) { return j <= i; },
                                 [](index first_i, index last_i, index first_j, index last_j) {
                                     return last_j <= first_i  ? visibility::all
                                            : first_j > last_i ? visibility::none
                                                               : visibility::mixed;
                                 });
    heed_test::generator random(7);
    index told = 0;
    for (int round = 0; round < 20; ++round) {
        const auto shape = random_shape(random);
        const auto seen = reference::causal(shape.queries, shape.keys);
        CHECK(wrong_tiles(mask, shape, seen, random, told) == 0);
        check_mask(mask, shape, seen, random);
    }
    CHECK(told > 0);
    STATIC_REQUIRE(decltype(mask)::by_position);
}

TEST_CASE("masks refuse what does not fit") {
    const heed::attention_shape shape{2, 4, 4, 6, 8, 16, 16};
    CHECK_THROWS_AS(heed::sliding_window(-1, 0), heed::argument_error);
    CHECK_THROWS_WITH(heed::sliding_window(-1, 0),
                      "heed::sliding_window: left is -1, but must be at least 0; one without an "
                      "end is heed::unlimited");
    CHECK_THROWS_WITH(heed::sliding_window(3, -2L),
                      "heed::sliding_window: right is -2, but must be at least 0; one without an "
                      "end is heed::unlimited");

    CHECK_THROWS_AS(check_call(heed::key_lengths({8, 9}), shape), heed::argument_error);
    CHECK_THROWS_WITH(check_call(heed::key_lengths({8, 9}), shape),
                      "heed::key_lengths: the length of sequence 1 is 9, but must lie between 0 "
                      "and the number of keys, 8");
    CHECK_THROWS_WITH(check_call(heed::key_lengths({-1, 8}), shape),
                      "heed::key_lengths: the length of sequence 0 is -1, but must lie between 0 "
                      "and the number of keys, 8");
    CHECK_THROWS_AS(check_call(heed::key_lengths({8}), shape), heed::shape_error);
    CHECK_THROWS_WITH(check_call(heed::key_lengths({8}), shape),
                      "heed::key_lengths has 1 lengths, but the batch has 2 sequences");

    const std::vector<int> six(6), seven(7), eight(8);
    CHECK_NOTHROW(check_call(heed::segments(six, eight), shape));
    CHECK_THROWS_AS(check_call(heed::segments(seven, eight), shape), heed::shape_error);
    CHECK_THROWS_WITH(check_call(heed::segments(seven, eight), shape),
                      "heed::segments: the ids of queries have length 7, but must have 6, one for "
                      "each of the queries");
    CHECK_THROWS_WITH(check_call(heed::segments(six, seven), shape),
                      "heed::segments: the ids of keys have length 7, but must have 8, one for "
                      "each of the keys");
    const Eigen::MatrixXi three = Eigen::MatrixXi::Zero(3, 6);
    CHECK_THROWS_WITH(check_call(heed::segments(three, eight), shape),
                      "heed::segments: the ids of queries have shape [3, 6], but must have 1 row "
                      "or 2, one for each sequence");
    const Eigen::MatrixXi two = Eigen::MatrixXi::Zero(2, 8);
    CHECK_THROWS_AS(heed::segments(three, two), heed::shape_error);

    Eigen::Tensor<bool, 3> seen(3, 6, 8);
    CHECK_THROWS_AS(check_call(heed::boolean_mask(seen), shape), heed::shape_error);
    CHECK_THROWS_WITH(check_call(heed::boolean_mask(seen), shape),
                      "heed::boolean_mask has shape [3, 6, 8], but must broadcast to "
                      "[batch, heads, queries, keys] = [2, 4, 6, 8]: each extent that, or 1");
    const bool* nothing = nullptr;
    CHECK_THROWS_AS(check_call(heed::boolean_mask(heed::view(nothing, {6, 8})), shape),
                    heed::shape_error);
}

}  // namespace test_masks
