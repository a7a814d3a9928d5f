#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include <Eigen/Core>
#include <benchmark/benchmark.h>

#include <heed/core/math.hpp>
#include <heed/softmax/log_softmax.hpp>
#include <heed/softmax/log_sum_exp.hpp>
#include <heed/softmax/softmax.hpp>

/// \file
/// The softmax family on rows, float, one thread, beside what bounds it on the same machine at the
/// same moment: a copy of the same bytes, heed::exp of the same numbers. The two are run by turns,
/// and the counters are medians of the ratios of neighbours, so that a busy machine slows both:
/// `copies`, `exps`, `row_majors` and `floats` are the time of the work over the time of the other.

namespace {

using clock_type = std::chrono::steady_clock;
using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using column_major = Eigen::MatrixXf;

template <class F>
double seconds(F&& f) {
    const auto before = clock_type::now();
    f();
    benchmark::ClobberMemory();
    return std::chrono::duration<double>(clock_type::now() - before).count();
}

/// Runs `work` and `other` by turns; a run is repeated until it is long enough to be timed.
template <class Work, class Other>
void by_turns(benchmark::State& state, Eigen::Index elements, const std::string& name, Work&& work,
              Other&& other) {
    const auto repeats = std::max<Eigen::Index>(1, 2000000 / std::max<Eigen::Index>(1, elements));
    const auto repeated = [&](auto& f) {
        return seconds([&] {
            for (Eigen::Index i = 0; i < repeats; ++i) f();
        });
    };
    work();
    other();
    std::vector<double> ratios;
    double best = 1e9;
    for (auto _ : state) {
        const double limit = repeated(other);
        const double time = repeated(work);
        ratios.push_back(time / limit);
        best = std::min(best, time);
        state.SetIterationTime(time);
    }
    std::sort(ratios.begin(), ratios.end());
    state.counters[name] = ratios[ratios.size() / 2];
    state.counters["ns_an_element"] =
        best * 1e9 / static_cast<double>(std::max<Eigen::Index>(1, elements * repeats));
}

/// heed::exp of everything in `x`.
void exponentials(const row_major& x, row_major& y) {
    constexpr Eigen::Index size = heed::vec<float>::size;
    for (Eigen::Index i = 0; i + size <= x.size(); i += size)
        heed::exp(heed::vec<float>::load(x.data() + i)).store(y.data() + i);
}

template <class Matrix>
Matrix numbers(benchmark::State& state) {
    return 4 * Matrix::Random(state.range(0), state.range(1));
}

/// softmax, and heed::exp alone.
void softmax_over_exp(benchmark::State& state) {
    const auto x = numbers<row_major>(state);
    row_major y = x, e = x;
    by_turns(
        state, x.size(), "exps", [&] { heed::softmax.into(y, x); }, [&] { exponentials(x, e); });
}

template <class Function>
void against_copy(benchmark::State& state, Function f) {
    const auto x = numbers<row_major>(state);
    row_major y = x, copy = x;
    by_turns(
        state, x.size(), "copies", [&] { f(y, x); },
        [&] {
            std::memcpy(copy.data(), x.data(), static_cast<std::size_t>(x.size()) * sizeof(float));
        });
}

void softmax_over_copy(benchmark::State& state) {
    against_copy(state, [](auto& y, const auto& x) { heed::softmax.into(y, x); });
}
void softmax_in_place_over_copy(benchmark::State& state) {
    against_copy(state, [](auto& y, const auto&) { heed::softmax.into(y, y); });
}
void log_softmax_over_copy(benchmark::State& state) {
    against_copy(state, [](auto& y, const auto& x) { heed::log_softmax.into(y, x); });
}
void softmax_backward_over_copy(benchmark::State& state) {
    against_copy(state, [](auto& y, const auto& x) { heed::softmax.backward_into(y, x, x, x); });
}
void log_sum_exp_over_copy(benchmark::State& state) {
    Eigen::VectorXf z(state.range(0));
    against_copy(state, [&](auto&, const auto& x) { heed::log_sum_exp.into(z, x); });
}

/// softmax of the rows of a column-major matrix, and of a row-major one.
void softmax_of_columns(benchmark::State& state) {
    const auto rows = numbers<row_major>(state);
    const column_major columns = rows;
    row_major y = rows;
    column_major z = columns;
    by_turns(
        state, rows.size(), "row_majors", [&] { heed::softmax.into(z, columns); },
        [&] { heed::softmax.into(y, rows); });
}

/// softmax of rows of 16 bits, and of floats.
template <class S>
void softmax_of_16_bits(benchmark::State& state) {
    using stored = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const auto x = numbers<row_major>(state);
    const stored x16 = x.template cast<S>();
    row_major y = x;
    stored y16 = x16;
    by_turns(
        state, x.size(), "floats", [&] { heed::softmax.into(y16, x16); },
        [&] { heed::softmax.into(y, x); });
}

}  // namespace

BENCHMARK(softmax_over_exp)->Args({512, 512})->Args({512, 509})->UseManualTime();
BENCHMARK(softmax_of_columns)
    ->Args({512, 512})
    ->Args({4096, 1024})
    ->Args({1000, 100})
    ->UseManualTime();
BENCHMARK(softmax_over_copy)
    ->Args({512, 512})
    ->Args({10000, 32})
    ->Args({4096, 1024})
    ->Args({1024, 32768})
    ->UseManualTime();
BENCHMARK(softmax_in_place_over_copy)->Args({512, 512})->Args({1024, 32768})->UseManualTime();
BENCHMARK(log_softmax_over_copy)->Args({512, 512})->Args({1024, 32768})->UseManualTime();
BENCHMARK(log_sum_exp_over_copy)->Args({512, 512})->UseManualTime();
BENCHMARK(softmax_backward_over_copy)->Args({512, 512})->UseManualTime();

BENCHMARK_TEMPLATE(softmax_of_16_bits, Eigen::bfloat16)
    ->Args({512, 512})
    ->Args({1024, 32768})
    ->UseManualTime();
BENCHMARK_TEMPLATE(softmax_of_16_bits, Eigen::half)->Args({512, 512})->UseManualTime();

BENCHMARK_MAIN();
