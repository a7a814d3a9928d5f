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
/// A decay that is the same for all tokens: a number, or one a head.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::decay(γ), and of heed::log_decay(g) of a vector: `Given` says what a number
/// is.
template <class Given, class Kept>
class head_decay : public decay_base {
  public:
    explicit head_decay(Kept numbers) : numbers_(std::move(numbers)) {}

    index heads() const { return numbers_.view().extents[0]; }

    void check_call(const linear_shape&) const {
        const auto numbers = numbers_.view();
        for (index head = 0; head < heads(); ++head) {
            const auto x = static_cast<double>(numbers(head));
            detail::require_argument(Given::in_range(x), Given::name, ": the number of head ", head,
                                     " is ", x, ", but must be ", Given::range);
        }
    }
    template <class See>
    void inputs(See&& see) const {
        see(Given::name, numbers_.view());
    }

    template <class T>
    tensor_view<const T, 3> log_decays(arena& scratch, const linear_shape& shape) const {
        const auto numbers = numbers_.view();
        T* logs = scratch.take<T>(heads());
        for (index head = 0; head < heads(); ++head)
            logs[head] = static_cast<T>(Given::log(static_cast<double>(numbers(head))));
        return {logs, {shape.batch, heads(), shape.keys}, {0, 1, 0}};
    }

    template <class T>
    auto make_gradient(const attention_shape&) const {
        return detail::make_vector_gradient<T>(heads());
    }
    template <class View>
    void check_gradient(const View& gradient) const {
        detail::check_vector_gradient("the gradient of the decay", gradient, heads());
    }
    template <class T, class View>
    void sum_gradient(View gradient, const tensor_view<const T, 3>& of_logs) const {
        const auto numbers = numbers_.view();
        const index each = of_logs.extents[1] / heads();
        for (index head = 0; head < heads(); ++head) {
            double sum = 0;
            for (index batch = 0; batch < of_logs.extents[0]; ++batch)
                for (index h = head * each; h < (head + 1) * each; ++h)
                    for (index token = 0; token < of_logs.extents[2]; ++token)
                        sum += static_cast<double>(of_logs(batch, h, token));
            sum = Given::from_log(sum, static_cast<double>(numbers(head)));
            detail::gradient_element(gradient, head) = static_cast<T>(sum);
        }
    }

  private:
    Kept numbers_;
};

}  // namespace heed::inline HEED_ARCHITECTURE
