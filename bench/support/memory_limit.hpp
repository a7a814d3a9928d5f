#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <limits>
#include <vector>

#include <benchmark/benchmark.h>

#include <heed/core/arena.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/unroll.hpp>

#include "by_turns.hpp"
#include "team.hpp"

/// \file
/// What memory gives: bytes a second read and copied, by the best of several ways. One stream on
/// small pages may read half of what four on huge pages do, so no single way is a limit.

namespace heed_bench {

/// Memory far larger than the caches, in pieces: a task reads or copies one.
inline constexpr std::ptrdiff_t memory_size = (std::ptrdiff_t(1) << 27) / sizeof(float);
inline constexpr std::ptrdiff_t memory_pieces = 64, piece_size = memory_size / memory_pieces;

/// The sum of a piece, read in so many places at once, each prefetched so many numbers ahead.
template <int Places, std::ptrdiff_t Ahead>
[[gnu::noinline]] float sum_of_piece(const float* from) {
    using vec = heed::vec<float>;
    constexpr int sums = 8, a_place = sums / Places;
    constexpr std::ptrdiff_t length = piece_size / Places;
    vec total[sums];
    heed::detail::unroll<sums>([&](auto i) { total[i] = vec(0); });
    for (std::ptrdiff_t at = 0; at < length; at += a_place * vec::size) {
        heed::detail::unroll<sums>([&](auto i) {
            const float* x = from + i / a_place * length + at + i % a_place * vec::size;
            if constexpr (Ahead > 0) heed::prefetch(x + Ahead);
            total[i] += vec::load(x);
        });
    }
    heed::detail::unroll<sums - 1>([&](auto i) { total[0] += total[i + 1]; });
    return reduce_add(total[0]);
}

/// The same of a copy, 4 KiB in each place by turns.
template <int Places, std::ptrdiff_t Ahead>
[[gnu::noinline]] void copy_piece(float* to, const float* from) {
    constexpr std::ptrdiff_t length = piece_size / Places, block = 4096 / sizeof(float), line = 16;
    if constexpr (Places == 1 && Ahead == 0) {
        std::memcpy(to, from, piece_size * sizeof(float));
        return;
    }
    for (std::ptrdiff_t at = 0; at < length; at += block) {
        for (std::ptrdiff_t first = at; first < piece_size; first += length) {
            for (std::ptrdiff_t ahead = Ahead; ahead > 0 && ahead < Ahead + block; ahead += line)
                heed::prefetch(from + first + ahead);
            std::memcpy(to + first, from + first, block * sizeof(float));
        }
    }
}

/// A way through memory.
struct memory_way {
    float (*sum)(const float* from);
    void (*copy)(float* to, const float* from);
    bool on_huge_pages;
};
template <int Places, std::ptrdiff_t Ahead>
constexpr memory_way way_of(bool on_huge_pages) {
    return {sum_of_piece<Places, Ahead>, copy_piece<Places, Ahead>, on_huge_pages};
}
inline constexpr std::array memory_ways{
    way_of<1, 0>(false), way_of<1, 1024>(false), way_of<2, 0>(false),    way_of<4, 0>(false),
    way_of<8, 0>(false), way_of<4, 256>(false),  way_of<4, 1024>(false), way_of<8, 256>(false),
    way_of<1, 0>(true),  way_of<1, 1024>(true),  way_of<2, 0>(true),     way_of<4, 0>(true),
    way_of<8, 0>(true),  way_of<4, 256>(true),   way_of<4, 1024>(true),  way_of<8, 256>(true)};

/// The way that is found fastest, once for each number of threads.
class best_way {
  public:
    /// time(way) are the seconds that these threads take by it.
    template <class Time>
    const memory_way& operator()(const team& threads, Time&& time) {
        for (const found& each : known_)
            if (each.threads == threads.threads()) return *each.way;
        std::array<double, memory_ways.size()> least;
        least.fill(std::numeric_limits<double>::infinity());
        for (int round = 0; round < 3; ++round)
            for (std::size_t i = 0; i < memory_ways.size(); ++i)
                least[i] = std::min(least[i], time(memory_ways[i]));
        const auto at = std::min_element(least.begin(), least.end()) - least.begin();
        known_.push_back({threads.threads(), &memory_ways[static_cast<std::size_t>(at)]});
        return *known_.back().way;
    }

  private:
    struct found {
        std::ptrdiff_t threads;
        const memory_way* way;
    };
    std::vector<found> known_;
};

/// The memory that is read and copied: once on huge pages, where the system has them, and once as
/// a std::vector has it.
class memory {
  public:
    static constexpr double bytes = memory_size * sizeof(float);

    /// Seconds a byte of reading.
    double seconds_a_byte_read(team& threads) {
        const auto read = [&](const memory_way& by) {
            const float* from = by.on_huge_pages ? huge_from_ : from_.data();
            return seconds_of_pieces(threads, [=](std::ptrdiff_t first) {
                benchmark::DoNotOptimize(by.sum(from + first));
            });
        };
        return read(best_read_(threads, read)) / bytes;
    }

    /// Seconds a byte of copying, counted once though it is read and written.
    double seconds_a_byte_copied(team& threads) {
        if (to_.empty()) {
            to_.assign(static_cast<std::size_t>(memory_size), 0.0F);
            huge_to_ = take_huge();
        }
        const auto copy = [&](const memory_way& by) {
            const float* from = by.on_huge_pages ? huge_from_ : from_.data();
            float* to = by.on_huge_pages ? huge_to_ : to_.data();
            return seconds_of_pieces(threads, [=](std::ptrdiff_t first) {
                by.copy(to + first, from + first);
                benchmark::ClobberMemory();
            });
        };
        return copy(best_copy_(threads, copy)) / bytes;
    }

  private:
    template <class F>
    static double seconds_of_pieces(team& threads, F f) {
        return seconds(
            [&] { threads.each(memory_pieces, [&](std::ptrdiff_t i) { f(i * piece_size); }); });
    }

    float* take_huge() {
        float* taken = huge_.take<float>(memory_size);
        std::fill_n(taken, memory_size, 1.0F);
        return taken;
    }

    std::vector<float> from_ = std::vector<float>(static_cast<std::size_t>(memory_size), 1.0F), to_;
    heed::arena huge_;
    float *huge_from_ = take_huge(), *huge_to_ = nullptr;
    best_way best_read_, best_copy_;
};

}  // namespace heed_bench
