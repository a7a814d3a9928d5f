#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/attention_weights.hpp>
#include <heed/attention/caches/cached_attention.hpp>
#include <heed/attention/caches/kv_cache.hpp>
#include <heed/attention/dropout.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/modifiers/bias.hpp>
#include <heed/attention/observers/row_measures.hpp>
#include <heed/attention/positions.hpp>
#include <heed/softmax/sink.hpp>
#include <heed/softmax/sparse/entmax15.hpp>

#include "attention/normaliser_check.hpp"
#include "attention/refusals.hpp"
#include "reference/sparse.hpp"
#include "support/attention_kernels.hpp"

/// \file
/// Dropout: which probabilities it leaves out, that the kernels do, and the way back.

namespace test_dropout {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

constexpr std::uint64_t seed = 17;

/// Whether a probability stays, as docs/attention/dropout.md defines it.
bool keeps(double rate, std::int64_t sequence, index h, index i, index j) {
    const auto words = heed::random_numbers(seed, sequence, h).words(i, j / 128 * 16 + j % 16);
    const std::uint32_t word = words[static_cast<std::size_t>(j / 16 % 4)];
    return (j % 128 < 64 ? word % 65536 : word / 65536) >= std::round(rate * 65536);
}

/// The same for the reference, of sequences 0, 1, 2, …
auto factors(double rate, const extents& e) {
    const double rounded = std::round(rate * 65536) / 65536;
    return [=](index b, index h, index i, index j) {
        return keeps(rate, b, h, i + e.keys - e.queries, j) ? 1 / (1 - rounded) : 0;
    };
}
auto dropout_of(double rate, const extents& e) {
    std::vector<int> ids(static_cast<std::size_t>(e.batch));
    std::iota(ids.begin(), ids.end(), 0);
    return heed::dropout({.rate = rate, .seed = seed}, std::move(ids));
}

TEST_CASE("dropout leaves out its share, here and there alike") {
    const heed::detail::dropout_plane plane(heed::random_numbers(seed, 0, 0),
                                            static_cast<std::uint32_t>(0.3 * 65536 + 0.5));
    constexpr index rows = 200, stretches = 4, size = heed::detail::dropout_plane::stretch;
    constexpr double count = rows * stretches * size;
    double kept = 0, beside = 0, below = 0;
    index wrong = 0;
    for (index i = 0; i < rows; ++i)
        for (index s = 0; s < stretches; ++s) {
            std::vector<float> of_keys(size);
            plane.write_factors(i, s, 1.F, of_keys.data());
            for (index l = 0; l < size; ++l) {
                const index j = s * size + l;
                const bool stays = of_keys[static_cast<std::size_t>(l)] == 1;
                if (stays != keeps(0.3, 0, 0, i, j) || stays != plane.keeps(i, j)) ++wrong;
                kept += stays ? 1 : 0;
                beside +=
                    stays && plane.keeps(i, j + 64) ? 1 : 0;  // in the same word, or beside it
                below += stays && plane.keeps(i + 1, j) ? 1 : 0;
            }
        }
    CHECK(wrong == 0);
    const auto near = [&](double share, double expected) {
        CHECK(share / count ==
              Approx(expected).margin(5 * std::sqrt(expected * (1 - expected) / count)));
    };
    near(kept, 0.7);
    near(beside, 0.7 * 0.7);
    near(below, 0.7 * 0.7);
}

TEST_CASE("attention under dropout, beside a sink and a mask, and its gradients") {
    for_problems(111, [](generator& random, const problem& of) {
        problem from = of;
        const extents& e = from.sizes;
        const double rate = random.one_of({0.1, 0.5, 0.9});
        // Whatever remains is larger, and its error: in p, and in dp.
        from.slack = 1 / (1 - rate) / (1 - rate);
        reference::options how;
        how.visible = reference::causal(e.queries, e.keys);
        how.sink.assign(static_cast<std::size_t>(e.heads), 0.5);
        how.dropout = factors(rate, e);
        const auto drop = dropout_of(rate, e);
        check_all(random, from, how, heed::causal, heed::sink(0.5), drop);
    });
}

TEST_CASE("what is learned beside dropout has the slopes of the loss") {
    for_problems(112, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        Eigen::Tensor<double, 3, Eigen::RowMajor> b(e.heads, e.queries, e.keys);
        Eigen::VectorXd logits(e.heads);
        random.fill_normal(b);
        random.fill_normal(logits);
        const auto drop = std::optional(dropout_of(0.4, e));
        inputs<double> in(from);
        const auto bias = [&] { return heed::learn(heed::bias(b)); };
        const auto sink = [&] { return heed::learn(heed::sink(logits)); };
        const auto loss = [&] { return loss_of(in, bias(), sink(), drop); };
        const auto gradient = check_differences(random, in, bias(), sink(), drop);
        check_slopes("db", random, 12, b, gradient.of<0>(), loss, largest_of(gradient));
        check_slopes("dsink", random, e.heads, logits, gradient.of<1>(), loss,
                     largest_of(gradient));
    });
}

const reference::row_normaliser entmax15_rows{
    [](const reference::row& x) { return reference::entmax15(x); },
    [](const reference::row& x, const reference::row& dp) {
        return reference::entmax_backward(reference::entmax15(x), 1.5, dp);
    }};

TEST_CASE("dropout of whole rows, sparse ones and dense ones") {
    generator random(113);
    for (int round = 0; round < 6; ++round) {
        const extents e = round % 2 == 0 ? random_extents(random) : long_extents(random);
        // Scores near 0 make rows that are dense.
        problem from(random, e, round < 3 ? 1 : 0.1);
        from.slack = 64;
        reference::options how;
        how.normaliser = entmax15_rows;
        how.visible = reference::causal(e.queries, e.keys);
        how.dropout = factors(0.5, e);
        const auto drop = dropout_of(0.5, e);
        check_normaliser<float>(from, how, heed::causal, heed::entmax15, drop);
        check_normaliser<double>(from, how, heed::causal, heed::entmax15, drop);
    }
}

TEST_CASE("stats and observers are those of all probabilities") {
    generator random(114);
    const inputs<float> in(random, {2, 2, 1, 70, 90, 8, 8});
    const auto drop = heed::dropout({.rate = 0.5, .seed = 3});
    const auto with = heed::attention_forward(in.q, in.k, in.v, heed::row_entropy, drop);
    const auto without = heed::attention_forward(in.q, in.k, in.v, heed::row_entropy);
    CHECK_FALSE(same_bits(with.output, without.output));
    CHECK(same_bits(with.stats.log_sum_exp(), without.stats.log_sum_exp()));
    CHECK(same_bits(std::get<0>(with.observed), std::get<0>(without.observed)));
}

TEST_CASE("a rate of 0 changes no bit") {
    generator random(115);
    const inputs<float> in(random, {2, 2, 1, 70, 300, 8, 8});
    const auto none = heed::dropout({.rate = 0, .seed = 3});
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, none);
    const auto gradient = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, none);
    const auto [its_o, its_stats] = heed::attention_forward(in.q, in.k, in.v);
    const auto its_gradient = heed::attention_backward(in.d_o, its_o, its_stats, in.q, in.k, in.v);
    CHECK(same_bits(o, its_o));
    CHECK(same_bits(gradient.q, its_gradient.q));
    CHECK(same_bits(gradient.k, its_gradient.k));
    CHECK(same_bits(gradient.v, its_gradient.v));
}

TEST_CASE("dropout has the same bits on threads, in chunks, in batches, from a cache") {
    generator random(116);
    const extents e{2, 4, 2, 300, 300, 8, 16};
    const inputs<float> in(random, e);
    const auto drop = heed::dropout({.rate = 0.3, .seed = 5}, std::vector<int>{5, 9});
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, heed::causal, drop);
    const auto gradient =
        heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::causal, drop);

    Eigen::ThreadPool pool(3);
    const auto threaded = heed::attention_backward(
        in.d_o, heed::attention(in.q, in.k, in.v, heed::causal, drop, always_on(pool)), stats, in.q,
        in.k, in.v, heed::causal, drop, always_on(pool));
    CHECK(same_bits(threaded.q, gradient.q));
    CHECK(same_bits(threaded.k, gradient.k));
    CHECK(same_bits(threaded.v, gradient.v));

    // The second sequence alone: all of it, its last 13 queries, its last one.
    const auto of_second = [](const tensor4<float>& x, index first) -> tensor4<float> {
        using at = Eigen::array<index, 4>;
        return x.slice(at{1, 0, first, 0},
                       at{1, x.dimension(1), x.dimension(2) - first, x.dimension(3)});
    };
    const auto k = of_second(in.k, 0), v = of_second(in.v, 0);
    const auto own = heed::dropout({.rate = 0.3, .seed = 5}, std::vector<int>{9});
    for (const index first : {0, 287, 299}) {
        const auto q = of_second(in.q, first);
        const auto [part, its_stats] = heed::attention_forward(q, k, v, heed::causal, own);
        CHECK(same_bits(part, of_second(o, first)));
        const auto its_gradient = heed::attention_backward(of_second(in.d_o, first), part,
                                                           its_stats, q, k, v, heed::causal, own);
        CHECK(same_bits(its_gradient.q, of_second(gradient.q, first)));
    }
    heed::kv_cache<float> cache({.kv_heads = 2, .dim = 8, .value_dim = 16});
    cache.append(k, v);
    CHECK(same_bits(heed::attention(of_second(in.q, 299), cache, heed::causal, own),
                    of_second(o, 299)));
    CHECK(
        same_bits(heed::attention(of_second(in.q, 299), cache, heed::causal, own, heed::entmax15),
                  heed::attention(of_second(in.q, 299), k, v, heed::causal, own, heed::entmax15)));
}

TEST_CASE("dropout goes with the positions of queries and keys") {
    generator random(117);
    const inputs<float> in(random, {1, 2, 2, 30, 70, 8, 8});
    const auto drop = heed::dropout({.rate = 0.5, .seed = 5});
    const auto o = heed::attention(in.q, in.k, in.v, drop);
    std::vector<double> queries(30), keys(70), later(30);
    std::iota(queries.begin(), queries.end(), 40.25);  // where they stand, rounded down
    std::iota(keys.begin(), keys.end(), 0);
    std::iota(later.begin(), later.end(), 41);
    CHECK(same_bits(heed::attention(in.q, in.k, in.v, drop, heed::positions(queries, keys)), o));
    CHECK_FALSE(
        same_bits(heed::attention(in.q, in.k, in.v, drop, heed::positions(later, keys)), o));
}

TEST_CASE("the matrix of attention under dropout is what meets v") {
    generator random(118);
    const extents e{2, 2, 1, 40, 70, 8, 1};
    const inputs<double> in(random, e);
    const auto p = heed::attention_weights(in.q, in.k, heed::causal);
    const auto dropped = heed::attention_weights(in.q, in.k, heed::causal, dropout_of(0.25, e));
    const auto factor = factors(0.25, e);
    index wrong = 0;
    for (index b = 0; b < 2; ++b)
        for (index h = 0; h < 2; ++h)
            for (index i = 0; i < 40; ++i)
                for (index j = 0; j < 70; ++j)
                    if (!(std::abs(dropped(b, h, i, j) - p(b, h, i, j) * factor(b, h, i, j)) <=
                          1e-15))
                        ++wrong;
    CHECK(wrong == 0);
}

TEST_CASE("dropout refuses what does not fit") {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    for (const double rate : {-0.1, 1.0, 1.5, nan})
        CHECK_THROWS_AS(heed::dropout({.rate = rate}), heed::argument_error);
    check_refused<heed::argument_error>(
        "heed::dropout: the rate is 1, but must be at least 0 and below 1",
        [] { (void)heed::dropout({.rate = 1}); });
    generator random(119);
    const inputs<float> in(random, refused_sizes);
    outputs to(refused_sizes);
    check_refused<heed::shape_error>(
        "heed::dropout has 3 sequence ids, but the batch has 2 sequences", [&] {
            heed::attention_into(to.o, in.q, in.k, in.v,
                                 heed::dropout({.rate = 0.5}, std::vector<int>{1, 2, 3}));
        });
    CHECK(to.are_untouched());
}

}  // namespace test_dropout
