#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/view.hpp>
#include <heed/rows/layouts.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/rows/rows.hpp>

/// \file
/// The face of a measure of rows: f(x), f.into.

namespace heed::inline HEED_ARCHITECTURE {
namespace measure {

/// A number that says something of each row: the rows of any matrix, array, map or block, the last
/// axis of any tensor or heed::view; a compile-time vector is one row.
///
///     auto h = heed::measure::shannon_entropy(p);
///     heed::measure::shannon_entropy.into(h, p, heed::on(pool));
///
/// The result is what heed::log_sum_exp gives, a number a row: a column for a matrix, a tensor of
/// one rank less for a tensor, a number for a compile-time vector; `into` writes to any vector,
/// tensor or number of that size. A NaN makes its own row's number NaN.
///
/// Throws shape_error where shapes differ, argument_error where the result overlaps x. O(size of x)
/// unless said otherwise. `Measure` offers of<T>(line, scratch), a number a row of the line.
template <class Measure>
class row_measure {
  public:
    template <tensor_like X, class... Extras>
    [[nodiscard]] auto operator()(const X& x, const Extras&... extras) const {
        const auto held = detail::evaluate("x", x);
        auto z = detail::make_numbers<X>(held.view().extents);
        run<X>(z, detail::row_view<X>(held.view()), detail::call_resources(extras...));
        return z;
    }

    /// The numbers in the caller's memory.
    template <class Z, tensor_like X, class... Extras>
    void into(Z&& z, const X& x, const Extras&... extras) const {
        const auto held = detail::evaluate(x);
        run<X>(z, detail::row_view<X>(held.view()), detail::call_resources(extras...));
    }

  private:
    /// Operands: one z a row, x.
    template <class T>
    struct kernel {
        Measure measure;

        template <class Layout>
        void operator()(const Layout& layout, T* z, const T* x) const {
            for (index l = 0; l < layout.lines; ++l)
                layout.template store_number<0>(
                    z, l, measure.template of<T>(layout.template line<1>(x, l), *layout.memory));
        }
    };

    template <class X, class Z, class T, int Rank>
    void run(Z& z, const tensor_view<T, Rank>& x, const detail::call_resources& resources) const {
        if constexpr (detail::is_one_number<Z>)
            run_on(detail::number_view<Rank - 1>("the measure", z), x, resources);
        else
            run_on(detail::number_view<Rank - 1, Z>("the measure", detail::view_of(z)), x,
                   resources);
    }

    template <class A, int Axes, class T, int Rank>
    void run_on(const tensor_view<A, Axes>& z, const tensor_view<T, Rank>& x,
                const detail::call_resources& resources) const {
        detail::check_scalars<A, std::remove_const_t<T>>();
        detail::check_view("x", x);
        detail::check_numbers("the measure", z, "x", x);
        detail::check_writable("the measure", z);
        detail::check_apart("the measure", z, "x", x);
        using computed = detail::computed_in<A>;
        detail::for_each_row<computed>(resources, z.extents, x.extents[Axes],
                                       kernel<computed>{static_cast<const Measure&>(*this)},
                                       detail::number_operand(z), detail::line_operand(x));
    }
};

}  // namespace measure
}  // namespace heed::inline HEED_ARCHITECTURE
