#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <type_traits>
#include <utility>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/core/architecture.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>
#include <heed/rows/layouts.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/rows/widened_rows.hpp>
#include <heed/softmax/kernel/blockwise_softmax.hpp>

/// \file
/// Calls a kernel on every row of its operands: the rows of a matrix, the last axis of a tensor, in
/// whatever layout they have.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// An operand of a kernel: for each row a line of numbers `step` apart, or one number. Axes are
/// those in front of the last.
template <class T, std::size_t Axes>
struct row_operand {
    T* data;
    std::array<index, Axes> strides;
    index step = 1;
    bool is_number = false;
};

/// The first `Axes` entries.
template <std::size_t Axes, std::size_t Rank>
std::array<index, Axes> leading(const std::array<index, Rank>& all) {
    std::array<index, Axes> result{};
    for (std::size_t axis = 0; axis < Axes; ++axis) result[axis] = all[axis];
    return result;
}

template <class T, int Rank>
auto line_operand(const tensor_view<T, Rank>& x) {
    constexpr auto axes = static_cast<std::size_t>(Rank - 1);
    return row_operand<T, axes>{x.data, leading<axes>(x.strides), x.strides[axes], false};
}
template <class T, int Rank>
auto number_operand(const tensor_view<T, Rank>& x) {
    return row_operand<T, static_cast<std::size_t>(Rank)>{x.data, x.strides, 0, true};
}

/// A line without elements may be a null pointer, which nothing is added to.
template <class T, std::size_t Axes>
row_operand<T, Axes> without_elements(row_operand<T, Axes> operand, index length) {
    if (length == 0 && !operand.is_number) operand.strides.fill(0);
    return operand;
}

/// The rows of several operands, in an order that suits the memory of the first: axes with the
/// longest strides outside, axes that continue one another merged. Of one type for every rank, so
/// that the kernels are compiled once.
template <std::size_t Operands>
class row_walk {
  public:
    template <std::size_t Axes, class... Ts>
    row_walk(const std::array<index, Axes>& extents, const row_operand<Ts, Axes>&... operands) {
        static_assert(Axes <= most_axes, "heed: a tensor of so many axes");
        for (std::size_t a = 0; a < Axes; ++a) {
            rows_ *= extents[a];
            if (extents[a] != 1) axes_[count_++] = {extents[a], {operands.strides[a]...}};
        }
        for (std::size_t a = 1; a < count_; ++a) {
            for (std::size_t b = a; b > 0 && axes_[b - 1].strides[0] < axes_[b].strides[0]; --b)
                std::swap(axes_[b - 1], axes_[b]);
        }
        merge();
    }

    index rows() const { return rows_; }

    /// The axis along which rows are nearest to each other.
    index inner_extent() const { return count_ == 0 ? 1 : axes_[count_ - 1].extent; }
    index inner_stride(std::size_t operand) const {
        return count_ == 0 ? 0 : axes_[count_ - 1].strides[operand];
    }

    /// How far from its first element each operand's row lies.
    std::array<index, Operands> offsets(index row) const {
        std::array<index, Operands> result{};
        for (std::size_t a = count_; a-- > 0;) {
            const index i = a == 0 ? row : row % axes_[a].extent;
            if (a > 0) row /= axes_[a].extent;
            for (std::size_t o = 0; o < Operands; ++o) result[o] += i * axes_[a].strides[o];
        }
        return result;
    }

  private:
    static constexpr std::size_t most_axes = 12;

    struct axis {
        index extent;
        std::array<index, Operands> strides;
    };

    void merge() {
        for (std::size_t a = 0; a + 1 < count_;) {
            bool continues = true;
            for (std::size_t o = 0; o < Operands; ++o)
                continues &= axes_[a].strides[o] == axes_[a + 1].strides[o] * axes_[a + 1].extent;
            if (!continues) {
                ++a;
                continue;
            }
            axes_[a + 1].extent *= axes_[a].extent;
            std::copy(axes_.begin() + static_cast<index>(a) + 1,
                      axes_.begin() + static_cast<index>(count_),
                      axes_.begin() + static_cast<index>(a));
            --count_;
        }
    }

    std::array<axis, most_axes> axes_{};
    std::size_t count_ = 0;
    index rows_ = 1;
};

/// Elements that are worth a task of their own.
inline constexpr index task_elements = index{1} << 14;

/// Results of more bytes than this are streamed past the caches, so many elements a task.
inline constexpr index streaming_bytes = index{1} << 24;
inline constexpr index streaming_task_elements = index{1} << 19;
/// Rows of fewer vectors are faster a few at a time.
inline constexpr index shortest_streamed = 32;

/// How an operand's elements lie along a row.
struct operand_step {
    index step;
    bool is_number;
};

/// for_each_row, whatever the rank.
template <class T, class Kernel, class... Ts>
void walk_rows(const call_resources& resources, const row_walk<sizeof...(Ts)>& walk, index length,
               const std::array<operand_step, sizeof...(Ts)>& operands, const Kernel& kernel,
               Ts*... data) {
    constexpr std::size_t count = sizeof...(Ts);
    const index rows = walk.rows();
    if (rows == 0) return;
    const index inner = walk.inner_extent();
    const index outer = rows / inner;

    std::array<index, count> steps{}, row_steps{};
    bool along = true, across = true;
    for (std::size_t o = 0; o < count; ++o) {
        steps[o] = operands[o].step;
        row_steps[o] = walk.inner_stride(o);
        along &= operands[o].is_number || steps[o] == 1 || length <= 1;
        across &= operands[o].is_number || row_steps[o] == 1;
    }

    // Task by task, `lines` rows (or vectors of rows) at a time, all with one outer index.
    const auto spread = [&](index rows_a_call, index calls_a_task, auto&& make_layout) {
        const index calls = count_blocks(inner, rows_a_call);
        const index tasks = count_blocks(outer * calls, calls_a_task);
        const auto run = [&](index slot, index task) {
            arena& memory = resources.memory->slot(slot);
            const arena::scope scope(memory);
            auto layout = make_layout(memory);
            layout.memory = &memory;
            const index last = std::min(outer * calls, (task + 1) * calls_a_task);
            for (index c = task * calls_a_task; c < last; ++c) {
                const index first = c % calls * rows_a_call;
                layout.take(std::min(rows_a_call, inner - first));
                const auto offsets = walk.offsets(c / calls * inner + first);
                [&]<std::size_t... I>(std::index_sequence<I...>) {
                    kernel(layout, (data + offsets[I])...);
                }
                (std::make_index_sequence<count>{});
            }
        };
        for_each_task(resources.pool, *resources.memory, tasks, run);
    };
    const auto per_task = [&](index rows_a_call) {
        return std::max<index>(1, task_elements / std::max<index>(1, length * rows_a_call));
    };

    constexpr bool can_stream = requires { Kernel::can_stream; };
    const bool is_large = outer * inner * length >= streaming_bytes / index{sizeof(T)} &&
                          length >= shortest_streamed * vec<T>::size;
    if (can_stream && along && is_large) {
        if constexpr (can_stream) {
            const index lines = std::clamp<index>(streaming_task_elements / length, 1, inner);
            spread(lines, 1, [&](arena& memory) {
                T* scratch = memory.take<T>(streaming_scratch<T>(length));
                return streaming_layout<T, count>{{length, row_steps, nullptr, 0}, scratch};
            });
        }
    } else if (along) {
        using layout = contiguous_layout<T, count>;
        const index lines =
            std::clamp<index>(layout::cached_elements / std::max<index>(1, length), 1, most_lines);
        spread(lines, per_task(lines), [&](arena& memory) {
            return layout{length, row_steps, memory.take<T>(blocks_of<T>(length)), 0};
        });
    } else if (across) {
        using layout = lane_layout<T, count>;
        constexpr index size = layout::size;
        const index lines = std::clamp<index>(
            layout::cached_elements / (std::max<index>(1, length) * size), 1, layout::together);
        spread(lines * size, per_task(lines * size), [&](arena& memory) {
            T* scratch = memory.take<T>(layout::scratch_elements(length, lines));
            return layout{length, steps, row_steps, scratch, 0, 0};
        });
    } else {
        spread(1, per_task(1), [&](arena&) { return strided_layout<T, count>{length, steps}; });
    }
}

/// kernel(layout, pointers to the operands' row…) for every row, or every few. The first operand is
/// the output. Where all operands are contiguous along the row, a row is a line; where they all are
/// contiguous across rows, a lane is a row; otherwise it goes element by element. T is what the
/// kernel computes in: operands of 16 bits reach it as floats.
template <class T, class Kernel, std::size_t Axes, class... Ts>
void for_each_row(const call_resources& resources, const std::array<index, Axes>& extents,
                  index length, const Kernel& kernel, const row_operand<Ts, Axes>&... operands) {
    constexpr std::size_t count = sizeof...(Ts);
    const row_walk<count> walk(extents, without_elements(operands, length)...);
    const std::array<operand_step, count> steps{operand_step{operands.step, operands.is_number}...};
    if constexpr ((is_widened<Ts> || ...))
        walk_rows<T>(resources, walk, length, steps,
                     widening_kernel<Kernel, count>(kernel, {operands.is_number...}),
                     operands.data...);
    else
        walk_rows<T>(resources, walk, length, steps, kernel, operands.data...);
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
