#pragma once

#include <array>
#include <type_traits>
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
/// What is given for each token, or for each head.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Whether an object has an axis of heads alone.
template <class X>
constexpr bool is_one_axis() {
    if constexpr (!tensor_like<X>)
        return true;
    else if constexpr (eigen_dense<std::remove_cvref_t<X>>)
        return bool(std::remove_cvref_t<X>::IsVectorAtCompileTime);
    else
        return rank_of<X> == 1;
}

/// [batch, head, token] of [head, token] too.
template <class T, int Rank>
tensor_view<T, 3> as_token_numbers(const tensor_view<T, Rank>& given, index batch) {
    if constexpr (Rank == 3) {
        return given;
    } else {
        return {given.data,
                {batch, given.extents[0], given.extents[1]},
                {0, given.strides[0], given.strides[1]}};
    }
}

/// The part of a role that heed::log_decay(g) and heed::delta(β) of a number a token make; `Given`
/// as for head_numbers.
template <class Base, class Given, class Tensor, class Kept>
class token_numbers : public Base {
  public:
    explicit token_numbers(Kept numbers) : numbers_(std::move(numbers)) {}

    index heads() const { return all(1).extents[1]; }

    void check_call(const linear_shape& shape) const {
        check_view(Given::name, numbers_.view());
        const auto extents = all(shape.batch).extents;
        const std::array<index, 3> expected{shape.batch, heads(), shape.keys};
        require_shape(extents == expected, Given::name, " has shape ", numbers_.view().extents,
                      ", but q, k and v have ", shape.batch, " sequences and ", shape.keys,
                      " keys");
    }
    /// Padding is not looked at; NaN is let through.
    void check_tokens(index batch, index first, index last) const {
        const auto given = all(batch + 1);
        for (index head = 0; head < heads(); ++head) {
            for (index token = first; token < last; ++token) {
                const auto x = static_cast<double>(given(batch, head, token));
                require_argument(Given::in_range(x) || x != x, Given::name,
                                 ": the number of sequence ", batch, ", head ", head, ", token ",
                                 token, " is ", x, ", but must be ", Given::range);
            }
        }
    }
    template <class See>
    void inputs(See&& see) const {
        see(Given::name, numbers_.view());
    }

    template <class T>
    tensor_view<const T, 3> numbers(arena&, const linear_shape& shape) const {
        constexpr bool same_scalar = std::is_same_v<T, scalar_of<Tensor>>;
        static_assert(
            same_scalar,
            "heed: heed::log_decay and heed::delta of tokens must have the scalar of q, k "
            "and v");
        if constexpr (same_scalar)
            return all(shape.batch);
        else
            return {};
    }

    /// Its own shape; what serves all sequences is summed.
    template <class T>
    auto make_gradient(const attention_shape&) const {
        return make_tensor_gradient<Tensor>(numbers_.view());
    }
    template <class View>
    void check_gradient(const View& gradient) const {
        constexpr bool same_rank = rank_of<View> == rank_of<Tensor>;
        static_assert(
            same_rank,
            "heed: the gradient of heed::log_decay or heed::delta has as many axes as it");
        if constexpr (same_rank) {
            check_view(Given::gradient_name, gradient);
            check_same_shape(Given::gradient_name, gradient, Given::name, numbers_.view());
        }
    }
    template <class T, class View>
    void sum_gradient(View gradient, const tensor_view<const T, 3>& of_values) const {
        constexpr bool for_each_sequence = rank_of<Tensor> == 3;
        const auto [sequences, all_heads, tokens] = of_values.extents;
        const index own = for_each_sequence ? sequences : 1, each = all_heads / heads();
        const index alike = for_each_sequence ? 1 : sequences;  // none too: the sum is 0
        const auto to = as_token_numbers(gradient, 1);
        for (index first = 0; first < own; ++first) {
            for (index head = 0; head < heads(); ++head) {
                for (index token = 0; token < tokens; ++token) {
                    double sum = 0;
                    for (index b = first; b < first + alike; ++b)
                        for (index h = head * each; h < (head + 1) * each; ++h)
                            sum += static_cast<double>(of_values(b, h, token));
                    to(first, head, token) = static_cast<T>(sum);
                }
            }
        }
    }

  private:
    auto all(index batch) const { return as_token_numbers(numbers_.view(), batch); }

    Kept numbers_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
