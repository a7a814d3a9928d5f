#pragma once

#include <algorithm>
#include <cmath>
#include <string_view>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/kernel/rules/row_map_rule.hpp>
#include <heed/linear/part.hpp>

/// \file
/// The feature map of the Taylor polynomial of order 2 of e^{q·k/√d}.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

template <class T>
struct taylor_row {
    index dim;
    T linear, square, mixed;  ///< d^−¼, (2d)^−½, d^−½

    explicit taylor_row(index d) : dim(d) {
        const double n = static_cast<double>(d);
        linear = static_cast<T>(std::pow(n, -0.25));
        square = static_cast<T>(1 / std::sqrt(2 * n));
        mixed = static_cast<T>(1 / std::sqrt(n));
    }

    void map(const T* x, index, T* to) const {
        *to++ = T(1);
        for (index c = 0; c < dim; ++c) *to++ = linear * x[c];
        for (index c = 0; c < dim; ++c) *to++ = square * x[c] * x[c];
        for (index i = 0; i < dim; to += dim - 1 - i, ++i) {
            const vec<T> factor(mixed * x[i]);
            const index count = dim - 1 - i;
            for (index j = 0; j < count; j += vec<T>::size)
                (factor * vec<T>::load_partial(x + i + 1 + j, count - j))
                    .store_partial(to + j, count - j);
        }
    }
    void back(const T* x, index, const T* d, T* to) const {
        ++d;
        const T* squares = d + dim;
        for (index c = 0; c < dim; ++c)
            to[c] = fma(linear, d[c], T(2) * square * x[c] * squares[c]);
        d = squares + dim;
        for (index i = 0; i < dim; ++i) {
            for (index j = i + 1; j < dim; ++j, ++d) {
                to[i] = fma(mixed * x[j], *d, to[i]);
                to[j] = fma(mixed * x[i], *d, to[j]);
            }
        }
    }
};

}  // namespace detail

/// The type of heed::taylor_features.
struct taylor_feature_map : feature_map_base {
    static constexpr std::string_view name = "heed::taylor_features";
    static constexpr detail::encoded encoding = detail::encoded::none;

    index count(index dim) const { return 1 + dim + dim * (dim + 1) / 2; }
    void check_call(const linear_shape& shape) const {
        detail::require_shape(shape.dim <= 4096, "heed::taylor_features: q and k have ", shape.dim,
                              " dimensions, but there may be 4096 at most");
    }

    template <class T, bool Backward>
    const detail::feature_rule<T>& rule(arena& scratch, const linear_shape& shape) const {
        using row = detail::taylor_row<T>;
        return scratch.make<detail::row_map_rule<T, Backward, row>>(count(shape.dim),
                                                                    row(shape.dim));
    }
};

/// φ(x) = [1, x/d^¼, x_i²/√(2d), x_i x_j/√d for i < j], whose products are 1 + s + s²/2 with s =
/// q·k/√d: the Taylor polynomial of e^s, positive everywhere (Based, arXiv 2402.18668). 1 + d +
/// d(d+1)/2 features: for small d, 16 say, which has 153. Takes no rotary encoding.
///
///     auto o = heed::linear_attention(q, k, v, heed::causal, heed::taylor_features);
inline constexpr taylor_feature_map taylor_features{};

}  // namespace heed::inline HEED_ARCHITECTURE
