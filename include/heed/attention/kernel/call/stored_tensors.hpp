#pragma once

#include <type_traits>

#include <heed/attention/kernel/schedule/each_row.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/workspace.hpp>

/// \file
/// Tensors of 16-bit numbers: a call reads floats that are made of them, exactly, and writes floats
/// that are rounded to them, once. Nothing is computed in fewer bits, unless by paired_products.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A tensor as what is computed in: its own memory, or where it holds 16-bit numbers, floats in
/// `scratch`.
template <class S>
tensor_view<const computed_in<S>, 4> widened(const tensor_view<const S, 4>& x, on_pool threads,
                                             workspace& memory, arena& scratch) {
    using T = computed_in<S>;
    if constexpr (std::is_same_v<S, T>) {
        return x;
    } else {
        const tensor_view<T, 4> wide{scratch.take<T>(x.size()), x.extents,
                                     row_major_strides(x.extents)};
        const index width = x.extents[3], step = x.strides[3];
        for_each_row(threads.pool, memory, x.extents,
                     [&](index row) { widen_row(row_at(x, row), step, width, row_at(wide, row)); });
        return wide;
    }
}

/// An output, and where it is computed: in its own memory, or where it holds 16-bit numbers, in
/// `scratch`, from where it is rounded. Of one that is null, because nobody wants it, both are.
template <class S>
class rounded_output {
  public:
    using computed = computed_in<S>;

    rounded_output(const tensor_view<S, 4>& output, arena& scratch) : output_(output) {
        if constexpr (std::is_same_v<S, computed>)
            numbers_ = output;
        else
            numbers_ = {output.data == nullptr ? nullptr : scratch.take<computed>(output.size()),
                        output.extents, row_major_strides(output.extents)};
    }

    /// What is to be written.
    const auto& numbers() const { return numbers_; }

    /// Now it is.
    void round(on_pool threads, workspace& memory) const {
        if (output_.data == nullptr) return;
        if constexpr (!std::is_same_v<S, computed>)
            for_each_row(threads.pool, memory, output_.extents, [&](index row) {
                narrow_row(row_at(numbers_, row), output_.extents[3], row_at(output_, row),
                           output_.strides[3]);
            });
    }

  private:
    tensor_view<S, 4> output_;
    tensor_view<computed, 4> numbers_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
