#pragma once

#include <cstddef>
#include <cstring>
#include <optional>
#include <vector>

#include <benchmark/benchmark.h>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/core/parallel.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>

#include "by_turns.hpp"

/// \file
/// What the machine can do at this moment with these threads: multiply and add, read memory, copy.

namespace heed_bench {

using heed::vec;

/// The caller's thread and, if there are to be more, a pool of the others.
class team {
  public:
    explicit team(std::ptrdiff_t threads) : threads_(threads) {
        if (threads > 1) pool_.emplace(static_cast<int>(threads - 1));
    }

    std::ptrdiff_t threads() const { return threads_; }

    /// For a call of heed's; without a pool it runs on the caller's thread.
    heed::on_pool part() { return {pool_ ? &*pool_ : nullptr}; }

    /// f(task) for 0 … count − 1. Tasks are dealt as heed's kernels deal theirs.
    template <class F>
    void each(std::ptrdiff_t count, F f) {
        heed::for_each_task(part().pool, heed::thread_workspace(), count,
                            [&](heed::index, heed::index task) { f(task); });
    }

  private:
    std::ptrdiff_t threads_;
    std::optional<Eigen::ThreadPool> pool_;
};

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

/// Memory far larger than the caches, read and copied in pieces.
class memory {
  public:
    /// Seconds a byte of reading.
    double seconds_a_byte_read(team& threads) {
        return seconds([&] {
                   threads.each(pieces, [&](std::ptrdiff_t piece) {
                       benchmark::DoNotOptimize(sum(from_.data() + piece * piece_size));
                   });
               }) /
               bytes;
    }

    /// Seconds a byte of copying, counted once: it is read and written.
    double seconds_a_byte_copied(team& threads) {
        if (to_.empty()) to_.assign(from_.size(), 0.0F);
        return seconds([&] {
                   threads.each(pieces, [&](std::ptrdiff_t piece) {
                       std::memcpy(to_.data() + piece * piece_size,
                                   from_.data() + piece * piece_size, piece_size * sizeof(float));
                       benchmark::ClobberMemory();
                   });
               }) /
               bytes;
    }

    static constexpr double bytes = 1 << 27;

  private:
    static constexpr std::ptrdiff_t pieces = 64;
    static constexpr std::ptrdiff_t piece_size = (1 << 27) / sizeof(float) / pieces;

    [[gnu::noinline]] static float sum(const float* x) {
        constexpr int streams = 8;
        constexpr std::ptrdiff_t size = vec<float>::size;
        vec<float> sums[streams];
        heed::detail::unroll<streams>([&](auto i) { sums[i] = vec<float>(0); });
        for (std::ptrdiff_t at = 0; at < piece_size; at += streams * size) {
            heed::detail::unroll<streams>(
                [&](auto i) { sums[i] += vec<float>::load(x + at + i * size); });
        }
        vec<float> total(0);
        heed::detail::unroll<streams>([&](auto i) { total += sums[i]; });
        return reduce_add(total);
    }

    std::vector<float> from_ = std::vector<float>(pieces * piece_size, 1.0F), to_;
};

}  // namespace heed_bench
