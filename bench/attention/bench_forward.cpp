#include <Eigen/Core>
#include <benchmark/benchmark.h>

#include <heed/attention/attention.hpp>

#include "support/multiply_add_limit.hpp"
#include "support/problem.hpp"

/// \file
/// Exact attention forward: `share` of the peak of fused multiply-adds of the threads used, 4·n²·d
/// operations a head; `speedup` of two threads over one, and of bfloat16 over float. Where the
/// machine multiplies pairs of bfloat16, their share is more than 1.

namespace {

using namespace heed_bench;

template <class T>
void forward(benchmark::State& state) {
    problem<T> in(square(state.range(0), state.range(1), state.range(2)));
    team threads(state.range(3));
    const double flops = in.sizes.forward_flops();
    report_share(
        state, repeats_for(flops),
        [&] { heed::attention_into(in.o, in.q, in.k, in.v, threads.part()); },
        [&] { return flops * seconds_a_flop<heed::detail::computed_in<T>>(threads); });
}

void two_threads(benchmark::State& state) {
    problem<float> in(square(state.range(0), state.range(1), state.range(2)));
    team one(1), two(2);
    const auto run = [&](team& threads) {
        heed::attention_into(in.o, in.q, in.k, in.v, threads.part());
    };
    state.counters["speedup"] = 1 / time_over(
                                        state, [&] { run(two); }, [&] { run(one); });
}

void bfloat16_over_float(benchmark::State& state) {
    const auto sizes = square(state.range(0), state.range(1), state.range(2));
    problem<float> in(sizes);
    problem<Eigen::bfloat16> half_as_wide(sizes);
    const auto run = [](auto& of) { heed::attention_into(of.o, of.q, of.k, of.v); };
    state.counters["speedup"] = 1 / time_over(
                                        state, [&] { run(half_as_wide); }, [&] { run(in); });
}

}  // namespace

BENCHMARK_TEMPLATE(forward, float)
    ->ArgNames({"heads", "n", "d", "threads"})
    ->ArgsProduct({{4}, {2048}, {64, 128}, {1, 2}})
    ->Args({4, 128, 64, 1})
    ->Args({64, 32, 64, 1})
    ->UseManualTime();
BENCHMARK_TEMPLATE(forward, double)
    ->ArgNames({"heads", "n", "d", "threads"})
    ->ArgsProduct({{2}, {2048}, {64, 128}, {1, 2}})
    ->UseManualTime();
BENCHMARK_TEMPLATE(forward, Eigen::bfloat16)
    ->ArgNames({"heads", "n", "d", "threads"})
    ->ArgsProduct({{4}, {128, 2048}, {64, 128}, {1}})
    ->UseManualTime();
BENCHMARK_TEMPLATE(forward, Eigen::half)
    ->ArgNames({"heads", "n", "d", "threads"})
    ->ArgsProduct({{4}, {128, 2048}, {64}, {1}})
    ->UseManualTime();
BENCHMARK(bfloat16_over_float)
    ->ArgNames({"heads", "n", "d"})
    ->ArgsProduct({{4}, {2048}, {64, 128}})
    ->UseManualTime();
BENCHMARK(two_threads)
    ->ArgNames({"heads", "n", "d"})
    ->ArgsProduct({{4}, {2048}, {64, 128}})
    ->UseManualTime();
