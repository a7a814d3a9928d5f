#include <cmath>
#include <cstddef>

#include <Eigen/Core>
#include <benchmark/benchmark.h>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/masks/causal.hpp>
#include <heed/linear/bonus.hpp>
#include <heed/linear/decays/decay.hpp>
#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/linear_attention.hpp>
#include <heed/linear/linear_state.hpp>
#include <heed/linear/maps/elu_plus_one.hpp>
#include <heed/linear/maps/exp_features.hpp>
#include <heed/linear/maps/favor.hpp>
#include <heed/linear/maps/random_features.hpp>
#include <heed/linear/unit_rows.hpp>
#include <heed/linear/updates/delta.hpp>
#include <heed/linear/updates/erase.hpp>
#include <heed/linear/updates/low_rank.hpp>

#include "../support/by_turns.hpp"
#include "../support/multiply_add_limit.hpp"
#include "../support/problem.hpp"
#include "../support/team.hpp"

/// \file
/// Linear attention, float: `share` of the peak of fused multiply-adds of the threads used, by the
/// formula of the state: 4·m·d_v operations a token forward and 10·m·d_v backward, m features, and
/// for FAVOR+ 4·m·d more for its products, and by an update 6·d·d_v forward and 18·d·d_v
/// backward. What a chunk costs within itself is not counted.

namespace {

using namespace heed_bench;

/// Tensors of the extents of a benchmark, and its threads.
struct inputs : problem<float> {
    explicit inputs(const benchmark::State& state)
        : problem<float>(square(state.range(0), state.range(1), state.range(2))),
          threads(state.range(3)) {}

    /// `products` operations a token, feature and channel.
    double flops(double products, std::ptrdiff_t features) const {
        return products * static_cast<double>(sizes.heads * sizes.keys) *
               static_cast<double>(features * sizes.dim);
    }
    double flops(double products) const { return flops(products, sizes.dim); }

    // What parts take: numbers of every token, or of its channels too, in steps from 0 on.
    using of_tokens = Eigen::Tensor<float, 3, Eigen::RowMajor>;
    using of_channels = Eigen::Tensor<float, 4, Eigen::RowMajor>;
    of_tokens decays() const { return steps(of_tokens(1, sizes.heads, sizes.keys), -0.01F, 17); }
    of_channels channel_decays() const { return steps(of_channels(k.dimensions()), -0.01F, 17); }
    of_tokens beta() const { return steps(of_tokens(1, sizes.heads, sizes.keys), 0.05F, 19); }
    of_channels shares() const { return steps(of_channels(k.dimensions()), 0.05F, 19); }
    /// Rows of length 1.
    of_channels directions() const {
        of_channels x(k.dimensions());
        return x.setConstant(-1 / std::sqrt(static_cast<float>(sizes.dim)));
    }
    Eigen::MatrixXf bonus() const {
        return Eigen::MatrixXf::Constant(sizes.heads, sizes.dim, 0.5F);
    }

    team threads;

  private:
    template <class Numbers>
    static Numbers steps(Numbers x, float step, std::ptrdiff_t period) {
        for (std::ptrdiff_t i = 0; i < x.size(); ++i)
            x.data()[i] = step * static_cast<float>(i % period);
        return x;
    }
};

template <class Work>
void measure(benchmark::State& state, inputs& in, double flops, Work&& work,
             std::ptrdiff_t repeats = 1) {
    report_share(state, repeats, work, [&] { return flops * seconds_a_flop<float>(in.threads); });
}
template <class... Parts>
void forward(benchmark::State& state, inputs& in, double flops, const Parts&... parts) {
    measure(state, in, flops, [&] {
        heed::linear_attention_into(in.o, in.q, in.k, in.v, parts..., in.threads.part());
    });
}
/// With the gradients of all that is learned.
template <class... Parts>
void backward(benchmark::State& state, inputs& in, double flops, const Parts&... parts) {
    heed::linear_stats<float> stats;
    heed::linear_attention_forward_into(in.o, stats, in.q, in.k, in.v, parts...);
    auto gradients = heed::linear_attention_backward(in.v, in.o, stats, in.q, in.k, in.v, parts...);
    measure(state, in, flops, [&] {
        heed::linear_attention_backward_into(gradients, in.v, in.o, stats, in.q, in.k, in.v,
                                             parts..., in.threads.part());
    });
}

void causal(benchmark::State& state) {
    inputs in(state);
    forward(state, in, in.flops(4), heed::causal, heed::elu_plus_one);
}
void bidirectional(benchmark::State& state) {
    inputs in(state);
    forward(state, in, in.flops(4), heed::elu_plus_one);
}
void causal_exp(benchmark::State& state) {
    inputs in(state);
    forward(state, in, in.flops(4), heed::causal, heed::exp_features);
}
void causal_favor(benchmark::State& state) {
    inputs in(state);
    const heed::random_features features({.dim = in.sizes.dim, .count = 256, .seed = 1});
    forward(state, in, in.flops(8, 256), heed::causal, heed::favor(features));
}
/// No map, and nothing divides: what decays and updates are to be compared with.
void causal_no_map(benchmark::State& state) {
    inputs in(state);
    forward(state, in, in.flops(4), heed::causal);
}
void causal_decay(benchmark::State& state) {
    inputs in(state);
    forward(state, in, in.flops(4), heed::causal, heed::decay(0.97));
}
void causal_log_decay(benchmark::State& state) {
    inputs in(state);
    forward(state, in, in.flops(4), heed::causal, heed::log_decay(in.decays()));
}
void causal_channel_decay(benchmark::State& state) {
    inputs in(state);
    forward(state, in, in.flops(4), heed::causal, heed::log_decay(in.channel_decays()));
}
void causal_bonus(benchmark::State& state) {
    inputs in(state);
    forward(state, in, in.flops(4), heed::causal, heed::log_decay(in.channel_decays()),
            heed::bonus(in.bonus()));
}
void causal_delta(benchmark::State& state) {
    inputs in(state);
    forward(state, in, in.flops(6), heed::causal, heed::log_decay(in.decays()),
            heed::delta(in.beta()), heed::unit_rows);
}
void causal_channel_delta(benchmark::State& state) {
    inputs in(state);
    forward(state, in, in.flops(6), heed::causal, heed::log_decay(in.channel_decays()),
            heed::delta(in.beta()), heed::unit_rows);
}
void causal_erase(benchmark::State& state) {
    inputs in(state);
    forward(state, in, in.flops(6), heed::causal, heed::log_decay(in.decays()),
            heed::erase(in.shares(), in.shares()), heed::unit_rows);
}
/// RWKV-7: of low rank, beside decays a channel; 12·d·d_v operations.
void causal_low_rank(benchmark::State& state) {
    inputs in(state);
    const auto a = in.directions();
    const inputs::of_channels b = a * a.constant(-0.5F);
    forward(state, in, in.flops(12), heed::causal, heed::log_decay(in.channel_decays()),
            heed::low_rank(a, b), heed::unit_rows);
}
void causal_backward(benchmark::State& state) {
    inputs in(state);
    backward(state, in, in.flops(10), heed::causal, heed::elu_plus_one);
}
void causal_log_decay_backward(benchmark::State& state) {
    inputs in(state);
    backward(state, in, in.flops(10), heed::causal, heed::learn(heed::log_decay(in.decays())));
}
void causal_channel_decay_backward(benchmark::State& state) {
    inputs in(state);
    backward(state, in, in.flops(10), heed::causal,
             heed::learn(heed::log_decay(in.channel_decays())));
}
void causal_bonus_backward(benchmark::State& state) {
    inputs in(state);
    backward(state, in, in.flops(10), heed::causal,
             heed::learn(heed::log_decay(in.channel_decays())),
             heed::learn(heed::bonus(in.bonus())));
}
void causal_delta_backward(benchmark::State& state) {
    inputs in(state);
    backward(state, in, in.flops(18), heed::causal, heed::learn(heed::log_decay(in.decays())),
             heed::learn(heed::delta(in.beta())), heed::unit_rows);
}
void causal_channel_delta_backward(benchmark::State& state) {
    inputs in(state);
    backward(state, in, in.flops(18), heed::causal,
             heed::learn(heed::log_decay(in.channel_decays())), heed::learn(heed::delta(in.beta())),
             heed::unit_rows);
}

/// One token of all heads at a time, in a state that goes on.
void step(benchmark::State& state) {
    inputs in(state);
    heed::linear_state<float> kept;
    const auto work = [&] {
        heed::linear_attention_into(in.o, in.q, in.k, in.v, heed::causal, heed::elu_plus_one,
                                    heed::carry(kept), in.threads.part());
    };
    measure(state, in, in.flops(4), work, 32);  // a chunk
}

}  // namespace

#define HEED_LINEAR(name, heads, n)                      \
    BENCHMARK(name)                                      \
        ->ArgNames({"heads", "n", "d", "threads"})       \
        ->ArgsProduct({{heads}, {n}, {64, 128}, {1, 2}}) \
        ->UseManualTime()
HEED_LINEAR(causal, 4, 4096);
HEED_LINEAR(bidirectional, 4, 4096);
HEED_LINEAR(causal_exp, 4, 4096);
HEED_LINEAR(causal_favor, 4, 1024);
HEED_LINEAR(causal_no_map, 4, 4096);
HEED_LINEAR(causal_decay, 4, 4096);
HEED_LINEAR(causal_log_decay, 4, 4096);
HEED_LINEAR(causal_channel_decay, 4, 4096);
HEED_LINEAR(causal_bonus, 4, 4096);
HEED_LINEAR(causal_delta, 4, 4096);
HEED_LINEAR(causal_channel_delta, 4, 4096);
HEED_LINEAR(causal_erase, 4, 4096);
HEED_LINEAR(causal_low_rank, 4, 4096);
HEED_LINEAR(causal_backward, 4, 2048);
HEED_LINEAR(causal_log_decay_backward, 4, 2048);
HEED_LINEAR(causal_channel_decay_backward, 4, 2048);
HEED_LINEAR(causal_bonus_backward, 4, 2048);
HEED_LINEAR(causal_delta_backward, 4, 2048);
HEED_LINEAR(causal_channel_delta_backward, 4, 2048);
HEED_LINEAR(step, 32, 1);
BENCHMARK(causal)
    ->ArgNames({"heads", "n", "d", "threads"})
    ->Args({1, 1 << 14, 64, 1})
    ->Args({1, 1 << 18, 64, 1})
    ->UseManualTime();
BENCHMARK(causal_backward)
    ->ArgNames({"heads", "n", "d", "threads"})
    ->ArgsProduct({{1}, {1 << 14}, {64, 128}, {1, 2}})
    ->UseManualTime();

BENCHMARK_MAIN();
