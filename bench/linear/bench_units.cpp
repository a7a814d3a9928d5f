#include <cstddef>

#include <Eigen/Core>
#include <benchmark/benchmark.h>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/linear/units/linear_recurrent_unit.hpp>
#include <heed/linear/units/real_linear_recurrent_unit.hpp>
#include <heed/linear/units/rwkv.hpp>
#include <heed/linear/units/unit_state.hpp>

#include "../support/by_turns.hpp"
#include "../support/memory_limit.hpp"
#include "../support/team.hpp"

/// \file
/// Recurrent units, float: [batch, tokens, channels] far larger than the caches. Counter `share` of
/// the limit, which is reading as many bytes as the call reads and writes.

namespace {

using namespace heed_bench;

using tensor = Eigen::Tensor<float, 3, Eigen::RowMajor>;
using vector = Eigen::VectorXf;

/// Tensors of the extents of a benchmark, and its threads.
struct inputs {
    explicit inputs(const benchmark::State& state)
        : extents{state.range(0), state.range(1), state.range(2)}, threads(state.range(3)) {}

    tensor random() const {
        tensor x(extents);
        x.setRandom();
        return x;
    }
    /// A number for each channel, which may have several `parts`.
    vector parameter(float low, float high, int parts = 1) const {
        return (low + (high - low) / 2 * (vector::Random(extents[2] / parts).array() + 1)).matrix();
    }
    /// Seconds of reading what `tensors` such tensors have.
    double limit(int tensors) {
        const auto numbers = static_cast<double>(extents[0] * extents[1] * extents[2]);
        return tensors * numbers * sizeof(float) * limits().seconds_a_byte_read(threads);
    }

    Eigen::array<Eigen::Index, 3> extents;
    team threads;

  private:
    static memory& limits() {
        static memory all;
        return all;
    }
};

template <class Work>
void measure(benchmark::State& state, inputs& in, int tensors, Work&& work) {
    report_share(state, 1, work, [&] { return in.limit(tensors); });
}

void rwkv(benchmark::State& state) {
    inputs in(state);
    const tensor r = in.random(), k = in.random(), v = in.random();
    tensor o = in.random();
    const auto unit = heed::rwkv(in.parameter(-5, 1), in.parameter(-1, 1));
    measure(state, in, 4, [&] { unit.into(o, r, k, v, in.threads.part()); });
}
void rwkv_backward(benchmark::State& state) {
    inputs in(state);
    const tensor r = in.random(), k = in.random(), v = in.random(), d_o = in.random();
    const auto unit = heed::rwkv(in.parameter(-5, 1), in.parameter(-1, 1));
    auto gradient = unit.backward(d_o, r, k, v);
    measure(state, in, 7, [&] { unit.backward_into(gradient, d_o, r, k, v, in.threads.part()); });
}
/// One token of a batch: the state is most of what is read.
void rwkv_step(benchmark::State& state) {
    inputs in(state);
    const tensor r = in.random(), k = in.random(), v = in.random();
    tensor o = in.random();
    heed::unit_state<float> carried;
    const auto unit = heed::rwkv(in.parameter(-5, 1), in.parameter(-1, 1));
    measure(state, in, 12, [&] { unit.into(o, r, k, v, heed::carry(carried), in.threads.part()); });
}

void lru(benchmark::State& state) {
    inputs in(state);
    const tensor u = in.random();
    tensor x = in.random();
    const auto unit = heed::linear_recurrent_unit(
        in.parameter(-6, -2, 2), in.parameter(-2, 1.8F, 2), in.parameter(0.1F, 1, 2));
    measure(state, in, 2, [&] { unit.into(x, u, in.threads.part()); });
}
void lru_backward(benchmark::State& state) {
    inputs in(state);
    const tensor u = in.random(), dx = in.random();
    const auto unit = heed::linear_recurrent_unit(
        in.parameter(-6, -2, 2), in.parameter(-2, 1.8F, 2), in.parameter(0.1F, 1, 2));
    const tensor x = unit(u);
    auto gradient = unit.backward(dx, x, u);
    measure(state, in, 4, [&] { unit.backward_into(gradient, dx, x, u, in.threads.part()); });
}
void slru(benchmark::State& state) {
    inputs in(state);
    const tensor u = in.random();
    tensor x = in.random();
    const auto unit = heed::real_linear_recurrent_unit(in.parameter(-6, -2), in.parameter(0.1F, 1));
    measure(state, in, 2, [&] { unit.into(x, u, in.threads.part()); });
}

void extents(benchmark::internal::Benchmark* of) {
    for (const int threads : {1, 2}) of->Args({2, 4096, 1024, threads});
    of->ArgNames({"batch", "tokens", "channels", "threads"})->UseManualTime();
}

}  // namespace

BENCHMARK(rwkv)->Apply(extents);
BENCHMARK(rwkv_backward)->Apply(extents);
BENCHMARK(rwkv_step)
    ->Args({2048, 1, 1024, 1})
    ->ArgNames({"batch", "tokens", "channels", "threads"})
    ->UseManualTime();
BENCHMARK(lru)->Apply(extents);
BENCHMARK(lru_backward)->Apply(extents);
BENCHMARK(slru)->Apply(extents);

BENCHMARK_MAIN();
