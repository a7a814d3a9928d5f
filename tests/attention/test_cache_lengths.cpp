#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include <heed/attention/attention.hpp>
#include <heed/attention/cache_lengths.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/dilated_window.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/masks/key_mask.hpp>
#include <heed/attention/masks/mask.hpp>
#include <heed/attention/masks/parallel_contexts.hpp>
#include <heed/attention/masks/per_head_mask.hpp>
#include <heed/attention/masks/sliding_window.hpp>
#include <heed/attention/modifiers/alibi.hpp>
#include <heed/attention/modifiers/modifier.hpp>
#include <heed/attention/modifiers/noise.hpp>
#include <heed/attention/modifiers/soft_cap.hpp>
#include <heed/attention/modifiers/t5_bias.hpp>
#include <heed/attention/scales/log_n_scale.hpp>
#include <heed/rope/axial_rotary.hpp>
#include <heed/rope/rectified_rotary.hpp>
#include <heed/rope/rotary.hpp>
#include <heed/softmax/sparse/entmax15.hpp>

#include "attention/problem.hpp"
#include "attention/refusals.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

/// \file
/// Sequences of different lengths in one batch, their queries at their own ends, against each of
/// them alone.

namespace test_cache_lengths {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

/// One sequence of a batch, its first `rows` rows.
template <class T>
tensor4<T> sequence(const tensor4<T>& all, index batch, index rows) {
    tensor4<T> one(1, all.dimension(1), rows, all.dimension(3));
    for (index h = 0; h < one.dimension(1); ++h)
        for (index i = 0; i < rows; ++i)
            for (index c = 0; c < one.dimension(3); ++c) one(0, h, i, c) = all(batch, h, i, c);
    return one;
}

/// By how much sequence b of `all` differs from `alone`, and from zero behind it.
template <class T>
double difference(const tensor4<T>& all, index batch, const tensor4<T>& alone) {
    double largest = 0;
    for (index h = 0; h < all.dimension(1); ++h)
        for (index i = 0; i < all.dimension(2); ++i)
            for (index c = 0; c < all.dimension(3); ++c) {
                const T expected = i < alone.dimension(2) ? alone(0, h, i, c) : T(0);
                const auto apart = static_cast<double>(std::abs(all(batch, h, i, c) - expected));
                largest = apart <= largest ? largest : apart;  // NaN is largest
            }
    return largest;
}

/// Forward and backward with heed::cache_lengths against each sequence of at least `shortest` keys
/// alone and without. What is behind them is any number, or NaN, beside which the kernels form dk
/// and dv by sums of another order.
template <class T, class... Parts>
void check_alone(generator& random, const extents& e, const std::vector<index>& lengths,
                 index shortest, const Parts&... parts) {
    inputs<T> in(random, e);
    const bool is_dirty = random.chance(0.5);
    for (index b = 0; b < e.batch && is_dirty; ++b)
        for (index h = 0; h < e.kv_heads; ++h)
            for (index j = lengths[static_cast<std::size_t>(b)]; j < e.keys; ++j)
                in.k(b, h, j, 0) = in.v(b, h, j, 0) = std::numeric_limits<T>::quiet_NaN();
    const auto own = heed::cache_lengths(lengths);
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, parts..., own);
    const auto gradient =
        heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, parts..., own);
    const double bound =
        is_dirty ? 1e4 * static_cast<double>(std::numeric_limits<T>::epsilon()) : 0;
    for (index b = 0; b < e.batch; ++b) {
        const index length = lengths[static_cast<std::size_t>(b)];
        INFO(to_string(e) << ", length " << length << (is_dirty ? ", NaN behind it" : ""));
        if (length < shortest) continue;
        const auto q = sequence(in.q, b, e.queries), d_o = sequence(in.d_o, b, e.queries);
        const auto k = sequence(in.k, b, length), v = sequence(in.v, b, length);
        const auto [o_alone, stats_alone] = heed::attention_forward(q, k, v, parts...);
        const auto alone = heed::attention_backward(d_o, o_alone, stats_alone, q, k, v, parts...);
        CHECK(same_bits(sequence(o, b, e.queries), o_alone));
        CHECK(same_bits(sequence(gradient.q, b, e.queries), alone.q));
        CHECK(difference(gradient.k, b, alone.k) <= bound);
        CHECK(difference(gradient.v, b, alone.v) <= bound);
    }
}

/// A batch of sequences that are full, empty, shorter than their queries, and anything.
extents ragged_extents(generator& random, std::vector<index>& lengths) {
    extents e = random.chance(0.3) ? long_extents(random) : random_extents(random);
    e.dim = 2 * random.integer(1, 8);
    e.batch = 4;
    e.keys = std::max<index>(e.keys, 8);
    lengths = {random.integer(0, e.keys), e.keys, 0, std::min(e.keys, e.queries / 2)};
    return e;
}

TEMPLATE_TEST_CASE("every sequence is as alone: causal, rotary, ALiBi", "", HEED_TEST_SCALARS) {
    generator random(151);
    for (int round = 0; round < 8; ++round) {
        std::vector<index> lengths;
        const extents e = ragged_extents(random, lengths);
        const std::vector<double> slopes(static_cast<std::size_t>(e.heads), 0.125);
        check_alone<TestType>(random, e, lengths, 0, heed::causal,
                              heed::rotary(heed::rope::plain({.dim = e.dim, .base = 100})),
                              heed::alibi(slopes));
    }
}

TEST_CASE("every sequence is as alone: ReRoPE, windows, noise, whole rows") {
    generator random(152);
    for (int round = 0; round < 8; ++round) {
        std::vector<index> lengths;
        const extents e = ragged_extents(random, lengths);
        const auto rope = heed::rope::plain({.dim = e.dim});
        check_alone<float>(random, e, lengths, 0, heed::rectified_rotary(rope, 5), heed::entmax15,
                           heed::per_head_mask(heed::sliding_window(20, 1),
                                               heed::dilated_window(9, heed::unlimited, 3)),
                           heed::normal_noise(0.5, 7));
    }
}

TEST_CASE("every sequence is as alone: contexts, log n, what the user writes") {
    generator random(153);
    for (int round = 0; round < 8; ++round) {
        std::vector<index> lengths;
        const extents e = ragged_extents(random, lengths);
        const auto bias = random.matrix<float>(8, e.heads);
        check_alone<float>(
            random, e, lengths, 6, heed::parallel_contexts(std::vector{0, 2, 6}),
            heed::log_n_scale(9), heed::t5_bias(bias, {.bidirectional = true}),
            heed::mask([](auto i, auto j) { return (i - j) % 3 != 1; }),
            heed::modifier([](auto s, auto i, auto j) { return s - 0.01F * abs(i - j); },
                           [](auto) { return 1; }));
    }
}

TEST_CASE("keys behind a sequence's own are not looked at") {
    generator random(154);
    const extents e{.batch = 2, .queries = 3, .keys = 3000, .dim = 8, .value_dim = 8};
    const inputs<float> in(random, e);
    std::vector<index> furthest(2);
    const auto asked = heed::mask(heed::scalar([&](index b, index, index, index j) {
        furthest[static_cast<std::size_t>(b)] = std::max(furthest[static_cast<std::size_t>(b)], j);
        return true;
    }));
    heed::attention(in.q, in.k, in.v, asked, heed::cache_lengths({40, 1500}));
    CHECK(furthest[0] < 40 + 64);
    CHECK((furthest[1] >= 1499 && furthest[1] < 1500 + 64));
}

TEST_CASE("cache lengths that do not fit the call") {
    const heed::attention_shape shape{2, 4, 4, 6, 8, 16, 16};
    const auto check = [&](const auto& part) { part.check(shape); };
    CHECK_NOTHROW(check(heed::cache_lengths({0, 8})));
    check_refused<heed::shape_error>(
        "heed::cache_lengths has 3 lengths, but the batch has 2 sequences", [&] {
            check(heed::cache_lengths({1, 2, 3}));
        });
    check_refused<heed::argument_error>(
        "heed::cache_lengths: the length of sequence 1 is 9, but must lie between 0 and the number "
        "of keys, 8",
        [&] {
            check(heed::cache_lengths({8, 9}));
        });
    check_refused<heed::argument_error>(
        "heed::cache_lengths: the length of sequence 0 is -1, but must lie between 0 and the "
        "number of keys, 8",
        [&] {
            check(heed::cache_lengths(std::vector<int>{-1, 8}));
        });
}

/// Whether a call of these parts is refused because its queries would stand at the end of padding.
template <class... Parts>
bool is_refused(index queries, index keys, const Parts&... parts) {
    const heed::attention_shape shape{2, 4, 4, queries, keys, 16, 16};
    try {
        heed::detail::check_padding<float>(shape, parts...);
        return false;
    } catch (const heed::argument_error&) {
        return true;
    }
}

TEST_CASE("queries at the end of padding are refused where it makes a difference") {
    const auto lengths = heed::key_lengths({30, 11});
    const auto rope = heed::rope::plain({.dim = 16});
    const std::vector<double> slopes(4, 0.5);
    // What goes by position.
    CHECK(is_refused(4, 30, heed::causal, lengths));
    CHECK(is_refused(40, 30, lengths, heed::causal));
    CHECK(is_refused(1, 30, lengths, heed::sliding_window(3, 0)));
    CHECK(is_refused(1, 30, lengths, heed::rotary(rope)));
    CHECK(is_refused(1, 30, lengths, heed::rectified_rotary(rope, 4)));
    CHECK(is_refused(1, 30, lengths, heed::alibi(slopes)));
    CHECK(is_refused(4, 30, lengths, heed::per_head_mask(heed::causal.top_left(), heed::causal)));
    CHECK(is_refused(1, 30, lengths, heed::mask([](auto i, auto j) { return i - j < 3; })));
    CHECK(is_refused(1, 30, lengths, heed::modifier([](auto s, auto i, auto) { return s * i; })));
    // What is the same at both ends, or does not go by position.
    CHECK_FALSE(is_refused(1, 30, lengths, heed::causal));
    CHECK_FALSE(is_refused(4, 30, lengths, heed::sliding_window(40, heed::unlimited)));
    CHECK_FALSE(is_refused(4, 30, lengths, heed::causal.top_left(), heed::soft_cap(3)));
    CHECK_FALSE(is_refused(4, 30, lengths, heed::modifier([](auto s) { return 2 * s; })));
    CHECK_FALSE(
        is_refused(4, 30, lengths, heed::modifier(heed::scalar([](float s) { return s; }))));
    CHECK_FALSE(is_refused(30, 30, lengths, heed::causal, heed::rotary(rope)));
    CHECK_FALSE(is_refused(4, 30, heed::key_lengths({30, 30}), heed::causal, heed::rotary(rope)));
    CHECK_FALSE(is_refused(4, 30, heed::key_lengths({30, 0}), heed::causal, heed::rotary(rope)));
    const Eigen::MatrixXd grid = Eigen::MatrixXd::Zero(30, 2);
    CHECK_FALSE(is_refused(4, 30, lengths,
                           heed::axial_rotary(heed::rope::axial({.dims = {8, 8}}),
                                              Eigen::MatrixXd(grid.topRows(4)), grid)));
    // Padding before the keys leaves the end where it is.
    Eigen::Array<bool, 2, 30> left, right;
    left.setConstant(true), right.setConstant(true);
    left.row(1).head(19) = false, right.row(1).tail(19) = false;
    CHECK_FALSE(is_refused(4, 30, heed::key_mask(left), heed::causal, heed::rotary(rope)));
    CHECK(is_refused(4, 30, heed::key_mask(right), heed::causal));

    generator random(155);
    const inputs<float> in(random, {.batch = 2, .queries = 4, .keys = 30, .dim = 8});
    check_refused<heed::argument_error>(
        "heed::key_lengths: sequence 1 has 11 of 30 keys, but a part by position would take its 4 "
        "queries to stand at the end of all of them; say heed::cache_lengths for queries at the "
        "end of their own keys, or where they stand by heed::positions",
        [&] { heed::attention(in.q, in.k, in.v, heed::causal, lengths); });
}

}  // namespace test_cache_lengths
