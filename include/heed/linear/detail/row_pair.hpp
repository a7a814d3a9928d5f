#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/attention/detail/parameter_gradient.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/part.hpp>

/// \file
/// An update that is given two rows of numbers a token.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// What one of the two is called in messages, and its gradient.
struct row_names {
    std::string_view plain, full, gradient;
};

/// The update that heed::erase(e, w) and heed::low_rank(a, b) make. `Given` says its kind,
/// what the two are called, and how long a row of the second is; one of the first is as long as
/// k's.
template <class Given, class First, class Second, class KeptFirst, class KeptSecond>
class row_pair : public update_base {
  public:
    static constexpr updated kind = Given::kind;
    /// How many gradients it has when it is learned.
    static constexpr std::size_t parameters = 2;

    row_pair(KeptFirst first, KeptSecond second)
        : first_(std::move(first)), second_(std::move(second)) {}

    index heads() const { return first_.view().extents[1]; }

    void check_call(const linear_shape& shape) const {
        check(Given::first, first_.view(), shape, shape.dim);
        check(Given::second, second_.view(), shape, Given::second_columns(shape));
    }
    template <class See>
    void inputs(See&& see) const {
        see(Given::first.full, first_.view());
        see(Given::second.full, second_.view());
    }

    /// Both, as the kernel takes them.
    template <class T>
    std::pair<tensor_view<const T, 4>, tensor_view<const T, 4>> numbers() const {
        constexpr bool same_scalar =
            std::is_same_v<T, scalar_of<First>> && std::is_same_v<T, scalar_of<Second>>;
        static_assert(same_scalar,
                      "heed: heed::erase and heed::low_rank must have the scalar of q, k and v");
        if constexpr (same_scalar)
            return {first_.view(), second_.view()};
        else
            return {};
    }

    template <class T>
    auto make_gradient(const attention_shape&) const {
        return std::make_tuple(make_tensor_gradient<First>(first_.view()),
                               make_tensor_gradient<Second>(second_.view()));
    }
    template <class FirstView, class SecondView>
    void check_gradient(const FirstView& of_first, const SecondView& of_second) const {
        constexpr bool same_rank = rank_of<FirstView> == 4 && rank_of<SecondView> == 4;
        static_assert(same_rank,
                      "heed: the gradients of heed::erase and heed::low_rank have as many axes as "
                      "what they are of");
        if constexpr (same_rank) {
            check_same(Given::first, of_first, first_.view());
            check_same(Given::second, of_second, second_.view());
        }
    }
    /// From those of each head of o: what serves several is summed.
    template <class T>
    void sum_gradient(const tensor_view<T, 4>& first, const tensor_view<T, 4>& second,
                      const tensor_view<const T, 4>& of_first,
                      const tensor_view<const T, 4>& of_second) const {
        sum_heads<T>(first, of_first);
        sum_heads<T>(second, of_second);
    }

  private:
    template <class View>
    void check(const row_names& names, const View& x, const linear_shape& shape,
               index channels) const {
        check_view(names.full, x);
        const std::array<index, 4> expected{shape.batch, heads(), shape.keys, channels};
        require_shape(x.extents == expected, names.full, " has shape ", x.extents,
                      ", but must have ", expected, " (batch, its heads, keys, channels)");
    }
    template <class Gradient, class View>
    static void check_same(const row_names& names, const Gradient& gradient, const View& of) {
        check_view(names.gradient, gradient);
        check_same_shape(names.gradient, gradient, names.plain, of);
    }
    template <class T>
    static void sum_heads(const tensor_view<T, 4>& to, const tensor_view<const T, 4>& of_heads) {
        const auto [batch, heads, tokens, channels] = to.extents;
        const index each = heads == 0 ? 0 : of_heads.extents[1] / heads;
        for (index b = 0; b < batch; ++b) {
            for (index h = 0; h < heads; ++h) {
                for (index t = 0; t < tokens; ++t) {
                    for (index c = 0; c < channels; ++c) {
                        double sum = 0;
                        for (index of = h * each; of < (h + 1) * each; ++of)
                            sum += static_cast<double>(of_heads(b, of, t, c));
                        to(b, h, t, c) = static_cast<T>(sum);
                    }
                }
            }
        }
    }

    KeptFirst first_;
    KeptSecond second_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
