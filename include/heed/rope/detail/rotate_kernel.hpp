#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/workspace.hpp>
#include <heed/rope/detail/turn_table.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// The rotation of a whole tensor: memory bound, so that all there is to do is to compute the
/// tables once for all heads, keep them in a cache, and move each number once.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// Copies contiguous numbers past the caches.
template <class T>
void stream_copy(const T* from, T* to, index count) {
    constexpr index size = vec<T>::size;
    constexpr auto bytes = static_cast<std::uintptr_t>(size) * sizeof(T);
    const std::uintptr_t beyond = reinterpret_cast<std::uintptr_t>(to) % bytes;
    const auto lead = static_cast<index>((bytes - beyond) % bytes / sizeof(T));
    index i = std::min(lead, count);
    std::copy(from, from + i, to);
    for (; i + size <= count; i += size) vec<T>::load(from + i).stream(to + i);
    std::copy(from + i, from + count, to + i);
}

/// y = x rotated; both [batch, head, sequence, dim], any strides, apart or the same.
///
/// `Positions` offers copy(double* to, index batch, index first, index count), and where there are
/// several axes copy(double* to, index step, …), a step from axis to axis, and a constant
/// `per_batch`. `Turns` is padded_frequencies, or has its members. Work comes in blocks: some
/// positions of some batches, all heads, one table.
///
/// Rows of 16-bit numbers S become floats in scratch, are turned there, and rounded.
template <turn Way, class S, class Turns, class Positions>
class rotation {
    using T = computed_in<S>;
    static constexpr bool reads_in_place = std::is_same_v<S, T>;

  public:
    rotation(tensor_view<S, 4> y, tensor_view<const S, 4> x, const Turns& turns,
             rope::pair_layout layout, const Positions& positions)
        : x_(x), y_(y), turns_(turns), layout_(layout), positions_(positions) {
        const bool in_place = y.data == x.data;
        const bool along_pairs = x.strides[3] == 1 || y.strides[3] == 1;
        a_lane_a_position_ =
            reads_in_place && !along_pairs && x.strides[2] == 1 && y.strides[2] == 1;
        streams_ = reads_in_place && !in_place && y.strides[3] == 1 &&
                   y.size() >= numbers_in(streaming_bytes);
    }

    /// Each element is written by one task, and its bits do not depend on the division into tasks.
    void run(Eigen::ThreadPoolInterface* pool, workspace& scratch) const {
        if (x_.empty()) return;
        const index batches = x_.extents[0], sequence = x_.extents[2];
        const index wanted = pool != nullptr ? 4 * (pool->NumThreads() + 1) : 1;
        const index block = block_length(wanted);
        const index blocks = count_blocks(sequence, block);
        index groups = Positions::per_batch ? batches : count_blocks(wanted, blocks);
        groups = std::min(groups, batches);
        for_each_task(pool, scratch, blocks * groups, [&](index slot, index task) {
            const index first = task / groups * block, group = task % groups;
            arena& memory = scratch.slot(slot);
            const arena::scope scope(memory);
            rotate_block(memory, first, std::min(block, sequence - first), group * batches / groups,
                         (group + 1) * batches / groups);
            if (streams_) stream_fence();
        });
    }

  private:
    // Of the second-level cache, the largest share that leaves room for the rows.
    static constexpr index table_budget = 128 * 1024;
    static constexpr index block_step = 64;
    // Of rows on their way past the caches; and how far ahead of them rows are read.
    static constexpr index staged_bytes = 2 * 1024;
    static constexpr index prefetched_bytes = 8 * 1024;
    // Smaller results may still be in a cache when they are read next.
    static constexpr index streaming_bytes = 8 * 1024 * 1024;

    /// Positions a block: as many as a table has room for, fewer where tasks would be too few.
    index block_length(index wanted_blocks) const {
        const index room = numbers_in(table_budget) / turns_.row_size();
        const index share = count_blocks(x_.extents[2], wanted_blocks);
        return std::max<index>(std::min(room, share + block_step - 1) / block_step, 1) * block_step;
    }

    static constexpr index numbers_in(index bytes) { return bytes / static_cast<index>(sizeof(T)); }

    void rotate_block(arena& memory, index first, index count, index batch, index last) const {
        const index padded = round_up(count, block_step);
        auto* where = memory.take<double>(turns_.axes * padded);
        if constexpr (requires { positions_.copy(where, padded, batch, first, count); })
            positions_.copy(where, padded, batch, first, count);
        else
            positions_.copy(where, batch, first, count);
        for (index a = 0; a < turns_.axes; ++a)
            std::fill(where + a * padded + count, where + (a + 1) * padded, 0.0);
        if constexpr (reads_in_place) {
            if (a_lane_a_position_)
                return turn_columns(memory, where, first, count, padded, batch, last);
        }
        turn_block(memory, where, padded, first, count, batch, last);
    }

    // ---- a lane a pair: rows that are contiguous, at least in x or in y ---------------------

    /// Rows that follow one another along one axis.
    struct row_run {
        const S* from;
        index from_step;
        const T* table;
        index table_step;
    };

    void turn_block(arena& memory, const double* where, index padded, index first, index count,
                    index batch, index last) const {
        const index row_size = turns_.row_size(), dim = x_.extents[3];
        auto* table = memory.take<T>(count * row_size);
        for (index i = 0; i < count; ++i) turns_.fill_row(where + i, padded, table + i * row_size);
        auto* spare = memory.take<T>(dim);
        const index staged = std::max<index>(numbers_in(staged_bytes) / dim, 1);
        auto* stage = streams_ ? memory.take<S>(staged * dim) : nullptr;

        // Rows in the order in which y has them in memory.
        const std::size_t inner = y_.strides[1] < y_.strides[2] ? 1 : 2;
        const index rows = inner == 1 ? x_.extents[1] : count;
        const index runs = inner == 1 ? count : x_.extents[1];
        const index to_step = y_.strides[inner];
        for (index b = batch; b < last; ++b) {
            for (index r = 0; r < runs; ++r) {
                const index head = inner == 1 ? 0 : r, i = inner == 1 ? r : 0;
                row_run run{&x_(b, head, first + i, index(0)), x_.strides[inner],
                            table + i * row_size, inner == 1 ? 0 : row_size};
                S* to = &y_(b, head, first + i, index(0));
                if constexpr (reads_in_place) {
                    if (streams_ && to_step == dim) {
                        for (index n = 0; n < rows; n += staged, to += staged * dim) {
                            const index some = std::min(staged, rows - n);
                            turn_run(run, stage, dim, some, spare);
                            stream_copy(stage, to, some * dim);
                            run.from += some * run.from_step;
                            run.table += some * run.table_step;
                        }
                        continue;
                    }
                }
                turn_run(run, to, to_step, rows, spare);
            }
        }
    }

    void turn_run(const row_run& run, S* to, index to_step, index rows, T* spare) const {
        if constexpr (reads_in_place) {
            if (x_.strides[3] == 1 && y_.strides[3] == 1) {
                if (layout_ == rope::halves)
                    turn_contiguous<rope::halves>(run, to, to_step, rows);
                else
                    turn_contiguous<rope::interleaved>(run, to, to_step, rows);
                return;
            }
        }
        turn_in_spare(run, to, to_step, rows, spare);
    }

    template <rope::pair_layout Layout>
    void turn_contiguous(const row_run& run, T* to, index to_step, index rows) const {
        const index dim = x_.extents[3], rotated = 2 * turns_.pairs;
        const index ahead = numbers_in(prefetched_bytes) / dim * run.from_step;
        const T *from = run.from, *table = run.table;
        for (index n = 0; n < rows; ++n) {
            // The hardware alone reads too short a way ahead: 1.3 copies instead of 1.0.
            for (index c = 0; c < dim; c += numbers_in(64)) prefetch(from + ahead + c);
            turn_row<Way, Layout>(from, to, table, turns_.pairs, turns_.padded);
            if (to != from) std::copy(from + rotated, from + dim, to + rotated);
            from += run.from_step;
            to += to_step;
            table += run.table_step;
        }
    }

    void turn_in_spare(row_run run, S* to, index to_step, index rows, T* spare) const {
        const index dim = x_.extents[3];
        for (index n = 0; n < rows; ++n) {
            widen_row(run.from, x_.strides[3], dim, spare);
            if (layout_ == rope::halves)
                turn_row<Way, rope::halves>(spare, spare, run.table, turns_.pairs, turns_.padded);
            else
                turn_row<Way, rope::interleaved>(spare, spare, run.table, turns_.pairs,
                                                 turns_.padded);
            narrow_row(spare, dim, to, y_.strides[3]);
            run.from += run.from_step;
            run.table += run.table_step;
            to += to_step;
        }
    }

    // ---- a lane a position: column-major matrices ------------------------------------------

    void turn_columns(arena& memory, const double* where, index first, index count, index padded,
                      index batch, index last) const {
        auto* cosine = memory.take<T>(padded);
        auto* sine = memory.take<T>(padded);
        const index pairs = turns_.pairs;
        for (index pair = 0; pair < pairs; ++pair) {
            turns_.fill_column(pair, where, padded, count, cosine, sine);
            const bool halves = layout_ == rope::halves;
            const index one = halves ? pair : 2 * pair, other = halves ? pair + pairs : one + 1;
            for (index b = batch; b < last; ++b) {
                for (index h = 0; h < x_.extents[1]; ++h)
                    turn_two_columns(&x_(b, h, first, one), &x_(b, h, first, other),
                                     &y_(b, h, first, one), &y_(b, h, first, other), cosine, sine,
                                     count);
            }
        }
        if (y_.data == x_.data) return;
        for (index b = batch; b < last; ++b) {
            for (index h = 0; h < x_.extents[1]; ++h) {
                for (index c = 2 * pairs; c < x_.extents[3]; ++c)
                    std::copy_n(&x_(b, h, first, c), count, &y_(b, h, first, c));
            }
        }
    }

    static void turn_two_columns(const T* from_one, const T* from_other, T* to_one, T* to_other,
                                 const T* cosine, const T* sine, index count) {
        for (index i = 0; i < count; i += vec<T>::size) {
            vec<T> x = vec<T>::load_partial(from_one + i, count - i);
            vec<T> y = vec<T>::load_partial(from_other + i, count - i);
            turn_pair<Way>(x, y, vec<T>::load_aligned(cosine + i), vec<T>::load_aligned(sine + i));
            x.store_partial(to_one + i, count - i);
            y.store_partial(to_other + i, count - i);
        }
    }

    tensor_view<const S, 4> x_;
    tensor_view<S, 4> y_;
    const Turns& turns_;
    rope::pair_layout layout_;
    const Positions& positions_;
    bool streams_;
    bool a_lane_a_position_;
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
