#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/random.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/softmax/kernel/numbered_rows.hpp>
#include <heed/softmax/noise/perturb_noises.hpp>
#include <heed/softmax/softmax.hpp>

/// \file
/// Softmax of scores with Gumbel noise: a sample from softmax that has a gradient.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::gumbel_softmax(seed).
class gumbel_softmax_function {
  public:
    explicit gumbel_softmax_function(std::uint64_t seed) : seed_(seed) {}

    /// The same with another temperature. Throws argument_error unless τ is positive and finite.
    gumbel_softmax_function temperature(double tau) const {
        gumbel_softmax_function other = *this;
        other.tau_ = detail::checked_temperature("heed::gumbel_softmax", tau);
        return other;
    }
    double tau() const { return tau_; }

    /// The largest element becomes 1, all others 0; the gradient stays that of the soft sample
    /// ("straight through").
    gumbel_softmax_function hard() const {
        gumbel_softmax_function other = *this;
        other.is_hard_ = true;
        return other;
    }

    /// A sample for each row, of x's kind, storage order and scalar.
    template <tensor_like X, class... Extras>
    [[nodiscard]] auto operator()(const X& x, const Extras&... extras) const {
        const auto held = detail::evaluate("x", x);
        auto y = detail::make_same<X>(held.view().extents);
        run(detail::row_view<X>(detail::view_of(y)), detail::row_view<X>(held.view()),
            detail::call_resources(extras...), is_hard_);
        return y;
    }

    /// The same in the caller's memory; y may be x.
    template <tensor_like Y, tensor_like X, class... Extras>
    void into(Y&& y, const X& x, const Extras&... extras) const {
        const auto held = detail::evaluate(x);
        run(detail::row_view<Y>(detail::view_of(std::forward<Y>(y))),
            detail::row_view<X>(held.view()), detail::call_resources(extras...), is_hard_);
    }

    /// dx = s ⊙ (dy − s·dy)/τ, s the soft sample: y itself, or, for a hard one, drawn again from x.
    template <tensor_like X, tensor_like Y, tensor_like DY, class... Extras>
    [[nodiscard]] auto backward(const X& x, const Y& y, const DY& dy,
                                const Extras&... extras) const {
        const softmax_normaliser f = softmax.temperature(tau_);
        if (!is_hard_) return f.backward(x, y, dy, extras...);
        return f.backward(x, soft()(x, extras...), dy, extras...);
    }

    /// The same in the caller's memory; a hard sample needs more for the soft one.
    template <tensor_like DX, tensor_like X, tensor_like Y, tensor_like DY, class... Extras>
    void backward_into(DX&& dx, const X& x, const Y& y, const DY& dy,
                       const Extras&... extras) const {
        const softmax_normaliser f = softmax.temperature(tau_);
        if (is_hard_)
            f.backward_into(std::forward<DX>(dx), x, soft()(x, extras...), dy, extras...);
        else
            f.backward_into(std::forward<DX>(dx), x, y, dy, extras...);
    }

  private:
    gumbel_softmax_function soft() const {
        gumbel_softmax_function other = *this;
        other.is_hard_ = false;
        return other;
    }

    template <class A, int RankA, class T, int Rank>
    void run(const tensor_view<A, RankA>& y, const tensor_view<T, Rank>& x,
             const detail::call_resources& resources, bool is_hard) const {
        static_assert(RankA == Rank, "heed: a function of rows gives what has the rank of x");
        detail::check_computed_scalars<A, std::remove_const_t<T>>();
        detail::check_row_output("y", y);
        detail::check_row_input("y", y, "x", x);
        const random_numbers numbers(seed_);
        detail::for_numbered_rows(resources, y, [&](index row) {
            const auto from = detail::row_of(x, row);
            const auto to = detail::row_of(y, row);
            for (index j = 0; j < to.extents[0]; ++j) {
                const double noise = perturb::gumbel_noise::quantile(numbers.uniform(row, j));
                to(j) = static_cast<A>(static_cast<double>(from(j)) + noise);
            }
        });
        softmax.temperature(tau_).into(y, y, on_pool{resources.pool},
                                       in_workspace{resources.memory});
        if (is_hard)
            detail::for_numbered_rows(resources, y,
                                      [&](index row) { harden(detail::row_of(y, row)); });
    }

    /// One-hot at the first largest element; a row of zeros or of NaN stays.
    template <class A>
    static void harden(const tensor_view<A, 1>& y) {
        index winner = 0;
        for (index j = 1; j < y.extents[0]; ++j)
            if (y(j) > y(winner)) winner = j;
        for (index j = 0; j < y.extents[0]; ++j)
            if (y(j) == y(j)) y(j) = A(j == winner && y(j) > A(0) ? 1 : 0);
    }

    std::uint64_t seed_;
    double tau_ = 1;
    bool is_hard_ = false;
};

/// y = softmax((x + g)/τ), g independent Gumbel noise (arXiv 1611.01144, kexue 9085): as τ → 0 a
/// one-hot sample from softmax(x), with a gradient on the way: dx = y ⊙ (dy − y·dy)/τ. The number g
/// depends on the seed, the row's number (the last axis of rows running fastest) and the column, on
/// nothing else, and is the same on every platform: take another seed for another sample.
///
///     const auto f = heed::gumbel_softmax(seed).temperature(0.5);
///     auto y  = f(x);
///     auto dx = f.backward(x, y, dy);
///     auto choice = f.hard()(x);               // one-hot, the gradient that of the soft sample
///
/// A row of −∞ gives zeros; a NaN, or +∞, makes its own row NaN. Arguments, heed::on and heed::in
/// and errors are as in row_function. O(size of x).
inline gumbel_softmax_function gumbel_softmax(std::uint64_t seed) {
    return gumbel_softmax_function(seed);
}

}  // namespace heed::inline HEED_ARCHITECTURE
