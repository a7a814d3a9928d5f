#include <cstddef>
#include <cstring>
#include <vector>

#include <Eigen/Core>
#include <benchmark/benchmark.h>

#include <heed/softmax/losses/cross_entropy.hpp>
#include <heed/softmax/losses/entmax_loss.hpp>
#include <heed/softmax/losses/sparse_softmax_cross_entropy.hpp>
#include <heed/softmax/losses/sparsemax_loss.hpp>

#include "support/by_turns.hpp"

/// \file
/// Losses on rows of logits with their gradients, float, one thread. Counter `copies`: the time
/// over that of reading the logits once and writing as many bytes once, a copy, in the same run.

namespace {

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <class Matrix, class Loss>
void against_copy(benchmark::State& state, const Loss& loss) {
    const Matrix x = 4 * Matrix::Random(state.range(0), state.range(1));
    std::vector<int> labels(static_cast<std::size_t>(x.rows()));
    for (std::size_t row = 0; row < labels.size(); ++row)
        labels[row] = static_cast<int>(row * 7919 % static_cast<std::size_t>(x.cols()));
    Matrix dx = x, copy = x;
    float value = 0;
    const auto bytes = static_cast<std::size_t>(x.size()) * sizeof(float);
    const auto repeats = static_cast<std::ptrdiff_t>(1 + (std::size_t{1} << 22) / bytes);
    state.counters["copies"] = heed_bench::median_ratio(
        state, repeats, [&] { loss.gradient_into(value, dx, x, labels); },
        [&] {
            return heed_bench::mean_seconds(repeats, [&] {
                std::memcpy(copy.data(), x.data(), bytes);
                benchmark::ClobberMemory();
            });
        },
        [](double before, double after) { return (before + after) / 2; });
}

void cross_entropy(benchmark::State& state) { against_copy<row_major>(state, heed::cross_entropy); }
void cross_entropy_smoothed(benchmark::State& state) {
    against_copy<row_major>(state, heed::cross_entropy.label_smoothing(0.1));
}
void cross_entropy_weighted(benchmark::State& state) {
    const Eigen::VectorXf weights = Eigen::VectorXf::Constant(state.range(1), 0.5F);
    against_copy<row_major>(state, heed::cross_entropy.class_weights(weights));
}
void cross_entropy_of_columns(benchmark::State& state) {
    against_copy<Eigen::MatrixXf>(state, heed::cross_entropy);
}
void sparsemax_loss(benchmark::State& state) {
    against_copy<row_major>(state, heed::sparsemax_loss);
}
void entmax_loss(benchmark::State& state) {
    against_copy<row_major>(state, heed::entmax_loss(1.5));
}
void sparse_softmax_cross_entropy(benchmark::State& state) {
    against_copy<row_major>(state, heed::sparse_softmax_cross_entropy(32));
}

}  // namespace

BENCHMARK(cross_entropy)
    ->Args({256, 131072})
    ->Args({256, 131071})
    ->Args({4096, 1000})
    ->UseManualTime();
BENCHMARK(cross_entropy_smoothed)->Args({256, 131072})->UseManualTime();
BENCHMARK(cross_entropy_weighted)->Args({64, 131072})->UseManualTime();
BENCHMARK(cross_entropy_of_columns)->Args({4096, 1000})->UseManualTime();
BENCHMARK(sparsemax_loss)->Args({64, 131072})->UseManualTime();
BENCHMARK(entmax_loss)->Args({64, 131072})->UseManualTime();
BENCHMARK(sparse_softmax_cross_entropy)->Args({64, 131072})->UseManualTime();

BENCHMARK_MAIN();
