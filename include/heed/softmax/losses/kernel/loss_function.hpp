#pragma once

#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/overlap.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/core/view.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/rows/rows.hpp>
#include <heed/softmax/kernel/numbered_rows.hpp>
#include <heed/softmax/losses/kernel/labels.hpp>

/// \file
/// The face of a loss on rows of logits: f(x, labels), f.with_gradient, f.into, f.gradient_into.

namespace heed::inline HEED_ARCHITECTURE {

/// What becomes of the rows' losses.
enum class reduction {
    mean,    ///< their mean, over the rows that are not ignored; 0 if there is none
    sum,     ///< their sum
    per_row  ///< a loss for each row; the gradient of a row is that of its own loss
};

/// A loss, and its gradient with respect to the logits.
template <class Value, class X>
struct loss_gradient {
    Value value;
    X gradient;
};

namespace detail {

/// scale·Σ of numbers, in their order. Where finite ones have a sum that is not, each of them is
/// made smaller first.
inline double scaled_sum(const double* numbers, index count, double scale) {
    double total = 0;
    for (index i = 0; i < count; ++i) total += numbers[i];
    if (!std::isinf(total)) return total * scale;
    const double part = std::ldexp(0.25, -std::ilogb(static_cast<double>(count)));
    total = 0;
    for (index i = 0; i < count; ++i) total += numbers[i] * part;
    return total * (scale / part);
}

/// An object for the losses of x, whose shape is `extents`.
template <class X, reduction Over>
auto make_loss(const std::array<index, static_cast<std::size_t>(rank_of<X>)>& extents) {
    if constexpr (Over == reduction::per_row)
        return make_numbers<X>(extents);
    else
        return computed_in<scalar_of<X>>(0);
}

/// The losses' places, where each row of x has its own.
template <class X, class Value, class T, int Rank>
auto checked_places_of_losses(Value& value, const tensor_view<T, Rank>& x) {
    constexpr int axes = row_axes<X>;
    const auto places = [&] {
        if constexpr (is_one_number<Value>)
            return number_view<axes>("the loss", value);
        else
            return number_view<axes, Value>("the loss", view_of(value));
    }();
    check_scalars<std::remove_const_t<T>, std::remove_cvref_t<decltype(*places.data)>>();
    check_numbers("the loss", places, "x", x);
    check_writable("the loss", places);
    return places;
}

/// scale·Σ of the losses that compute(places) writes, in double, and summed in the order of the
/// rows, whatever the threads.
template <class T, int Rank, class Compute>
double sum_of_losses(const tensor_view<T, Rank>& x, double scale, arena& memory,
                     Compute&& compute) {
    constexpr auto axes = static_cast<std::size_t>(Rank - 1);
    const index rows = count_rows(x);
    double* const losses = memory.take<double>(rows);
    compute(
        row_operand<double, axes>{losses, row_major_strides(leading<axes>(x.extents)), 0, true});
    return scaled_sum(losses, rows, scale);
}

}  // namespace detail

/// A loss on rows of logits x, each with a label t: the rows of any matrix, array, map or block,
/// the last axis of any tensor or heed::view; a compile-time vector is one row.
///
///     const float loss = f(x, labels);
///     auto [loss, dx]  = f.with_gradient(x, labels);            // at little more than the cost
///     f.gradient_into(loss, dx, x, labels, heed::on(pool));     // the caller's memory; dx may be
///     x f.ignored_label(-100).sum()(x, labels);
///
/// Labels are whole numbers of any type in [0, columns of x): for a matrix a vector of Eigen's or a
/// range such as std::vector<int>, for a tensor a tensor of one rank less, for a vector a number.
/// The loss is a number of x's scalar, float where x holds 16-bit numbers, or with per_row() what
/// heed::log_sum_exp gives: a column for a matrix, a tensor of one rank less. A row with the
/// ignored label, if one is set, has loss 0 and gradient 0 and counts in no mean.
///
/// A logit of −∞ has probability 0, and loss +∞ where it is the label's; a NaN, or +∞, makes its
/// own row's loss and gradient NaN. The result is the same bits for any number of threads.
///
/// Throws shape_error where shapes differ, argument_error for a label out of range or an output
/// that overlaps an input without being it; nothing has been written then. O(size of x).
///
/// `Loss` says what it is to a row; see cross_entropy.hpp.
template <class Loss, reduction Over = reduction::mean>
class loss_function {
  public:
    constexpr explicit loss_function(Loss loss = {}, std::optional<index> ignored = {})
        : loss_(loss), ignored_(ignored) {}

    /// The same with another reduction.
    constexpr auto mean() const { return loss_function<Loss, reduction::mean>(loss_, ignored_); }
    constexpr auto sum() const { return loss_function<Loss, reduction::sum>(loss_, ignored_); }
    constexpr auto per_row() const {
        return loss_function<Loss, reduction::per_row>(loss_, ignored_);
    }

    /// The same, rows with this label left out. It may be any number, in or out of range.
    constexpr loss_function ignored_label(std::integral auto label) const {
        return loss_function(loss_, static_cast<index>(label));
    }

    /// The same with smoothed labels, where the loss has such. Throws argument_error unless
    /// 0 ≤ ε ≤ 1.
    loss_function label_smoothing(double epsilon) const requires requires(const Loss& l) {
        l.label_smoothing(0.0);
    }
    { return loss_function(loss_.label_smoothing(epsilon), ignored_); }

    /// The same with a weight for each class, where the loss has such: any vector, seen where it
    /// lies if it is an lvalue. Throws argument_error unless they are finite and not negative.
    template <detail::vector_like Weights>
    auto class_weights(Weights&& w) const requires requires(const Loss& l) {
        l.class_weights(std::forward<Weights>(w));
    }
    {
        auto weighted = loss_.class_weights(std::forward<Weights>(w));
        return loss_function<decltype(weighted), Over>(std::move(weighted), ignored_);
    }

    /// The loss.
    template <tensor_like X, class Labels, class... Extras>
    [[nodiscard]] auto operator()(const X& x, const Labels& labels, const Extras&... extras) const {
        const auto held = detail::evaluate("x", x);
        detail::check_labels<X>(labels, detail::row_view<X>(held.view()));
        auto value = detail::make_loss<X, Over>(held.view().extents);
        run<X>(value, detail::row_view<X>(held.view()), labels, detail::call_resources(extras...));
        return value;
    }

    /// The loss in the caller's memory: a number, or with per_row() a vector of numbers.
    template <class Value, tensor_like X, class Labels, class... Extras>
    void into(Value&& value, const X& x, const Labels& labels, const Extras&... extras) const {
        const auto held = detail::evaluate(x);
        run<X>(value, detail::row_view<X>(held.view()), labels, detail::call_resources(extras...));
    }

    /// The loss and its gradient, dx of x's kind, storage order and scalar.
    template <tensor_like X, class Labels, class... Extras>
    [[nodiscard]] auto with_gradient(const X& x, const Labels& labels,
                                     const Extras&... extras) const {
        const auto held = detail::evaluate("x", x);
        detail::check_labels<X>(labels, detail::row_view<X>(held.view()));
        auto value = detail::make_loss<X, Over>(held.view().extents);
        auto dx = detail::make_same<X>(held.view().extents);
        run<X>(value, detail::row_view<X>(held.view()), labels, detail::call_resources(extras...),
               detail::row_view<X>(detail::view_of(dx)));
        return loss_gradient<decltype(value), decltype(dx)>{std::move(value), std::move(dx)};
    }

    /// The same in the caller's memory; dx may be x itself.
    template <class Value, tensor_like DX, tensor_like X, class Labels, class... Extras>
    void gradient_into(Value&& value, DX&& dx, const X& x, const Labels& labels,
                       const Extras&... extras) const {
        const auto held = detail::evaluate(x);
        run<X>(value, detail::row_view<X>(held.view()), labels, detail::call_resources(extras...),
               detail::row_view<DX>(detail::view_of(std::forward<DX>(dx))));
    }

  private:
    template <class X, class Value, class T, int Rank, class Labels, class... DX>
    void run(Value& value, const tensor_view<T, Rank>& x, const Labels& labels,
             const detail::call_resources& resources, const DX&... dx) const {
        using scalar = std::remove_const_t<T>;
        constexpr auto axes = static_cast<std::size_t>(Rank - 1);
        detail::check_scalars<scalar, std::remove_cvref_t<decltype(*dx.data)>...>();
        detail::check_view("x", x);
        detail::check_labels<X>(labels, x);
        (check_gradient(dx, x, labels), ...);
        loss_.check(x.extents[axes]);
        if constexpr (requires { loss_.class_weights_view(); })
            (detail::check_apart("dx", dx, "class_weights", loss_.class_weights_view()), ...);
        const auto leading = detail::leading<axes>(x.extents);
        arena& memory = resources.memory->slot(0);
        const arena::scope scope(memory);

        const auto for_rows = [&](const auto& losses, const auto& given, double scale) {
            const detail::row_operand<const index, axes> targets{
                given.values, detail::row_major_strides(leading), 0, true};
            using computed = detail::computed_in<scalar>;
            detail::for_each_row<computed>(
                resources, leading, x.extents[axes], loss_.template rows<computed>(scale),
                detail::line_operand(dx)..., detail::line_operand(x), targets, losses);
        };
        if constexpr (Over == reduction::per_row) {
            const auto places = detail::checked_places_of_losses<X>(value, x);
            check_loss(places, x, labels, dx...);
            const auto given = detail::read_labels<X>(labels, x, ignored_, memory);
            for_rows(detail::number_operand(places), given, 1);
        } else {
            static_assert(std::is_floating_point_v<Value>,
                          "heed: the mean or the sum of losses is a number; per_row() gives many");
            check_loss(tensor_view<Value, 0>{&value, {}, {}}, x, labels, dx...);
            const auto given = detail::read_labels<X>(labels, x, ignored_, memory);
            const double counted = weight_of(given, detail::count_rows(x));
            const double scale = Over == reduction::mean && counted > 0 ? 1 / counted : 1;
            value = static_cast<Value>(detail::sum_of_losses(
                x, scale, memory, [&](const auto& losses) { for_rows(losses, given, scale); }));
        }
    }

    /// What the losses' sum is divided by in a mean: how many rows count, or their labels' weights.
    double weight_of(const detail::checked_labels& given, index rows) const {
        if constexpr (requires { loss_.label_weight(rows); }) {
            double sum = 0;
            for (index r = 0; r < rows; ++r)
                if (given.values[r] != detail::ignored_row)
                    sum += loss_.label_weight(given.values[r]);
            return sum;
        } else {
            return static_cast<double>(given.counted);
        }
    }

    template <class A, int RankA, class T, int Rank, class Labels>
    static void check_gradient(const tensor_view<A, RankA>& dx, const tensor_view<T, Rank>& x,
                               const Labels& labels) {
        static_assert(RankA == Rank, "heed: the gradient has the rank of x");
        detail::check_row_output("dx", dx);
        detail::check_row_input("dx", dx, "x", x);
        detail::check_apart_from_labels("dx", dx, labels);
    }

    template <class A, int Axes, class T, int Rank, class Labels, class... DX>
    void check_loss(const tensor_view<A, Axes>& loss, const tensor_view<T, Rank>& x,
                    const Labels& labels, const DX&... dx) const {
        detail::check_apart("the loss", loss, "x", x);
        detail::check_apart_from_labels("the loss", loss, labels);
        if constexpr (requires { loss_.class_weights_view(); })
            detail::check_apart("the loss", loss, "class_weights", loss_.class_weights_view());
        (detail::check_outputs_apart("the loss", loss, "dx", dx), ...);
    }

    Loss loss_;
    std::optional<index> ignored_;
};

namespace detail {

/// What the losses on softmax's probabilities have in common: what they say of themselves unless
/// they say otherwise.
struct softmax_loss {
    static constexpr bool wants_expected_gap = false;
    static constexpr bool wants_mean_log_p() { return false; }
    static constexpr double margin() { return 0; }
    static constexpr double tau() { return 1; }
    static void check(index) {}
};

/// The kernel of such a loss.
template <class T, class Loss>
loss_rows<T, Loss> softmax_loss_rows(const Loss& loss, double scale) {
    return {loss, scale, temperature_factors<T>(loss.tau())};
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
