#pragma once

#include <string_view>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/kernel/rules/elementwise_rule.hpp>

/// \file
/// The feature map max(x, 0).

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

template <class T>
struct relu_feature {
    // NaN stays.
    vec<T> operator()(vec<T> x) const { return max(vec<T>(T(0)), x); }
    vec<T> slope(vec<T> x, vec<T>) const {
        return select(x > vec<T>(T(0)), vec<T>(T(1)), vec<T>(T(0)));
    }
};

}  // namespace detail

/// The type of heed::relu.
struct relu_map : detail::elementwise_map<relu_map> {
    static constexpr std::string_view name = "heed::relu";

    template <class T>
    auto function() const {
        return detail::relu_feature<T>();
    }
};

/// φ(x) = max(x, 0), as many features as q and k have dimensions. A query none of whose features
/// meets one of a key gives zeros.
///
///     auto o = heed::linear_attention(q, k, v, heed::causal, heed::relu);
inline constexpr relu_map relu{};

}  // namespace heed::inline HEED_ARCHITECTURE
