#pragma once

#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/detail/row_pair.hpp>
#include <heed/linear/part.hpp>

/// \file
/// An update of rank 1 that is given.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// a and b.
struct given_low_rank {
    static constexpr updated kind = updated::low_rank;
    static constexpr row_names first{"a", "heed::low_rank: a",
                                     "the gradient of heed::low_rank's a"};
    static constexpr row_names second{"b", "heed::low_rank: b",
                                      "the gradient of heed::low_rank's b"};
    static index second_columns(const linear_shape& shape) { return shape.dim; }
};

}  // namespace detail

/// The state is multiplied by what decays leave of it and a matrix of rank 1, given by its two
/// vectors:
///
///     S_t = S_{t−1}(Diag(α_t) + a_t b_tᵀ) + v_t k_tᵀ        o_t = c·S_t q_t
///
/// RWKV-7 (arXiv 2503.14456) has a = −κ̂ and b = κ̂⊙η with a decay a channel, heed::log_decay(g) of
/// [batch, heads, keys, dim]; any other decay may stand there, or none, α_t being 1. c is 1/√dim
/// unless heed::scale says otherwise. a and b are [batch, heads, keys, dim], of the scalar of q, k
/// and v; their count of heads is the same, and divides that of o's or is more than q, k and v
/// have. They are taken as they are: heed::unit_rows and heed::rotary change q and k alone. The
/// state is stable where Diag(α) + a bᵀ does not stretch, which is not checked. a reads S as it was
/// before the decay; of a number of S that the decay clears, log α being −∞ in effect, it reads
/// nothing. It goes with heed::causal, and with neither a feature map nor a denominator.
///
///     auto o = heed::linear_attention(q, k, v, heed::causal, heed::log_decay(g),
///                                     heed::low_rank(a, b), heed::scale(1));
///
/// The call throws shape_error where a shape does not fit. What is padding is not read. Takes as
/// many operations as two tokens of heed::delta: 12·d·d_v a token.
template <tensor_like A, tensor_like B>
[[nodiscard]] auto low_rank(A&& a, B&& b) {
    constexpr bool good_rank = rank_of<A> == 4 && rank_of<B> == 4;
    static_assert(good_rank,
                  "heed: heed::low_rank takes a and b of [batch, heads, keys, dim] each");
    if constexpr (good_rank) {
        auto read = detail::keep(std::forward<A>(a));
        auto written = detail::keep(std::forward<B>(b));
        return detail::row_pair<detail::given_low_rank, std::remove_cvref_t<A>,
                                std::remove_cvref_t<B>, decltype(read), decltype(written)>(
            std::move(read), std::move(written));
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE
