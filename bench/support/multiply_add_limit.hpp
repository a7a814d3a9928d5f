#pragma once

#include <cstddef>

#include <benchmark/benchmark.h>

#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>

#include "by_turns.hpp"
#include "team.hpp"

/// \file
/// What the machine can do at this moment with these threads: multiply and add.

namespace heed_bench {

using heed::vec;

/// As many sums as the kernels hold in registers: more than two multiply-adds a cycle of four
/// cycles' latency need.
inline constexpr int sums_in_registers =
    heed::detail::tiles.score_rows * heed::detail::tiles.score_vectors;

/// `steps` multiply-adds on each of the sums. Every index is a constant, first and last ones too:
/// otherwise compilers keep the sums in memory, and the peak reads a third of what it is.
template <class T>
[[gnu::noinline]] T multiply_and_add(long steps) {
    vec<T> sums[sums_in_registers];
    heed::detail::unroll<sums_in_registers>([&](auto i) { sums[i] = vec<T>(T(i)); });
    const vec<T> factor(T(0.999)), addend(T(1e-4));
    for (long step = 0; step < steps; ++step) {
        heed::detail::unroll<sums_in_registers>(
            [&](auto i) { sums[i] = fma(sums[i], factor, addend); });
    }
    vec<T> total(T(0));
    heed::detail::unroll<sums_in_registers>([&](auto i) { total += sums[i]; });
    return reduce_add(total);
}

/// Seconds a floating-point operation at the peak of fused multiply-adds; one such is two
/// operations. Takes about a millisecond.
template <class T>
double seconds_a_flop(team& threads) {
    constexpr long steps = 20000;
    const std::ptrdiff_t tasks = 16 * threads.threads();
    const double time = seconds([&] {
        threads.each(tasks, [](std::ptrdiff_t) {
            long unknown = steps;
            benchmark::DoNotOptimize(unknown);  // or one call would do for all
            benchmark::DoNotOptimize(multiply_and_add<T>(unknown));
        });
    });
    return time / (2.0 * steps * sums_in_registers * static_cast<double>(vec<T>::size) *
                   static_cast<double>(tasks));
}

}  // namespace heed_bench
