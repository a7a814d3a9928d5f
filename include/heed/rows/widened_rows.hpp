#pragma once

#include <array>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/storage.hpp>
#include <heed/rows/layouts.hpp>
#include <heed/softmax/kernel/blockwise_softmax.hpp>

/// \file
/// Rows of 16-bit numbers, in which nothing is computed: a few rows at a time become floats in
/// scratch, exactly; the kernel for floats does its work there; what it wrote is rounded, once.
///
/// So a kernel may keep what is not yet its result in its output, as they do, and the result has
/// the bits of the same call on floats, rounded.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// Whether operands with such elements are widened: numbers of 16 bits.
template <class Element>
inline constexpr bool is_widened =
    !std::is_same_v<std::remove_const_t<Element>, computed_in<std::remove_const_t<Element>>>;

/// What an operand has of a few rows: `runs` times `length` numbers.
struct operand_tile {
    index runs, length;
    index run_step, step;  ///< in memory: from run to run, from number to number
    index scratch_step;    ///< in scratch, from run to run

    index scratch_elements() const { return runs * scratch_step; }

    template <class S, class T>
    void widen(const S* from, T* to) const {
        for (index r = 0; r < runs; ++r)
            widen_row(from + r * run_step, step, length, to + r * scratch_step);
    }
    template <class S, class T>
    void narrow(const T* from, S* to) const {
        for (index r = 0; r < runs; ++r)
            narrow_row(from + r * scratch_step, length, to + r * run_step, step);
    }
};

/// A kernel for floats, called with operands of 16 bits; others, one number a row each, it gets as
/// they are. Rows side by side stay so in scratch, rows that are lanes too, so that they meet the
/// kernel that they would meet as floats; rows that are neither lie side by side there.
template <class Kernel, std::size_t Operands>
class widening_kernel {
  public:
    widening_kernel(const Kernel& kernel, const std::array<bool, Operands>& is_number)
        : kernel_(kernel), is_number_(is_number) {}

    template <class Layout, class... Elements>
    void operator()(const Layout& layout, Elements*... data) const {
        const auto run = [&]<std::size_t... I>(std::index_sequence<I...>) {
            arena& memory = *layout.memory;
            const arena::scope scope(memory);
            auto in_scratch = scratch_layout(layout, memory);
            (place<I, Elements>(layout, in_scratch), ...);
            const std::tuple numbers{widened(tile_of<I>(layout), data, memory)...};
            kernel_(in_scratch, std::get<I>(numbers)...);
            (narrow(tile_of<I>(layout), std::get<I>(numbers), data), ...);
        };
        run(std::index_sequence_for<Elements...>{});
    }

  private:
    template <class Layout>
    static auto scratch_layout(const Layout& layout, arena& memory) {
        if constexpr (Layout::is_contiguous || Layout::is_lanes)
            return layout;
        else
            return contiguous_layout<float, Operands>{
                layout.length, {}, memory.take<float>(blocks_of<float>(layout.length)), 1, &memory};
    }

    /// Operand I of a layout, as it lies in memory.
    template <std::size_t I, class Layout>
    operand_tile tile_of(const Layout& layout) const {
        constexpr index size = vec<float>::size;
        const index length = layout.length;
        if constexpr (Layout::is_lanes) {
            const index rows = layout.rows, width = layout.lines * size;
            if (is_number_[I]) return {1, rows, 0, layout.row_steps[I], width};
            return {length, rows, layout.steps[I], 1, width};
        } else if constexpr (Layout::is_contiguous) {
            const index lines = layout.lines;
            if (is_number_[I]) return {1, lines, 0, layout.row_steps[I], lines};
            return {lines, length, layout.row_steps[I], 1, round_up(length, size)};
        } else {
            return {1, is_number_[I] ? 1 : length, 0, layout.steps[I], round_up(length, size)};
        }
    }

    /// Operand I in scratch, if it is widened.
    template <std::size_t I, class Element, class Layout, class Scratch>
    void place(const Layout& layout, Scratch& scratch) const {
        if constexpr (is_widened<Element>) {
            scratch.row_steps[I] = is_number_[I] ? 1 : tile_of<I>(layout).scratch_step;
            if constexpr (Scratch::is_lanes) scratch.steps[I] = tile_of<I>(layout).scratch_step;
        }
    }

    template <class Element>
    static auto widened(const operand_tile& tile, Element* data, arena& memory) {
        if constexpr (!is_widened<Element>) {
            return data;
        } else {
            float* const numbers = memory.take<float>(tile.scratch_elements());
            if constexpr (std::is_const_v<Element>) {
                tile.widen(data, numbers);
                return static_cast<const float*>(numbers);
            } else {
                return numbers;
            }
        }
    }

    template <class Number, class Element>
    static void narrow(const operand_tile& tile, const Number* numbers, Element* data) {
        if constexpr (is_widened<Element> && !std::is_const_v<Element>) tile.narrow(numbers, data);
    }

    const Kernel& kernel_;
    std::array<bool, Operands> is_number_;
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
