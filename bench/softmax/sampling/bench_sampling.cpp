#include <cstddef>
#include <cstring>

#include <Eigen/Core>
#include <benchmark/benchmark.h>

#include <heed/core/random.hpp>
#include <heed/softmax/sampling/greedy.hpp>
#include <heed/softmax/sampling/sample.hpp>

#include "../../support/by_turns.hpp"

/// \file
/// Tokens from rows of logits as long as a vocabulary, float, one thread. Counter `copies`: the
/// time over that of a copy of the rows in the same run.

namespace {

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// choose(x), x of normal logits of deviation 3.
template <class Choose>
void against_copy(benchmark::State& state, const Choose& choose) {
    row_major x(1, state.range(0));
    const heed::random_numbers numbers(1);
    for (Eigen::Index j = 0; j < x.size(); ++j) x(0, j) = 3 * numbers.normal<float>(0, j);
    row_major copy = x;
    const auto bytes = static_cast<std::size_t>(x.size()) * sizeof(float);
    constexpr std::ptrdiff_t repeats = 4;
    state.counters["copies"] = heed_bench::median_ratio(
        state, repeats, [&] { benchmark::DoNotOptimize(choose(x)); },
        [&] {
            return heed_bench::mean_seconds(repeats, [&] {
                std::memcpy(copy.data(), x.data(), bytes);
                benchmark::ClobberMemory();
            });
        },
        [](double before, double after) { return (before + after) / 2; });
}

void greedy(benchmark::State& state) {
    against_copy(state, [](const auto& x) { return heed::greedy(x)(0); });
}
void sample(benchmark::State& state, const heed::sample_function& f) {
    heed::index step = 0;
    against_copy(state, [&](const auto& x) { return f(x, {.seed = 1, .step = step++})(0); });
}

}  // namespace

BENCHMARK(greedy)->Arg(131072)->UseManualTime();
BENCHMARK_CAPTURE(sample, all, heed::sample)->Arg(131072)->UseManualTime();
BENCHMARK_CAPTURE(sample, top_k, heed::sample.top_k(40))->Arg(131072)->UseManualTime();
BENCHMARK_CAPTURE(sample, top_p, heed::sample.top_p(0.9))->Arg(131072)->UseManualTime();
BENCHMARK_CAPTURE(sample, min_p, heed::sample.min_p(0.05))->Arg(131072)->UseManualTime();

BENCHMARK_MAIN();
