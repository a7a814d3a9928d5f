#pragma once

#include <cmath>
#include <limits>
#include <string_view>

#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/kernel/rules/row_map_rule.hpp>
#include <heed/linear/part.hpp>

/// \file
/// Rows of q and k of length 1.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// y = x/√(‖x‖² + ε)
template <class T>
struct unit_row {
    static constexpr T epsilon = T(1e-6);
    index dim;

    /// x times one and the other is y. Beside squares that T cannot hold ε is nothing.
    unit_factors<T> factors_of(const T* x) const {
        const T square = dot(x, x, dim);
        if (square > std::numeric_limits<T>::max()) return unit_factors_of(x, dim);
        return {T(1), T(1) / std::sqrt(square + epsilon)};
    }

    void map(const T* x, index, T* to) const { map_by(x, factors_of(x), to); }
    /// dx = (d − y(y·d))/√(‖x‖² + ε)
    void back(const T* x, index, const T* d, T* to) const {
        const auto factors = factors_of(x);
        const auto [scale, inverse] = factors;
        map_by(x, factors, to);
        const T along = -dot(to, d, dim);
        for (index c = 0; c < dim; c += vec<T>::size) {
            const index left = dim - c;
            const vec<T> across = fma(vec<T>(along), vec<T>::load_partial(to + c, left),
                                      vec<T>::load_partial(d + c, left));
            ((across * vec<T>(inverse)) * vec<T>(scale)).store_partial(to + c, left);
        }
    }

  private:
    /// y; most rows are not scaled, and are read once.
    void map_by(const T* x, const unit_factors<T>& by, T* to) const {
        if (by.scale == T(1)) return multiply_row(x, dim, by.inverse, to);
        multiply_row(x, dim, by.scale, to);
        multiply_row(to, dim, by.inverse, to);
    }
};

}  // namespace detail

/// The type of heed::unit_rows.
struct unit_rows_part : row_norm_base {
    static constexpr std::string_view name = "heed::unit_rows";

    template <class T, bool Backward>
    const detail::feature_rule<T>& rule(arena& scratch, const linear_shape& shape) const {
        using row = detail::unit_row<T>;
        return scratch.make<detail::row_map_rule<T, Backward, row>>(shape.dim, row{shape.dim});
    }
};

/// Rows of q and k become x/√(‖x‖² + 10⁻⁶), before a rotary encoding and the scale: as gated
/// DeltaNet has them, so that the delta rule is stable for 0 ≤ β ≤ 2. A part of calls without a
/// feature map, with or without an update.
///
///     auto o = heed::linear_attention(q, k, v, heed::causal, heed::delta(beta), heed::unit_rows);
inline constexpr unit_rows_part unit_rows{};

}  // namespace heed::inline HEED_ARCHITECTURE
