#pragma once

#include <array>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/simd.hpp>
#include <heed/rows/lines.hpp>

/// \file
/// The layouts of rows: how a kernel's operands, given by their first elements, become lines.
///
/// A kernel takes a few lines at a time and goes through them phase by phase (the maxima of all of
/// them, then the exponentials of all, …): the long latency at the end of one line's sum is hidden
/// behind the work on the next line.
///
/// Operand number I of a kernel is a row of numbers, `line<I>(first, l)`, or one number a row,
/// `load_number<I>` and `store_number<I>`, of line l.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// The most lines that a kernel is given at once.
inline constexpr index most_lines = 8;

/// Rows that lie side by side in memory in every operand: a line a row.
template <class T, std::size_t Operands>
struct contiguous_layout {
    static constexpr bool is_contiguous = true;
    static constexpr bool is_lanes = false;
    static constexpr bool streams = false;
    /// Elements of a few rows that stay in the first cache together.
    static constexpr index cached_elements = 16384 / static_cast<index>(sizeof(T));

    index length;
    std::array<index, Operands> row_steps;  ///< from row to row
    T* references;                          ///< for a long row, as blockwise_softmax wants it
    index lines;
    arena* memory = nullptr;  ///< more scratch, for kernels that want any

    /// The next call takes that many rows.
    void take(index rows) { lines = rows; }

    template <std::size_t I, class Element>
    contiguous_line<Element> line(Element* first, index l) const {
        return {first + l * row_steps[I], length};
    }
    template <std::size_t I>
    vec<T> load_number(const T* first, index l) const {
        return vec<T>(first[l * row_steps[I]]);
    }
    template <std::size_t I>
    void store_number(T* first, index l, vec<T> v) const {
        v.store_partial(first + l * row_steps[I], 1);
    }
};

/// The same, many rows at a time, for results larger than the caches.
template <class T, std::size_t Operands>
struct streaming_layout : contiguous_layout<T, Operands> {
    static constexpr bool streams = true;

    T* scratch;  ///< as streamed_softmax wants it
};

/// One row, its elements some step apart in at least one operand.
template <class T, std::size_t Operands>
struct strided_layout {
    static constexpr bool is_contiguous = false;
    static constexpr bool is_lanes = false;
    static constexpr bool streams = false;
    static constexpr index lines = 1;

    index length;
    std::array<index, Operands> steps;
    arena* memory = nullptr;

    void take(index) {}

    template <std::size_t I, class Element>
    strided_line<Element> line(Element* first, index) const {
        return {first, length, steps[I]};
    }
    template <std::size_t I>
    vec<T> load_number(const T* number, index) const {
        return vec<T>(*number);
    }
    template <std::size_t I>
    void store_number(T* number, index, vec<T> v) const {
        v.store_partial(number, 1);
    }
};

/// Rows side by side in every operand, as in column-major memory: a lane a row, a few lines of them
/// at a time, so that whole stretches of memory are used.
template <class T, std::size_t Operands>
struct lane_layout {
    static constexpr bool is_contiguous = false;
    static constexpr bool streams = false;
    static constexpr bool is_lanes = true;
    static constexpr index size = vec<T>::size;
    /// Lines at a time, at most.
    static constexpr index together = 4;
    /// Elements of a row that have one reference; see lane_softmax.
    static constexpr index block = 32;
    /// Elements of scratch that stay in the second cache.
    static constexpr index cached_elements = (index{1} << 19) / static_cast<index>(sizeof(T));

    index length;
    std::array<index, Operands> steps;      ///< from element to element
    std::array<index, Operands> row_steps;  ///< from row to row, of operands with a number a row
    T* scratch;
    index rows;
    index lines;
    arena* memory = nullptr;

    /// Numbers of scratch: a vector for each element of a line, and for each block.
    static index scratch_elements(index length, index lines) {
        return lines * size * (length + count_blocks(length, block));
    }

    /// The next call takes that many rows.
    void take(index count) {
        rows = count;
        lines = count_blocks(count, size);
    }

    template <std::size_t I, class Element>
    lane_line<Element> line(Element* first, index l) const {
        return {first + l * size, length, steps[I], rows_of(l)};
    }
    template <std::size_t I>
    vec<T> load_number(const T* first, index l) const {
        return vec<T>::load_strided(first + l * size * row_steps[I], row_steps[I], rows_of(l));
    }
    template <std::size_t I>
    void store_number(T* first, index l, vec<T> v) const {
        v.store_strided(first + l * size * row_steps[I], row_steps[I], rows_of(l));
    }

    /// The rows of line l.
    index rows_of(index l) const { return l + 1 < lines ? size : rows - l * size; }
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
