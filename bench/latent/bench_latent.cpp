#include <cstddef>

#include <Eigen/Core>
#include <benchmark/benchmark.h>

#include <heed/latent.hpp>

#include "support/by_turns.hpp"
#include "support/multiply_add_limit.hpp"
#include "support/team.hpp"

/// \file
/// Latent attention with DeepSeek's head sizes. `share` of the peak of multiply-adds with as many
/// threads.

namespace {

using namespace heed_bench;

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using rows = Eigen::Tensor<float, 4, Eigen::RowMajor>;

constexpr std::ptrdiff_t rank = 512, rotated = 64, cached = 4096;

/// Absorbed: the heads of one token a sequence against 4096 rows of 576 numbers, whose first 512
/// are the values.
template <class Storage>
void absorbed(benchmark::State& state) {
    const auto heads = state.range(0), batch = state.range(1);
    team threads(state.range(1));
    heed::kv_cache<Storage> cache({.batch = batch,
                                   .dim = rank + rotated,
                                   .value_dim = rank,
                                   .capacity = cached,
                                   .values_in_keys = true});
    rows latent(batch, 1, cached, rank + rotated), q(batch, 1, heads, rank + rotated);
    latent.setRandom();
    q.setRandom();
    cache.append(latent);
    rows o(batch, 1, heads, rank);
    const double operations =
        2.0 * static_cast<double>(batch * heads * cached) * static_cast<double>(2 * rank + rotated);
    report_share(
        state, 1, [&] { heed::attention_into(o, q, cache, heed::scale(0.07), threads.part()); },
        [&] { return operations * seconds_a_flop<float>(threads); });
}

/// A layer of 16 heads and of width 2048, as V2-Lite's.
struct layer {
    static constexpr std::ptrdiff_t heads = 16, content = 128, value = 128, model = 2048;
    matrix q = random(heads * (content + rotated), model);
    matrix kv_a = random(rank + rotated, model);
    matrix kv_b = random(heads * (content + value), rank);
    matrix o = random(model, heads* value);
    Eigen::VectorXf gamma = Eigen::VectorXf::Ones(rank);
    heed::latent_attention<float> mla{
        {.q_proj = q,
         .kv_a_proj_with_mqa = kv_a,
         .kv_a_layernorm = gamma,
         .kv_b_proj = kv_b,
         .o_proj = o},
        {.heads = heads, .content = content, .rotated = rotated, .value = value, .rank = rank},
        heed::rope::plain({.dim = rotated})};

    static matrix random(std::ptrdiff_t outputs, std::ptrdiff_t inputs) {
        return matrix::Random(outputs, inputs) * 0.05F;
    }
    /// Operations of all projections of so many tokens, and of causal attention.
    static double operations(std::ptrdiff_t tokens) {
        const auto n = static_cast<double>(tokens);
        const double projected = heads * (content + rotated) * model + (rank + rotated) * model +
                                 heads * (content + value) * rank + heads * value * model;
        return 2 * n * projected + n * n * heads * (content + rotated + value);
    }
};

void forward(benchmark::State& state) {
    const layer of;
    team threads(state.range(1));
    const matrix x = matrix::Random(state.range(0), layer::model);
    report_share(
        state, 1, [&] { benchmark::DoNotOptimize(of.mla.forward(x, threads.part()).y.data()); },
        [&] { return layer::operations(state.range(0)) * seconds_a_flop<float>(threads); });
}

/// One token of one sequence behind 4096 others, the whole layer: its weights, packed, come from
/// memory, and heads are shared out to threads.
template <class Storage>
void decode_layer(benchmark::State& state) {
    const layer of;
    const auto mla = of.mla.packed();
    team threads(state.range(0));
    auto cache = of.mla.make_cache<Storage>({.capacity = cached + 1});
    const matrix text = matrix::Random(cached, layer::model), x = matrix::Random(1, layer::model);
    benchmark::DoNotOptimize(of.mla.prefill(text, cache).data());
    const double operations =
        layer::operations(1) +
        2.0 * layer::heads * static_cast<double>(cached * (2 * rank + rotated));
    report_share(
        state, 1,
        [&] {
            benchmark::DoNotOptimize(mla.decode(x, cache, threads.part()).data());
            cache.truncate(0, cached);
        },
        [&] { return operations * seconds_a_flop<float>(threads); });
}

/// The time of one token behind so many others, weights packed, over the same with weights where
/// they lie.
void packed_over_in_place(benchmark::State& state) {
    const layer of;
    const auto packed = of.mla.packed();
    auto cache = of.mla.make_cache<float>({.capacity = cached + 1});
    const matrix text = matrix::Random(state.range(0), layer::model);
    const matrix x = matrix::Random(1, layer::model);
    benchmark::DoNotOptimize(of.mla.prefill(text, cache).data());
    const auto decode_by = [&](const auto& mla) {
        benchmark::DoNotOptimize(mla.decode(x, cache).data());
        cache.truncate(0, text.rows());
    };
    state.counters["of_in_place"] = time_over(
        state, [&] { decode_by(packed); }, [&] { decode_by(of.mla); });
}

/// The time of decode over prefill's for so many tokens behind 1024 others.
void decode_over_prefill(benchmark::State& state) {
    const layer of;
    auto cache = of.mla.make_cache<float>({.capacity = 2048});
    const matrix text = matrix::Random(1024, layer::model);
    const matrix x = matrix::Random(state.range(0), layer::model);
    benchmark::DoNotOptimize(of.mla.prefill(text, cache).data());
    state.counters["of_prefill"] = time_over(
        state,
        [&] {
            benchmark::DoNotOptimize(of.mla.decode(x, cache).data());
            cache.truncate(0, 1024);
        },
        [&] {
            benchmark::DoNotOptimize(of.mla.prefill(x, cache).data());
            cache.truncate(0, 1024);
        });
}

}  // namespace

BENCHMARK_TEMPLATE(absorbed, float)
    ->ArgNames({"heads", "threads"})
    ->ArgsProduct({{128, 16}, {1, 2}})
    ->UseManualTime();
BENCHMARK_TEMPLATE(absorbed, Eigen::bfloat16)
    ->ArgNames({"heads", "threads"})
    ->ArgsProduct({{128, 16}, {1, 2}})
    ->UseManualTime();
BENCHMARK(forward)
    ->ArgNames({"tokens", "threads"})
    ->Args({512, 1})
    ->Args({512, 2})
    ->UseManualTime();
BENCHMARK_TEMPLATE(decode_layer, float)->ArgName("threads")->Arg(1)->Arg(2)->UseManualTime();
BENCHMARK_TEMPLATE(decode_layer, Eigen::bfloat16)
    ->ArgName("threads")
    ->Arg(1)
    ->Arg(2)
    ->UseManualTime();
BENCHMARK(packed_over_in_place)->ArgName("cached")->Arg(16)->Arg(cached)->UseManualTime();
BENCHMARK(decode_over_prefill)->ArgName("tokens")->Arg(1)->Arg(16)->Arg(64)->UseManualTime();
