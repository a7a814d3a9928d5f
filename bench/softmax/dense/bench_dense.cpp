#include <cstddef>

#include <Eigen/Core>
#include <benchmark/benchmark.h>

#include <heed/softmax/dense/entropy_normalised.hpp>
#include <heed/softmax/dense/l2_softmax.hpp>
#include <heed/softmax/dense/positive.hpp>
#include <heed/softmax/dense/relu_squared.hpp>
#include <heed/softmax/dense/sigmoid.hpp>
#include <heed/softmax/dense/taylor_softmax.hpp>
#include <heed/softmax/noise/perturb_max.hpp>
#include <heed/softmax/softmax.hpp>

#include "support/by_turns.hpp"

/// \file
/// Normalisers that leave no element out, alone on 512×512 floats, one thread: `of_softmax` is the
/// time over that of heed::softmax, by turns.

namespace {

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <class F>
auto repeated(F f) {
    return [f]() mutable {
        for (int i = 0; i < 10; ++i) f();
    };
}

template <class Normaliser>
void rows(benchmark::State& state, const Normaliser& normaliser) {
    const row_major x = 2 * row_major::Random(512, 512);
    row_major y = x;
    state.counters["of_softmax"] =
        heed_bench::time_over(state, repeated([&] { normaliser.into(y, x); }),
                              repeated([&] { heed::softmax.into(y, x); }));
}

template <class Normaliser>
void rows_backward(benchmark::State& state, const Normaliser& normaliser) {
    const row_major x = 2 * row_major::Random(512, 512), dp = row_major::Random(512, 512);
    const row_major p = normaliser(x), softmax = heed::softmax(x);
    row_major dx = x;
    state.counters["of_softmax"] =
        heed_bench::time_over(state, repeated([&] { normaliser.backward_into(dx, x, p, dp); }),
                              repeated([&] { heed::softmax.backward_into(dx, x, softmax, dp); }));
}

/// As a user would write it.
auto user_function() {
    return heed::positive([](auto x) { return 1 + x * x; }, [](auto x) { return 2 * x; });
}

}  // namespace

BENCHMARK_CAPTURE(rows, taylor_softmax 2, heed::taylor_softmax(2))->UseManualTime();
BENCHMARK_CAPTURE(rows, taylor_softmax 4, heed::taylor_softmax(4))->UseManualTime();
BENCHMARK_CAPTURE(rows, user function, user_function())->UseManualTime();
BENCHMARK_CAPTURE(rows, sigmoid, heed::sigmoid)->UseManualTime();
BENCHMARK_CAPTURE(rows, relu_squared, heed::relu_squared)->UseManualTime();
BENCHMARK_CAPTURE(rows, normalised_relu_squared, heed::normalised_relu_squared)->UseManualTime();
BENCHMARK_CAPTURE(rows, l2_softmax, heed::l2_softmax)->UseManualTime();
BENCHMARK_CAPTURE(rows, entropy_normalised, heed::entropy_normalised(5))->UseManualTime();
BENCHMARK_CAPTURE(rows, perturb_max, heed::perturb_max(heed::perturb::normal))->UseManualTime();
BENCHMARK_CAPTURE(rows_backward, taylor_softmax 2, heed::taylor_softmax(2))->UseManualTime();
BENCHMARK_CAPTURE(rows_backward, taylor_softmax 4, heed::taylor_softmax(4))->UseManualTime();
BENCHMARK_CAPTURE(rows_backward, user function, user_function())->UseManualTime();
BENCHMARK_CAPTURE(rows_backward, sigmoid, heed::sigmoid)->UseManualTime();
BENCHMARK_CAPTURE(rows_backward, relu_squared, heed::relu_squared)->UseManualTime();
BENCHMARK_CAPTURE(rows_backward, normalised_relu_squared, heed::normalised_relu_squared)
    ->UseManualTime();
BENCHMARK_CAPTURE(rows_backward, l2_softmax, heed::l2_softmax)->UseManualTime();
BENCHMARK_CAPTURE(rows_backward, entropy_normalised, heed::entropy_normalised(5))->UseManualTime();
BENCHMARK_CAPTURE(rows_backward, perturb_max, heed::perturb_max(heed::perturb::normal))
    ->UseManualTime();
