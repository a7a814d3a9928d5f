#pragma once

#include <algorithm>
#include <string_view>

#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/kernel/rules/row_map_rule.hpp>
#include <heed/linear/part.hpp>

/// \file
/// The feature map [1, x/‖x‖]: weights 1 + cos(q, k).

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

template <class T>
struct one_plus_cosine_row {
    index dim;

    void map(const T* x, index, T* to) const {
        const auto [scale, inverse] = unit_factors_of(x, dim);
        to[0] = T(1);
        multiply_row(x, dim, scale, to + 1);
        multiply_row(to + 1, dim, inverse, to + 1);
    }
    /// dx = (d − x̂(x̂·d))/‖x‖
    void back(const T* x, index, const T* d, T* to) const {
        const auto [scale, inverse] = unit_factors_of(x, dim);
        multiply_row(x, dim, scale, to);
        multiply_row(to, dim, inverse, to);
        const T along = -dot(to, d + 1, dim);
        for (index c = 0; c < dim; c += vec<T>::size) {
            const index left = dim - c;
            const vec<T> across = fma(vec<T>(along), vec<T>::load_partial(to + c, left),
                                      vec<T>::load_partial(d + 1 + c, left));
            ((across * vec<T>(inverse)) * vec<T>(scale)).store_partial(to + c, left);
        }
    }
};

}  // namespace detail

/// The type of heed::one_plus_cosine.
struct one_plus_cosine_map : feature_map_base {
    static constexpr std::string_view name = "heed::one_plus_cosine";
    static constexpr detail::encoded encoding = detail::encoded::inputs;

    index count(index dim) const { return dim + 1; }

    template <class T, bool Backward>
    const detail::feature_rule<T>& rule(arena& scratch, const linear_shape& shape) const {
        using row = detail::one_plus_cosine_row<T>;
        return scratch.make<detail::row_map_rule<T, Backward, row>>(count(shape.dim),
                                                                    row{shape.dim});
    }
};

/// φ(x) = [1, x/‖x‖], so that a query weighs a key by 1 + cos(q, k) ≥ 0 (kexue 7546). d + 1
/// features; a row of zeros has the weight 1 with all others. heed::rotary turns q and k.
///
///     auto o = heed::linear_attention(q, k, v, heed::causal, heed::one_plus_cosine);
inline constexpr one_plus_cosine_map one_plus_cosine{};

}  // namespace heed::inline HEED_ARCHITECTURE
