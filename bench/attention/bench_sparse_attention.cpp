#include <cstddef>

#include <benchmark/benchmark.h>

#include <heed/attention/attention.hpp>
#include <heed/attention/observers/row_measures.hpp>
#include <heed/softmax/sparse/entmax.hpp>
#include <heed/softmax/sparse/entmax15.hpp>
#include <heed/softmax/sparse/sparse_softmax.hpp>
#include <heed/softmax/sparse/sparsemax.hpp>

#include "support/backward_of.hpp"
#include "support/by_turns.hpp"
#include "support/problem.hpp"

/// \file
/// Attention with sparse normalisers: `of_plain` is the time over that of softmax, by turns;
/// `support` is the share of the keys that a row chooses. Two heads, n = 2048, float, one thread.
/// And the observers' `of_plain`.

namespace {

using namespace heed_bench;
constexpr std::ptrdiff_t heads = 2, n = 2048;

/// q and k normal; the scores' standard deviation is `percent` of what that gives.
problem<float> spread(std::ptrdiff_t dim, std::ptrdiff_t percent) {
    problem<float> in(square(heads, n, dim));
    in.q = in.q * (0.01F * static_cast<float>(percent));
    return in;
}

template <class Stats>
double mean_support(const Stats& stats) {
    double keys = 0;
    for (std::ptrdiff_t head = 0; head < heads; ++head)
        for (std::ptrdiff_t i = 0; i < n; ++i)
            keys += static_cast<double>(stats.support_size(0, head, i));
    return keys / static_cast<double>(heads * n * n);
}

template <class Normaliser>
void forward(benchmark::State& state, const Normaliser& normaliser) {
    auto in = spread(state.range(0), state.range(1));
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, normaliser);
    state.counters["support"] = mean_support(stats);
    state.counters["of_plain"] = time_over(
        state, [&] { heed::attention_into(in.o, in.q, in.k, in.v, normaliser); },
        [&] { heed::attention_into(in.o, in.q, in.k, in.v); });
}

template <class Normaliser>
void backward(benchmark::State& state, const Normaliser& normaliser) {
    auto in = spread(state.range(0), state.range(1));
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, normaliser);
    state.counters["support"] = mean_support(stats);
    state.counters["of_plain"] = time_over(state, backward_of(in, normaliser), backward_of(in));
}

void row_entropy(benchmark::State& state) {
    auto in = spread(state.range(0), 100);
    Eigen::Tensor<float, 3, Eigen::RowMajor> entropy(1, heads, n);
    state.counters["of_plain"] = time_over(
        state,
        [&] { heed::attention_into(in.o, in.q, in.k, in.v, heed::row_entropy.into(entropy)); },
        [&] { heed::attention_into(in.o, in.q, in.k, in.v); });
}

/// Normal scores at both dims; at one of them, scores from far apart to all equal.
void spreads(benchmark::internal::Benchmark* of) {
    of->ArgNames({"d", "spread"})->Args({128, 100})->UseManualTime();
    for (const int percent : {1000, 100, 30, 10, 3, 1, 0}) of->Args({64, percent});
}

void normal_scores(benchmark::internal::Benchmark* of) {
    of->ArgNames({"d", "spread"})->Args({64, 100})->Args({128, 100})->UseManualTime();
}

}  // namespace

BENCHMARK_CAPTURE(forward, sparsemax, heed::sparsemax)->Apply(spreads);
BENCHMARK_CAPTURE(forward, entmax15, heed::entmax15)->Apply(spreads);
BENCHMARK_CAPTURE(backward, sparsemax, heed::sparsemax)->Apply(spreads);
BENCHMARK_CAPTURE(backward, entmax15, heed::entmax15)->Apply(spreads);
BENCHMARK_CAPTURE(forward, entmax 1.25, heed::entmax(1.25))->Apply(normal_scores);
BENCHMARK_CAPTURE(forward, sparse_softmax 32, heed::sparse_softmax(32))->Apply(normal_scores);
BENCHMARK_CAPTURE(forward, sparse_softmax_by_mass 0.9, heed::sparse_softmax_by_mass(0.9))
    ->Apply(normal_scores);
BENCHMARK_CAPTURE(backward, entmax 1.25, heed::entmax(1.25))->Apply(normal_scores);
BENCHMARK_CAPTURE(backward, sparse_softmax 32, heed::sparse_softmax(32))->Apply(normal_scores);
BENCHMARK_CAPTURE(backward, sparse_softmax_by_mass 0.9, heed::sparse_softmax_by_mass(0.9))
    ->Apply(normal_scores);
BENCHMARK(row_entropy)->ArgNames({"d"})->Args({64})->Args({128})->UseManualTime();
