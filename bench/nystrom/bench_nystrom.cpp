#include <algorithm>
#include <cstddef>

#include <Eigen/Core>
#include <benchmark/benchmark.h>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/attention.hpp>
#include <heed/nystrom/iterative_pseudo_inverse.hpp>
#include <heed/nystrom/nystrom_attention.hpp>

#include "support/by_turns.hpp"
#include "support/multiply_add_limit.hpp"
#include "support/problem.hpp"
#include "support/team.hpp"

/// \file
/// Nyström attention: `share` of the peak of fused multiply-adds of the threads used, the
/// operations those of its products; `of_exact`, its share over exact attention's at n = 2048,
/// measured by turns. `speedup` of two threads over one; `forward`, backward's time over forward's.

namespace {

using namespace heed_bench;

/// Multiplications and additions of a head's products, forward.
double forward_flops(double n, double m, double d, double rounds) {
    return 8 * n * m * d + 4 * m * m * d + 2 * m * m * m + 8 * rounds * m * m * m + 2 * m * m * d;
}

heed::nystrom_options with_landmarks(std::ptrdiff_t m) { return {.landmarks = m}; }

template <class T>
void forward(benchmark::State& state) {
    problem<T> in(square(state.range(0), state.range(1), state.range(2)));
    const auto options = with_landmarks(state.range(3));
    team threads(state.range(4));
    const double flops =
        static_cast<double>(state.range(0)) * forward_flops(static_cast<double>(state.range(1)),
                                                            static_cast<double>(state.range(3)),
                                                            static_cast<double>(state.range(2)), 6);
    report_share(
        state, repeats_for(flops),
        [&] { heed::nystrom_attention_into(in.o, in.q, in.k, in.v, options, threads.part()); },
        [&] { return flops * seconds_a_flop<T>(threads); });
}

/// The two large attentions alone, as exact attention computes any.
void halves(benchmark::State& state) {
    const std::ptrdiff_t heads = state.range(0), n = state.range(1), d = state.range(2),
                         m = state.range(3);
    problem<float> few({1, heads, heads, m, n, d}), many({1, heads, heads, n, m, d});
    team threads(1);
    const double flops = few.sizes.forward_flops() + many.sizes.forward_flops();
    report_share(
        state, repeats_for(flops),
        [&] {
            heed::attention_into(few.o, few.q, few.k, few.v);
            heed::attention_into(many.o, many.q, many.k, many.v);
        },
        [&] { return flops * seconds_a_flop<float>(threads); });
}

/// The pseudo-inverse alone, of as many matrices as heads.
void inverse(benchmark::State& state) {
    const std::ptrdiff_t heads = state.range(0), m = state.range(1);
    Eigen::Tensor<float, 3, Eigen::RowMajor> scores(heads, m, m);
    scores.setRandom();
    const Eigen::Tensor<float, 3, Eigen::RowMajor> a = heed::softmax(scores);
    Eigen::Tensor<float, 3, Eigen::RowMajor> p(heads, m, m);
    team threads(1);
    const double flops = 48.0 * static_cast<double>(heads * m * m * m);
    report_share(
        state, repeats_for(flops), [&] { heed::iterative_pseudo_inverse_into(p, a, 6); },
        [&] { return flops * seconds_a_flop<float>(threads); });
}

template <class Work>
void report_speedup(benchmark::State& state, Work&& run) {
    team one(1), two(2);
    state.counters["speedup"] = 1 / time_over(
                                        state, [&] { run(two); }, [&] { run(one); });
}

void two_threads(benchmark::State& state) {
    problem<float> in(square(state.range(0), state.range(1), state.range(2)));
    const auto options = with_landmarks(state.range(3));
    report_speedup(state, [&](team& threads) {
        heed::nystrom_attention_into(in.o, in.q, in.k, in.v, options, threads.part());
    });
}

/// The operations a second over those of exact attention at n = 2048, measured by turns.
void over_exact(benchmark::State& state) {
    problem<float> in(square(state.range(0), state.range(1), state.range(2)));
    problem<float> exact(square(1, 2048, state.range(2)));
    const auto options = with_landmarks(state.range(3));
    const double flops =
        static_cast<double>(state.range(0)) * forward_flops(static_cast<double>(state.range(1)),
                                                            static_cast<double>(state.range(3)),
                                                            static_cast<double>(state.range(2)), 6);
    const double time = time_over(
        state, [&] { heed::nystrom_attention_into(in.o, in.q, in.k, in.v, options); },
        [&] { heed::attention_into(exact.o, exact.q, exact.k, exact.v); });
    state.counters["of_exact"] = flops / exact.sizes.forward_flops() / time;
}

/// Backward; `forward`, its time over that of forward.
void backward_over_forward(benchmark::State& state) {
    problem<float> in(square(state.range(0), state.range(1), state.range(2)));
    const auto options = with_landmarks(state.range(3));
    const auto kept = heed::nystrom_attention_forward(in.q, in.k, in.v, options);
    const auto& o = kept.output;
    auto gradients = heed::nystrom_attention_backward(o, o, kept.stats, in.q, in.k, in.v, options);
    state.counters["forward"] = time_over(
        state,
        [&] {
            heed::nystrom_attention_backward_into(gradients, o, o, kept.stats, in.q, in.k, in.v,
                                                  options);
        },
        [&] { heed::nystrom_attention_into(in.o, in.q, in.k, in.v, options); });
}

}  // namespace

BENCHMARK_TEMPLATE(forward, float)
    ->ArgNames({"heads", "n", "d", "m", "threads"})
    ->ArgsProduct({{4}, {4096, 16384, 65536}, {64}, {64, 128, 256}, {1}})
    ->ArgsProduct({{4}, {4096, 65536}, {128}, {64, 256}, {1}})
    ->UseManualTime();
BENCHMARK_TEMPLATE(forward, double)
    ->ArgNames({"heads", "n", "d", "m", "threads"})
    ->ArgsProduct({{2}, {4096}, {64}, {64, 256}, {1}})
    ->UseManualTime();
BENCHMARK(halves)
    ->ArgNames({"heads", "n", "d", "m"})
    ->ArgsProduct({{4}, {4096, 65536}, {64}, {64, 128, 256}})
    ->UseManualTime();
BENCHMARK(inverse)
    ->ArgNames({"heads", "m"})
    ->ArgsProduct({{4}, {64, 128, 256, 512}})
    ->UseManualTime();
BENCHMARK(two_threads)
    ->ArgNames({"heads", "n", "d", "m"})
    ->ArgsProduct({{1, 4}, {4096, 65536}, {64}, {64, 256}})
    ->UseManualTime();
BENCHMARK(over_exact)
    ->ArgNames({"heads", "n", "d", "m"})
    ->ArgsProduct({{1}, {4096, 65536}, {64, 128}, {64, 128, 256}})
    ->UseManualTime();
BENCHMARK(backward_over_forward)
    ->ArgNames({"heads", "n", "d", "m"})
    ->ArgsProduct({{4}, {4096, 65536}, {64}, {64, 256}})
    ->UseManualTime();
