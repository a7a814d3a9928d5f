#include <benchmark/benchmark.h>

#include <heed/attention/attention.hpp>
#include <heed/softmax/dense/entropy_normalised.hpp>
#include <heed/softmax/dense/l2_softmax.hpp>
#include <heed/softmax/dense/positive.hpp>
#include <heed/softmax/dense/relu_squared.hpp>
#include <heed/softmax/dense/sigmoid.hpp>
#include <heed/softmax/dense/taylor_softmax.hpp>
#include <heed/softmax/sparse/soft_top_k.hpp>

#include "support/backward_of.hpp"
#include "support/by_turns.hpp"
#include "support/problem.hpp"

/// \file
/// Attention with each normaliser that leaves no key out: `of_plain` is the time over that of
/// softmax, by turns. Four heads, n = 2048, d = 64, float, one thread.

namespace {

using namespace heed_bench;
constexpr std::ptrdiff_t heads = 4, n = 2048, dim = 64;

template <class Normaliser>
void forward(benchmark::State& state, const Normaliser& normaliser) {
    problem<float> in(square(heads, n, dim));
    state.counters["of_plain"] = time_over(
        state, [&] { heed::attention_into(in.o, in.q, in.k, in.v, normaliser); },
        [&] { heed::attention_into(in.o, in.q, in.k, in.v); });
}

template <class Normaliser>
void backward(benchmark::State& state, const Normaliser& normaliser) {
    problem<float> in(square(heads, n, dim));
    state.counters["of_plain"] = time_over(state, backward_of(in, normaliser), backward_of(in));
}

/// As a user would write it.
auto user_function() {
    return heed::positive([](auto x) { return 1 + x * x; }, [](auto x) { return 2 * x; });
}

}  // namespace

BENCHMARK_CAPTURE(forward, taylor_softmax 2, heed::taylor_softmax(2))->UseManualTime();
BENCHMARK_CAPTURE(forward, taylor_softmax 4, heed::taylor_softmax(4))->UseManualTime();
BENCHMARK_CAPTURE(forward, user function, user_function())->UseManualTime();
BENCHMARK_CAPTURE(forward, sigmoid, heed::sigmoid)->UseManualTime();
BENCHMARK_CAPTURE(forward, relu_squared, heed::relu_squared)->UseManualTime();
BENCHMARK_CAPTURE(forward, normalised_relu_squared, heed::normalised_relu_squared)->UseManualTime();
BENCHMARK_CAPTURE(forward, l2_softmax, heed::l2_softmax)->UseManualTime();
BENCHMARK_CAPTURE(forward, entropy_normalised, heed::entropy_normalised(5))->UseManualTime();
BENCHMARK_CAPTURE(forward, soft_top_k 8, heed::soft_top_k(8))->UseManualTime();
BENCHMARK_CAPTURE(backward, taylor_softmax 2, heed::taylor_softmax(2))->UseManualTime();
BENCHMARK_CAPTURE(backward, taylor_softmax 4, heed::taylor_softmax(4))->UseManualTime();
BENCHMARK_CAPTURE(backward, user function, user_function())->UseManualTime();
BENCHMARK_CAPTURE(backward, sigmoid, heed::sigmoid)->UseManualTime();
BENCHMARK_CAPTURE(backward, relu_squared, heed::relu_squared)->UseManualTime();
BENCHMARK_CAPTURE(backward, normalised_relu_squared, heed::normalised_relu_squared)
    ->UseManualTime();
BENCHMARK_CAPTURE(backward, l2_softmax, heed::l2_softmax)->UseManualTime();
BENCHMARK_CAPTURE(backward, entropy_normalised, heed::entropy_normalised(5))->UseManualTime();
BENCHMARK_CAPTURE(backward, soft_top_k 8, heed::soft_top_k(8))->UseManualTime();
