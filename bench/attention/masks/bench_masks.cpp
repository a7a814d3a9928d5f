#include <cstddef>
#include <vector>

#include <benchmark/benchmark.h>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/anti_causal.hpp>
#include <heed/attention/masks/boolean_mask.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/cumulative_lengths.hpp>
#include <heed/attention/masks/dilated_window.hpp>
#include <heed/attention/masks/global_window.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/masks/mask.hpp>
#include <heed/attention/masks/parallel_contexts.hpp>
#include <heed/attention/masks/per_head_mask.hpp>
#include <heed/attention/masks/prefix_lm.hpp>
#include <heed/attention/masks/segments.hpp>
#include <heed/attention/masks/sliding_window.hpp>

#include "support/by_turns.hpp"
#include "support/problem.hpp"

/// \file
/// Masks: `of_plain` is the time over that of plain attention, by turns; `left` is the share of the
/// scores that the mask leaves, which is what the time would be if nothing else were computed. One
/// head, n = 4096, d = 64, float, one thread.

namespace {

using namespace heed_bench;
constexpr std::ptrdiff_t n = 4096;

template <class Mask>
void mask(benchmark::State& state, double left, const Mask& part) {
    problem<float> in(square(1, n, 64));
    state.counters["of_plain"] = time_over(
        state, [&] { heed::attention_into(in.o, in.q, in.k, in.v, part); },
        [&] { heed::attention_into(in.o, in.q, in.k, in.v); });
    state.counters["left"] = left;
}

constexpr double causal_left = (n + 1.0) / (2 * n);

/// A causal window of `width` keys.
void window(benchmark::State& state) {
    const auto width = state.range(0);
    const auto w = static_cast<double>(width);
    mask(state, w * (n - (w - 1) / 2) / n / n, heed::sliding_window(width - 1, 0));
}

/// The causal mask as a tensor in memory.
auto causal_tensor() {
    Eigen::Tensor<bool, 2, Eigen::RowMajor> seen(n, n);
    for (std::ptrdiff_t i = 0; i < n; ++i)
        for (std::ptrdiff_t j = 0; j < n; ++j) seen(i, j) = j <= i;
    return heed::boolean_mask(std::move(seen));
}

/// Documents of 1000 tokens, none at a boundary of blocks; the last is shorter.
auto documents() {
    std::vector<int> ids(n);
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int>(i / 1000);
    return heed::segments(ids, ids);
}
constexpr double documents_left = (4 * 1e6 + 96. * 96) / (1. * n * n);

/// The same documents by their offsets; and as contexts that a task of 96 tokens sees.
const std::vector<int> offsets{0, 1000, 2000, 3000, 4000, n}, contexts{0, 1000, 2000, 3000, 4000};
constexpr double contexts_left = (4 * 1001 * 500. + 96 * (4000 + 48.5)) / (1. * n * n);

/// A quarter of the tokens see each other, the others what is before.
constexpr double prefix = n / 4.;
constexpr double prefix_left = causal_left + prefix * (prefix - 1) / 2 / n / n;

/// 256 keys on each side, and 16 global tokens.
constexpr double global_left = (2 * 16. * n + 513. * n - 256. * 257) / (1. * n * n);

/// Every fourth of the last 1024 keys: three quarters of what is computed are dropped.
constexpr double dilated_left = 256. * (n - 510.) / (1. * n * n);

/// Which tiles the causal function needs: the user may say so too.
heed::visibility causal_tile(heed::index first_i, heed::index last_i, heed::index first_j,
                             heed::index last_j) {
    if (first_j > last_i) return heed::visibility::none;
    return last_j <= first_i ? heed::visibility::all : heed::visibility::mixed;
}

constexpr auto not_later = [](auto i, auto j) { return i >= j; };

}  // namespace

BENCHMARK_CAPTURE(mask, causal, causal_left, heed::causal)->UseManualTime();
BENCHMARK(window)->ArgName("keys")->RangeMultiplier(2)->Range(128, n)->UseManualTime();
BENCHMARK_CAPTURE(mask, lengths of half the keys, 0.5, heed::key_lengths({n / 2}))->UseManualTime();
BENCHMARK_CAPTURE(mask, documents of 1000 tokens, documents_left, documents())->UseManualTime();
BENCHMARK_CAPTURE(mask, documents by offsets, documents_left, heed::cumulative_lengths(offsets))
    ->UseManualTime();
BENCHMARK_CAPTURE(mask, parallel contexts, contexts_left, heed::parallel_contexts(contexts))
    ->UseManualTime();
BENCHMARK_CAPTURE(mask, anti_causal, causal_left, heed::anti_causal)->UseManualTime();
BENCHMARK_CAPTURE(mask, prefix of a quarter, prefix_left, heed::prefix_lm(n / 4))->UseManualTime();
BENCHMARK_CAPTURE(mask, window and global tokens, global_left, heed::global_window(16, 256, 256))
    ->UseManualTime();
BENCHMARK_CAPTURE(mask, dilated window, dilated_left, heed::dilated_window(255, 0, 4))
    ->UseManualTime();
BENCHMARK_CAPTURE(mask, half causal and half anti_causal, causal_left,
                  heed::per_head_mask(heed::causal, heed::anti_causal))
    ->UseManualTime();
BENCHMARK_CAPTURE(mask, boolean causal tensor, causal_left, causal_tensor())->UseManualTime();
BENCHMARK_CAPTURE(mask, user function, 1.0, heed::mask(not_later))->UseManualTime();
BENCHMARK_CAPTURE(mask, user function with tiles, causal_left, heed::mask(not_later, causal_tile))
    ->UseManualTime();
