#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/unroll.hpp>
#include <heed/rows/layouts.hpp>
#include <heed/rows/lines.hpp>

/// \file
/// Normalisers that need a whole row, alone on rows of any layout: kernels for row_function.
///
/// A row goes to aligned scratch, filled up to pairs of vectors with what is left out; what its
/// object (heed::sparsemax.whole_row<T>(0), say) makes of it goes back. Where a lane is a row, as
/// many rows as a vector has lanes are transposed on the way.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// The length of a row in scratch: pairs of vectors.
template <class T>
constexpr index whole_length(index length) {
    constexpr index pair = 2 * vec<T>::size;
    return round_up(length, pair);
}

/// From row to row in scratch: aligned to a cache line, and an odd number of them, since rows a
/// power of two apart fall on a few sets of a cache.
template <class T>
constexpr index whole_stride(index length) {
    constexpr auto line = static_cast<index>(arena::alignment / sizeof(T));
    return (count_blocks(whole_length<T>(length), line) | 1) * line;
}

/// The rows of a line in scratch.
template <class T, class Line>
struct rows_in_scratch {
    static constexpr bool is_lanes = requires(const Line& line) { line.rows; };

    rows_in_scratch(const Line& like, arena& scratch)
        : length(whole_length<T>(like.length)), stride(whole_stride<T>(like.length)) {
        if constexpr (is_lanes) rows = like.rows;
        data = scratch.take<T>(is_lanes ? vec<T>::size * stride : stride);
    }

    T* row(index r) const { return data + r * stride; }

    /// From memory, `fill` behind it.
    template <class From>
    void load(const From& from, T fill) const {
        constexpr index size = vec<T>::size;
        if constexpr (is_lanes) {
            for (index j = 0; j < length; j += size) {
                array_of<vec<T>, size> block;
                for (index l = 0; l < size; ++l)
                    block[l] = j + l < from.length ? from.load(whole_vector{j + l}) : vec<T>(fill);
                transpose(block);
                for (index l = 0; l < size; ++l) block[l].store_aligned(row(l) + j);
            }
        } else {
            for (index j = from.whole() * size; j < length; j += size)
                vec<T>(fill).store_aligned(data + j);
            for_each_vector(
                from, [&](auto at) { from.load(at, fill).store_aligned(data + at.number * size); });
        }
    }

    /// To memory; past the caches if `Streams`, and if the row begins where that is possible.
    template <bool Streams = false, class To>
    void store(const To& to) const {
        constexpr index size = vec<T>::size;
        if constexpr (is_lanes) {
            for (index j = 0; j < to.length; j += size) {
                array_of<vec<T>, size> block;
                for (index l = 0; l < size; ++l) block[l] = vec<T>::load_aligned(row(l) + j);
                transpose(block);
                for (index l = 0; l < size && j + l < to.length; ++l)
                    to.store(whole_vector{j + l}, block[l]);
            }
        } else {
            for_each_vector(
                to, [&](auto at) { to.store(at, vec<T>::load_aligned(data + at.number * size)); });
        }
    }

    index length, stride;
    index rows = 1;
    T* data;
};

template <class T, class Line>
rows_in_scratch<T, Line> take_rows(const Line& like, arena& scratch) {
    return {like, scratch};
}

/// y = p of each row. Operands: y, x.
template <class Row>
struct whole_rows {
    static constexpr bool can_stream = true;

    explicit whole_rows(Row object) : row(object) {}

    template <class Layout, class T>
    void operator()(const Layout& layout, T* to, const T* from) const {
        for (index l = 0; l < layout.lines; ++l) {
            const auto x = layout.template line<1>(from, l);
            if (x.length == 0) continue;
            const arena::scope mark(*layout.memory);
            const auto rows = take_rows<T>(x, *layout.memory);
            rows.load(x, -std::numeric_limits<T>::infinity());
            for (index r = 0; r < rows.rows; ++r)
                row.normalise(rows.row(r), rows.length, *layout.memory);
            rows.template store<Layout::streams>(layout.template line<0>(to, l));
        }
        if constexpr (Layout::streams) stream_fence();
    }

    Row row;
};

/// dx of each row, where y alone says all. Operands: dx, y, dy.
template <class Row>
struct output_rows_backward {
    explicit output_rows_backward(Row object) : row(object) {}

    template <class Layout, class T>
    void operator()(const Layout& layout, T* to, const T* value, const T* gradient) const {
        for (index l = 0; l < layout.lines; ++l) {
            const auto y = layout.template line<1>(value, l);
            if (y.length == 0) continue;
            arena& memory = *layout.memory;
            const arena::scope mark(memory);
            const auto p = take_rows<T>(y, memory), d = take_rows<T>(y, memory);
            p.load(y, T(0));
            d.load(layout.template line<2>(gradient, l), T(0));
            for (index r = 0; r < p.rows; ++r)
                row.score_gradient(p.row(r), d.row(r), p.length, memory);
            d.store(layout.template line<0>(to, l));
        }
    }

    Row row;
};

/// The gradient of the object's parameter, where y alone says all. Operands: one number a row, y,
/// dy.
template <class Row>
struct parameter_backward_rows {
    explicit parameter_backward_rows(Row object) : row(object) {}

    template <class Layout, class T>
    void operator()(const Layout& layout, T* to, const T* value, const T* gradient) const {
        for (index l = 0; l < layout.lines; ++l) {
            const auto y = layout.template line<1>(value, l);
            arena& memory = *layout.memory;
            const arena::scope mark(memory);
            const auto p = take_rows<T>(y, memory), d = take_rows<T>(y, memory);
            p.load(y, T(0));
            d.load(layout.template line<2>(gradient, l), T(0));
            alignas(64) T each[vec<T>::size] = {};
            for (index r = 0; r < p.rows; ++r)
                each[r] = row.parameter_gradient(p.row(r), d.row(r), p.length);
            layout.template store_number<0>(to, l, vec<T>::load_aligned(each));
        }
    }

    Row row;
};

/// dx = g ⊙ (dy − Σg·dy/Σg) with g = row.weight(y), where y alone says all. Operands: dx, y, dy.
template <class Row>
struct weighted_backward_rows {
    explicit weighted_backward_rows(Row object) : row(object) {}

    template <class Layout, class T>
    void operator()(const Layout& layout, T* to, const T* value, const T* gradient) const {
        vec<T> mean[most_lines];
        for (index l = 0; l < layout.lines; ++l) {
            const auto y = layout.template line<1>(value, l);
            const auto dy = layout.template line<2>(gradient, l);
            const vec<T> sum = sum_over(
                y, [&](auto at, vec<T> so_far)
                       __attribute__((always_inline)) { return so_far + row.weight(y.load(at)); });
            const vec<T> product = sum_over(
                y, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
                    return fma(row.weight(y.load(at)), dy.load(at), so_far);
                });
            mean[l] = select(sum == vec<T>(T(0)), vec<T>(T(0)), product / sum);
        }
        for (index l = 0; l < layout.lines; ++l) {
            const auto dx = layout.template line<0>(to, l);
            const auto y = layout.template line<1>(value, l);
            const auto dy = layout.template line<2>(gradient, l);
            for_each_vector(
                dx, [&](auto at) __attribute__((always_inline)) {
                    dx.store(at, row.weight(y.load(at)) * (dy.load(at) - mean[l]));
                });
        }
    }

    Row row;
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
