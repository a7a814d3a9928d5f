#include <cmath>
#include <cstddef>
#include <vector>

#include <benchmark/benchmark.h>

#include <heed/rope/base_selection.hpp>
#include <heed/rope/frequencies.hpp>

#include "support/by_turns.hpp"
#include "support/multiply_add_limit.hpp"

/// \file
/// Base selection, one thread.
///
///     share     of the peak of multiply-adds in float: all positions of a base that suffices, a
///               product of 2·dim·length operations
///     cosines   the time over that of one std::cos in double after the other: of such a base, and
///               of a whole search of three rounds, where either stops at the first negative sum

namespace {

using namespace heed_bench;
using heed::index;

bool suffices_by_cosines(double base, index dim, index length) {
    if (!(base > 1)) return false;
    const heed::rope::frequencies rope = heed::rope::plain({.dim = dim, .base = base});
    for (index m = 0; m < length; ++m) {
        double sum = 0;
        for (const double theta : rope.angular()) sum += std::cos(static_cast<double>(m) * theta);
        if (sum < 0) return false;
    }
    return true;
}

double least_base_by_cosines(index dim, index length, int rounds) {
    double bound = 1000.0 * static_cast<double>(length), points = 10;
    for (int round = 0; round < rounds; ++round, points *= 10) {
        double j = 1;
        while (!suffices_by_cosines(bound * j / points, dim, length)) ++j;
        bound = bound * j / points;
    }
    return bound;
}

/// So large that it suffices for all the lengths here.
constexpr double large = 1e12;

void positions_share(benchmark::State& state) {
    const index dim = state.range(0), length = state.range(1);
    team threads(1);
    const auto flops = static_cast<double>(2 * dim * length);
    report_share(
        state, 1, [&] { benchmark::DoNotOptimize(heed::rope::base_suffices(large, dim, length)); },
        [&] { return flops * seconds_a_flop<float>(threads); });
}

void positions(benchmark::State& state) {
    const index dim = state.range(0), length = state.range(1);
    state.counters["cosines"] = time_over(
        state, [&] { benchmark::DoNotOptimize(heed::rope::base_suffices(large, dim, length)); },
        [&] { benchmark::DoNotOptimize(suffices_by_cosines(large, dim, length)); });
}

void search(benchmark::State& state) {
    const index dim = state.range(0), length = state.range(1);
    state.counters["cosines"] = time_over(
        state,
        [&] {
            benchmark::DoNotOptimize(
                heed::rope::least_base({.dim = dim, .length = length, .rounds = 3}));
        },
        [&] { benchmark::DoNotOptimize(least_base_by_cosines(dim, length, 3)); });
}

}  // namespace

BENCHMARK(positions_share)
    ->ArgNames({"d", "length"})
    ->Args({64, 1 << 20})
    ->Args({128, 1 << 20})
    ->Args({256, 1 << 20})
    ->UseManualTime();
BENCHMARK(positions)
    ->ArgNames({"d", "length"})
    ->Args({128, 1 << 16})
    ->Iterations(5)
    ->UseManualTime();
BENCHMARK(search)->ArgNames({"d", "length"})->Args({128, 1 << 12})->Iterations(5)->UseManualTime();
