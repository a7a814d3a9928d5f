#include <vector>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/boolean_mask.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/masks/key_mask.hpp>

#include "attention/masks/mask_checks.hpp"
#include "attention/problem.hpp"
#include "attention/refusals.hpp"
#include "support/attention_kernels.hpp"

namespace test_key_mask {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

TEST_CASE("a key mask is its definition, in either storage order, one row for all or one each") {
    generator random(161);
    index told = 0;
    for (int round = 0; round < 60; ++round) {
        const auto shape = random_shape(random);
        const index rows = random.chance(0.3) ? 1 : shape.batch;
        Eigen::Array<bool, Eigen::Dynamic, Eigen::Dynamic> seen(rows, shape.keys);
        const double density = random.one_of({0.0, 0.5, 0.95, 1.0});
        const bool is_run = random.chance(0.5);
        for (index b = 0; b < rows; ++b) {
            const index first = random.integer(0, shape.keys), last = random.integer(0, shape.keys);
            for (index j = 0; j < shape.keys; ++j)
                seen(b, j) = is_run ? first <= j && j < last : random.chance(density);
        }
        const reference::mask expected = [&](index b, index, index, index j) {
            return seen(rows == 1 ? 0 : b, j);
        };
        check_mask(heed::key_mask(seen), shape, expected, random);
        CHECK(wrong_tiles(heed::key_mask(seen), shape, expected, random, told) == 0);
        Eigen::Tensor<bool, 2, Eigen::RowMajor> tensor(rows, shape.keys);
        for (index b = 0; b < rows; ++b)
            for (index j = 0; j < shape.keys; ++j) tensor(b, j) = seen(b, j);
        check_mask(heed::key_mask(tensor), shape, expected, random);
        check_mask(heed::key_mask(!!seen), shape, expected, random);  // of an expression
    }
    CHECK(told > 500);
}

TEST_CASE("a key mask is key lengths, the same bits, and a boolean mask with all its axes") {
    generator random(162);
    for (int round = 0; round < 4; ++round) {
        extents e = round < 3 ? random_extents(random) : long_extents(random);
        e.batch = e.queries = 4;  // as a boolean mask, [batch, keys] would be [queries, keys]
        inputs<float> in(random, e);
        std::vector<index> lengths;
        Eigen::Array<bool, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> seen(e.batch, e.keys);
        for (index b = 0; b < e.batch; ++b) {
            lengths.push_back(random.integer(0, e.keys));
            for (index j = 0; j < e.keys; ++j) {
                seen(b, j) = j < lengths.back();
                for (index h = 0; h < e.kv_heads && !seen(b, j); ++h)
                    in.k(b, h, j, 0) = in.v(b, h, j, 0) = std::numeric_limits<float>::quiet_NaN();
            }
        }
        const auto run = [&](const auto& part) {
            auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, part);
            auto gradient = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, part);
            return std::tuple(o, gradient.q, gradient.k, gradient.v);
        };
        const auto same = [](const auto& a, const auto& b) {
            return same_bits(std::get<0>(a), std::get<0>(b)) &&
                   same_bits(std::get<1>(a), std::get<1>(b)) &&
                   same_bits(std::get<2>(a), std::get<2>(b)) &&
                   same_bits(std::get<3>(a), std::get<3>(b));
        };
        const auto by_mask = run(heed::key_mask(seen));
        CHECK(same(by_mask, run(heed::key_lengths(lengths))));
        CHECK(same(by_mask, run(heed::boolean_mask(
                                heed::view(seen.data(), {e.batch, index(1), index(1), e.keys})))));
    }
}

TEST_CASE("masks over keys that do not fit the call") {
    const heed::attention_shape shape{3, 4, 4, 6, 8, 16, 16};
    const auto check = [&](const auto& part) { part.check(shape); };
    const Eigen::Array<bool, Eigen::Dynamic, Eigen::Dynamic> all =
        Eigen::Array<bool, Eigen::Dynamic, Eigen::Dynamic>::Constant(6, 9, true);
    CHECK_NOTHROW(check(heed::key_mask(all.topLeftCorner(3, 8))));
    CHECK_NOTHROW(check(heed::key_mask(all.topLeftCorner(1, 8))));
    check_refused<heed::shape_error>(
        "heed::key_mask has shape [2, 8], but must have [batch, keys] = [3, 8], or [1, keys]",
        [&] { check(heed::key_mask(all.topLeftCorner(2, 8))); });
    check_refused<heed::shape_error>(
        "heed::key_mask has shape [3, 9], but must have [batch, keys] = [3, 8], or [1, keys]",
        [&] { check(heed::key_mask(all.topLeftCorner(3, 9))); });
    check_refused<heed::shape_error>(
        "heed::key_mask has shape [-2, 8], but extents must not be negative", [&] {
            heed::key_mask(heed::view(all.data(), {-2, 8}));
        });
    check_refused<heed::shape_error>(
        "heed::boolean_mask has shape [3, 8], but must be [queries, keys] = [6, 8] or have extents "
        "of 1; a mask of [batch, keys] is heed::key_mask",
        [&] { check(heed::boolean_mask(all.topLeftCorner(3, 8))); });
    CHECK_NOTHROW(check(heed::boolean_mask(all.topLeftCorner(6, 8))));
    CHECK_NOTHROW(heed::key_mask(all.topLeftCorner(0, 0)));
}

}  // namespace test_key_mask
