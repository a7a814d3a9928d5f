#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
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
#include <heed/softmax/losses/kernel/loss_function.hpp>
#include <heed/softmax/losses/kernel/target_rows.hpp>
#include <heed/softmax/losses/weighted_cross_entropy.hpp>

/// \file
/// Cross-entropy of logits with a distribution, or any other numbers, for each row.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// All weights 1.
struct equal_weights {
    void check(index) const {}
    template <class Output>
    void check_apart_from(std::string_view, const Output&) const {}
    static constexpr double of(index) { return 1; }
};
/// A weight for each class.
template <class Kept>
struct kept_weights {
    Kept kept;

    void check(index classes) const { check_class_weights(kept.view(), classes); }
    /// They are read for every row, also when outputs of earlier rows have been written.
    template <class Output>
    void check_apart_from(std::string_view name, const Output& output) const {
        check_apart(name, output, "class_weights", kept.view());
    }
    double of(index c) const { return static_cast<double>(kept.view()(c)); }
};

/// q_c = w_c·((1 − ε)·y_c + ε/n), in the place of y.
template <class Weights>
struct smoothed_targets {
    const Weights& weights;
    double smoothing;

    template <class T>
    void fill(T* y, index n) const {
        const double even = smoothing / static_cast<double>(n);
        for (index c = 0; c < n; ++c)
            y[c] = static_cast<T>(weights.of(c) *
                                  ((1 - smoothing) * static_cast<double>(y[c]) + even));
    }
};

}  // namespace detail

/// −Σ_c w_c·q_c·log p_c of each row, p = softmax(x), q = (1 − ε)·y + ε/n, w = 1 unless given. The
/// gradient, with respect to x, is (Σ w·q)·p − w·q.
///
///     const float loss = f(x, y);
///     auto [loss, dx]  = f.with_gradient(x, y);
///     f.label_smoothing(0.1).class_weights(w).sum().gradient_into(loss, dx, x, y);
///
/// x and y have one shape, as row_function takes them; rows of y need not sum to 1. The loss is a
/// number of x's scalar, the mean over all rows (0 of none) or their sum, or with per_row() what
/// heed::log_sum_exp gives. dx may be x or y. A class with q = 0 takes no part, also where its
/// logit is −∞; with q > 0 such a one makes the loss +∞. A NaN, or +∞, makes its own row NaN. The
/// result is the same bits for any number of threads.
///
/// Throws shape_error where shapes differ, argument_error for an output that overlaps an input
/// without being it; nothing has been written then. O(size of x).
template <class Weights = detail::equal_weights, reduction Over = reduction::mean>
class soft_cross_entropy_loss {
  public:
    constexpr explicit soft_cross_entropy_loss(Weights weights = {}, double epsilon = 0)
        : weights_(std::move(weights)), smoothing_(epsilon) {}

    /// The same with another reduction.
    constexpr auto mean() const { return over<reduction::mean>(); }
    constexpr auto sum() const { return over<reduction::sum>(); }
    constexpr auto per_row() const { return over<reduction::per_row>(); }

    /// The same with smoothed targets. Throws argument_error unless 0 ≤ ε ≤ 1.
    soft_cross_entropy_loss label_smoothing(double epsilon) const {
        return soft_cross_entropy_loss(
            weights_, detail::checked_smoothing("heed::soft_cross_entropy", epsilon));
    }
    /// The same with a weight for each class: any vector, seen where it lies if it is an lvalue.
    /// Throws argument_error unless they are finite and not negative.
    template <detail::vector_like Given>
    auto class_weights(Given&& w) const {
        auto kept = detail::keep_class_weights(std::forward<Given>(w));
        using weights = detail::kept_weights<decltype(kept)>;
        return soft_cross_entropy_loss<weights, Over>(weights{std::move(kept)}, smoothing_);
    }

    /// The loss.
    template <tensor_like X, tensor_like Y, class... Extras>
    [[nodiscard]] auto operator()(const X& x, const Y& y, const Extras&... extras) const {
        const auto of_rows = [&](const auto& x_rows, const auto& y_rows) {
            auto value = detail::make_loss<X, Over>(detail::evaluate(x).view().extents);
            run<X>(value, x_rows, y_rows, detail::call_resources(extras...));
            return value;
        };
        return detail::with_rows({"x", "y"}, of_rows, x, y);
    }

    /// The loss in the caller's memory: a number, or with per_row() a vector of numbers.
    template <class Value, tensor_like X, tensor_like Y, class... Extras>
    void into(Value&& value, const X& x, const Y& y, const Extras&... extras) const {
        const auto of_rows = [&](const auto& x_rows, const auto& y_rows) {
            run<X>(value, x_rows, y_rows, detail::call_resources(extras...));
        };
        detail::with_rows({"x", "y"}, of_rows, x, y);
    }

    /// The loss and its gradient, dx of x's kind, storage order and scalar.
    template <tensor_like X, tensor_like Y, class... Extras>
    [[nodiscard]] auto with_gradient(const X& x, const Y& y, const Extras&... extras) const {
        const auto of_rows = [&](const auto& x_rows, const auto& y_rows) {
            auto value = detail::make_loss<X, Over>(detail::evaluate(x).view().extents);
            auto dx = detail::make_rows<X>(x_rows.extents);
            run<X>(value, x_rows, y_rows, detail::call_resources(extras...),
                   detail::row_view<X>(detail::view_of(dx)));
            return loss_gradient<decltype(value), decltype(dx)>{std::move(value), std::move(dx)};
        };
        return detail::with_rows({"x", "y"}, of_rows, x, y);
    }

    /// The same in the caller's memory.
    template <class Value, tensor_like DX, tensor_like X, tensor_like Y, class... Extras>
    void gradient_into(Value&& value, DX&& dx, const X& x, const Y& y,
                       const Extras&... extras) const {
        const auto of_rows = [&](const auto& x_rows, const auto& y_rows) {
            run<X>(value, x_rows, y_rows, detail::call_resources(extras...),
                   detail::row_view<DX>(detail::view_of(std::forward<DX>(dx))));
        };
        detail::with_rows({"x", "y"}, of_rows, x, y);
    }

  private:
    template <reduction Other>
    constexpr auto over() const {
        return soft_cross_entropy_loss<Weights, Other>(weights_, smoothing_);
    }

    template <class X, class Value, class T, class U, int Rank, class... DX>
    void run(Value& value, const tensor_view<T, Rank>& x, const tensor_view<U, Rank>& y,
             const detail::call_resources& resources, const DX&... dx) const {
        using scalar = std::remove_const_t<T>;
        constexpr auto axes = static_cast<std::size_t>(Rank - 1);
        detail::check_scalars<scalar, std::remove_const_t<U>,
                              std::remove_cvref_t<decltype(*dx.data)>...>();
        (check_gradient(dx, x, y), ...);
        weights_.check(x.extents[axes]);
        (weights_.check_apart_from("dx", dx), ...);
        const auto leading = detail::leading<axes>(x.extents);
        const auto for_rows = [&](const auto& losses, double scale) {
            using targets = detail::smoothed_targets<Weights>;
            using computed = detail::computed_in<scalar>;
            detail::for_each_row<computed>(
                resources, leading, x.extents[axes],
                detail::soft_target_rows<computed, targets>{targets{weights_, smoothing_}, scale},
                detail::line_operand(dx)..., detail::line_operand(x), detail::line_operand(y),
                losses);
        };
        const auto check_loss = [&](const auto& loss) {
            detail::check_apart("the loss", loss, "x", x);
            detail::check_apart("the loss", loss, "y", y);
            weights_.check_apart_from("the loss", loss);
            (detail::check_outputs_apart("the loss", loss, "dx", dx), ...);
        };
        if constexpr (Over == reduction::per_row) {
            const auto places = detail::checked_places_of_losses<X>(value, x);
            check_loss(places);
            for_rows(detail::number_operand(places), 1);
        } else {
            static_assert(std::is_floating_point_v<Value>,
                          "heed: the mean or the sum of losses is a number; per_row() gives many");
            check_loss(tensor_view<Value, 0>{&value, {}, {}});
            const auto rows = static_cast<double>(std::max<index>(detail::count_rows(x), 1));
            const double scale = Over == reduction::mean ? 1 / rows : 1;
            arena& memory = resources.memory->slot(0);
            const arena::scope scope(memory);
            value = static_cast<Value>(detail::sum_of_losses(
                x, scale, memory, [&](const auto& losses) { for_rows(losses, scale); }));
        }
    }

    template <class A, int RankA, class T, class U, int Rank>
    static void check_gradient(const tensor_view<A, RankA>& dx, const tensor_view<T, Rank>& x,
                               const tensor_view<U, Rank>& y) {
        static_assert(RankA == Rank, "heed: the gradient has the rank of x");
        detail::check_row_output("dx", dx);
        detail::check_row_input("dx", dx, "x", x);
        detail::check_row_input("dx", dx, "y", y);
    }

    Weights weights_;
    double smoothing_;
};

/// Cross-entropy with targets of any kind, −Σ y·log softmax(x): see soft_cross_entropy_loss.
inline constexpr soft_cross_entropy_loss<> soft_cross_entropy{};

}  // namespace heed::inline HEED_ARCHITECTURE
