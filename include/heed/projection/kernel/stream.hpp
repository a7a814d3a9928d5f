#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>

/// \file
/// A few rows against panels of weights that come from memory once.
///
/// Built for the bandwidth of memory: several panels are read at the same time, each prefetched a
/// little ahead, and every number is widened in registers and multiplied by all rows at once. Each
/// sum is the chain of multiply_depth.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// How far ahead of its use a stream of weights is fetched, in bytes.
inline constexpr std::uintptr_t stream_ahead = 2048;
/// The same of weights in columns, in inputs: few, since columns a power of two apart share sets of
/// the caches.
inline constexpr index inputs_ahead = 6;

/// Vectors of one row's sums over Panels panels.
template <int Panels>
inline constexpr int stream_vectors = Panels* tiles.score_vectors;

/// sums[r] go on over `depth` inputs: x[r] are those of row r, weights of input k and panel p begin
/// at weights + p·panel_stride + k·input_stride, a stride known to the compiler if weights are
/// packed.
template <int Rows, int Panels, class S, class InputStride, class T = computed_scalar<S>>
[[gnu::always_inline]] inline void stream_panels(
    const S* weights, index panel_stride, InputStride input_stride, const T* const* x, index depth,
    array_of<vec<T>, stream_vectors<Panels>> (&sums)[static_cast<std::size_t>(Rows)]) {
    constexpr int vectors = tiles.score_vectors;
    constexpr index width = panel_width<T>, line = 64;
    constexpr index bytes = width * static_cast<index>(sizeof(S));
    // So many inputs fill whole cache lines of a packed panel.
    constexpr int inputs_a_line = bytes < line ? static_cast<int>(line / bytes) : 1;
    array_of<const T*, Rows> row;
    unroll<Rows>([&](int r) __attribute__((always_inline)) { row[r] = x[r]; });
    const auto multiply = [&](index k) __attribute__((always_inline)) {
        array_of<vec<T>, Rows> left;
        unroll<Rows>([&](int r) __attribute__((always_inline)) { left[r] = vec<T>(row[r][k]); });
        unroll<Panels>([&](int p) __attribute__((always_inline)) {
            const S* const from = weights + p * panel_stride + k * input_stride;
            unroll<vectors>([&](int v) __attribute__((always_inline)) {
                const vec<T> right = load_stored(from + v * vec<T>::size);
                unroll<Rows>([&](int r) __attribute__((always_inline)) {
                    vec<T>& sum = sums[r][p * vectors + v];
                    sum = fma(left[r], right, sum);
                });
            });
        });
    };
    constexpr bool is_packed = !std::is_same_v<InputStride, index>;
    index k = 0;
    for (; k + inputs_a_line <= depth; k += inputs_a_line) {
        unroll<Panels>([&](int p) __attribute__((always_inline)) {
            const S* const from = weights + p * panel_stride + k * input_stride;
            constexpr int lines = is_packed && bytes > line ? static_cast<int>(bytes / line) : 1;
            // As a number: a pointer must not leave its array.
            const auto ahead =
                reinterpret_cast<std::uintptr_t>(from) +
                (is_packed ? stream_ahead
                           : static_cast<std::uintptr_t>(inputs_ahead * input_stride) * sizeof(S));
            unroll<lines>([&](int l) __attribute__((always_inline)) {
                prefetch(
                    reinterpret_cast<const void*>(ahead + static_cast<std::uintptr_t>(l * line)));
            });
        });
        unroll<inputs_a_line>([&](int i) __attribute__((always_inline)) { multiply(k + i); });
    }
    for (; k < depth; ++k) multiply(k);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
