#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <string_view>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/kernel/rules/row_map_rule.hpp>
#include <heed/linear/part.hpp>

/// \file
/// The feature map of cosFormer: relu beside a cosine of the distance.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

template <class T>
struct cosformer_row {
    index dim;
    double angle;  ///< π/2M

    void map(const T* x, index position, T* to) const {
        const auto [cosine, sine] = place(position);
        const vec<T> zero(T(0));
        for (index c = 0; c < dim; c += vec<T>::size) {
            const index left = dim - c;
            const vec<T> y = max(zero, vec<T>::load_partial(x + c, left));
            (y * vec<T>(cosine)).store_partial(to + c, left);
            (y * vec<T>(sine)).store_partial(to + dim + c, left);
        }
    }
    void back(const T* x, index position, const T* d, T* to) const {
        const auto [cosine, sine] = place(position);
        const vec<T> zero(T(0));
        for (index c = 0; c < dim; c += vec<T>::size) {
            const index left = dim - c;
            const vec<T> slope = fma(vec<T>(sine), vec<T>::load_partial(d + dim + c, left),
                                     product(vec<T>(cosine), vec<T>::load_partial(d + c, left)));
            select(vec<T>::load_partial(x + c, left) > zero, slope, zero)
                .store_partial(to + c, left);
        }
    }

  private:
    struct point {
        T cosine, sine;
    };
    point place(index position) const {
        const double at = angle * static_cast<double>(position);
        return {static_cast<T>(std::cos(at)), static_cast<T>(std::sin(at))};
    }
};

}  // namespace detail

/// The type of heed::cosformer(span).
class cosformer_map : public feature_map_base {
  public:
    static constexpr std::string_view name = "heed::cosformer";
    static constexpr detail::encoded encoding = detail::encoded::none;

    explicit cosformer_map(index span) : span_(span) {}

    index count(index dim) const { return 2 * dim; }
    void check_call(const linear_shape&) const {
        detail::require_argument(span_ >= 1, "heed::cosformer: the span is ", span_,
                                 ", but must be at least 1");
    }
    /// Of sequences that reach so far.
    void check_reach(index reach) const {
        detail::require_argument(reach <= span_, "heed::cosformer: the span is ", span_,
                                 ", but a sequence spreads over ", reach, " tokens");
    }

    template <class T, bool Backward>
    const detail::feature_rule<T>& rule(arena& scratch, const linear_shape& shape) const {
        using row = detail::cosformer_row<T>;
        constexpr double half_pi = 1.57079632679489661923;
        return scratch.make<detail::row_map_rule<T, Backward, row>>(
            count(shape.dim), row{shape.dim, half_pi / static_cast<double>(span_)});
    }

  private:
    index span_;
};

/// φ(x) at position p = [max(x, 0)·cos(πp/2M), max(x, 0)·sin(πp/2M)], M the span: relu weights
/// times cos(π(i − j)/2M), which is not negative over sequences of at most M tokens (arXiv
/// 2202.08791). 2d features. Takes no rotary encoding.
///
///     auto o = heed::linear_attention(q, k, v, heed::causal, heed::cosformer(4096));
///
/// The call throws argument_error for a span below 1, and for a sequence (a document, or all that a
/// state has seen) longer than it.
template <std::integral Span>
[[nodiscard]] cosformer_map cosformer(Span span) {
    return cosformer_map(detail::to_index(span));
}

}  // namespace heed::inline HEED_ARCHITECTURE
