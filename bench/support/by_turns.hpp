#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

#include <benchmark/benchmark.h>

/// \file
/// How every figure is taken: the work and what it is compared with run by turns, in one process,
/// and the figure is the median of the ratios of neighbours. A machine that slows down slows both.

namespace heed_bench {

template <class F>
double seconds(F&& work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    benchmark::ClobberMemory();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Seconds of one of `repeats` runs, for work too short to be timed alone.
template <class F>
double mean_seconds(std::ptrdiff_t repeats, F&& work) {
    return seconds([&] {
               for (std::ptrdiff_t i = 0; i < repeats; ++i) work();
           }) /
           static_cast<double>(repeats);
}

inline double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return values.empty() ? 0 : *middle;
}

/// The median of time / between(before, after): `time` is that of the work, `before` and `after`
/// are the seconds that `other` returned right before and right after it.
template <class Work, class Other, class Between>
double median_ratio(benchmark::State& state, std::ptrdiff_t repeats, Work&& work, Other&& other,
                    Between&& between) {
    work();  // pages, caches and scratch memory
    other();
    std::vector<double> ratios;
    double before = other();
    for (auto _ : state) {
        const double time = mean_seconds(repeats, work);
        const double after = other();
        state.SetIterationTime(time);
        ratios.push_back(time / between(before, after));
        before = after;
    }
    return median(std::move(ratios));
}

/// Counter `share`: of the limit, whose seconds for this work `limit` returns. Of two neighbours
/// the faster one counts: a limit that something disturbed is none.
template <class Work, class Limit>
void report_share(benchmark::State& state, std::ptrdiff_t repeats, Work&& work, Limit&& limit) {
    const auto faster = [](double a, double b) { return std::min(a, b); };
    state.counters["share"] = 1 / median_ratio(state, repeats, work, limit, faster);
}

/// The time over that of `plain`, the mean of its neighbours.
template <class Work, class Plain>
double time_over(benchmark::State& state, Work&& work, Plain&& plain) {
    return median_ratio(
        state, 1, work, [&] { return seconds(plain); },
        [](double a, double b) { return (a + b) / 2; });
}

}  // namespace heed_bench
