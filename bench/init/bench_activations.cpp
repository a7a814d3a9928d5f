#include <cstddef>
#include <cstring>

#include <Eigen/Core>
#include <benchmark/benchmark.h>

#include <heed/init/activations/erf.hpp>
#include <heed/init/activations/gelu.hpp>
#include <heed/init/activations/gelu_tanh.hpp>
#include <heed/init/activations/silu.hpp>
#include <heed/init/activations/softplus.hpp>
#include <heed/init/activations/swiglu.hpp>

#include "../support/by_turns.hpp"

/// \file
/// Activations of rows, float, one thread. Counter `copies`: the time over that of a copy of the
/// rows in the same run.

namespace {

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// work(y, x, dy) on rows in cache.
template <class Work>
void against_copy(benchmark::State& state, Work&& work) {
    const row_major x = 3 * row_major::Random(state.range(0), state.range(1));
    const row_major dy = row_major::Random(state.range(0), state.range(1));
    row_major y = x, copy = x;
    const auto bytes = static_cast<std::size_t>(x.size()) * sizeof(float);
    constexpr std::ptrdiff_t repeats = 8;
    state.counters["copies"] = heed_bench::median_ratio(
        state, repeats, [&] { work(y, x, dy); },
        [&] {
            return heed_bench::mean_seconds(repeats, [&] {
                std::memcpy(copy.data(), x.data(), bytes);
                benchmark::ClobberMemory();
            });
        },
        [](double before, double after) { return (before + after) / 2; });
}

template <class Function>
void forward(benchmark::State& state, const Function& f) {
    against_copy(state, [&](auto& y, const auto& x, const auto&) { f.into(y, x); });
}
template <class Function>
void backward(benchmark::State& state, const Function& f) {
    against_copy(state, [&](auto& y, const auto& x, const auto& dy) { f.backward_into(y, x, dy); });
}

void swiglu(benchmark::State& state) {
    against_copy(state, [](auto& y, const auto& x, const auto& b) { heed::swiglu.into(y, x, b); });
}
void swiglu_backward(benchmark::State& state) {
    row_major db(state.range(0), state.range(1));
    against_copy(state, [&](auto& y, const auto& x, const auto& b) {
        heed::swiglu.backward_into(y, db, x, b, b);
    });
}

}  // namespace

BENCHMARK_CAPTURE(forward, erf, heed::erf)->Args({128, 1024})->UseManualTime();
BENCHMARK_CAPTURE(forward, gelu, heed::gelu)->Args({128, 1024})->UseManualTime();
BENCHMARK_CAPTURE(forward, gelu_tanh, heed::gelu_tanh)->Args({128, 1024})->UseManualTime();
BENCHMARK_CAPTURE(forward, silu, heed::silu)->Args({128, 1024})->UseManualTime();
BENCHMARK_CAPTURE(forward, softplus, heed::softplus)->Args({128, 1024})->UseManualTime();
BENCHMARK(swiglu)->Args({128, 1024})->UseManualTime();
BENCHMARK_CAPTURE(backward, gelu, heed::gelu)->Args({128, 1024})->UseManualTime();
BENCHMARK_CAPTURE(backward, gelu_tanh, heed::gelu_tanh)->Args({128, 1024})->UseManualTime();
BENCHMARK_CAPTURE(backward, silu, heed::silu)->Args({128, 1024})->UseManualTime();
BENCHMARK(swiglu_backward)->Args({128, 1024})->UseManualTime();

BENCHMARK_MAIN();
