#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

#include <benchmark/benchmark.h>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/attention.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotary.hpp>

/// \file
/// Attention with rotary positions over the same without, measured in turns (`plain` = 1 is the
/// time without), at d = 64: one head, which computes the table for itself alone, and eight.

namespace {

using clock_type = std::chrono::steady_clock;
using tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;

template <class F>
double seconds(F f) {
    const auto from = clock_type::now();
    f();
    return std::chrono::duration<double>(clock_type::now() - from).count();
}

void rotary(benchmark::State& state, heed::rope::pair_layout layout) {
    const Eigen::Index heads = state.range(0), n = state.range(1);
    tensor q(1, heads, n, 64), k(1, heads, n, 64), v(1, heads, n, 64), o(1, heads, n, 64);
    q.setRandom();
    k.setRandom();
    v.setRandom();
    const auto rope = heed::rope::plain({.dim = 64, .layout = layout});
    std::vector<double> ratios;
    for (auto _ : state) {
        const double without = seconds([&] { heed::attention_into(o, q, k, v); });
        const double with = seconds([&] { heed::attention_into(o, q, k, v, heed::rotary(rope)); });
        benchmark::DoNotOptimize(o.data());
        state.SetIterationTime(with);
        ratios.push_back(with / without);
    }
    const auto middle = ratios.begin() + static_cast<std::ptrdiff_t>(ratios.size() / 2);
    std::nth_element(ratios.begin(), middle, ratios.end());
    state.counters["plain"] = *middle;
}

}  // namespace

BENCHMARK_CAPTURE(rotary, halves, heed::rope::halves)
    ->Args({1, 2048})
    ->Args({8, 512})
    ->Args({8, 2048})
    ->UseManualTime();
BENCHMARK_CAPTURE(rotary, interleaved, heed::rope::interleaved)->Args({1, 2048})->UseManualTime();
