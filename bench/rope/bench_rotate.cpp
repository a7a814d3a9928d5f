#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <vector>

#include <benchmark/benchmark.h>
#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/core/parallel.hpp>
#include <heed/rope/axes.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/positions.hpp>
#include <heed/rope/rotate.hpp>
#include <heed/rope/rotate_axes.hpp>

/// \file
/// Rotating [1, 32, n, 128] floats, and the share of a copy of the same bytes: `copies` is the time
/// over that of std::memcpy on the same thread, measured in turns, so that a busy machine slows
/// both.

namespace {

using clock_type = std::chrono::steady_clock;
using tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;

double seconds(clock_type::time_point from) {
    return std::chrono::duration<double>(clock_type::now() - from).count();
}

/// Runs `rotate` and a copy by turns; reports the median of the ratios of neighbours.
template <class Rotate>
void against_copy(benchmark::State& state, const tensor& x, tensor& y, Rotate rotate) {
    const auto bytes = static_cast<std::size_t>(x.size()) * sizeof(float);
    tensor other(x.dimensions());
    std::memcpy(other.data(), x.data(), bytes);
    std::vector<double> ratios;
    for (auto _ : state) {
        const auto before_copy = clock_type::now();
        std::memcpy(other.data(), x.data(), bytes);
        benchmark::ClobberMemory();
        const double copying = seconds(before_copy);
        const auto before = clock_type::now();
        rotate();
        benchmark::ClobberMemory();
        const double rotating = seconds(before);
        state.SetIterationTime(rotating);
        ratios.push_back(rotating / copying);
    }
    std::nth_element(ratios.begin(), ratios.begin() + static_cast<long>(ratios.size() / 2),
                     ratios.end());
    state.counters["copies"] = ratios[ratios.size() / 2];
    state.SetBytesProcessed(static_cast<std::int64_t>(2 * bytes) * state.iterations());
    benchmark::DoNotOptimize(y.data());
}

tensor heads_of(Eigen::Index n) {
    tensor x(1, 32, n, 128);
    x.setRandom();
    return x;
}

void apart(benchmark::State& state, heed::rope::pair_layout layout) {
    const tensor x = heads_of(state.range(0));
    tensor y(x.dimensions());
    y.setZero();
    const auto rope = heed::rope::plain({.dim = 128, .layout = layout});
    against_copy(state, x, y, [&] { heed::rotate_into(y, x, rope); });
}

void in_place(benchmark::State& state, heed::rope::pair_layout layout) {
    const tensor x = heads_of(state.range(0));
    tensor y = x;
    const auto rope = heed::rope::plain({.dim = 128, .layout = layout});
    against_copy(state, x, y, [&] { heed::rotate_into(y, y, rope); });
}

/// Memory [batch, sequence, heads, dim].
void heads_inside(benchmark::State& state) {
    const auto n = state.range(0);
    const tensor x = heads_of(n);
    tensor y(x.dimensions());
    y.setZero();
    const auto rope = heed::rope::plain({.dim = 128});
    const auto from = heed::view(x.data(), {1, 32, n, 128}, {0, 128, 32 * 128, 1});
    const auto to = heed::view(y.data(), {1, 32, n, 128}, {0, 128, 32 * 128, 1});
    against_copy(state, x, y, [&] { heed::rotate_into(to, from, rope); });
}

/// A column-major matrix of all rows.
void column_major(benchmark::State& state) {
    const auto n = state.range(0);
    const tensor x = heads_of(n);
    tensor y(x.dimensions());
    y.setZero();
    const auto rope = heed::rope::plain({.dim = 128});
    const auto from = heed::view(x.data(), {32 * n, 128}, {1, 32 * n});
    const auto to = heed::view(y.data(), {32 * n, 128}, {1, 32 * n});
    against_copy(state, x, y, [&] { heed::rotate_into(to, from, rope); });
}

/// Any positions: here fractions.
void positions(benchmark::State& state) {
    const tensor x = heads_of(state.range(0));
    tensor y(x.dimensions());
    y.setZero();
    const auto rope = heed::rope::plain({.dim = 128});
    std::vector<double> where(static_cast<std::size_t>(state.range(0)));
    for (std::size_t i = 0; i < where.size(); ++i) where[i] = 1.37 * static_cast<double>(i);
    against_copy(state, x, y, [&] { heed::rotate_into(y, x, rope, where); });
}

/// Along three axes, of a video's 16 frames.
void axes(benchmark::State& state) {
    const tensor x = heads_of(state.range(0));
    tensor y(x.dimensions());
    y.setZero();
    const auto rope = heed::rope::sections(heed::rope::plain({.dim = 128}), {16, 24, 24});
    const auto where = heed::rope::grid_positions({16, state.range(0) / 256, 16});
    against_copy(state, x, y, [&] { heed::rotate_into(y, x, rope, where); });
}

/// The ratio is to a copy by one thread.
void two_threads(benchmark::State& state) {
    const tensor x = heads_of(state.range(0));
    tensor y(x.dimensions());
    y.setZero();
    const auto rope = heed::rope::plain({.dim = 128});
    Eigen::ThreadPool pool(1);
    against_copy(state, x, y, [&] { heed::rotate_into(y, x, rope, heed::on(pool)); });
}

}  // namespace

BENCHMARK_CAPTURE(apart, halves, heed::rope::halves)->Arg(256)->Arg(4096)->UseManualTime();
BENCHMARK_CAPTURE(apart, interleaved, heed::rope::interleaved)
    ->Arg(256)
    ->Arg(4096)
    ->UseManualTime();
BENCHMARK_CAPTURE(in_place, halves, heed::rope::halves)->Arg(256)->Arg(4096)->UseManualTime();
BENCHMARK_CAPTURE(in_place, interleaved, heed::rope::interleaved)
    ->Arg(256)
    ->Arg(4096)
    ->UseManualTime();
BENCHMARK(heads_inside)->Arg(256)->Arg(4096)->UseManualTime();
BENCHMARK(column_major)->Arg(256)->Arg(4096)->UseManualTime();
BENCHMARK(positions)->Arg(4096)->UseManualTime();
BENCHMARK(axes)->Arg(4096)->UseManualTime();
BENCHMARK(two_threads)->Arg(4096)->UseManualTime();
