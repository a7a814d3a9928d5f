/// The vector functions over 4096 numbers that stay in the first cache.
///
///     ns       nanoseconds a number
///     cycles   clock cycles a vector (the clock is that of a chain of dependent additions)
///     copies   the time over that of a copy of the same numbers

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include <heed/core/math.hpp>
#include <heed/core/unroll.hpp>

namespace {

using heed::vec;
constexpr heed::index count = 4096;

template <class F>
double seconds(F&& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The least time of many runs: the machine may be shared.
template <class F>
double least_seconds(F&& work) {
    double least = 1;
    for (int run = 0; run < 300; ++run) least = std::min(least, seconds(work));
    return least;
}

double clock_rate() {
    constexpr int additions = 100000;
    return additions / least_seconds([] {
               long chain = 0;
               for (int i = 0; i < additions; ++i) {
                   chain += 1;
                   benchmark::DoNotOptimize(chain);  // in a register: one cycle an addition
               }
           });
}

/// y = f(x), four vectors at a time, and the sum of what f returned.
template <class T, class F>
[[gnu::noinline]] T apply(F f, const T* x, T* y) {
    constexpr heed::index size = vec<T>::size;
    vec<T> sums[4] = {T(0), T(0), T(0), T(0)};
    for (heed::index i = 0; i < count; i += 4 * size) {
        heed::detail::unroll<4>([&](auto v) {
            const vec<T> result = f(vec<T>::load(x + i + v * size));
            result.store(y + i + v * size);
            sums[v] += result;
        });
    }
    return reduce_add((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

template <class T, class F>
void measure(benchmark::State& state, F f) {
    std::vector<T> x(count), y(count);
    for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = static_cast<T>(0.01 + 0.13 * static_cast<double>(i % 97));
    const auto run = [&](auto function) {
        return least_seconds([&] {
                   for (int repeat = 0; repeat < 8; ++repeat) {
                       benchmark::DoNotOptimize(apply<T>(function, x.data(), y.data()));
                   }
               }) /
               8;
    };
    static const double rate = clock_rate();
    const double of_copy = run([](vec<T> a) { return a; });
    const double of_f = run(f);
    for (auto _ : state) state.SetIterationTime(of_f);
    state.counters["ns"] = of_f * 1e9 / count;
    state.counters["cycles"] = of_f * rate * static_cast<double>(vec<T>::size) / count;
    state.counters["copies"] = of_f / of_copy;
}

template <class T, class F>
void add(const char* name, F f) {
    benchmark::RegisterBenchmark(name, [f](benchmark::State& state) { measure<T>(state, f); })
        ->UseManualTime()
        ->Iterations(1);
}

template <class T>
void add_all(const std::string& scalar) {
    const auto named = [&](const char* name) { return (scalar + "/" + name); };
    add<T>(named("copy").c_str(), [](vec<T> x) { return x; });
    add<T>(named("exp2_fast of a fused multiply-add").c_str(), [](vec<T> x) {
        return heed::detail::exp2_fast(fma(x, vec<T>(T(-1.1)), vec<T>(T(-0.3))));
    });
    add<T>(named("exp2").c_str(), [](vec<T> x) { return heed::exp2(x); });
    add<T>(named("exp").c_str(), [](vec<T> x) { return heed::exp(x); });
    add<T>(named("expm1").c_str(), [](vec<T> x) { return heed::expm1(x); });
    add<T>(named("log").c_str(), [](vec<T> x) { return heed::log(x); });
    add<T>(named("log1p").c_str(), [](vec<T> x) { return heed::log1p(x); });
    add<T>(named("tanh").c_str(), [](vec<T> x) { return heed::tanh(x); });
}

}  // namespace

int main(int argc, char** argv) {
    add_all<float>("float");
    add_all<double>("double");
    benchmark::Initialize(&argc, argv);
    benchmark::RunSpecifiedBenchmarks();
}
