#include <cstddef>
#include <cstdint>

#include <Eigen/Core>
#include <benchmark/benchmark.h>

#include <heed/attention/caches/cached_attention.hpp>
#include <heed/attention/caches/kv_cache.hpp>
#include <heed/attention/masks/causal.hpp>

#include "support/memory_limit.hpp"
#include "support/problem.hpp"

/// \file
/// Decoding with a cache: a query a sequence and head against n = 4096 keys of d = 128, stored in
/// 32, 16 and 8 bits, the last also multiplied as integers. `share` is of the bandwidth of reading
/// memory with as many threads: what the cache holds is read once.

namespace {

using namespace heed_bench;

template <class Storage>
heed::kv_cache<Storage> filled(const problem<float>& in,
                               heed::cache_arithmetic arithmetic = heed::cache_arithmetic::floats) {
    heed::kv_cache<Storage> cache({.batch = in.sizes.batch,
                                   .kv_heads = in.sizes.kv_heads,
                                   .dim = in.sizes.dim,
                                   .capacity = in.sizes.keys,
                                   .arithmetic = arithmetic});
    cache.append(in.k, in.v);
    return cache;
}

template <class Storage>
void step(benchmark::State& state, const shape& sizes, std::ptrdiff_t thread_count,
          heed::cache_arithmetic arithmetic = heed::cache_arithmetic::floats) {
    problem<float> in(sizes);
    const auto cache = filled<Storage>(in, arithmetic);
    team threads(thread_count);
    memory other;
    report_share(
        state, 1, [&] { heed::attention_into(in.o, in.q, cache, heed::causal, threads.part()); },
        [&] { return in.sizes.cache_bytes(sizeof(Storage)) * other.seconds_a_byte_read(threads); });
}

shape decoded(const benchmark::State& state) {
    const auto heads = state.range(0), kv_heads = state.range(1);
    return {32 / kv_heads, heads, kv_heads, 1, 4096, 128};
}
template <class Storage>
void decode(benchmark::State& state) {
    step<Storage>(state, decoded(state), state.range(2));
}
void decode_integer_dot(benchmark::State& state) {
    step<std::int8_t>(state, decoded(state), state.range(2), heed::integer_dot);
}

/// One sequence of 16384 keys with few heads of k, whose pages threads share where they are more
/// than heads.
template <class Storage>
void one_sequence(benchmark::State& state) {
    const auto kv_heads = state.range(0), group = state.range(1);
    step<Storage>(state, {1, kv_heads * group, kv_heads, 1, 16384, 128}, state.range(2));
}

/// A chunk of queries at the end of a long sequence, `of_tensors` over the same call without a
/// cache.
template <class Storage>
void chunk(benchmark::State& state) {
    problem<float> in(shape{1, 8, 8, state.range(0), 4096, 128});
    const auto cache = filled<Storage>(in);
    state.counters["of_tensors"] = time_over(
        state, [&] { heed::attention_into(in.o, in.q, cache, heed::causal); },
        [&] { heed::attention_into(in.o, in.q, in.k, in.v, heed::causal); });
}

/// One token of 32 heads after the other, `share` of the bandwidth of copying.
template <class Storage>
void append(benchmark::State& state) {
    problem<float> in(shape{1, 32, 32, 1, 1, 128});
    heed::kv_cache<Storage> cache({.kv_heads = 32, .dim = 128, .capacity = 4096});
    constexpr std::ptrdiff_t tokens = 4096;
    team threads(1);
    memory other;
    report_share(
        state, 1,
        [&] {
            cache.clear();
            for (std::ptrdiff_t i = 0; i < tokens; ++i) cache.append(in.k, in.v);
        },
        [&] {
            return static_cast<double>(tokens) * in.sizes.cache_bytes(sizeof(float)) *
                   other.seconds_a_byte_copied(threads);
        });
}

}  // namespace

BENCHMARK_TEMPLATE(decode, float)
    ->ArgNames({"heads", "kv_heads", "threads"})
    ->ArgsProduct({{32}, {32, 8}, {1, 2}})
    ->UseManualTime();
BENCHMARK_TEMPLATE(decode, Eigen::bfloat16)
    ->ArgNames({"heads", "kv_heads", "threads"})
    ->ArgsProduct({{32}, {32, 8}, {1, 2}})
    ->UseManualTime();
BENCHMARK_TEMPLATE(decode, Eigen::half)
    ->ArgNames({"heads", "kv_heads", "threads"})
    ->ArgsProduct({{32}, {32, 8}, {1}})
    ->UseManualTime();
BENCHMARK_TEMPLATE(decode, std::int8_t)
    ->ArgNames({"heads", "kv_heads", "threads"})
    ->ArgsProduct({{32}, {32, 8}, {1, 2}})
    ->UseManualTime();
BENCHMARK(decode_integer_dot)
    ->ArgNames({"heads", "kv_heads", "threads"})
    ->ArgsProduct({{32}, {32, 8}, {1, 2}})
    ->UseManualTime();
BENCHMARK_TEMPLATE(one_sequence, float)
    ->ArgNames({"kv_heads", "group", "threads"})
    ->ArgsProduct({{1, 2}, {1, 8}, {1, 2}})
    ->UseManualTime();
BENCHMARK_TEMPLATE(one_sequence, Eigen::bfloat16)
    ->ArgNames({"kv_heads", "group", "threads"})
    ->ArgsProduct({{1}, {8}, {1, 2}})
    ->UseManualTime();
BENCHMARK_TEMPLATE(chunk, float)->ArgName("queries")->Arg(64)->Arg(1024)->UseManualTime();
BENCHMARK_TEMPLATE(chunk, Eigen::bfloat16)->ArgName("queries")->Arg(64)->Arg(1024)->UseManualTime();
BENCHMARK_TEMPLATE(append, float)->UseManualTime();
BENCHMARK_TEMPLATE(append, Eigen::bfloat16)->UseManualTime();
