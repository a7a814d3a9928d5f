#include <random>

#include <Eigen/Core>
#include <benchmark/benchmark.h>

#include <heed/softmax/softmax.hpp>
#include <heed/softmax/sparse/entmax.hpp>
#include <heed/softmax/sparse/entmax15.hpp>
#include <heed/softmax/sparse/soft_top_k.hpp>
#include <heed/softmax/sparse/sparse_softmax.hpp>
#include <heed/softmax/sparse/sparsemax.hpp>

#include "support/by_turns.hpp"

/// \file
/// The sparse normalisers on rows, float, one thread: `of_softmax` is the time over that of
/// heed::softmax, forward or backward, by turns. The spread is the standard deviation of the scores
/// in hundredths; without any, all of a row is in the support.

namespace {

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Normal numbers, the same in every run.
row_major scores(const benchmark::State& state) {
    std::mt19937_64 engine(1);
    std::normal_distribution<float> normal(0, static_cast<float>(state.range(2)) / 100);
    row_major x(state.range(0), state.range(1));
    for (Eigen::Index i = 0; i < x.size(); ++i) x.data()[i] = normal(engine);
    return x;
}

template <class Normaliser>
void sparse_rows(benchmark::State& state, const Normaliser& normaliser) {
    const row_major x = scores(state);
    row_major y = x, z = x;
    state.counters["of_softmax"] = heed_bench::time_over(
        state, [&] { normaliser.into(y, x); }, [&] { heed::softmax.into(z, x); });
}

template <class Normaliser>
void sparse_rows_backward(benchmark::State& state, const Normaliser& normaliser) {
    const row_major x = scores(state), dp = row_major::Random(x.rows(), x.cols());
    const row_major p = normaliser(x), q = heed::softmax(x);
    row_major y = x, z = x;
    state.counters["of_softmax"] = heed_bench::time_over(
        state, [&] { normaliser.backward_into(y, x, p, dp); },
        [&] { heed::softmax.backward_into(z, x, q, dp); });
}

void rows(benchmark::internal::Benchmark* measurement) {
    measurement->ArgNames({"rows", "columns", "spread"});
    measurement->Args({4096, 1024, 100})->Args({4096, 1024, 0})->Args({32, 131072, 100});
    measurement->UseManualTime();
}

}  // namespace

BENCHMARK_CAPTURE(sparse_rows, sparsemax, heed::sparsemax)->Apply(rows);
BENCHMARK_CAPTURE(sparse_rows, entmax15, heed::entmax15)->Apply(rows);
BENCHMARK_CAPTURE(sparse_rows, entmax 1.25, heed::entmax(1.25))->Apply(rows);
BENCHMARK_CAPTURE(sparse_rows, entmax 1.75, heed::entmax(1.75))->Apply(rows);
BENCHMARK_CAPTURE(sparse_rows, entmax 4, heed::entmax(4))->Apply(rows);
BENCHMARK_CAPTURE(sparse_rows, sparse_softmax 32, heed::sparse_softmax(32))->Apply(rows);
BENCHMARK_CAPTURE(sparse_rows, sparse_softmax_by_mass 0.9, heed::sparse_softmax_by_mass(0.9))
    ->Apply(rows);
BENCHMARK_CAPTURE(sparse_rows, soft_top_k 32, heed::soft_top_k(32))->Apply(rows);
BENCHMARK_CAPTURE(sparse_rows_backward, sparsemax, heed::sparsemax)->Apply(rows);
BENCHMARK_CAPTURE(sparse_rows_backward, entmax15, heed::entmax15)->Apply(rows);
BENCHMARK_CAPTURE(sparse_rows_backward, entmax 1.25, heed::entmax(1.25))->Apply(rows);
BENCHMARK_CAPTURE(sparse_rows_backward, sparse_softmax 32, heed::sparse_softmax(32))->Apply(rows);
BENCHMARK_CAPTURE(sparse_rows_backward, soft_top_k 32, heed::soft_top_k(32))->Apply(rows);

BENCHMARK_MAIN();
