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
/// What the present token weighs beside those before it.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::bonus(u).
template <class Tensor, class Kept>
class bonus_part : public bonus_base {
  public:
    explicit bonus_part(Kept numbers) : numbers_(std::move(numbers)) {}

    index heads() const { return numbers_.view().extents[0]; }

    void check_call(const linear_shape& shape) const {
        detail::check_view("heed::bonus", numbers_.view());
        const std::array<index, 2> expected{heads(), shape.dim};
        detail::require_shape(numbers_.view().extents == expected, "heed::bonus has shape ",
                              numbers_.view().extents, ", but q and k have ", shape.dim,
                              " channels");
    }
    template <class See>
    void inputs(See&& see) const {
        see("heed::bonus", numbers_.view());
    }

    /// [its heads, channel]
    template <class T>
    tensor_view<const T, 2> numbers() const {
        constexpr bool same_scalar = std::is_same_v<T, scalar_of<Tensor>>;
        static_assert(same_scalar, "heed: heed::bonus must have the scalar of q, k and v");
        if constexpr (same_scalar)
            return numbers_.view();
        else
            return {};
    }

    template <class T>
    auto make_gradient(const attention_shape&) const {
        return detail::make_tensor_gradient<Tensor>(numbers_.view());
    }
    template <class View>
    void check_gradient(const View& gradient) const {
        constexpr bool same_rank = rank_of<View> == 2;
        static_assert(same_rank, "heed: the gradient of heed::bonus has as many axes as it");
        if constexpr (same_rank) {
            detail::check_view("the gradient of heed::bonus", gradient);
            detail::check_same_shape("the gradient of heed::bonus", gradient, "heed::bonus",
                                     numbers_.view());
        }
    }
    /// From those of every head of o, [batch, head of o, channel].
    template <class T, class View>
    void sum_gradient(View gradient, const tensor_view<double, 3>& of_heads) const {
        const auto [sequences, all_heads, channels] = of_heads.extents;
        for (index head = 0; head < heads(); ++head) {
            for (index c = 0; c < channels; ++c) {
                double sum = 0;
                for (index b = 0; b < sequences; ++b)
                    for (index h = head * all_heads / heads(); h < (head + 1) * all_heads / heads();
                         ++h)
                        sum += of_heads(b, h, c);
                gradient(head, c) = static_cast<T>(sum);
            }
        }
    }

  private:
    Kept numbers_;
};

/// Each token reads the state that those before it have left, and itself by u,
/// a number a channel (RWKV-6, arXiv 2404.05892):
///
///     o_t = c·(S_{t−1} + v_t (u⊙k_t)ᵀ) q_t        S_t = S_{t−1} Diag(α_t) +
///     v_t k_tᵀ
///
/// The decay, of any kind or none, comes behind the reading. u is [heads, dim],
/// of the scalar of q, k and v; its count of heads divides that of o's or is
/// more than q, k and v have. c is 1/√dim unless heed::scale says otherwise. It
/// can be learned: the gradient has u's own shape and kind. It goes with
/// heed::causal, and with neither an update, a feature map nor a denominator.
///
///     auto o = heed::linear_attention(r, k, v, heed::causal,
///     heed::log_decay(w), heed::bonus(u));
///
/// The call throws shape_error where the shape does not fit. Decays cost what a
/// decay a channel does; the bonus itself 3·dim operations a token.
template <class Numbers>
[[nodiscard]] auto bonus(Numbers&& u) {
    constexpr bool good_rank = [] {
        if constexpr (tensor_like<Numbers>)
            return rank_of<Numbers> == 2;
        else
            return false;
    }();
    static_assert(good_rank, "heed: heed::bonus takes [heads, dim]");
    if constexpr (good_rank) {
        auto kept = detail::keep(std::forward<Numbers>(u));
        return bonus_part<std::remove_cvref_t<Numbers>, decltype(kept)>(std::move(kept));
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE
