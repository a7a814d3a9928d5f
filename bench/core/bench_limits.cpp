#include <benchmark/benchmark.h>

#include "support/memory_limit.hpp"
#include "support/multiply_add_limit.hpp"

/// \file
/// The limits themselves, which the other benchmarks measure again beside their work: the peak of
/// fused multiply-adds in operations a second, and bytes a second read and copied.

namespace {

/// The best of the runs.
template <class Limit>
void report_rate(benchmark::State& state, double amount, Limit&& seconds_of_one) {
    double best = 0;
    for (auto _ : state) {
        const double time = seconds_of_one();
        state.SetIterationTime(time * amount);
        best = std::max(best, 1 / time);
    }
    state.counters["a_second"] = best;
}

template <class T>
void multiply_adds(benchmark::State& state) {
    heed_bench::team threads(state.range(0));
    report_rate(state, 2e8, [&] { return heed_bench::seconds_a_flop<T>(threads); });
}

void read(benchmark::State& state) {
    heed_bench::team threads(state.range(0));
    heed_bench::memory memory;
    report_rate(state, memory.bytes, [&] { return memory.seconds_a_byte_read(threads); });
}

void copy(benchmark::State& state) {
    heed_bench::team threads(state.range(0));
    heed_bench::memory memory;
    report_rate(state, memory.bytes, [&] { return memory.seconds_a_byte_copied(threads); });
}

}  // namespace

BENCHMARK_TEMPLATE(multiply_adds, float)->ArgName("threads")->Arg(1)->Arg(2)->UseManualTime();
BENCHMARK_TEMPLATE(multiply_adds, double)->ArgName("threads")->Arg(1)->Arg(2)->UseManualTime();
BENCHMARK(read)->ArgName("threads")->Arg(1)->Arg(2)->UseManualTime();
BENCHMARK(copy)->ArgName("threads")->Arg(1)->Arg(2)->UseManualTime();
