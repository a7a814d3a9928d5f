#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <thread>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/attention.hpp>
#include <heed/attention/dropout.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/mask.hpp>
#include <heed/attention/masks/sliding_window.hpp>
#include <heed/attention/modifiers/alibi.hpp>
#include <heed/attention/observers/row_measures.hpp>
#include <heed/core/workspace.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rectified_rotary.hpp>
#include <heed/softmax/dense/relu_squared.hpp>
#include <heed/softmax/sink.hpp>

#include "attention/caches/cache_check.hpp"
#include "support/allocations.hpp"
#include "support/attention_kernels.hpp"
#include "support/threads.hpp"

/// \file
/// Calls with fewer heads of a cache than threads, which share the pages of each: the bits of the
/// same call on one thread.

namespace test_kv_cache_threads {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

/// The last queries over all that a cache holds, with threads and without.
template <class Storage, class... Parts>
void check_call(const heed::kv_cache<Storage>& cache,
                const tensor4<heed::computed_scalar<Storage>>& q, const Parts&... parts) {
    static Eigen::ThreadPool pool(3);
    INFO(cache.length(0) << " keys, " << q.dimension(1) << " heads, " << q.dimension(2)
                         << " queries");
    const auto [o, stats] = heed::attention_forward(q, cache, heed::causal, parts...);
    const auto [shared_o, shared_stats] =
        heed::attention_forward(q, cache, heed::causal, parts..., always_on(pool));
    CHECK(are_same(o, shared_o));
    const auto a = stats.log_sum_exp(), b = shared_stats.log_sum_exp();
    bool same = true;
    for (index e = 0; e < a.size(); ++e)
        same = same && (a.data()[e] == b.data()[e] || std::isnan(a.data()[e]));
    CHECK(same);
}

template <class Storage>
void check_lengths(generator& random, index heads, index queries,
                   std::initializer_list<index> lengths) {
    using T = heed::computed_scalar<Storage>;
    for (const index n : lengths) {
        const tokens<T> in(random, 1, heads, 1, n, 13, 19);
        heed::kv_cache<Storage> cache(in.options(n));
        cache.append(in.k, in.v);
        check_call(cache, rows_of(in.q, n - std::min(n, queries), std::min(n, queries)));
    }
}

TEMPLATE_TEST_CASE("a head's pages shared by threads have the bits of one thread", "", float,
                   double, Eigen::bfloat16, Eigen::half, std::int8_t) {
    generator random(9801);
    check_lengths<TestType>(random, 1, 1, {1, 255, 256, 257, 1000});
    check_lengths<TestType>(random, 5, 3, {600});
    check_lengths<TestType>(random, 40, 1, {700});  // more rows than are widened in registers
}

TEST_CASE("shared pages: sums of many stretches of blocks, and several waves of pages") {
    generator random(9802);
    check_lengths<float>(random, 40, 1, {256 * 70 + 3});
}

TEST_CASE("shared pages: windows, ragged sequences, parts that change scores or weights") {
    generator random(9803);
    const tokens<float> in(random, 2, 6, 1, 1400, 16, 8);
    auto options = in.options(16);
    heed::kv_cache<float> full(options);
    full.append(0, sequence_of(in.k, 0), sequence_of(in.v, 0));
    full.append(1, rows_of(sequence_of(in.k, 1), 0, 300), rows_of(sequence_of(in.v, 1), 0, 300));
    const auto q = rows_of(in.q, 1398, 2);
    const auto slopes = heed::alibi_slopes(6);
    check_call(full, q);
    check_call(full, q, heed::sliding_window(500, 0), heed::alibi(slopes));
    check_call(full, q, heed::sink(0.3));
    check_call(full, q, heed::dropout({.rate = 0.3, .seed = 5}));
    Eigen::ThreadPool pool(3);
    CHECK(are_same(heed::attention(q, full, heed::causal, heed::relu_squared),
                   heed::attention(q, full, heed::causal, heed::relu_squared, always_on(pool))));

    const auto [o, stats, entropy] =
        heed::attention_forward(q, full, heed::causal, heed::row_entropy);
    const auto [shared_o, shared_stats, shared_entropy] =
        heed::attention_forward(q, full, heed::causal, heed::row_entropy, always_on(pool));
    bool same = true;
    for (index e = 0; e < entropy.size(); ++e)
        same = same && entropy.data()[e] == shared_entropy.data()[e];
    CHECK(same);

    options.window = 300;
    options.keep_first = 4;
    options.rewind = 8;
    heed::kv_cache<float> window(options);
    for (index i = 0; i < 1400; i += 100)
        window.append(rows_of(in.k, i, 100), rows_of(in.v, i, 100));
    check_call(window, q);
}

TEST_CASE("shared pages: NaN and infinities reach the rows that see them") {
    generator random(9804);
    tokens<float> in(random, 1, 3, 1, 800, 8, 8);
    in.v(0, 0, 100, 3) = std::numeric_limits<float>::quiet_NaN();
    in.v(0, 0, 700, 5) = std::numeric_limits<float>::infinity();
    in.v(0, 0, 500, 1) = std::numeric_limits<float>::max();
    in.v(0, 0, 501, 1) = std::numeric_limits<float>::max();
    heed::kv_cache<float> cache(in.options(800));
    cache.append(in.k, in.v);
    const auto q = rows_of(in.q, 799, 1);
    check_call(cache, q);
    check_call(cache, q, heed::sliding_window(400, 0));
}

TEST_CASE("shared pages of keys that begin with their values") {
    generator random(9805);
    heed::kv_cache<Eigen::bfloat16> cache(
        {.kv_heads = 1, .dim = 21, .value_dim = 16, .values_in_keys = true});
    cache.append(random.tensor<float>(1, 1, 777, 21));
    check_call(cache, random.tensor<float>(1, 16, 1, 21));
}

/// The last query of as many heads as the cache has, on threads of which the first to come waits
/// for another; if none came, it would give up.
template <class... Parts>
void check_threads_meet(index heads, index n, const Parts&... parts) {
    generator random(9806);
    const tokens<float> in(random, 1, heads, heads, n, 8, 8);
    heed::kv_cache<float> cache(in.options(n), parts...);
    cache.append(in.k, in.v);
    Eigen::ThreadPool pool(3);
    std::atomic<std::size_t> first{0};
    std::atomic<bool> others{false};
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    const auto meet = heed::mask([&](auto i, auto j) {
        const std::size_t me = std::hash<std::thread::id>()(std::this_thread::get_id()) | 1U;
        std::size_t nobody = 0;
        if (!first.compare_exchange_strong(nobody, me) && nobody != me) others = true;
        while (!others && std::chrono::steady_clock::now() < end) std::this_thread::yield();
        return j <= i;
    });
    const auto o = heed::attention(rows_of(in.q, n - 1, 1), cache, meet, always_on(pool));
    CHECK(o.size() == heads * 8);
    CHECK(others);
}

TEST_CASE("the pages of one head are read by several threads") { check_threads_meet(1, 1024); }

TEST_CASE("heads of a page each, and of a rectified encoding, are read by several threads") {
    check_threads_meet(2, 256);
    check_threads_meet(2, 1024, heed::rectified_rotary(heed::rope::plain({.dim = 8}), 20));
}

TEST_CASE("shared pages: a second call allocates nothing") {
    generator random(9807);
    const tokens<float> in(random, 1, 4, 1, 1500, 16, 16);
    heed::kv_cache<Eigen::half> cache(in.options(1500));
    cache.append(in.k, in.v);
    Eigen::ThreadPool pool(3);
    await_threads(pool);
    heed::workspace memory;
    auto q = rows_of(in.q, 1499, 1), o = q;
    const auto call = [&] {
        heed::attention_into(o, q, cache, heed::causal, always_on(pool), heed::in(memory));
    };
    call();
    const std::size_t before = allocations();
    call();
    CHECK(allocations() == before);
}

}  // namespace test_kv_cache_threads
