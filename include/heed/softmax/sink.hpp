#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <string_view>
#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/memory_span.hpp>
#include <heed/core/role.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/core/view.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/rows/rows.hpp>
#include <heed/softmax/kernel/row_gradients.hpp>
#include <heed/softmax/kernel/row_kernels.hpp>
#include <heed/softmax/kernel/streaming.hpp>

/// \file
/// Softmax with an attention sink: one more logit a head, that takes its share and gives nothing.

namespace heed::inline HEED_ARCHITECTURE {

/// What backward of heed::sink gives: dx, and the gradient of the logit, or of one a head.
template <class X, class Logit>
struct sink_gradient {
    X x;
    Logit logit;
};

namespace detail {

/// The same logit everywhere.
struct one_logit {
    double value;

    index count() const { return 1; }
    bool serves(index) const { return true; }
    double operator()(index) const { return value; }
    template <class See>
    void inputs(See&&) const {}

    template <class T>
    auto make_gradient() const {
        return Eigen::Matrix<T, 1, 1>(T(0));
    }
};

/// A logit for each head.
template <class Kept>
struct head_logits {
    Kept kept;

    index count() const { return kept.view().extents[0]; }
    bool serves(index heads) const { return count() == heads; }
    double operator()(index head) const { return static_cast<double>(kept.view()(head)); }
    template <class See>
    void inputs(See&& see) const {
        see("heed::sink", kept.view());
    }

    template <class T>
    auto make_gradient() const {
        using gradient = Eigen::Matrix<T, Eigen::Dynamic, 1>;
        return gradient(gradient::Zero(count()));
    }
};

}  // namespace detail

/// p = e^{x/τ}/(e^{s/τ} + Σe^{x/τ}) with a sink's logit s, one for all or one a head (gpt-oss).
/// With p_s = e^{s/τ}/(e^{s/τ} + Σe^{x/τ}): dx = p ⊙ (dp − p·dp)/τ and ds = −p_s·(p·dp)/τ, summed
/// over the rows of the head.
///
///     auto p = heed::sink(0.5)(x);                             // alone, on rows
///     auto [dx, ds] = heed::sink(0.5).backward(x, p, dp);
///     auto o = heed::attention(q, k, v, heed::sink(logits));   // one logit a query head
///
/// Alone, heads are the third axis from behind, as in scores of shape [batch, heads, queries,
/// keys]; anything with fewer axes is one head. Rows, outputs, heed::on and heed::in are as in
/// row_function.
///
/// A vector has a logit for each head, even if it is of one; a number serves them all.
///
/// A row of −∞ gives zeros; so does a row whose sink is −∞ too. A NaN, or +∞, makes its own row
/// NaN. Throws shape_error where shapes differ, or there is not one logit a head; argument_error
/// where a logit is NaN or +∞, or an output overlaps an input.
template <class Logits>
class sink_normaliser : public normaliser_base {
  public:
    explicit sink_normaliser(Logits logits, double tau = 1)
        : logits_(std::move(logits)), tau_(tau) {}

    /// The same with another temperature. Throws argument_error unless τ is positive and finite.
    sink_normaliser temperature(double tau) const {
        return sink_normaliser(logits_, detail::checked_temperature("heed::sink", tau));
    }
    double tau() const { return tau_; }
    double logit(index head) const { return logits_(logits_.count() == 1 ? 0 : head); }

    template <tensor_like X, class... Extras>
    [[nodiscard]] auto operator()(const X& x, const Extras&... extras) const {
        const auto held = detail::evaluate("x", x);
        auto p = detail::make_same<X>(held.view().extents);
        run(detail::row_view<X>(detail::view_of(p)), detail::row_view<X>(held.view()),
            detail::call_resources(extras...));
        return p;
    }

    /// p in the caller's memory.
    template <tensor_like P, tensor_like X, class... Extras>
    void into(P&& p, const X& x, const Extras&... extras) const {
        const auto held = detail::evaluate(x);
        run(detail::row_view<P>(detail::view_of(std::forward<P>(p))),
            detail::row_view<X>(held.view()), detail::call_resources(extras...));
    }

    /// {dx, ds} from p as it was computed and its gradient; ds is a vector with a number a head, or
    /// with one number.
    template <tensor_like X, tensor_like P, tensor_like DP, class... Extras>
    [[nodiscard]] auto backward(const X& x, const P& p, const DP& dp,
                                const Extras&... extras) const {
        const auto run = [&](const auto& x_rows, const auto& p_rows, const auto& dp_rows) {
            auto dx = detail::make_rows<X>(x_rows.extents);
            auto ds = logits_.template make_gradient<detail::computed_in<scalar_of<X>>>();
            run_backward(detail::row_view<X>(detail::view_of(dx)), detail::view_of(ds), x_rows,
                         p_rows, dp_rows, detail::call_resources(extras...));
            return sink_gradient<decltype(dx), decltype(ds)>{std::move(dx), std::move(ds)};
        };
        return detail::with_rows({"x", "p", "dp"}, run, x, p, dp);
    }

    /// The same in the caller's memory.
    template <tensor_like DX, tensor_like DS, tensor_like X, tensor_like P, tensor_like DP,
              class... Extras>
    void backward_into(DX&& dx, DS&& ds, const X& x, const P& p, const DP& dp,
                       const Extras&... extras) const {
        const auto run = [&](const auto&... inputs) {
            run_backward(detail::row_view<DX>(detail::view_of(std::forward<DX>(dx))),
                         detail::view_of(std::forward<DS>(ds)), inputs...,
                         detail::call_resources(extras...));
        };
        detail::with_rows({"x", "p", "dp"}, run, x, p, dp);
    }

    /// For attention: a row block by block.
    template <class T>
    detail::softmax_stream<T> streaming(index head) const {
        return {tau_, logit(head)};
    }

    /// For attention: checks, and the gradient of what is learned.
    template <class Shape>
    void check(const Shape& shape) const {
        check_logits(shape.heads);
    }
    template <class See>
    void inputs(See&& see) const {
        logits_.inputs(see);
    }
    template <class T, class Shape>
    auto make_gradient(const Shape&) const {
        return logits_.template make_gradient<T>();
    }
    template <class View, class Shape>
    void check_gradient(const View& gradient, const Shape&) const {
        detail::check_vector_gradient("the gradient of heed::sink", gradient, logits_.count());
    }
    /// `statistic` is what backward subtracts from every dp of the row: Σp·dp and more.
    template <class T, class View>
    void add_row_gradient(const View& gradient, index head, const softmax_statistics<T>& row,
                          T statistic) const {
        T& sum = detail::vector_element(gradient, logits_.count() == 1 ? 0 : head);
        const double share = streaming<T>(head).sink_probability(row);
        sum = static_cast<T>(static_cast<double>(sum) -
                             share * static_cast<double>(statistic) / tau_);
    }

  private:
    void check_logits(index heads) const {
        const index count = logits_.count();
        detail::require_shape(logits_.serves(heads), "heed::sink has ", count,
                              " logits, but there are ", heads, " heads");
        for (index head = 0; head < count; ++head)
            detail::require_argument(logits_(head) < std::numeric_limits<double>::infinity(),
                                     "heed::sink: the logit of head ", head, " is ", logits_(head),
                                     ", but must be finite or -inf");
    }

    void check_apart_from_logits(std::string_view name, const detail::memory_span& output) const {
        inputs([&](std::string_view input_name, const detail::memory_span& input) {
            detail::check_apart(name, output, input_name, input);
        });
    }

    /// The axis of heads among those in front of a row's, or none.
    template <std::size_t Axes>
    static index heads_of(const std::array<index, Axes>& leading) {
        if constexpr (Axes >= 2) return leading[Axes - 2];
        return 1;
    }

    /// The logits, in T, as an operand with one number a row.
    template <class T, std::size_t Axes>
    detail::row_operand<const T, Axes> logit_operand(arena& memory) const {
        T* values = memory.take<T>(logits_.count());
        for (index head = 0; head < logits_.count(); ++head)
            values[head] = static_cast<T>(logits_(head));
        detail::row_operand<const T, Axes> result{values, {}, 0, true};
        if constexpr (Axes >= 2) result.strides[Axes - 2] = logits_.count() == 1 ? 0 : 1;
        return result;
    }

    template <class A, int RankA, class T, int Rank>
    void run(const tensor_view<A, RankA>& p, const tensor_view<T, Rank>& x,
             const detail::call_resources& resources) const {
        static_assert(RankA == Rank, "heed: softmax gives what has the rank of x");
        constexpr auto axes = static_cast<std::size_t>(Rank - 1);
        detail::check_scalars<A, std::remove_const_t<T>>();
        detail::check_row_output("p", p);
        detail::check_row_input("p", p, "x", x);
        check_apart_from_logits("p", p);
        const auto leading = detail::leading<axes>(p.extents);
        check_logits(heads_of(leading));
        arena& memory = resources.memory->slot(0);
        const arena::scope scope(memory);
        using computed = detail::computed_in<A>;
        detail::for_each_row<computed>(
            resources, leading, p.extents[axes],
            detail::sink_rows<computed>{detail::temperature_factors<computed>(tau_)},
            detail::line_operand(p), detail::line_operand(x),
            logit_operand<computed, axes>(memory));
    }

    template <class A, int RankA, int RankS, class T, class P, class DP, int Rank>
    void run_backward(const tensor_view<A, RankA>& dx,
                      const tensor_view<detail::computed_in<A>, RankS>& ds,
                      const tensor_view<T, Rank>& x, const tensor_view<P, Rank>& p,
                      const tensor_view<DP, Rank>& dp,
                      const detail::call_resources& resources) const {
        using computed = detail::computed_in<A>;
        static_assert(RankA == Rank, "heed: x, p and their gradients have the same rank");
        constexpr auto axes = static_cast<std::size_t>(Rank - 1);
        detail::check_scalars<A, std::remove_const_t<T>, std::remove_const_t<P>,
                              std::remove_const_t<DP>>();
        detail::check_row_output("dx", dx);
        detail::check_row_input("dx", dx, "x", x);
        detail::check_in_place("dx", dx, "p", p);
        detail::check_in_place("dx", dx, "dp", dp);
        check_apart_from_logits("dx", dx);
        detail::check_row_output("ds", ds);
        detail::require_shape(ds.size() == logits_.count() &&
                                  std::count(ds.extents.begin(), ds.extents.end(), 1) >= RankS - 1,
                              "ds has shape ", ds.extents, ", but there are ", logits_.count(),
                              " logits, and it must be a vector of so many");
        detail::check_outputs_apart("ds", ds, "dx", dx);
        detail::check_apart("ds", ds, "x", x);
        detail::check_apart("ds", ds, "p", p);
        detail::check_apart("ds", ds, "dp", dp);
        check_apart_from_logits("ds", ds);
        const auto leading = detail::leading<axes>(dx.extents);
        const index heads = heads_of(leading);
        check_logits(heads);

        arena& memory = resources.memory->slot(0);
        const arena::scope scope(memory);
        index rows = 1;
        for (index extent : leading) rows *= extent;
        // A number a row, summed afterwards in the order of the rows, whatever the threads.
        detail::row_operand<computed, axes> row_gradients{
            memory.take<computed>(rows), detail::row_major_strides(leading), 0, true};
        detail::for_each_row<computed>(
            resources, leading, dx.extents[axes],
            detail::sink_backward_rows<computed>{detail::temperature_factors<computed>(tau_)},
            detail::line_operand(dx), detail::line_operand(p), detail::line_operand(dp),
            detail::line_operand(x), logit_operand<computed, axes>(memory), row_gradients);
        sum_rows(row_gradients.data, rows, heads, axes >= 1 ? leading[axes - 1] : 1, ds, memory);
    }

    /// ds, from a number for each of `rows` rows, `queries` rows a head.
    template <class A, int RankS>
    void sum_rows(const A* row_gradients, index rows, index heads, index queries,
                  const tensor_view<A, RankS>& ds, arena& memory) const {
        double* sums = memory.take<double>(logits_.count());
        for (index l = 0; l < logits_.count(); ++l) sums[l] = 0;
        for (index row = 0; row < rows; ++row) {
            const index head = logits_.count() == 1 ? 0 : row / queries % heads;
            sums[head] += static_cast<double>(row_gradients[row]);
        }
        for (index l = 0; l < logits_.count(); ++l)
            detail::vector_element(ds, l) = static_cast<A>(sums[l]);
    }

    Logits logits_;
    double tau_;
};

/// Softmax with a sink: the same logit for all heads.
template <class Number>
requires std::is_arithmetic_v<Number> sink_normaliser<detail::one_logit> sink(Number logit) {
    return sink_normaliser<detail::one_logit>({static_cast<double>(logit)});
}

/// Softmax with a sink: a logit for each query head, any vector of numbers. They can be learned:
/// heed::learn(heed::sink(logits)).
template <detail::vector_like Logits>
[[nodiscard]] auto sink(Logits&& logits) {
    auto kept = detail::keep_vector("heed::sink", std::forward<Logits>(logits));
    return sink_normaliser<detail::head_logits<decltype(kept)>>({std::move(kept)});
}

}  // namespace heed::inline HEED_ARCHITECTURE
