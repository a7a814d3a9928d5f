#include <random>

#include <Eigen/Core>
#include <benchmark/benchmark.h>

#include <heed/softmax/entmax.hpp>
#include <heed/softmax/entmax15.hpp>
#include <heed/softmax/soft_top_k.hpp>
#include <heed/softmax/softmax.hpp>
#include <heed/softmax/sparse_softmax.hpp>
#include <heed/softmax/sparsemax.hpp>

#include "support/by_turns.hpp"

/// \file
/// The sparse normalisers on rows, float, one thread, beside heed::softmax of the same rows:
/// counter `softmaxes` is the time over that of softmax, forward or backward, run by turns. The
/// third argument is the standard deviation of the scores, in hundredths.

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
void forward(benchmark::State& state, const Normaliser& normaliser) {
    const row_major x = scores(state);
    row_major y = x, z = x;
    state.counters["softmaxes"] = heed_bench::time_over(
        state, [&] { normaliser.into(y, x); }, [&] { heed::softmax.into(z, x); });
}

template <class Normaliser>
void backward(benchmark::State& state, const Normaliser& normaliser) {
    const row_major x = scores(state), dp = row_major::Random(x.rows(), x.cols());
    const row_major p = normaliser(x), q = heed::softmax(x);
    row_major y = x, z = x;
    state.counters["softmaxes"] = heed_bench::time_over(
        state, [&] { normaliser.backward_into(y, x, p, dp); },
        [&] { heed::softmax.backward_into(z, x, q, dp); });
}

void rows(benchmark::internal::Benchmark* measurement) {
    measurement->Args({4096, 1024, 100})->Args({4096, 1024, 0})->Args({32, 131072, 100});
    measurement->UseManualTime();
}

}  // namespace

BENCHMARK_CAPTURE(forward, sparsemax, heed::sparsemax)->Apply(rows);
BENCHMARK_CAPTURE(forward, entmax15, heed::entmax15)->Apply(rows);
BENCHMARK_CAPTURE(forward, entmax_1 .25, heed::entmax(1.25))->Apply(rows);
BENCHMARK_CAPTURE(forward, entmax_1 .75, heed::entmax(1.75))->Apply(rows);
BENCHMARK_CAPTURE(forward, entmax_4, heed::entmax(4))->Apply(rows);
BENCHMARK_CAPTURE(forward, sparse_softmax_32, heed::sparse_softmax(32))->Apply(rows);
BENCHMARK_CAPTURE(forward, sparse_softmax_by_mass_0 .9, heed::sparse_softmax_by_mass(0.9))
    ->Apply(rows);
BENCHMARK_CAPTURE(forward, soft_top_k_32, heed::soft_top_k(32))->Apply(rows);
BENCHMARK_CAPTURE(backward, sparsemax, heed::sparsemax)->Apply(rows);
BENCHMARK_CAPTURE(backward, entmax15, heed::entmax15)->Apply(rows);
BENCHMARK_CAPTURE(backward, entmax_1 .25, heed::entmax(1.25))->Apply(rows);
BENCHMARK_CAPTURE(backward, sparse_softmax_32, heed::sparse_softmax(32))->Apply(rows);
BENCHMARK_CAPTURE(backward, soft_top_k_32, heed::soft_top_k(32))->Apply(rows);

BENCHMARK_MAIN();
