#pragma once

#include <utility>

#include <heed/attention/detail/parameter_gradient.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/part.hpp>

/// \file
/// What is the same for all tokens: a number, or one a head.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The part of a role that heed::decay(γ), and heed::log_decay(g) and heed::delta(β) of a vector,
/// make. `Given` says what a number is:
///
///     static constexpr const char *name, *gradient_name, *range;
///     static bool in_range(double x);
///     static double value(double x);                          // as the kernel takes it
///     static double from_value(double gradient, double x);    // from its gradient to that of x
template <class Base, class Given, class Kept>
class head_numbers : public Base {
  public:
    explicit head_numbers(Kept numbers) : numbers_(std::move(numbers)) {}

    index heads() const { return numbers_.view().extents[0]; }

    void check_call(const linear_shape&) const {
        const auto given = numbers_.view();
        for (index head = 0; head < heads(); ++head) {
            const auto x = static_cast<double>(given(head));
            require_argument(Given::in_range(x), Given::name, ": the number of head ", head, " is ",
                             x, ", but must be ", Given::range);
        }
    }
    template <class See>
    void inputs(See&& see) const {
        see(Given::name, numbers_.view());
    }

    template <class T>
    tensor_view<const T, 3> numbers(arena& scratch, const linear_shape& shape) const {
        const auto given = numbers_.view();
        T* values = scratch.take<T>(heads());
        for (index head = 0; head < heads(); ++head)
            values[head] = static_cast<T>(Given::value(static_cast<double>(given(head))));
        return {values, {shape.batch, heads(), shape.keys}, {0, 1, 0}};
    }

    template <class T>
    auto make_gradient(const attention_shape&) const {
        return make_vector_gradient<T>(heads());
    }
    template <class View>
    void check_gradient(const View& gradient) const {
        check_vector_gradient(Given::gradient_name, gradient, heads());
    }
    template <class T, class View>
    void sum_gradient(View gradient, const tensor_view<const T, 3>& of_values) const {
        const auto given = numbers_.view();
        const index each = of_values.extents[1] / heads();
        for (index head = 0; head < heads(); ++head) {
            double sum = 0;
            for (index batch = 0; batch < of_values.extents[0]; ++batch)
                for (index h = head * each; h < (head + 1) * each; ++h)
                    for (index token = 0; token < of_values.extents[2]; ++token)
                        sum += static_cast<double>(of_values(batch, h, token));
            sum = Given::from_value(sum, static_cast<double>(given(head)));
            gradient_element(gradient, head) = static_cast<T>(sum);
        }
    }

  private:
    Kept numbers_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
