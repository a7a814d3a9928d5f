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

struct tokens {
    std::ptrdiff_t heads, count, dim;
    double flops(std::ptrdiff_t features, double products) const {
        return products * static_cast<double>(heads * count) * static_cast<double>(features * dim);
    }
};
tokens tokens_of(benchmark::State& state) {
    return {state.range(0), state.range(1), state.range(2)};
}

template <class... Parts>
void measure(benchmark::State& state, double flops, problem<float>& in, team& threads,
             const Parts&... parts) {
    report_share(
        state, 1,
        [&] { heed::linear_attention_into(in.o, in.q, in.k, in.v, parts..., threads.part()); },
        [&] { return flops * seconds_a_flop<float>(threads); });
}

void causal(benchmark::State& state) {
    const tokens of = tokens_of(state);
    problem<float> in(square(of.heads, of.count, of.dim));
    team threads(state.range(3));
    measure(state, of.flops(of.dim, 4), in, threads, heed::causal, heed::elu_plus_one);
}
void bidirectional(benchmark::State& state) {
    const tokens of = tokens_of(state);
    problem<float> in(square(of.heads, of.count, of.dim));
    team threads(state.range(3));
    measure(state, of.flops(of.dim, 4), in, threads, heed::elu_plus_one);
}
void causal_exp(benchmark::State& state) {
    const tokens of = tokens_of(state);
    problem<float> in(square(of.heads, of.count, of.dim));
    team threads(state.range(3));
    measure(state, of.flops(of.dim, 4), in, threads, heed::causal, heed::exp_features);
}
void causal_favor(benchmark::State& state) {
    const tokens of = tokens_of(state);
    problem<float> in(square(of.heads, of.count, of.dim));
    team threads(state.range(3));
    const heed::random_features features({.dim = of.dim, .count = 256, .seed = 1});
    measure(state, of.flops(256, 8), in, threads, heed::causal, heed::favor(features));
}
/// Decays of every token.
Eigen::Tensor<float, 3, Eigen::RowMajor> decays_of(const tokens& of) {
    Eigen::Tensor<float, 3, Eigen::RowMajor> logs(1, of.heads, of.count);
    for (std::ptrdiff_t i = 0; i < logs.size(); ++i)
        logs.data()[i] = -0.01F * static_cast<float>(i % 17);
    return logs;
}
void causal_decay(benchmark::State& state) {
    const tokens of = tokens_of(state);
    problem<float> in(square(of.heads, of.count, of.dim));
    team threads(state.range(3));
    measure(state, of.flops(of.dim, 4), in, threads, heed::causal, heed::decay(0.97));
}
void causal_log_decay(benchmark::State& state) {
    const tokens of = tokens_of(state);
    problem<float> in(square(of.heads, of.count, of.dim));
    team threads(state.range(3));
    const auto logs = decays_of(of);
    measure(state, of.flops(of.dim, 4), in, threads, heed::causal, heed::log_decay(logs));
}
/// Decays of every token and channel.
Eigen::Tensor<float, 4, Eigen::RowMajor> channel_decays_of(const tokens& of) {
    Eigen::Tensor<float, 4, Eigen::RowMajor> logs(1, of.heads, of.count, of.dim);
    for (std::ptrdiff_t i = 0; i < logs.size(); ++i)
        logs.data()[i] = -0.01F * static_cast<float>(i % 17);
    return logs;
}
void causal_channel_decay(benchmark::State& state) {
    const tokens of = tokens_of(state);
    problem<float> in(square(of.heads, of.count, of.dim));
    team threads(state.range(3));
    const auto logs = channel_decays_of(of);
    measure(state, of.flops(of.dim, 4), in, threads, heed::causal, heed::log_decay(logs));
}
void causal_bonus(benchmark::State& state) {
    const tokens of = tokens_of(state);
    problem<float> in(square(of.heads, of.count, of.dim));
    team threads(state.range(3));
    const auto logs = channel_decays_of(of);
    const Eigen::MatrixXf u = Eigen::MatrixXf::Constant(of.heads, of.dim, 0.5F);
    measure(state, of.flops(of.dim, 4), in, threads, heed::causal, heed::log_decay(logs),
            heed::bonus(u));
}
/// Backward with the gradient of the decays too.
template <class Decay>
void measure_decay_backward(benchmark::State& state, double flops, problem<float>& in,
                            team& threads, const Decay& decay) {
    heed::linear_stats<float> stats;
    heed::linear_attention_forward_into(in.o, stats, in.q, in.k, in.v, heed::causal, decay);
    auto gradients =
        heed::linear_attention_backward(in.v, in.o, stats, in.q, in.k, in.v, heed::causal, decay);
    report_share(
        state, 1,
        [&] {
            heed::linear_attention_backward_into(gradients, in.v, in.o, stats, in.q, in.k, in.v,
                                                 heed::causal, decay, threads.part());
        },
        [&] { return flops * seconds_a_flop<float>(threads); });
}
void causal_channel_decay_backward(benchmark::State& state) {
    const tokens of = tokens_of(state);
    problem<float> in(square(of.heads, of.count, of.dim));
    team threads(state.range(3));
    const auto logs = channel_decays_of(of);
    measure_decay_backward(state, of.flops(of.dim, 10), in, threads,
                           heed::learn(heed::log_decay(logs)));
}
void causal_log_decay_backward(benchmark::State& state) {
    const tokens of = tokens_of(state);
    problem<float> in(square(of.heads, of.count, of.dim));
    team threads(state.range(3));
    const auto logs = decays_of(of);
    measure_decay_backward(state, of.flops(of.dim, 10), in, threads,
                           heed::learn(heed::log_decay(logs)));
}
/// β of every token.
Eigen::Tensor<float, 3, Eigen::RowMajor> deltas_of(const tokens& of) {
    Eigen::Tensor<float, 3, Eigen::RowMajor> beta(1, of.heads, of.count);
    for (std::ptrdiff_t i = 0; i < beta.size(); ++i)
        beta.data()[i] = 0.05F * static_cast<float>(i % 19);
    return beta;
}
void causal_delta(benchmark::State& state) {
    const tokens of = tokens_of(state);
    problem<float> in(square(of.heads, of.count, of.dim));
    team threads(state.range(3));
    const auto logs = decays_of(of), beta = deltas_of(of);
    measure(state, of.flops(of.dim, 6), in, threads, heed::causal, heed::log_decay(logs),
            heed::delta(beta), heed::unit_rows);
}
void causal_channel_delta(benchmark::State& state) {
    const tokens of = tokens_of(state);
    problem<float> in(square(of.heads, of.count, of.dim));
    team threads(state.range(3));
    const auto logs = channel_decays_of(of);
    const auto beta = deltas_of(of);
    measure(state, of.flops(of.dim, 6), in, threads, heed::causal, heed::log_decay(logs),
            heed::delta(beta), heed::unit_rows);
}
/// Backward with the gradients of the decays and of β.
template <class Decay, class Delta>
void measure_delta_backward(benchmark::State& state, double flops, problem<float>& in,
                            team& threads, const Decay& decay, const Delta& delta) {
    heed::linear_stats<float> stats;
    heed::linear_attention_forward_into(in.o, stats, in.q, in.k, in.v, heed::causal, decay, delta,
                                        heed::unit_rows);
    auto gradients = heed::linear_attention_backward(in.v, in.o, stats, in.q, in.k, in.v,
                                                     heed::causal, decay, delta, heed::unit_rows);
    report_share(
        state, 1,
        [&] {
            heed::linear_attention_backward_into(gradients, in.v, in.o, stats, in.q, in.k, in.v,
                                                 heed::causal, decay, delta, heed::unit_rows,
                                                 threads.part());
        },
        [&] { return flops * seconds_a_flop<float>(threads); });
}
void causal_channel_delta_backward(benchmark::State& state) {
    const tokens of = tokens_of(state);
    problem<float> in(square(of.heads, of.count, of.dim));
    team threads(state.range(3));
    const auto logs = channel_decays_of(of);
    const auto beta = deltas_of(of);
    measure_delta_backward(state, of.flops(of.dim, 18), in, threads,
                           heed::learn(heed::log_decay(logs)), heed::learn(heed::delta(beta)));
}
void causal_delta_backward(benchmark::State& state) {
    const tokens of = tokens_of(state);
    problem<float> in(square(of.heads, of.count, of.dim));
    team threads(state.range(3));
    const auto logs = decays_of(of), beta = deltas_of(of);
    measure_delta_backward(state, of.flops(of.dim, 18), in, threads,
                           heed::learn(heed::log_decay(logs)), heed::learn(heed::delta(beta)));
}
/// Shares of every channel of every token.
Eigen::Tensor<float, 4, Eigen::RowMajor> shares_of(const tokens& of) {
    Eigen::Tensor<float, 4, Eigen::RowMajor> shares(1, of.heads, of.count, of.dim);
    for (std::ptrdiff_t i = 0; i < shares.size(); ++i)
        shares.data()[i] = 0.05F * static_cast<float>(i % 19);
    return shares;
}
void causal_erase(benchmark::State& state) {
    const tokens of = tokens_of(state);
    problem<float> in(square(of.heads, of.count, of.dim));
    team threads(state.range(3));
    const auto logs = decays_of(of);
    const auto shares = shares_of(of);
    measure(state, of.flops(of.dim, 6), in, threads, heed::causal, heed::log_decay(logs),
            heed::erase(shares, shares), heed::unit_rows);
}
/// RWKV-7: of low rank, beside decays a channel; 12·d·d_v operations.
void causal_low_rank(benchmark::State& state) {
    const tokens of = tokens_of(state);
    problem<float> in(square(of.heads, of.count, of.dim));
    team threads(state.range(3));
    const auto logs = channel_decays_of(of);
    Eigen::Tensor<float, 4, Eigen::RowMajor> a(1, of.heads, of.count, of.dim);
    a.setConstant(-1 / std::sqrt(static_cast<float>(of.dim)));
    const Eigen::Tensor<float, 4, Eigen::RowMajor> b = a * a.constant(-0.5F);
    measure(state, of.flops(of.dim, 12), in, threads, heed::causal, heed::log_decay(logs),
            heed::low_rank(a, b), heed::unit_rows);
}
/// The same without a decay, for comparison: no map, nothing divides.
void causal_no_map(benchmark::State& state) {
    const tokens of = tokens_of(state);
    problem<float> in(square(of.heads, of.count, of.dim));
    team threads(state.range(3));
    measure(state, of.flops(of.dim, 4), in, threads, heed::causal);
}
void causal_backward(benchmark::State& state) {
    const tokens of = tokens_of(state);
    problem<float> in(square(of.heads, of.count, of.dim));
    team threads(state.range(3));
    const double flops = of.flops(of.dim, 10);
    heed::linear_stats<float> stats;
    heed::linear_attention_forward_into(in.o, stats, in.q, in.k, in.v, heed::causal,
                                        heed::elu_plus_one);
    auto gradients = heed::linear_attention_backward(in.v, in.o, stats, in.q, in.k, in.v,
                                                     heed::causal, heed::elu_plus_one);
    report_share(
        state, 1,
        [&] {
            heed::linear_attention_backward_into(gradients, in.v, in.o, stats, in.q, in.k, in.v,
                                                 heed::causal, heed::elu_plus_one, threads.part());
        },
        [&] { return flops * seconds_a_flop<float>(threads); });
}

/// One token of all heads at a time, in a state that goes on.
void step(benchmark::State& state) {
    const tokens of = tokens_of(state);
    problem<float> in(square(of.heads, 1, of.dim));
    team threads(state.range(3));
    heed::linear_state<float> kept;
    const double flops = of.flops(of.dim, 4);
    report_share(
        state, 32,  // a chunk
        [&] {
            heed::linear_attention_into(in.o, in.q, in.k, in.v, heed::causal, heed::elu_plus_one,
                                        heed::carry(kept), threads.part());
        },
        [&] { return flops * seconds_a_flop<float>(threads); });
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
HEED_LINEAR(causal_delta_backward, 4, 2048);
HEED_LINEAR(causal_channel_delta_backward, 4, 2048);
HEED_LINEAR(step, 32, 1);
BENCHMARK(causal)
    ->ArgNames({"heads", "n", "d", "threads"})
    ->Args({1, 1 << 14, 64, 1})
    ->Args({1, 1 << 18, 64, 1})
    ->UseManualTime();

BENCHMARK_MAIN();
