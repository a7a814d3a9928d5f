#include <cstddef>

#include <benchmark/benchmark.h>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rectified_rotary.hpp>
#include <heed/rope/rotary.hpp>

#include "support/backward_of.hpp"
#include "support/by_turns.hpp"
#include "support/problem.hpp"

/// \file
/// Attention with rotary positions over the same without (`of_plain`), by turns, at d = 64: one
/// head, which computes the table for itself alone, and eight. And rectified ones over plain rotary
/// (`of_rotary`), w = 256, causal and not, forward and backward.

namespace {

using namespace heed_bench;
constexpr std::ptrdiff_t dim = 64, window = 256;

void rotary(benchmark::State& state, heed::rope::pair_layout layout) {
    problem<float> in(square(state.range(0), state.range(1), dim));
    const auto rope = heed::rope::plain({.dim = dim, .layout = layout});
    state.counters["of_plain"] = time_over(
        state, [&] { heed::attention_into(in.o, in.q, in.k, in.v, heed::rotary(rope)); },
        [&] { heed::attention_into(in.o, in.q, in.k, in.v); });
}

template <class... Parts>
void rectified(benchmark::State& state, const Parts&... parts) {
    problem<float> in(square(state.range(0), state.range(1), dim));
    const auto rope = heed::rope::plain({.dim = dim});
    const auto part = heed::rectified_rotary(rope, window);
    state.counters["of_rotary"] = time_over(
        state, [&] { heed::attention_into(in.o, in.q, in.k, in.v, part, parts...); },
        [&] { heed::attention_into(in.o, in.q, in.k, in.v, heed::rotary(rope), parts...); });
}

template <class... Parts>
void rectified_backward(benchmark::State& state, const Parts&... parts) {
    problem<float> in(square(state.range(0), state.range(1), dim));
    const auto rope = heed::rope::plain({.dim = dim});
    state.counters["of_rotary"] =
        time_over(state, backward_of(in, heed::rectified_rotary(rope, window), parts...),
                  backward_of(in, heed::rotary(rope), parts...));
}

}  // namespace

BENCHMARK_CAPTURE(rotary, halves, heed::rope::halves)
    ->Args({1, 2048})
    ->Args({8, 512})
    ->Args({8, 2048})
    ->UseManualTime();
BENCHMARK_CAPTURE(rotary, interleaved, heed::rope::interleaved)->Args({1, 2048})->UseManualTime();
BENCHMARK_CAPTURE(rectified, causal, heed::causal)
    ->ArgNames({"heads", "n"})
    ->Args({4, 2048})
    ->Args({1, 8192})
    ->UseManualTime();
BENCHMARK_CAPTURE(rectified, bidirectional, heed::scale(0.125))
    ->ArgNames({"heads", "n"})
    ->Args({4, 2048})
    ->Args({1, 8192})
    ->UseManualTime();
BENCHMARK_CAPTURE(rectified_backward, causal, heed::causal)
    ->ArgNames({"heads", "n"})
    ->Args({4, 2048})
    ->UseManualTime();
BENCHMARK_CAPTURE(rectified_backward, bidirectional, heed::scale(0.125))
    ->ArgNames({"heads", "n"})
    ->Args({4, 2048})
    ->UseManualTime();
