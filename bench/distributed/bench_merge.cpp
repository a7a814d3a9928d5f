#include <cstddef>

#include <benchmark/benchmark.h>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/attention.hpp>
#include <heed/distributed/merge.hpp>

#include "support/by_turns.hpp"
#include "support/problem.hpp"
#include "support/team.hpp"

/// \file
/// Merging o and stats of two parts of the keys: `of_attention`, its time over that of one part's
/// attention of as many keys as queries, measured by turns.

namespace {

using namespace heed_bench;

void merge(benchmark::State& state) {
    const std::ptrdiff_t heads = state.range(0), n = state.range(1), d = state.range(2);
    problem<float> in({1, heads, heads, n, n, d});
    team threads(state.range(3));
    auto whole = heed::attention_forward(in.q, in.k, in.v);
    const auto part = whole;
    state.counters["of_attention"] = time_over(
        state,
        [&] { heed::merge(whole.output, whole.stats, part.output, part.stats, threads.part()); },
        [&] { heed::attention_into(in.o, in.q, in.k, in.v, threads.part()); });
}

}  // namespace

BENCHMARK(merge)
    ->ArgNames({"heads", "n", "d", "threads"})
    ->ArgsProduct({{4}, {2048}, {64, 128}, {1, 2}})
    ->UseManualTime();
