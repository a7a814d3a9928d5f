#pragma once

#include <array>
#include <type_traits>
#include <utility>

#include <heed/attention/detail/parameter_gradient.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/part.hpp>

/// \file
/// What is given for each token and channel of k.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The part of a role that heed::log_decay(g) of [batch, heads, keys, channels] makes; `Given` as
/// for head_numbers. Its gradient is summed by the kernel.
template <class Base, class Given, class Tensor, class Kept>
class channel_numbers : public Base {
  public:
    static constexpr bool of_channels = true;

    explicit channel_numbers(Kept numbers) : numbers_(std::move(numbers)) {}

    index heads() const { return numbers_.view().extents[1]; }

    void check_call(const linear_shape& shape) const {
        check_view(Given::name, numbers_.view());
        const std::array<index, 4> expected{shape.batch, heads(), shape.keys, shape.dim};
        require_shape(numbers_.view().extents == expected, Given::name, " has shape ",
                      numbers_.view().extents, ", but q, k and v have ", shape.batch,
                      " sequences, ", shape.keys, " keys and ", shape.dim, " channels");
    }
    /// Padding is not looked at; NaN is let through.
    void check_tokens(index batch, index first, index last) const {
        const auto given = numbers_.view();
        for (index head = 0; head < heads(); ++head) {
            for (index token = first; token < last; ++token) {
                for (index channel = 0; channel < given.extents[3]; ++channel) {
                    const auto x = static_cast<double>(given(batch, head, token, channel));
                    require_argument(Given::in_range(x) || x != x, Given::name,
                                     ": the number of sequence ", batch, ", head ", head,
                                     ", token ", token, ", channel ", channel, " is ", x,
                                     ", but must be ", Given::range);
                }
            }
        }
    }
    template <class See>
    void inputs(See&& see) const {
        see(Given::name, numbers_.view());
    }

    template <class T>
    tensor_view<const T, 4> numbers(arena&, const linear_shape&) const {
        constexpr bool same_scalar = std::is_same_v<T, scalar_of<Tensor>>;
        static_assert(same_scalar,
                      "heed: heed::log_decay of channels must have the scalar of q, k and v");
        if constexpr (same_scalar)
            return numbers_.view();
        else
            return {};
    }

    template <class T>
    auto make_gradient(const attention_shape&) const {
        return make_tensor_gradient<Tensor>(numbers_.view());
    }
    template <class View>
    void check_gradient(const View& gradient) const {
        constexpr bool same_rank = rank_of<View> == rank_of<Tensor>;
        static_assert(same_rank,
                      "heed: the gradient of heed::log_decay of channels has as many axes as it");
        if constexpr (same_rank) {
            check_view(Given::gradient_name, gradient);
            check_same_shape(Given::gradient_name, gradient, Given::name, numbers_.view());
        }
    }

  private:
    Kept numbers_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
