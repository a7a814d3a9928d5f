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
/// An update that erases and writes by channels.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// The part that heed::erase makes.
template <class Erased, class Written, class KeptErased, class KeptWritten>
class erase_part : public update_base {
  public:
    static constexpr bool of_channels = true;
    /// How many gradients it has when it is learned: of e and of w.
    static constexpr std::size_t parameters = 2;

    erase_part(KeptErased erased, KeptWritten written)
        : erased_(std::move(erased)), written_(std::move(written)) {}

    index heads() const { return erased_.view().extents[1]; }

    void check_call(const linear_shape& shape) const {
        check("heed::erase: e", erased_.view(), shape, shape.dim);
        check("heed::erase: w", written_.view(), shape, shape.value_dim);
    }
    template <class See>
    void inputs(See&& see) const {
        see("heed::erase: e", erased_.view());
        see("heed::erase: w", written_.view());
    }

    /// e and w, as the kernel takes them.
    template <class T>
    std::pair<tensor_view<const T, 4>, tensor_view<const T, 4>> numbers() const {
        constexpr bool same_scalar =
            std::is_same_v<T, scalar_of<Erased>> && std::is_same_v<T, scalar_of<Written>>;
        static_assert(same_scalar, "heed: heed::erase must have the scalar of q, k and v");
        if constexpr (same_scalar)
            return {erased_.view(), written_.view()};
        else
            return {};
    }

    template <class T>
    auto make_gradient(const attention_shape&) const {
        return std::make_tuple(make_tensor_gradient<Erased>(erased_.view()),
                               make_tensor_gradient<Written>(written_.view()));
    }
    template <class ErasedView, class WrittenView>
    void check_gradient(const ErasedView& of_erased, const WrittenView& of_written) const {
        constexpr bool same_rank = rank_of<ErasedView> == 4 && rank_of<WrittenView> == 4;
        static_assert(same_rank, "heed: the gradients of heed::erase have as many axes as e and w");
        if constexpr (same_rank) {
            check_same("the gradient of heed::erase's e", of_erased, "e", erased_.view());
            check_same("the gradient of heed::erase's w", of_written, "w", written_.view());
        }
    }
    /// From those of each head of o: what serves several is summed.
    template <class T>
    void sum_gradient(const tensor_view<T, 4>& erased, const tensor_view<T, 4>& written,
                      const tensor_view<const T, 4>& of_erased,
                      const tensor_view<const T, 4>& of_written) const {
        sum_heads<T>(erased, of_erased);
        sum_heads<T>(written, of_written);
    }

  private:
    template <class View>
    void check(std::string_view name, const View& x, const linear_shape& shape,
               index channels) const {
        check_view(name, x);
        const std::array<index, 4> expected{shape.batch, heads(), shape.keys, channels};
        require_shape(x.extents == expected, name, " has shape ", x.extents, ", but must have ",
                      expected, " (batch, its heads, keys, channels)");
    }
    template <class Gradient, class View>
    static void check_same(std::string_view name, const Gradient& gradient,
                           std::string_view of_name, const View& of) {
        check_view(name, gradient);
        check_same_shape(name, gradient, of_name, of);
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

    KeptErased erased_;
    KeptWritten written_;
};

}  // namespace detail

/// The delta rule channel by channel (GDN-2, arXiv 2605.22791): a token erases by the share e of
/// each channel of its key, and writes the share w of each channel of its value:
///
///     S_t = α_t S_{t−1}(I − (e_t⊙k_t) k_tᵀ) + (w_t⊙v_t) k_tᵀ        o_t = c·S_t q_t
///
/// α_t is 1 without a decay; c is 1/√dim unless heed::scale says otherwise. e is [batch, heads,
/// keys, dim] and w [batch, heads, keys, value_dim], of the scalar of q, k and v; their count of
/// heads is the same, and divides that of o's or is more than q, k and v have. e = w = β for all
/// channels is heed::delta(β). e multiplies k as S takes it: of length 1 with heed::unit_rows, and
/// rotated by heed::rotary. With ‖k‖ = 1 and 0 ≤ e ≤ 1 what is erased is no more than what is
/// there; no range is checked. It can be learned: the gradients of e and of w, two, have their own
/// shapes and kinds. It goes with heed::causal, and with neither a feature map nor a denominator.
///
///     auto o = heed::linear_attention(q, k, v, heed::causal, heed::log_decay(g),
///                                     heed::erase(e, w), heed::unit_rows);
///
/// The call throws shape_error where a shape does not fit. What is padding is not read. Takes as
/// many operations as heed::delta.
template <tensor_like Erased, tensor_like Written>
[[nodiscard]] auto erase(Erased&& e, Written&& w) {
    constexpr bool good_rank = rank_of<Erased> == 4 && rank_of<Written> == 4;
    static_assert(good_rank,
                  "heed: heed::erase takes e [batch, heads, keys, dim] and w [batch, heads, keys, "
                  "value_dim]");
    if constexpr (good_rank) {
        auto erased = detail::keep(std::forward<Erased>(e));
        auto written = detail::keep(std::forward<Written>(w));
        return detail::erase_part<std::remove_cvref_t<Erased>, std::remove_cvref_t<Written>,
                                  decltype(erased), decltype(written)>(std::move(erased),
                                                                       std::move(written));
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE
