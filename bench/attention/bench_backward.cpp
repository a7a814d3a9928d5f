#include <Eigen/Core>
#include <benchmark/benchmark.h>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>

#include "support/backward_of.hpp"
#include "support/by_turns.hpp"
#include "support/multiply_add_limit.hpp"
#include "support/problem.hpp"

/// \file
/// Exact attention backward: `share` of the peak of fused multiply-adds of the threads used,
/// 10·n²·d operations a head; causal over full as `of_plain`.

namespace {

using namespace heed_bench;

template <class T>
void backward(benchmark::State& state) {
    problem<T> in(square(state.range(0), state.range(1), state.range(2)));
    team threads(state.range(3));
    const double flops = in.sizes.backward_flops();
    report_share(state, repeats_for(flops), backward_of(in, threads.part()),
                 [&] { return flops * seconds_a_flop<heed::detail::computed_in<T>>(threads); });
}

void causal_backward(benchmark::State& state) {
    problem<float> in(square(state.range(0), state.range(1), state.range(2)));
    state.counters["of_plain"] = time_over(state, backward_of(in, heed::causal), backward_of(in));
}

}  // namespace

BENCHMARK_TEMPLATE(backward, float)
    ->ArgNames({"heads", "n", "d", "threads"})
    ->ArgsProduct({{4}, {2048}, {64, 128}, {1, 2}})
    ->UseManualTime();
BENCHMARK_TEMPLATE(backward, double)
    ->ArgNames({"heads", "n", "d", "threads"})
    ->ArgsProduct({{2}, {2048}, {64, 128}, {1}})
    ->UseManualTime();
BENCHMARK_TEMPLATE(backward, Eigen::bfloat16)
    ->ArgNames({"heads", "n", "d", "threads"})
    ->Args({4, 2048, 64, 1})
    ->UseManualTime();
BENCHMARK(causal_backward)->ArgNames({"heads", "n", "d"})->Args({1, 4096, 64})->UseManualTime();
