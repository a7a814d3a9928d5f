#include <benchmark/benchmark.h>

#include <heed/attention/attention.hpp>

#include "support/memory_limit.hpp"
#include "support/problem.hpp"

/// \file
/// Decoding: one query a sequence and head against n = 4096 keys of d = 128, float. `share` is of
/// the bandwidth of reading memory with as many threads: k and v are read once, 128 MiB of them,
/// more than the caches hold.

namespace {

using namespace heed_bench;

void decode(benchmark::State& state) {
    const auto heads = state.range(0), kv_heads = state.range(1);
    const auto batch = 32 / kv_heads;
    problem<float> in(shape{batch, heads, kv_heads, 1, 4096, 128});
    team threads(state.range(2));
    memory other;
    report_share(
        state, 1, [&] { heed::attention_into(in.o, in.q, in.k, in.v, threads.part()); },
        [&] { return in.sizes.cache_bytes(sizeof(float)) * other.seconds_a_byte_read(threads); });
}

}  // namespace

BENCHMARK(decode)
    ->ArgNames({"heads", "kv_heads", "threads"})
    ->ArgsProduct({{32}, {32, 8}, {1, 2}})
    ->UseManualTime();
