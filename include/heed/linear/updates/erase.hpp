#pragma once

#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/detail/row_pair.hpp>
#include <heed/linear/part.hpp>

/// \file
/// An update that erases and writes by channels.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// e and w.
struct given_erase {
    static constexpr updated kind = updated::channels;
    static constexpr row_names first{"e", "heed::erase: e", "the gradient of heed::erase's e"};
    static constexpr row_names second{"w", "heed::erase: w", "the gradient of heed::erase's w"};
    static index second_columns(const linear_shape& shape) { return shape.value_dim; }
};

}  // namespace detail

/// The delta rule channel by channel (GDN-2, arXiv 2605.22791): a token erases by the share e of
/// each channel of its key, and writes the share w of each channel of its value:
///
///     S_t = S_{t−1} Diag(α_t)(I − (e_t⊙k_t) k_tᵀ) + (w_t⊙v_t) k_tᵀ        o_t = c·S_t q_t
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
        return detail::row_pair<detail::given_erase, std::remove_cvref_t<Erased>,
                                std::remove_cvref_t<Written>, decltype(erased), decltype(written)>(
            std::move(erased), std::move(written));
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE
