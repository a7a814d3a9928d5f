#include <vector>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/modifiers/alibi.hpp>
#include <heed/attention/modifiers/bias.hpp>
#include <heed/attention/positions.hpp>
#include <heed/attention/scales/log_n_scale.hpp>
#include <heed/core/workspace.hpp>
#include <heed/rope/rotary.hpp>
#include <heed/softmax/sparse/entmax15.hpp>

#include "attention/problem.hpp"
#include "support/allocations.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"
#include "support/threads.hpp"

namespace test_attention_allocation {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

/// What f() allocates once it has run `warm` times.
template <class F>
std::size_t allocations_of(int warm, const F& f) {
    for (int round = 0; round < warm; ++round) f();
    const std::size_t before = allocations();
    for (int round = 0; round < 5; ++round) f();
    return allocations() - before;
}

/// The three _into calls with these parts, outputs and stats reused.
template <class T, class... Parts>
void check_nothing_allocated(int warm, const inputs<T>& in, const Parts&... parts) {
    tensor4<T> o(in.d_o.dimensions());
    heed::stats_for<T, Parts...> stats;
    CHECK(allocations_of(warm, [&] { heed::attention_into(o, in.q, in.k, in.v, parts...); }) == 0);
    CHECK(allocations_of(warm, [&] {
              heed::attention_forward_into(o, stats, in.q, in.k, in.v, parts...);
          }) == 0);
    auto gradient = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, parts...);
    CHECK(allocations_of(warm, [&] {
              heed::attention_backward_into(gradient, in.d_o, o, stats, in.q, in.k, in.v, parts...);
          }) == 0);
}

const std::vector<extents> sizes = {
    {1, 1, 1, 32, 32, 16, 16}, {2, 4, 2, 200, 600, 5, 17}, {1, 8, 8, 40, 40, 8, 8}};

TEST_CASE("the second call of a shape allocates nothing, in a workspace or the thread's own") {
    generator random(121);
    for (const extents& e : sizes) {
        INFO(to_string(e));
        const inputs<float> in(random, e);
        heed::workspace memory;
        check_nothing_allocated(1, in, heed::causal, heed::in(memory));
        check_nothing_allocated(1, in, heed::causal);
    }
}

TEST_CASE("nor do supports that are kept again") {
    generator random(123);
    for (const extents& e : sizes) {
        INFO(to_string(e));
        const inputs<float> in(random, e);
        heed::workspace memory;
        check_nothing_allocated(1, in, heed::entmax15, heed::in(memory));
    }
}

TEST_CASE("nor do parts with tables and gradients of their own") {
    generator random(122);
    for (extents e : sizes) {
        e.dim = 8;
        INFO(to_string(e));
        const inputs<float> in(random, e);
        heed::workspace memory;
        const auto bias = to_tensor<float>(random_numbers(random, 1, 1, e.queries, 1));
        const std::vector<float> slopes(static_cast<std::size_t>(e.heads), 0.1F);
        const std::vector<int> queries(static_cast<std::size_t>(e.queries), 5),
            keys(static_cast<std::size_t>(e.keys), 4);
        const auto rope = heed::rope::plain({.dim = 8});
        check_nothing_allocated(1, in, heed::learn(heed::bias(bias)),
                                heed::learn(heed::alibi(slopes)), heed::rotary(rope),
                                heed::positions(queries, keys), heed::log_n_scale(),
                                heed::in(memory));
    }
}

TEST_CASE("nor do calls on a pool, whichever of its threads come") {
    generator random(123);
    for (const int threads : {1, 3}) {
        Eigen::ThreadPool pool(threads);
        await_threads(pool);
        for (const extents& e : sizes) {
            INFO(threads << " threads, " << to_string(e));
            const inputs<float> in(random, e);
            heed::workspace memory;
            check_nothing_allocated(1, in, heed::causal, always_on(pool), heed::in(memory));
            check_nothing_allocated(1, in, heed::causal, always_on(pool));
        }
    }
}

TEST_CASE("a smaller call after a larger one allocates nothing") {
    generator random(124);
    const inputs<float> large(random, {2, 4, 2, 200, 600, 16, 16});
    const inputs<float> small(random, {1, 2, 2, 30, 70, 16, 16});
    heed::workspace memory;
    tensor4<float> large_o(large.d_o.dimensions()), small_o(small.d_o.dimensions());
    heed::attention_into(large_o, large.q, large.k, large.v, heed::in(memory));
    const std::size_t before = allocations();
    heed::attention_into(small_o, small.q, small.k, small.v, heed::in(memory));
    heed::attention_into(large_o, large.q, large.k, large.v, heed::in(memory));
    CHECK(allocations() == before);
}

}  // namespace test_attention_allocation
