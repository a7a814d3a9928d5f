#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/core/workspace.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotary.hpp>
#include <heed/softmax/sparse/sparsemax.hpp>

#include "attention/caches/cache_check.hpp"
#include "support/allocations.hpp"
#include "support/attention_kernels.hpp"

/// \file
/// Sequences of a cache: of different lengths, taken back, shared, reordered; and what is behind
/// their ends.

namespace test_kv_cache_sequences {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

const auto rope = heed::rope::plain({.dim = 8});

/// The last queries of each sequence, over a cache, and over the tokens of that sequence alone.
template <class Storage>
void check_each_alone(const heed::kv_cache<Storage>& cache,
                      const std::vector<tokens<float>>& sequences, index queries = 1) {
    tensor4<float> q(cache.batch(), sequences[0].q.dimension(1), queries, cache.dim());
    for (index b = 0; b < cache.batch(); ++b)
        for (index h = 0; h < q.dimension(1); ++h)
            for (index i = 0; i < queries; ++i)
                for (index c = 0; c < cache.dim(); ++c)
                    q(b, h, i, c) = sequences[static_cast<std::size_t>(b)].q(
                        0, h, cache.length(b) - queries + i, c);
    const auto o = heed::attention(q, cache, heed::causal);
    for (index b = 0; b < cache.batch(); ++b) {
        INFO("sequence " << b << " of length " << cache.length(b));
        const auto& in = sequences[static_cast<std::size_t>(b)];
        heed::kv_cache<Storage> alone(in.options(), heed::rotary(rope));
        alone.append(rows_of(in.k, 0, cache.length(b)), rows_of(in.v, 0, cache.length(b)));
        CHECK(are_same(sequence_of(o, b), heed::attention(sequence_of(q, b), alone, heed::causal)));
    }
}

std::vector<tokens<float>> make_sequences(generator& random, index count, index n) {
    std::vector<tokens<float>> sequences;
    for (index b = 0; b < count; ++b) sequences.emplace_back(random, 1, 4, 2, n, 8, 5);
    return sequences;
}
template <class Storage>
heed::kv_cache<Storage> empty_cache(index batch) {
    return heed::kv_cache<Storage>(
        {.batch = batch, .kv_heads = 2, .dim = 8, .value_dim = 5, .capacity = 8},
        heed::rotary(rope));
}
template <class Storage>
void append(heed::kv_cache<Storage>& cache, index b, const tokens<float>& in, index count) {
    const index first = cache.length(b);
    cache.append(b, rows_of(in.k, first, count), rows_of(in.v, first, count));
}

TEMPLATE_TEST_CASE("each sequence of a ragged batch is as it is alone", "", float, Eigen::bfloat16,
                   std::int8_t) {
    generator random(9301);
    const auto in = make_sequences(random, 3, 300);
    auto cache = empty_cache<TestType>(3);
    append(cache, 0, in[0], 256);
    append(cache, 1, in[1], 3);
    append(cache, 2, in[2], 299);
    check_each_alone(cache, in);
    append(cache, 1, in[1], 255);
    append(cache, 0, in[0], 1);
    check_each_alone(cache, in);
}

TEST_CASE("counts say which rows of padded tensors are tokens") {
    generator random(9302);
    tokens<float> in(random, 3, 4, 2, 20, 8, 5);
    const std::vector<int> counts{20, 0, 7};
    for (index b = 0; b < 3; ++b)
        for (index j = counts[static_cast<std::size_t>(b)]; j < 20; ++j)
            in.k(b, 0, j, 0) = in.v(b, 1, j, 2) = std::numeric_limits<float>::quiet_NaN();
    auto cache = empty_cache<float>(3);
    cache.append(in.k, in.v, counts);
    CHECK(cache.length(0) == 20);
    CHECK(cache.length(1) == 0);
    CHECK(cache.length(2) == 7);
    CHECK(cache.length() == 20);
    append(cache, 1, in.sequence(1), 1);
    check_each_alone(cache, {in.sequence(0), in.sequence(1), in.sequence(2)});
}

TEMPLATE_TEST_CASE("tokens that were taken back leave nothing", "", float, Eigen::half,
                   std::int8_t) {
    generator random(9303);
    for (const index back : {1, 5, 44, 45, 299}) {
        auto in = make_sequences(random, 1, 300);
        auto other = in;
        random.fill_normal(other[0].k);
        auto cache = empty_cache<TestType>(1);
        append(cache, 0, other[0], 300 - back);
        in[0].k = other[0].k;
        in[0].v = other[0].v;
        random.fill_normal(other[0].k);
        random.fill_normal(other[0].v);
        append(cache, 0, other[0], back);
        cache.truncate(0, 300 - back);
        check_each_alone(cache, in);
        append(cache, 0, in[0], back);
        check_each_alone(cache, in);
    }
}

TEST_CASE("NaN beyond an end, in stale places and in other sequences is never seen") {
    generator random(9304);
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    auto in = make_sequences(random, 2, 300);
    auto bad = in;
    for (index j = 250; j < 300; ++j) {
        bad[0].k(0, 0, j, 1) = bad[0].v(0, 1, j, 3) = nan;
        bad[0].v(0, 0, j, 0) = std::numeric_limits<float>::infinity();
    }
    bad[1].v(0, 0, 100, 2) = nan;
    auto cache = empty_cache<float>(2);
    append(cache, 0, bad[0], 270);
    append(cache, 1, bad[1], 280);
    cache.truncate(0, 250);
    check_each_alone(cache, {in[0], bad[1]});
    append(cache, 0, in[0], 1);  // beside what was left of the others
    check_each_alone(cache, {in[0], bad[1]});
    append(cache, 0, in[0], 40);
    check_each_alone(cache, {in[0], bad[1]});
    cache.truncate(1, 100);
    append(cache, 1, in[1], 30);
    auto mended = bad[1];
    mended.v(0, 0, 100, 2) = in[1].v(0, 0, 100, 2);
    check_each_alone(cache, {in[0], mended});
    // And what is seen is, in the rows that see it.
    auto one = empty_cache<float>(1);
    append(one, 0, bad[0], 270);
    const auto o = heed::attention(rows_of(bad[0].q, 0, 270), one, heed::causal);
    bool sound = true;
    for (index i = 0; i < 270; ++i) sound = sound && std::isnan(o(0, 0, i, 0)) == (i >= 250);
    CHECK(sound);
}

// What is read of a page goes on to the end of a panel, and what is widened of it lies where the
// page of another sequence was before.
TEMPLATE_TEST_CASE("NaN of another sequence is not seen behind a shorter one's end", "", float,
                   Eigen::bfloat16, Eigen::half) {
    generator random(9309);
    auto in = make_sequences(random, 2, 40);
    in[0].v.setConstant(std::numeric_limits<float>::quiet_NaN());
    auto cache = empty_cache<TestType>(2);
    append(cache, 0, in[0], 40);
    append(cache, 1, in[1], 9);
    for (const index queries : {1, 9}) check_each_alone(cache, in, queries);
}

TEMPLATE_TEST_CASE("sequences share what they have in common until one of them writes", "", float,
                   Eigen::bfloat16) {
    generator random(9305);
    for (const index shared : {1, 200, 256, 257}) {
        auto in = make_sequences(random, 3, 330);
        auto cache = empty_cache<TestType>(3);
        append(cache, 0, in[0], 270);
        append(cache, 1, in[1], 30);
        append(cache, 2, in[2], 10);
        const auto bytes = cache.bytes();
        cache.share_prefix(0, 1, shared);
        CHECK(cache.bytes() == bytes);
        CHECK(cache.length(1) == shared);
        for (index j = 0; j < shared; ++j)
            for (index h = 0; h < 2; ++h)
                for (index c = 0; c < 8; ++c) {
                    in[1].k(0, h, j, c) = in[0].k(0, h, j, c);
                    if (c < 5) in[1].v(0, h, j, c) = in[0].v(0, h, j, c);
                }
        check_each_alone(cache, in);
        append(cache, 1, in[1], 40);  // goes its own way
        append(cache, 0, in[0], 40);
        check_each_alone(cache, in);
        cache.clear(0);
        append(cache, 0, in[0], 5);
        check_each_alone(cache, in);
    }
}

TEST_CASE("beams change places, and one may become several") {
    generator random(9306);
    auto in = make_sequences(random, 4, 320);
    auto cache = empty_cache<float>(4);
    for (index b = 0; b < 4; ++b) append(cache, b, in[static_cast<std::size_t>(b)], 250 + 3 * b);
    cache.reorder(std::vector<int>{2, 2, 0, 3});
    auto chosen = std::vector<tokens<float>>{in[2], in[2], in[0], in[3]};
    check_each_alone(cache, chosen);
    for (index b = 0; b < 4; ++b) {
        auto& one = chosen[static_cast<std::size_t>(b)];
        for (index j = cache.length(b); j < 320; ++j) one.k(0, 1, j, 0) += static_cast<float>(b);
        append(cache, b, one, 20);
    }
    check_each_alone(cache, chosen);
    cache.reorder(std::vector<int>{3, 2, 1, 0});
    check_each_alone(cache, {chosen[3], chosen[2], chosen[1], chosen[0]});
}

TEST_CASE("within its capacity nothing is allocated, by append and by a second call") {
    generator random(9307);
    const tokens<float> in(random, 2, 4, 2, 300, 8, 5);
    heed::kv_cache<float> cache(in.options(700), heed::rotary(rope));
    tensor4<float> o(2, 4, 1, 5);
    const auto last = rows_of(in.q, 299, 1), k = rows_of(in.k, 0, 1), v = rows_of(in.v, 0, 1);
    cache.append(in.k, in.v);
    heed::attention_into(o, last, cache, heed::causal, heed::sparsemax);
    heed::attention_into(o, last, cache, heed::causal);
    cache.append(k, v);
    const std::size_t before = allocations();
    for (int token = 0; token < 399; ++token) cache.append(k, v);
    CHECK(allocations() == before);
    cache.truncate(0, 300);
    cache.truncate(1, 300);
    heed::attention_into(o, last, cache, heed::causal);
    heed::attention_into(o, last, cache, heed::causal, heed::sparsemax);
    CHECK(allocations() == before);
}

TEST_CASE("a cache can be moved") {
    generator random(9308);
    const auto in = make_sequences(random, 1, 300);
    auto first = empty_cache<float>(1);
    append(first, 0, in[0], 260);
    auto second = std::move(first);
    append(second, 0, in[0], 3);
    check_each_alone(second, in);
}

}  // namespace test_kv_cache_sequences
