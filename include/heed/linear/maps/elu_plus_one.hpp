#pragma once

#include <string_view>

#include <heed/core/architecture.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/kernel/rules/elementwise_rule.hpp>

/// \file
/// The feature map elu(x) + 1.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

template <class T>
struct elu_plus_one_feature {
    vec<T> operator()(vec<T> x) const { return select(x > vec<T>(T(0)), x + vec<T>(T(1)), exp(x)); }
    vec<T> slope(vec<T> x, vec<T> y) const { return select(x > vec<T>(T(0)), vec<T>(T(1)), y); }
};

}  // namespace detail

/// The type of heed::elu_plus_one.
struct elu_plus_one_map : detail::elementwise_map<elu_plus_one_map> {
    static constexpr std::string_view name = "heed::elu_plus_one";

    template <class T>
    auto function() const {
        return detail::elu_plus_one_feature<T>();
    }
};

/// φ(x) = x + 1 where x > 0, else e^x: positive everywhere, so that every query that sees a key has
/// a denominator (arXiv 2006.16236, kexue 7546). As many features as q and k have dimensions.
///
///     auto o = heed::linear_attention(q, k, v, heed::causal, heed::elu_plus_one);
inline constexpr elu_plus_one_map elu_plus_one{};

}  // namespace heed::inline HEED_ARCHITECTURE
