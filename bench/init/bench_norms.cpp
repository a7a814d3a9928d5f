#include <cstddef>
#include <cstring>

#include <Eigen/Core>
#include <benchmark/benchmark.h>

#include <heed/init/layer_norm.hpp>
#include <heed/init/rms_norm.hpp>

#include "../support/by_turns.hpp"

/// \file
/// Norms of rows, float, one thread. Counter `copies`: the time over that of a copy of the rows in
/// the same run.

namespace {

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// work(y, x) on rows in cache.
template <class Work>
void against_copy(benchmark::State& state, Work&& work) {
    const row_major x = row_major::Random(state.range(0), state.range(1));
    row_major y = x, copy = x;
    const auto bytes = static_cast<std::size_t>(x.size()) * sizeof(float);
    constexpr std::ptrdiff_t repeats = 8;
    state.counters["copies"] = heed_bench::median_ratio(
        state, repeats, [&] { work(y, x); },
        [&] {
            return heed_bench::mean_seconds(repeats, [&] {
                std::memcpy(copy.data(), x.data(), bytes);
                benchmark::ClobberMemory();
            });
        },
        [](double before, double after) { return (before + after) / 2; });
}

Eigen::VectorXf ones(benchmark::State& state) { return Eigen::VectorXf::Ones(state.range(1)); }

void layer_norm(benchmark::State& state) {
    const auto norm = heed::layer_norm(ones(state), ones(state));
    against_copy(state, [&](auto& y, const auto& x) { norm.into(y, x); });
}
void rms_norm(benchmark::State& state) {
    const auto norm = heed::rms_norm(ones(state));
    against_copy(state, [&](auto& y, const auto& x) { norm.into(y, x); });
}
void layer_norm_backward(benchmark::State& state) {
    const auto norm = heed::layer_norm(ones(state), ones(state));
    Eigen::VectorXf d_gamma = ones(state), d_beta = d_gamma;
    against_copy(state,
                 [&](auto& y, const auto& x) { norm.backward_into(y, d_gamma, d_beta, x, x); });
}

}  // namespace

BENCHMARK(layer_norm)->Args({512, 1024})->UseManualTime();
BENCHMARK(rms_norm)->Args({512, 1024})->UseManualTime();
BENCHMARK(layer_norm_backward)->Args({512, 1024})->UseManualTime();

BENCHMARK_MAIN();
