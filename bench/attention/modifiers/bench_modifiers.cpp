#include <benchmark/benchmark.h>

#include <heed/attention/attention.hpp>
#include <heed/attention/dropout.hpp>
#include <heed/attention/input_bias.hpp>
#include <heed/attention/modifiers/alibi.hpp>
#include <heed/attention/modifiers/bias.hpp>
#include <heed/attention/modifiers/kerple.hpp>
#include <heed/attention/modifiers/modifier.hpp>
#include <heed/attention/modifiers/noise.hpp>
#include <heed/attention/modifiers/relative_scores.hpp>
#include <heed/attention/modifiers/sandwich.hpp>
#include <heed/attention/modifiers/soft_cap.hpp>
#include <heed/attention/modifiers/t5_bias.hpp>
#include <heed/attention/scales/key_norm.hpp>
#include <heed/attention/scales/log_n_scale.hpp>
#include <heed/rope/rotary.hpp>
#include <heed/rope/rotary_bias.hpp>
#include <heed/rope/xpos.hpp>
#include <heed/softmax/sink.hpp>
#include <heed/softmax/softmax_plus_one.hpp>

#include "support/by_turns.hpp"
#include "support/problem.hpp"

/// \file
/// Every part that is no mask: `of_plain` is the time over that of plain attention, by turns,
/// forward or, where a parameter is learned, backward. Four heads, n = 2048, d = 64, float, one
/// thread.

namespace {

using namespace heed_bench;
constexpr std::ptrdiff_t heads = 4, n = 2048, dim = 64;

template <class Part>
void part(benchmark::State& state, const Part& fused) {
    problem<float> in(square(heads, n, dim));
    state.counters["of_plain"] = time_over(
        state, [&] { heed::attention_into(in.o, in.q, in.k, in.v, fused); },
        [&] { heed::attention_into(in.o, in.q, in.k, in.v); });
}

/// A number for each score of each head, or for each score of any head.
auto bias(std::ptrdiff_t of_heads) {
    Eigen::Tensor<float, 3, Eigen::RowMajor> values(of_heads, n, n);
    values.setRandom();
    return heed::bias(std::move(values));
}

/// ALiBi with the same slope for all heads, as a user would write it.
auto user_function() {
    return heed::modifier([](auto s, auto i, auto j) { return s - 0.1F * abs(i - j); });
}

auto t5_bias() {
    const Eigen::MatrixXf table = Eigen::MatrixXf::Random(32, heads);
    return heed::t5_bias(table);
}

/// A number for each query and each distance up to 64 on either side.
auto relative_scores() {
    static const Eigen::Tensor<float, 3, Eigen::RowMajor> t =
        Eigen::Tensor<float, 3, Eigen::RowMajor>(heads, n, 129).setConstant(0.5F);
    return heed::relative_scores(t);
}

auto kerple() {
    const Eigen::VectorXf ones = Eigen::VectorXf::Ones(heads);
    return heed::kerple_log(ones, ones, n);
}

auto sandwich() { return heed::sandwich(heed::sandwich_factors(heads), n); }

auto rotary_bias() {
    const Eigen::MatrixXf a = Eigen::MatrixXf::Random(heads, dim);
    return heed::rotary_bias(a, a, heed::rope::plain({.dim = dim}), n);
}

/// Backward of a learned part, made anew each time as in training, over that of plain attention.
template <class Make>
void learned(benchmark::State& state, const Make& make) {
    problem<float> in(square(heads, n, dim));
    auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, heed::learn(make()));
    auto [plain_o, plain_stats] = heed::attention_forward(in.q, in.k, in.v);
    auto gradient = heed::attention_backward(o, o, stats, in.q, in.k, in.v, heed::learn(make()));
    auto plain = heed::attention_backward(o, plain_o, plain_stats, in.q, in.k, in.v);
    state.counters["of_plain"] = time_over(
        state,
        [&, &o = o, &stats = stats] {
            heed::attention_backward_into(gradient, o, o, stats, in.q, in.k, in.v,
                                          heed::learn(make()));
        },
        [&, &o = o, &p = plain_o, &stats = plain_stats] {
            heed::attention_backward_into(plain, o, p, stats, in.q, in.k, in.v);
        });
}

/// Biases of q and of k, a row for each head.
void query_and_key_bias(benchmark::State& state) {
    problem<float> in(square(heads, n, dim));
    const Eigen::MatrixXf a = Eigen::MatrixXf::Random(heads, dim);
    const auto of_q = heed::query_bias(a);
    const auto of_k = heed::key_bias(a);
    state.counters["of_plain"] = time_over(
        state, [&] { heed::attention_into(in.o, in.q, in.k, in.v, of_q, of_k); },
        [&] { heed::attention_into(in.o, in.q, in.k, in.v); });
}

auto xpos() { return heed::xpos(heed::rope::plain({.dim = dim}), heed::xpos_decays(dim)); }

auto rotary() { return heed::rotary(heed::rope::plain({.dim = dim})); }

}  // namespace

BENCHMARK_CAPTURE(part, log_n_scale, heed::log_n_scale(512))->UseManualTime();
BENCHMARK_CAPTURE(part, key_norm, heed::key_norm)->UseManualTime();
BENCHMARK_CAPTURE(part, soft_cap, heed::soft_cap(30))->UseManualTime();
BENCHMARK_CAPTURE(part, alibi, heed::alibi(heed::alibi_slopes(heads)))->UseManualTime();
BENCHMARK_CAPTURE(part, bias for all heads, bias(1))->UseManualTime();
BENCHMARK_CAPTURE(part, bias of each head, bias(heads))->UseManualTime();
BENCHMARK_CAPTURE(part, t5_bias, t5_bias())->UseManualTime();
BENCHMARK_CAPTURE(part, relative_scores, relative_scores())->UseManualTime();
BENCHMARK_CAPTURE(part, kerple_log, kerple())->UseManualTime();
BENCHMARK_CAPTURE(part, sandwich, sandwich())->UseManualTime();
BENCHMARK_CAPTURE(part, rotary_bias, rotary_bias())->UseManualTime();
BENCHMARK_CAPTURE(part, normal_noise, heed::normal_noise(1, 7))->UseManualTime();
BENCHMARK_CAPTURE(part, uniform_noise, heed::uniform_noise(-1, 1, 7))->UseManualTime();
BENCHMARK_CAPTURE(part, gumbel_noise, heed::gumbel_noise(7))->UseManualTime();
BENCHMARK_CAPTURE(part, dropout, heed::dropout({.rate = 0.1, .seed = 7}))->UseManualTime();
BENCHMARK_CAPTURE(learned, alibi, [] {
    return heed::alibi(heed::alibi_slopes(heads));
})->UseManualTime();
BENCHMARK_CAPTURE(learned, t5_bias, t5_bias)->UseManualTime();
BENCHMARK_CAPTURE(learned, relative_scores, relative_scores)->UseManualTime();
BENCHMARK_CAPTURE(learned, kerple_log, kerple)->UseManualTime();
BENCHMARK_CAPTURE(learned, rotary_bias, rotary_bias)->UseManualTime();
BENCHMARK_CAPTURE(part, user function, user_function())->UseManualTime();
BENCHMARK_CAPTURE(part, softmax_plus_one, heed::softmax_plus_one)->UseManualTime();
BENCHMARK_CAPTURE(part, sink, heed::sink(0.5))->UseManualTime();
BENCHMARK_CAPTURE(part, temperature, heed::softmax.temperature(2))->UseManualTime();
BENCHMARK(query_and_key_bias)->UseManualTime();
BENCHMARK_CAPTURE(part, rotary, rotary())->UseManualTime();
BENCHMARK_CAPTURE(part, xpos, xpos())->UseManualTime();
