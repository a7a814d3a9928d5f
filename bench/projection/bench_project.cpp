#include <cstdint>
#include <type_traits>

#include <Eigen/Core>
#include <benchmark/benchmark.h>

#include <heed/projection.hpp>

#include "support/by_turns.hpp"
#include "support/memory_limit.hpp"
#include "support/multiply_add_limit.hpp"
#include "support/team.hpp"

/// \file
/// Projections. One row, `share` of the bandwidth of reading memory with as many threads: 128 MiB
/// of weights, more than the caches hold. Many rows, `share` of the peak of multiply-adds.
/// `of_eigen`: the time over that of Eigen's product, one thread.

namespace {

using namespace heed_bench;

template <class T>
using row_major = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// 128 MiB of them.
template <class Storage>
row_major<Storage> large_weights() {
    constexpr auto outputs = memory_size * std::ptrdiff_t(sizeof(float) / sizeof(Storage)) / 4096;
    return row_major<Storage>::Constant(outputs, 4096, static_cast<Storage>(1));
}

template <class W>
void share_of_reading(benchmark::State& state, const W& weights) {
    team threads(state.range(0));
    memory other;
    const row_major<float> x = row_major<float>::Ones(1, weights.inputs());
    row_major<float> y(1, weights.outputs());
    report_share(
        state, 1, [&] { heed::project_into(y, x, weights, threads.part()); },
        [&] { return memory::bytes * other.seconds_a_byte_read(threads); });
}

template <class Storage>
void one_row(benchmark::State& state) {
    const auto numbers = large_weights<Storage>();
    if constexpr (std::is_same_v<Storage, std::int8_t>)
        share_of_reading(state,
                         heed::packed_weights<Storage>(
                             numbers, Eigen::VectorXf(Eigen::VectorXf::Ones(numbers.rows()))));
    else
        share_of_reading(state, heed::packed_weights<Storage>(numbers));
}

void one_row_in_place(benchmark::State& state) {
    const auto numbers = large_weights<float>();
    share_of_reading(state, heed::weights(numbers));
}
void one_row_in_columns(benchmark::State& state) {
    const Eigen::MatrixXf numbers = large_weights<float>();
    share_of_reading(state, heed::weights(numbers));
}

/// Operations of `products` products of that size, at the peak.
template <class T>
double limit(team& threads, const row_major<T>& x, const row_major<T>& weight, double products) {
    return 2 * products * static_cast<double>(x.size()) * static_cast<double>(weight.rows()) *
           seconds_a_flop<T>(threads);
}

template <class Storage>
void many_rows(benchmark::State& state) {
    using T = typename heed::packed_weights<Storage>::scalar;
    const auto n = state.range(0);
    team threads(state.range(1));
    const row_major<T> x = row_major<T>::Random(n, n), weight = row_major<T>::Random(n, n);
    const heed::packed_weights<Storage> packed(weight);
    row_major<T> y(n, n);
    report_share(
        state, 1, [&] { heed::project_into(y, x, packed, threads.part()); },
        [&] { return limit(threads, x, weight, 1); });
}

void many_rows_in_place(benchmark::State& state) {
    const auto n = state.range(0);
    team threads(state.range(1));
    const row_major<float> x = row_major<float>::Random(n, n), weight = x;
    row_major<float> y(n, n);
    report_share(
        state, 1, [&] { heed::project_into(y, x, heed::weights(weight), threads.part()); },
        [&] { return limit(threads, x, weight, 1); });
}

/// dx and dW.
void backward(benchmark::State& state) {
    const auto n = state.range(0);
    team threads(state.range(1));
    const row_major<float> x = row_major<float>::Random(n, n), weight = x, dy = x;
    const auto w = heed::weights(weight);
    row_major<float> dx(n, n), d_weight(n, n);
    report_share(
        state, 1, [&] { heed::project_backward_into(dx, d_weight, dy, x, w, threads.part()); },
        [&] { return limit(threads, x, weight, 2); });
}

/// f(x, packed weights, weights, y) of so many rows against 2048 × 2048 weights.
template <class F>
void with_rows(benchmark::State& state, F f) {
    const std::ptrdiff_t n = 2048;
    const row_major<float> x = row_major<float>::Random(state.range(0), n),
                           weight = row_major<float>::Random(n, n);
    row_major<float> y(x.rows(), n);
    f(x, heed::packed_weights<float>(weight), weight, y);
}

void rows(benchmark::State& state) {
    team threads(1);
    with_rows(state, [&](const auto& x, const auto& packed, const auto& weight, auto& y) {
        report_share(
            state, 1, [&] { heed::project_into(y, x, packed); },
            [&] { return limit(threads, x, weight, 1); });
    });
}

void rows_of_eigen(benchmark::State& state) {
    with_rows(state, [&](const auto& x, const auto& packed, const auto& weight, auto& y) {
        state.counters["of_eigen"] = time_over(
            state, [&] { heed::project_into(y, x, packed); },
            [&] { y.noalias() = x * weight.transpose(); });
    });
}

}  // namespace

BENCHMARK_TEMPLATE(one_row, float)->ArgName("threads")->Arg(1)->Arg(2)->UseManualTime();
BENCHMARK_TEMPLATE(one_row, Eigen::bfloat16)->ArgName("threads")->Arg(1)->Arg(2)->UseManualTime();
BENCHMARK_TEMPLATE(one_row, std::int8_t)->ArgName("threads")->Arg(1)->Arg(2)->UseManualTime();
BENCHMARK(one_row_in_place)->ArgName("threads")->Arg(1)->Arg(2)->UseManualTime();
BENCHMARK(one_row_in_columns)->ArgName("threads")->Arg(1)->Arg(2)->UseManualTime();
BENCHMARK_TEMPLATE(many_rows, float)
    ->ArgNames({"n", "threads"})
    ->ArgsProduct({{2048}, {1, 2}})
    ->UseManualTime();
BENCHMARK_TEMPLATE(many_rows, double)->ArgNames({"n", "threads"})->Args({1024, 1})->UseManualTime();
BENCHMARK_TEMPLATE(many_rows, Eigen::bfloat16)
    ->ArgNames({"n", "threads"})
    ->Args({2048, 1})
    ->UseManualTime();
BENCHMARK_TEMPLATE(many_rows, std::int8_t)
    ->ArgNames({"n", "threads"})
    ->Args({2048, 1})
    ->UseManualTime();
BENCHMARK(many_rows_in_place)->ArgNames({"n", "threads"})->Args({2048, 1})->UseManualTime();
BENCHMARK(backward)->ArgNames({"n", "threads"})->ArgsProduct({{2048}, {1, 2}})->UseManualTime();
BENCHMARK(rows)
    ->ArgName("rows")
    ->ArgsProduct({{1, 2, 4, 8, 16, 32, 64, 128, 256, 512}})
    ->UseManualTime();
BENCHMARK(rows_of_eigen)
    ->ArgName("rows")
    ->ArgsProduct({{1, 2, 4, 8, 16, 32, 64, 128, 256, 512}})
    ->UseManualTime();
