#include <memory>
#include <vector>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/sliding_window.hpp>
#include <heed/attention/modifiers/alibi.hpp>
#include <heed/attention/modifiers/bias.hpp>
#include <heed/attention/modifiers/soft_cap.hpp>
#include <heed/attention/scales/log_n_scale.hpp>
#include <heed/rope/rotary.hpp>
#include <heed/softmax/sink.hpp>

#include "attention/problem.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

namespace test_attention_invariance {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

/// Rows first … first + count − 1 of every head of every batch.
template <class T>
tensor4<T> rows_of(const tensor4<T>& x, index first, index count) {
    using at = Eigen::array<index, 4>;
    return x.slice(at{0, 0, first, 0}, at{x.dimension(0), x.dimension(1), count, x.dimension(3)});
}

/// One sequence of a batch.
template <class T>
tensor4<T> batch_of(const tensor4<T>& x, index batch) {
    using at = Eigen::array<index, 4>;
    return x.slice(at{batch, 0, 0, 0}, at{1, x.dimension(1), x.dimension(2), x.dimension(3)});
}

/// One head.
template <class T>
tensor4<T> head_of(const tensor4<T>& x, index head) {
    using at = Eigen::array<index, 4>;
    return x.slice(at{0, head, 0, 0}, at{x.dimension(0), 1, x.dimension(2), x.dimension(3)});
}

std::unique_ptr<Eigen::ThreadPool> pool_of(int threads) {
    return threads > 0 ? std::make_unique<Eigen::ThreadPool>(threads) : nullptr;
}

/// Everything that a call gives, with these parts on so many threads; 0: without a pool.
template <class T, class... Parts>
auto run_on(int threads, const inputs<T>& in, const Parts&... parts) {
    const auto pool = pool_of(threads);
    const heed::on_pool on{.pool = pool.get(), .least_work = 0};
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, parts..., on);
    auto gradient =
        heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v,
                                 heed::log_sum_exp_gradient(in.d_log_sum_exp), parts..., on);
    return std::tuple_cat(std::tuple(o, stats.log_sum_exp(), gradient.q, gradient.k, gradient.v),
                          gradient.learned);
}

template <class... Results>
void check_same(const std::tuple<Results...>& a, const std::tuple<Results...>& b) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        const auto one = [&](std::size_t i, const auto& x, const auto& y) {
            INFO("result " << i << " of o, lse, dq, dk, dv, learned");
            CHECK(same_bits(x, y));
        };
        (one(I, std::get<I>(a), std::get<I>(b)), ...);
    }
    (std::index_sequence_for<Results...>{});
}

/// The same bits on any number of threads.
template <class T, class... Parts>
void check_threads(generator& random, const extents& e, const Parts&... parts) {
    INFO(to_string(e));
    const inputs<T> in(random, e);
    const auto expected = run_on(0, in, parts...);
    for (const int threads : {1, 2, 3, 8}) {
        INFO("threads " << threads);
        check_same(run_on(threads, in, parts...), expected);
    }
}

TEST_CASE("any number of threads gives the same bits") {
    generator random(61);
    // Few heads: single blocks of keys are dealt out. Many: whole heads.
    const std::vector<extents> sizes = {{1, 1, 1, 300, 1300, 8, 16},
                                        {2, 4, 2, 97, 600, 5, 7},
                                        {3, 8, 8, 40, 40, 16, 16},
                                        {2, 6, 1, 211, 33, 3, 2}};
    for (const extents& e : sizes) {
        check_threads<float>(random, e);
        const tensor4<float> bias = to_tensor<float>(
            random_numbers(random, 1, e.heads, e.queries, random.chance(0.5) ? e.keys : 1));
        const std::vector<float> slopes(static_cast<std::size_t>(e.heads), 0.05F);
        const std::vector<float> logits(static_cast<std::size_t>(e.heads), 0.5F);
        check_threads<float>(random, e, heed::learn(heed::bias(bias)), heed::causal,
                             heed::learn(heed::alibi(slopes)), heed::learn(heed::soft_cap(4)),
                             heed::learn(heed::scale(0.4)), heed::learn(heed::sink(logits)));
        check_threads<double>(random, e, heed::causal, heed::log_n_scale(64),
                              heed::sliding_window(250, 0));
    }
}

TEST_CASE("without a pool the bits are those of a pool") {
    generator random(62);
    const inputs<float> in(random, {2, 2, 1, 130, 600, 8, 8});
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, heed::causal);
    const auto gradient =
        heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::causal);
    Eigen::ThreadPool pool(3);
    const auto [same_o, same_stats] =
        heed::attention_forward(in.q, in.k, in.v, heed::causal, always_on(pool));
    const auto same =
        heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::causal, always_on(pool));
    CHECK(same_bits(o, same_o));
    CHECK(same_bits(gradient.q, same.q));
    CHECK(same_bits(gradient.k, same.k));
    CHECK(same_bits(gradient.v, same.v));
}

/// A causal call over all queries, and the same in chunks of queries that each see the keys up to
/// their last: the same bits of o, and of dq. `parts(first, last)` makes the parts for the chunk.
template <class T, class Parts>
void check_chunks(generator& random, const extents& e, const Parts& parts) {
    INFO(to_string(e));
    const inputs<T> in(random, e);
    const auto run = [&](index first, index last) {
        const index keys = last + e.keys - e.queries;
        return std::apply(
            [&](const auto&... part) {
                const auto q = rows_of(in.q, first, last - first);
                const auto k = rows_of(in.k, 0, keys), v = rows_of(in.v, 0, keys);
                const auto [o, stats] = heed::attention_forward(q, k, v, part...);
                auto gradient = heed::attention_backward(rows_of(in.d_o, first, last - first), o,
                                                         stats, q, k, v, part...);
                return std::pair(o, gradient.q);
            },
            parts(first, last));
    };
    const auto [o, dq] = run(0, e.queries);
    for (const index chunk : {1, 7, 64}) {
        INFO("chunks of " << chunk);
        index wrong = 0, wrong_gradients = 0;
        // Chunks of one query: some of them, among them those beside the ends of blocks.
        const index step = chunk > 1 ? chunk : std::max<index>(1, e.queries / 23);
        for (index first = 0; first < e.queries; first += step) {
            const index last = std::min(first + chunk, e.queries);
            const auto [chunk_o, chunk_dq] = run(first, last);
            if (!same_bits(chunk_o, rows_of(o, first, last - first))) ++wrong;
            if (!same_bits(chunk_dq, rows_of(dq, first, last - first))) ++wrong_gradients;
        }
        CHECK(wrong == 0);
        CHECK(wrong_gradients == 0);
    }
}

TEST_CASE("chunks of queries have the bits of the whole") {
    generator random(63);
    const std::vector<extents> sizes = {
        {1, 1, 1, 130, 130, 8, 8}, {2, 4, 2, 67, 67, 5, 17}, {1, 2, 1, 200, 1300, 16, 64}};
    for (const extents& e : sizes) {
        check_chunks<float>(random, e, [](index, index) { return std::tuple(heed::causal); });
        check_chunks<double>(random, e, [](index, index) {
            return std::tuple(heed::causal, heed::sliding_window(100, 0), heed::log_n_scale(64));
        });
    }
    for (extents e : sizes) {
        e.dim = 8;
        const auto rope = heed::rope::plain({.dim = 8});
        const tensor4<float> bias =
            to_tensor<float>(random_numbers(random, 1, 1, e.queries, e.keys));
        check_chunks<float>(random, e, [&](index first, index last) {
            return std::tuple(heed::rotary(rope), heed::causal, heed::soft_cap(8),
                              heed::bias(heed::view(bias.data() + first * e.keys,
                                                    {last - first, last + e.keys - e.queries},
                                                    {e.keys, index(1)})));
        });
    }
}

TEST_CASE("a sequence out of a batch, and a head out of many, has the bits of the whole") {
    generator random(64);
    const std::vector<extents> sizes = {{3, 4, 2, 67, 97, 8, 5}, {2, 2, 2, 40, 600, 16, 16}};
    for (const extents& e : sizes) {
        INFO(to_string(e));
        const inputs<float> in(random, e);
        const auto all = heed::attention_forward(in.q, in.k, in.v, heed::causal);
        const auto gradient =
            heed::attention_backward(in.d_o, all.output, all.stats, in.q, in.k, in.v, heed::causal);
        for (index b = 0; b < e.batch; ++b) {
            const auto q = batch_of(in.q, b), k = batch_of(in.k, b), v = batch_of(in.v, b);
            const auto one = heed::attention_forward(q, k, v, heed::causal);
            const auto own = heed::attention_backward(batch_of(in.d_o, b), one.output, one.stats, q,
                                                      k, v, heed::causal);
            CHECK(same_bits(one.output, batch_of(all.output, b)));
            CHECK(same_bits(own.q, batch_of(gradient.q, b)));
            CHECK(same_bits(own.k, batch_of(gradient.k, b)));
            CHECK(same_bits(own.v, batch_of(gradient.v, b)));
        }
        for (index h = 0; h < e.heads; ++h) {
            const index kv = h * e.kv_heads / e.heads;
            const auto one = heed::attention(head_of(in.q, h), head_of(in.k, kv), head_of(in.v, kv),
                                             heed::causal);
            CHECK(same_bits(one, head_of(all.output, h)));
        }
    }
}

TEST_CASE("keys behind what a row sees change no bit of it") {
    generator random(65);
    const inputs<float> in(random, {1, 2, 1, 40, 40, 8, 8});
    const auto o = heed::attention(in.q, in.k, in.v, heed::causal.top_left());
    inputs<float> longer(random, {1, 2, 1, 40, 700, 8, 8});
    for (index j = 0; j < 40; ++j) {
        for (index x = 0; x < 8; ++x) {
            longer.k(0, 0, j, x) = in.k(0, 0, j, x);
            longer.v(0, 0, j, x) = in.v(0, 0, j, x);
        }
    }
    CHECK(same_bits(o, heed::attention(in.q, longer.k, longer.v, heed::causal.top_left())));
}

TEST_CASE("attention, attention_forward and their _into forms have the same bits") {
    generator random(66);
    for (int round = 0; round < 6; ++round) {
        const extents e = round < 4 ? random_extents(random) : long_extents(random);
        const inputs<double> in(random, e);
        const auto o = heed::attention(in.q, in.k, in.v, heed::causal, heed::log_n_scale(64),
                                       heed::sliding_window(250, 0));
        tensor4<double> into(e.batch, e.heads, e.queries, e.value_dim);
        into.setConstant(7);
        heed::attention_into(into, in.q, in.k, in.v, heed::causal, heed::log_n_scale(64),
                             heed::sliding_window(250, 0));
        CHECK(same_bits(o, into));
        const auto kept = heed::attention_forward(
            in.q, in.k, in.v, heed::causal, heed::log_n_scale(64), heed::sliding_window(250, 0));
        CHECK(same_bits(o, kept.output));
        into.setConstant(7);
        auto stats = kept.stats;
        heed::attention_forward_into(into, stats, in.q, in.k, in.v, heed::causal,
                                     heed::log_n_scale(64), heed::sliding_window(250, 0));
        CHECK(same_bits(o, into));

        const auto gradient =
            heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::causal,
                                     heed::log_n_scale(64), heed::sliding_window(250, 0));
        inputs<double> own = in;
        heed::attention_backward_into(heed::into(own.q, own.k, own.v), in.d_o, o, stats, in.q, in.k,
                                      in.v, heed::causal, heed::log_n_scale(64),
                                      heed::sliding_window(250, 0));
        CHECK(same_bits(gradient.q, own.q));
        CHECK(same_bits(gradient.k, own.k));
        CHECK(same_bits(gradient.v, own.v));
    }
}

}  // namespace test_attention_invariance
