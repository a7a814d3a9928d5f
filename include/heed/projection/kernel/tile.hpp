#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/microkernel.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>
#include <heed/projection/kernel/row_set.hpp>

/// \file
/// The inner product of a projection: a tile of sums in registers, begun and ended in memory.
///
/// Built for the peak of the multiply-add units, as core/microkernel.hpp, of which it is the form
/// whose sums go on from where another depth block left them. That is exact: a sum is one chain of
/// multiply-adds however the depth is cut.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// How a result comes of sums, and where it goes: y = sum·scale + bias.
template <class T>
struct projected_rows {
    row_set<T> rows;
    const T* scale = nullptr;  ///< of each output, whole panels; null: 1
    const T* bias = nullptr;   ///< the same; null: none

    /// Vectors vectors of row r from output `column` on.
    template <int Vectors>
    [[gnu::always_inline]] inline void write(index r, index column, const vec<T>* sums) const {
        constexpr index size = vec<T>::size;
        T* const to = rows[r] + column * rows.step;
        const index left = rows.length - column;
        const T* const scales = scale;
        const T* const biases = bias;
        const index step = rows.step;
        unroll<Vectors>([&](int v) __attribute__((always_inline)) {
            vec<T> y = sums[v];
            const index at = column + v * size;
            if (scales != nullptr)
                y = biases != nullptr ? fma(y, vec<T>::load(scales + at), vec<T>::load(biases + at))
                                      : product(y, vec<T>::load(scales + at));
            else if (biases != nullptr)
                y += vec<T>::load(biases + at);
            if (step != 1)
                y.store_strided(to + v * size * step, step, left - v * size);
            else if (left >= (v + 1) * size)
                y.store(to + v * size);
            else if (left > v * size)
                y.store_partial(to + v * size, left - v * size);
        });
    }
};

/// Where the sums of a depth block come from and go to.
template <class T>
struct depth_step {
    T* partial;  ///< [rows][panel_width]: the sums between blocks
    bool is_first, is_last;
    /// Whether each block is summed from zero and added as a whole, not one chain over all.
    bool adds_blocks;
};

/// Memory that is soon to be read, `step` bytes an input: fetched while something is
/// multiplied. As numbers, since nobody reads through them.
struct read_ahead {
    std::uintptr_t from = 0;
    std::uintptr_t step = 0;
};

/// Brings the cache line `offset` numbers behind `from`, which is soon to be written. It may lie
/// beyond what there is, so it is no pointer.
template <class T>
[[gnu::always_inline]] inline void prefetch_to_write(const T* from, index offset) {
    const auto address =
        reinterpret_cast<std::uintptr_t>(from) + static_cast<std::uintptr_t>(offset) * sizeof(T);
    __builtin_prefetch(reinterpret_cast<const void*>(address), 1);
}

/// Rows rows of a strip against a panel, over one depth block: row r of the tile is row `row` + r
/// of y, of which `count` are to be written.
template <int Rows, class T>
[[gnu::noinline]] void multiply_depth(const T* strip, const T* panel, index depth,
                                      const depth_step<T>& step, read_ahead ahead,
                                      const projected_rows<T>& y, index row, index count,
                                      index column) {
    constexpr int vectors = tiles.score_vectors;
    constexpr index width = panel_width<T>, height = tiles.score_rows, size = vec<T>::size;
    array_of<array_of<vec<T>, vectors>, Rows> sum;
    const T* const before = step.partial;
    // 1. Begin: at zero, or where the block before ended. What is written at the end, and what the
    //    next tile begins with, comes nearer meanwhile.
    constexpr index line = 64 / static_cast<index>(sizeof(T));
    if (step.is_last) {
        for (index r = 0; r < std::min<index>(Rows, count); ++r)
            for (index c = 0; c < width; c += line)
                prefetch_to_write(y.rows[row + r], (column + c) * y.rows.step);
    }
    if (!step.is_first || !step.is_last) {
        for (index c = 0; c < Rows * width; c += line)
            prefetch_to_write(before, height * width + c);
    }
    if (step.is_first || step.adds_blocks) {
        unroll<Rows>([&](int r)
                         __attribute__((always_inline)) { begin_row(sum[r], from_zero{}, r); });
    } else {
        const auto begin = [=](int r) __attribute__((always_inline)) { return before + r * width; };
        unroll<Rows>([&](int r) __attribute__((always_inline)) { begin_row(sum[r], begin, r); });
    }
    // 2. Multiply: bound by the multiply-add units.
    for (index k = 0; k < depth; ++k, strip += height, panel += width) {
        prefetch(reinterpret_cast<const void*>(ahead.from));
        ahead.from += ahead.step;
        add_step(std::make_integer_sequence<int, Rows>(), strip, fixed<1>{}, panel, sum);
    }
    // 3. End: write what is done, keep what is not.
    if (step.adds_blocks && !step.is_first) {
        unroll<Rows>([&](int r) __attribute__((always_inline)) {
            unroll<vectors>([&](int v) __attribute__((always_inline)) {
                sum[r][v] = vec<T>::load_aligned(before + r * width + v * size) + sum[r][v];
            });
        });
    }
    if (step.is_last) {
        const auto write = [&](int r, const vec<T>* sums) __attribute__((always_inline)) {
            if (r < count) y.template write<vectors>(row + r, column, sums);
        };
        unroll<Rows>([&](int r) __attribute__((always_inline)) { finish_row(sum[r], write, r); });
    } else {
        T* const after = step.partial;
        unroll<Rows>([&](int r) __attribute__((always_inline)) {
            unroll<vectors>([&](int v) __attribute__((always_inline)) {
                sum[r][v].store_aligned(after + r * width + v * size);
            });
        });
    }
}

/// The same for the `count` rows of a strip, computing no more than a third of a tile too many.
template <class T>
void multiply_strip(const T* strip, const T* panel, index depth, const depth_step<T>& step,
                    read_ahead ahead, const projected_rows<T>& y, index row, index count,
                    index column) {
    constexpr int height = tiles.score_rows;
    const auto multiply = [&]<int Rows>() {
        multiply_depth<Rows>(strip, panel, depth, step, ahead, y, row, count, column);
    };
    if (count <= height / 3) return multiply.template operator()<height / 3>();
    if (count <= 2 * height / 3) return multiply.template operator()<2 * height / 3>();
    multiply.template operator()<height>();
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
