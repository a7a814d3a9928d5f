#include <cmath>
#include <cstdint>
#include <limits>

#include <heed/attention/attention.hpp>
#include <heed/attention/cache_lengths.hpp>
#include <heed/attention/masks/anti_causal.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/per_head_mask.hpp>
#include <heed/attention/modifiers/alibi.hpp>
#include <heed/attention/positions.hpp>
#include <heed/core/arena.hpp>
#include <heed/rope/rectified_rotary.hpp>
#include <heed/rope/yarn.hpp>
#include <heed/softmax/dense/sigmoid.hpp>
#include <heed/softmax/sparse/sparsemax.hpp>

#include "attention/normaliser_check.hpp"
#include "attention/problem.hpp"
#include "reference/dense.hpp"
#include "reference/sparse.hpp"
#include "rope/rectified_score.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

/// \file
/// Rectified positions beside other parts: masks by head and by length, positions of one's own,
/// other normalisers, what is learned. Heads share keys and values.

namespace test_rectified_parts {

using namespace heed_test;
using namespace rectified_test;
using heed::index;

constexpr extents sizes{2, 4, 2, 37, 149, 16, 5};

/// o in double, and its slopes; returns the gradients.
template <class... Parts>
auto check_parts(generator& random, const problem& from, const reference::options& how,
                 const Parts&... parts) {
    const inputs<double> in(from);
    const auto exact = attention_forward(from.q, from.k, from.v, how);
    check_near<double>("o", to_reference(heed::attention(in.q, in.k, in.v, parts...), exact.o),
                       exact.o, 256);
    return check_output_differences(random, from, parts...);
}

TEST_CASE("rectified positions with a mask a head, and sparsemax") {
    generator random(141);
    const problem from(random, sizes);
    const auto causal = reference::causal(sizes.queries, sizes.keys),
               anti_causal = reference::anti_causal(sizes.queries, sizes.keys);
    reference::options how;
    how.modifiers = {rotated_score(from, leaky(20, 0), {reference::plain_frequencies(16)},
                                   consecutive(sizes.keys - sizes.queries), consecutive(0))};
    how.visible = reference::per_head({0, 1, 0, 1}, {causal, anti_causal});
    how.normaliser = reference::row_normaliser{
        [](const reference::row& x) { return reference::sparsemax(x); }, {}};
    check_parts(random, from, how, heed::sparsemax,
                heed::per_head_mask(heed::causal, heed::anti_causal),
                heed::rectified_rotary(heed::rope::plain({.dim = 16}), 20));
}

TEST_CASE("grouped positions of each sequence's own, YaRN's factor, some of the dimensions") {
    generator random(142);
    const problem from(random, sizes);
    const auto yarn = heed::rope::yarn(
        {.dim = 12, .stretch = 8, .original_length = 64, .layout = heed::rope::interleaved});
    Eigen::MatrixXd queries(sizes.batch, sizes.queries), keys(sizes.batch, sizes.keys);
    for (auto* list : {&queries, &keys})
        for (index e = 0; e < list->size(); ++e)
            list->data()[e] = 0.25 * static_cast<double>(random.integer(-1000, 1000));
    reference::options how;
    how.modifiers = {rotated_score(
        from, grouped(33, 5), {yarn.angular(), true, yarn.attention_factor()},
        [=](index b, index i) { return queries(b, i); },
        [=](index b, index j) { return keys(b, j); })};
    how.normaliser = reference::sigmoid();
    check_parts(random, from, how, heed::grouped_rotary(yarn, 33, 5), heed::sigmoid,
                heed::positions(queries, keys));
}

TEST_CASE("slopes that are learned beside leaky positions, each sequence at its own end") {
    generator random(143);
    const problem from(random, sizes);
    Eigen::VectorXd slopes(4);
    slopes << 0.1, 0.02, 0.3, 0.05;
    const auto rope = heed::rope::plain({.dim = 16});
    const auto part = heed::leaky_rectified_rotary(rope, 30, 4);
    reference::options how;
    const auto query = [](index b, index i) {
        return static_cast<double>((b == 0 ? sizes.keys : 41) - sizes.queries + i);
    };
    const auto biased = [=](double s, index b, index h, index i, index j) {
        return s - slopes(h) * std::abs(query(b, i) - static_cast<double>(j));
    };
    how.modifiers = {rotated_score(from, leaky(30, 0.25), {reference::plain_frequencies(16)}, query,
                                   consecutive(0)),
                     {biased, [](double, index, index, index, index) { return 1.0; }}};
    how.visible = reference::key_lengths({sizes.keys, 41});
    const auto lengths = heed::cache_lengths({sizes.keys, index(41)});
    const auto gradient =
        check_parts(random, from, how, part, heed::learn(heed::alibi(slopes)), lengths);
    const inputs<double> in(from);
    const auto learned = gradient.of<0>();
    check_slopes("dslopes", random, 4, slopes, learned,
                 [&] { return output_loss(in, part, heed::learn(heed::alibi(slopes)), lengths); });
}

TEST_CASE("a decode step turns only the keys that are near") {
    heed::arena scratch;
    const auto rope = heed::rope::plain({.dim = 64});
    constexpr index keys = 5000, window = 256;
    const heed::attention_shape shape{1, 4, 2, 1, keys, 64, 64};
    const auto rows = heed::rectified_rotary(rope, window)
                          .prepare<float>(scratch, shape, {.query_first = keys - 1});
    using heed::detail::encoding_map;
    index near = 0, far = 0;
    for (index j = 0; j < keys; ++j) {
        if (rows.turns_key(j, encoding_map::near)) ++near;
        if (rows.turns_key(j, encoding_map::past)) ++far;
    }
    CHECK(near == window);
    CHECK(far == 0);
    // Nor are there angles for more.
    CHECK(scratch.used() < 2 * window * 64 * sizeof(float));
    // Blocks of keys that no query is near are not packed a second time.
    CHECK_FALSE(rows.takes(encoding_map::near, 0, keys - window));
    CHECK(rows.takes(encoding_map::near, keys - window, 1));
    CHECK(rows.takes(encoding_map::past, 0, 1));
}

TEST_CASE("a window without an end is near to every key") {
    heed::arena scratch;
    const auto rope = heed::rope::plain({.dim = 16});
    const heed::attention_shape shape{1, 4, 2, 37, 149, 16, 16};
    constexpr auto endless = std::numeric_limits<std::uint64_t>::max();
    for (const std::uint64_t window : {std::uint64_t(1000), endless / 2, endless}) {
        const auto rows = heed::rectified_rotary(rope, window)
                              .prepare<float>(scratch, shape, {.query_first = 112});
        using heed::detail::encoding_map;
        CHECK(rows.turns_key(0, encoding_map::near));
        CHECK(rows.turns_key(148, encoding_map::near));
        CHECK_FALSE(rows.takes(encoding_map::past, 0, 149));
    }
}

}  // namespace test_rectified_parts
