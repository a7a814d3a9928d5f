#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/role.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/core/view.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/rows/rows.hpp>
#include <heed/softmax/dense/kernel/entropy_row.hpp>
#include <heed/softmax/kernel/whole_rows.hpp>

/// \file
/// Softmax of whatever temperature gives the rows a certain entropy.

namespace heed::inline HEED_ARCHITECTURE {

/// What backward of heed::entropy_normalised gives: dx, and the gradient of the entropy H*.
template <class X>
struct entropy_gradient {
    X x;
    detail::computed_in<scalar_of<X>> entropy;
};

namespace detail {

/// How many share the maximum of each row, and how many are not left out; NaN for a row that has
/// no distribution. Operands: one number a row, another, x.
template <class T>
struct entropy_range_rows {
    template <class Layout>
    void operator()(const Layout& layout, T* tied, T* number, const T* from) const {
        constexpr double lowest = -std::numeric_limits<double>::infinity();
        const vec<T> one(T(1)), zero(T(0)), none(std::numeric_limits<T>::quiet_NaN());
        const vec<T> left_out(-std::numeric_limits<T>::infinity());
        for (index l = 0; l < layout.lines; ++l) {
            const auto x = layout.template line<2>(from, l);
            const vec<T> maximum = maximum_over(x);
            const auto count = [&](auto&& term) {
                return sum_over(
                    x, [&](auto at, vec<T> so_far) { return so_far + term(x.load(at, lowest)); });
            };
            const vec<T> all = count([&](vec<T> v) {
                return select(v > left_out, one, select(v == left_out, zero, none));
            });
            const auto has_one =
                (maximum > left_out) & (maximum < vec<T>(std::numeric_limits<T>::infinity()));
            layout.template store_number<0>(
                tied, l, count([&](vec<T> v) { return select(v == maximum, one, zero); }));
            layout.template store_number<1>(number, l, select(has_one, all, none));
        }
    }
};

/// dx, and what each row adds to the gradient of H*. Operands: dx, q, dq, x, one number a row.
template <class T>
struct entropy_backward_rows {
    entropy_row<T> row;

    template <class Layout>
    void operator()(const Layout& layout, T* to, const T* value, const T* gradient, const T* from,
                    T* entropy_gradient) const {
        arena& memory = *layout.memory;
        const arena::scope mark(memory);
        alignas(64) T entropy[static_cast<std::size_t>(vec<T>::size)] = {};
        for (index l = 0; l < layout.lines; ++l) {
            const auto x = layout.template line<3>(from, l);
            if (x.length > 0) {
                const arena::scope line_mark(memory);
                const auto scores = take_rows<T>(x, memory), q = take_rows<T>(x, memory),
                           d = take_rows<T>(x, memory);
                scores.load(x, -std::numeric_limits<T>::infinity());
                q.load(layout.template line<1>(value, l), T(0));
                d.load(layout.template line<2>(gradient, l), T(0));
                for (index r = 0; r < q.rows; ++r) {
                    const auto solved = row.find(scores.row(r), q.row(r), q.length);
                    row.gradient(solved, scores.row(r), q.row(r), d.row(r), q.length, entropy + r,
                                 memory);
                }
                d.store(layout.template line<0>(to, l));
            }
            layout.template store_number<4>(entropy_gradient, l, vec<T>::load(entropy));
        }
    }
};

}  // namespace detail

/// q = p^γ/Σp^γ, p = e^x/Σe^x, with γ ≥ 0 such that the entropy −Σ q log q is H* (kexue 8829): the
/// softmax of whatever temperature each row needs. x may be logits or log p. With d = dq − q·dq and
/// the mean, variance and covariance of x under q:
/// dx = γ·q ⊙ (d − (x − x̄)·Cov(d, x)/Var x), dH* = −Cov(d, x)/(γ·Var x), summed over rows.
///
///     const auto even = heed::entropy_normalised(2.5);
///     auto q = even(x);                               // alone, on rows
///     auto [dx, dh] = even.backward(x, q, dq);
///     auto o = heed::attention(q, k, v, even);        // and heed::learn(even)
///
/// A row can attain log t ≤ H* ≤ log s, t the number of its largest elements (γ → ∞), s that of its
/// elements above −∞ (γ = 0). Alone, forward, an H* outside is an argument_error that names the
/// row; in attention it is the nearest bound, and has no gradient there.
///
/// A row of −∞ gives zeros; a NaN, or +∞, makes its own row NaN. Rows, outputs, other errors,
/// heed::on and heed::in are as in row_function. O(size of x), some ten passes over each row.
class entropy_normaliser : public normaliser_base {
  public:
    explicit entropy_normaliser(double entropy) : entropy_(entropy) {}

    double entropy() const { return entropy_; }

    template <tensor_like X, class... Extras>
    [[nodiscard]] auto operator()(const X& x, const Extras&... extras) const {
        const auto held = detail::evaluate("x", x);
        auto q = detail::make_same<X>(held.view().extents);
        run(detail::row_view<X>(detail::view_of(q)), detail::row_view<X>(held.view()),
            detail::call_resources(extras...));
        return q;
    }

    /// q in the caller's memory.
    template <tensor_like Q, tensor_like X, class... Extras>
    void into(Q&& q, const X& x, const Extras&... extras) const {
        const auto held = detail::evaluate(x);
        run(detail::row_view<Q>(detail::view_of(std::forward<Q>(q))),
            detail::row_view<X>(held.view()), detail::call_resources(extras...));
    }

    /// {dx, dH*} from q as it was computed and its gradient.
    template <tensor_like X, tensor_like Q, tensor_like DQ, class... Extras>
    [[nodiscard]] auto backward(const X& x, const Q& q, const DQ& dq,
                                const Extras&... extras) const {
        const auto run = [&](const auto& x_rows, const auto& q_rows, const auto& dq_rows) {
            auto dx = detail::make_rows<X>(x_rows.extents);
            const auto dh = run_backward(detail::row_view<X>(detail::view_of(dx)), x_rows, q_rows,
                                         dq_rows, detail::call_resources(extras...));
            return entropy_gradient<decltype(dx)>{std::move(dx), dh};
        };
        return detail::with_rows({"x", "q", "dq"}, run, x, q, dq);
    }

    /// The same, dx in the caller's memory; returns dH*.
    template <tensor_like DX, tensor_like X, tensor_like Q, tensor_like DQ, class... Extras>
    auto backward_into(DX&& dx, const X& x, const Q& q, const DQ& dq,
                       const Extras&... extras) const {
        const auto run = [&](const auto&... inputs) {
            return run_backward(detail::row_view<DX>(detail::view_of(std::forward<DX>(dx))),
                                inputs..., detail::call_resources(extras...));
        };
        return detail::with_rows({"x", "q", "dq"}, run, x, q, dq);
    }

    /// For attention: a row as a whole.
    template <class T>
    detail::entropy_row<T> whole_row(index) const {
        return detail::entropy_row<T>(entropy_);
    }

    /// For attention: the gradient of H*, if it is learned.
    template <class T, class Shape>
    auto make_gradient(const Shape&) const {
        return Eigen::Matrix<T, 1, 1>(T(0));
    }
    template <class View, class Shape>
    void check_gradient(const View& gradient, const Shape&) const {
        detail::check_vector_gradient("the gradient of heed::entropy_normalised", gradient, 1);
    }
    template <class T, class View>
    void add_row_gradient(const View& gradient, index, const entropy_statistics<T>&,
                          T of_row) const {
        *gradient.data += of_row;
    }

  private:
    /// Refuses an entropy that some row cannot attain.
    template <class T, int Rank>
    void check_entropy(const tensor_view<T, Rank>& x,
                       const detail::call_resources& resources) const {
        using scalar = detail::computed_in<std::remove_const_t<T>>;
        constexpr auto axes = static_cast<std::size_t>(Rank - 1);
        arena& memory = resources.memory->slot(0);
        const arena::scope scope(memory);
        const auto leading = detail::leading<axes>(x.extents);
        index rows = 1;
        for (index extent : leading) rows *= extent;
        const auto strides = detail::row_major_strides(leading);
        const detail::row_operand<scalar, axes> tied{memory.take<scalar>(rows), strides, 0, true};
        const detail::row_operand<scalar, axes> number{memory.take<scalar>(rows), strides, 0, true};
        detail::for_each_row<scalar>(resources, leading, x.extents[axes],
                                     detail::entropy_range_rows<scalar>(), tied, number,
                                     detail::line_operand(x));
        for (index row = 0; row < rows; ++row) {
            if (std::isnan(number.data[row])) continue;
            const double least = std::log(static_cast<double>(tied.data[row]));
            const double most = std::log(static_cast<double>(number.data[row]));
            constexpr double rounding = 1e-12;
            detail::require_argument(entropy_ >= least - rounding && entropy_ <= most + rounding,
                                     "heed::entropy_normalised: the entropy is ", entropy_,
                                     ", but row ", row, " can attain those in [", least, ", ", most,
                                     "]");
        }
    }

    template <class A, int RankA, class T, int Rank>
    void run(const tensor_view<A, RankA>& q, const tensor_view<T, Rank>& x,
             const detail::call_resources& resources) const {
        static_assert(RankA == Rank, "heed: a function of rows gives what has the rank of x");
        constexpr auto axes = static_cast<std::size_t>(Rank - 1);
        detail::check_scalars<A, std::remove_const_t<T>>();
        detail::check_row_output("q", q);
        detail::check_row_input("q", q, "x", x);
        check_entropy(x, resources);
        using computed = detail::computed_in<A>;
        detail::for_each_row<computed>(resources, detail::leading<axes>(q.extents), q.extents[axes],
                                       detail::whole_rows(whole_row<computed>(0)),
                                       detail::line_operand(q), detail::line_operand(x));
    }

    template <class A, int RankA, class T, class Q, class DQ, int Rank>
    auto run_backward(const tensor_view<A, RankA>& dx, const tensor_view<T, Rank>& x,
                      const tensor_view<Q, Rank>& q, const tensor_view<DQ, Rank>& dq,
                      const detail::call_resources& resources) const {
        using computed = detail::computed_in<A>;
        static_assert(RankA == Rank, "heed: x, q and their gradients have the same rank");
        constexpr auto axes = static_cast<std::size_t>(Rank - 1);
        detail::check_scalars<A, std::remove_const_t<T>, std::remove_const_t<Q>,
                              std::remove_const_t<DQ>>();
        detail::check_row_output("dx", dx);
        detail::check_row_input("dx", dx, "x", x);
        detail::check_in_place("dx", dx, "q", q);
        detail::check_in_place("dx", dx, "dq", dq);

        arena& memory = resources.memory->slot(0);
        const arena::scope scope(memory);
        const auto leading = detail::leading<axes>(dx.extents);
        index rows = 1;
        for (index extent : leading) rows *= extent;
        // A number a row, summed afterwards in the order of the rows, whatever the threads.
        const detail::row_operand<computed, axes> of_rows{
            memory.take<computed>(rows), detail::row_major_strides(leading), 0, true};
        detail::for_each_row<computed>(
            resources, leading, dx.extents[axes],
            detail::entropy_backward_rows<computed>{whole_row<computed>(0)},
            detail::line_operand(dx), detail::line_operand(q), detail::line_operand(dq),
            detail::line_operand(x), of_rows);
        double sum = 0;
        for (index row = 0; row < rows; ++row) sum += static_cast<double>(of_rows.data[row]);
        return static_cast<computed>(sum);
    }

    double entropy_;
};

/// The normaliser of an entropy in nats. Throws argument_error unless it is finite and not
/// negative.
[[nodiscard]] inline entropy_normaliser entropy_normalised(double entropy) {
    detail::require_argument(entropy >= 0 && std::isfinite(entropy),
                             "heed::entropy_normalised: the entropy is ", entropy,
                             ", but must be finite and not negative");
    return entropy_normaliser(entropy);
}

}  // namespace heed::inline HEED_ARCHITECTURE
