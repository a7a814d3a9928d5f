#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/microkernel.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>
#include <heed/core/workspace.hpp>
#include <heed/projection/kernel/panels.hpp>
#include <heed/projection/kernel/sizes.hpp>
#include <heed/projection/kernel/stream.hpp>
#include <heed/projection/kernel/tile.hpp>

/// \file
/// One to three rows of x: weights are read once, as fast as memory gives them.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Rows rows, whose elements lie side by side, against the panels from `first` on.
template <int Rows, class Source>
class few_rows {
    using T = typename Source::scalar;
    using S = typename Source::storage;
    static constexpr index width = Source::width;
    static constexpr int vectors = tiles.score_vectors;
    /// Inputs at a time of weights that are transposed on their way.
    static constexpr index fetched = 64;

  public:
    /// As many panels at once as there are registers for their sums.
    static constexpr int panels = std::max(1, projection.panels_at_once / Rows);

    few_rows(const T* const* x, const Source& weights, const projected_rows<T>& y)
        : x_(x), weights_(weights), y_(y) {}

    /// Numbers of scratch memory that multiply() takes.
    static constexpr index room = panels * fetched * width;

    void multiply(index first, index last, T* scratch) const {
        if constexpr (in_panels<Source>) {
            multiply_all<panels>(first, last, scratch);
        } else {
            // Each of a panel's outputs is a stream of its own where inputs lie side by side.
            if (has_columns())
                multiply_all<panels>(first, last, scratch);
            else
                multiply_all<std::min(2, panels)>(first, last, scratch);
        }
    }

  private:
    bool has_columns() const {
        if constexpr (requires { weights_.has_columns(); })
            return weights_.has_columns();
        else
            return false;
    }

    template <int Panels>
    void multiply_all(index first, index last, T* scratch) const {
        for (; first + Panels <= last; first += Panels) multiply_panels<Panels>(first, scratch);
        if constexpr (Panels > 1)
            for (; first < last; ++first) multiply_panels<1>(first, scratch);
    }

    template <int Panels>
    [[gnu::noinline]] void multiply_panels(index first, T* scratch) const {
        array_of<array_of<vec<T>, stream_vectors<Panels>>, Rows> sums;
        unroll<Rows>([&](int r) __attribute__((always_inline)) {
            unroll<stream_vectors<Panels>>([&](int i) __attribute__((always_inline)) {
                sums[r][i] = vec<T>(T(0));
            });
        });
        sum_panels<Panels>(first, scratch, sums);
        unroll<Rows>([&](int r) __attribute__((always_inline)) {
            unroll<Panels>([&](int p) __attribute__((always_inline)) {
                array_of<vec<T>, vectors> row;
                unroll<vectors>([&](int v) __attribute__((always_inline)) {
                    row[v] = sums[r][p * vectors + v];
                });
                y_.template write<vectors>(r, (first + p) * width, row);
            });
        });
    }

    template <int Panels>
    [[gnu::always_inline]] void sum_panels(
        index first, T* scratch,
        array_of<vec<T>, stream_vectors<Panels>> (&sums)[static_cast<std::size_t>(Rows)]) const {
        const index inputs = weights_.inputs;
        if constexpr (in_panels<Source>) {
            stream_panels<Rows, Panels>(weights_.at(first, 0), width * inputs, fixed<width>{}, x_,
                                        inputs, sums);
        } else {
            if constexpr (requires { weights_.has_columns(); }) {
                if (weights_.has_columns() && (first + Panels) * width <= weights_.outputs) {
                    stream_panels<Rows, Panels>(weights_.column(first * width), width,
                                                weights_.input_stride(), x_, inputs, sums);
                    return;
                }
            }
            array_of<const T*, Rows> x;
            for (index k = 0; k < inputs; k += fetched) {
                const index depth = std::min(fetched, inputs - k);
                weights_.fetch(first, first + Panels, k, depth, scratch, fetched * width);
                unroll<Rows>([&](int r) __attribute__((always_inline)) { x[r] = x_[r] + k; });
                stream_panels<Rows, Panels>(static_cast<const T*>(scratch), fetched * width,
                                            fixed<width>{}, x, depth, sums);
            }
        }
    }

    const T* const* x_;
    Source weights_;
    projected_rows<T> y_;
};

/// All Rows rows of x against all weights.
template <int Rows, class Source, class T>
void multiply_few(const row_set<const T>& x, const Source& weights, const projected_rows<T>& y,
                  Eigen::ThreadPoolInterface* pool, workspace& memory, index helpers) {
    arena& own = memory.slot(0);
    const arena::scope scope(own);
    array_of<const T*, Rows> rows;
    for (int r = 0; r < Rows; ++r) {
        rows[r] = x[r];
        if (x.step == 1) continue;
        T* const copy = own.template take<T>(x.length);
        for (index k = 0; k < x.length; ++k) copy[k] = x[r][k * x.step];
        rows[r] = copy;
    }
    using kernel = few_rows<Rows, Source>;
    const kernel product(rows, weights, y);
    const index panels = count_blocks(weights.outputs, Source::width);
    // A thread that comes late still finds something to do; one alone has one task.
    const index most = helpers > 0 ? 8 * (helpers + 1) : 1;
    const index piece = round_up(count_blocks(panels, most), index(kernel::panels));
    for_each_task(
        pool, memory, count_blocks(panels, piece),
        [&](index slot, index task) {
            arena& mine = memory.slot(slot);
            const arena::scope taken(mine);
            product.multiply(task * piece, std::min(panels, (task + 1) * piece),
                             mine.template take<T>(kernel::room));
        },
        helpers);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
