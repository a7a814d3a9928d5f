#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <iterator>
#include <optional>
#include <string_view>
#include <type_traits>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/memory_span.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/core/view.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/rows/rows.hpp>
#include <heed/softmax/losses/kernel/loss_rows.hpp>

/// \file
/// The labels of a loss: one whole number a row, in whatever holds whole numbers.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// A range of whole numbers, such as std::vector<int>.
template <class X>
concept integral_range = !tensor_like<X> && requires(const X& x) {
    requires std::integral<std::remove_cvref_t<decltype(*std::begin(x))>>;
    std::end(x);
};

/// Calls f with every number of the view, the last axis running fastest.
template <class T, int Rank, class F>
void for_each_number(const tensor_view<T, Rank>& x, F&& f) {
    if constexpr (Rank == 0) {
        f(*x.data);
    } else {
        tensor_view<T, Rank - 1> part{x.data, {}, {}};
        for (std::size_t axis = 1; axis < Rank; ++axis) {
            part.extents[axis - 1] = x.extents[axis];
            part.strides[axis - 1] = x.strides[axis];
        }
        for (index i = 0; i < x.extents[0]; ++i, part.data += x.strides[0])
            for_each_number(part, f);
    }
}

/// The labels of a call.
struct checked_labels {
    const index* values;  ///< row by row; ignored_row where a row is ignored
    index counted;        ///< rows that are not
};

/// One after the other, labels checked against the number of classes and copied to scratch.
class label_reader {
  public:
    label_reader(index* to, index classes, std::optional<index> ignored)
        : to_(to), classes_(classes), ignored_(ignored) {}

    template <std::integral Integral>
    void operator()(Integral number) {
        const auto label = static_cast<index>(number);
        const bool is_ignored = label == ignored_;
        if (!is_ignored && !(label >= 0 && label < classes_)) [[unlikely]]
            refuse(number);
        to_[row_++] = is_ignored ? ignored_row : label;
        counted_ += is_ignored ? 0 : 1;
    }

    index counted() const { return counted_; }

  private:
    template <class Integral>
    [[noreturn]] void refuse(Integral label) const {
        if (ignored_)
            fail<argument_error>("the label of row ", row_, " is ", label, ", but must lie in [0, ",
                                 classes_, ") or be the ignored label, ", *ignored_);
        fail<argument_error>("the label of row ", row_, " is ", label, ", but must lie in [0, ",
                             classes_, "); to leave such rows out, give the loss .ignored_label(",
                             label, ")");
    }

    index* to_;
    index classes_;
    std::optional<index> ignored_;
    index row_ = 0;
    index counted_ = 0;
};

/// Refuses, by shape_error, labels that are not one for each row of x. X is what x is a view of.
template <class X, class Labels, class T, int Rank>
void check_labels(const Labels& labels, const tensor_view<T, Rank>& x) {
    constexpr auto axes = static_cast<std::size_t>(Rank - 1);
    if constexpr (std::integral<Labels>) {
        static_assert(axes == 0, "heed: a single label is for a single row, a vector");
    } else if constexpr (tensor_like<Labels>) {
        const auto held = evaluate(labels);
        check_numbers("labels", number_view<static_cast<int>(axes), Labels>("labels", held.view()),
                      "x", x);
    } else {
        static_assert(integral_range<Labels>,
                      "heed: labels are an Eigen vector, a tensor or a range of whole numbers");
        static_assert(axes <= 1, "heed: labels of a tensor's rows are a tensor of one rank less");
        index rows = 1;
        for (const index extent : leading<axes>(x.extents)) rows *= extent;
        const auto count = static_cast<index>(std::distance(std::begin(labels), std::end(labels)));
        require_shape(count == rows, "labels has ", count, " elements and x has shape ", x.extents,
                      ", but there must be one label for each row");
    }
}

/// Refuses, by argument_error, an output over the labels. After check_labels.
template <class Labels>
void check_apart_from_labels(std::string_view name, const memory_span& output,
                             const Labels& labels) {
    if constexpr (tensor_like<Labels>) {
        if constexpr (view_traits<Labels>::has_memory)
            check_apart(name, output, "labels", view_traits<Labels>::view(labels));
    } else if constexpr (contiguous_range<Labels>) {
        check_apart(name, output, "labels", vector_view(labels));
    }
}

/// The labels of x's rows, in scratch. X is what x is a view of. After check_labels.
template <class X, class Labels, class T, int Rank>
checked_labels read_labels(const Labels& labels, const tensor_view<T, Rank>& x,
                           std::optional<index> ignored, arena& scratch) {
    constexpr auto axes = static_cast<std::size_t>(Rank - 1);
    index rows = 1;
    for (std::size_t axis = 0; axis < axes; ++axis) rows *= x.extents[axis];
    index* const values = scratch.take<index>(rows);
    label_reader read(values, x.extents[axes], ignored);
    if constexpr (std::integral<Labels>) {
        read(labels);
    } else if constexpr (tensor_like<Labels>) {
        static_assert(std::integral<scalar_of<Labels>>, "heed: labels are whole numbers");
        const auto held = evaluate(labels);
        for_each_number(number_view<static_cast<int>(axes), Labels>("labels", held.view()), read);
    } else {
        for (const auto label : labels) read(label);
    }
    return {values, read.counted()};
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
