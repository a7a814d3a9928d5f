#pragma once

#include <string_view>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/kernel/rules/elementwise_rule.hpp>

/// \file
/// The feature map e^x.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

template <class T>
struct exp_feature {
    static constexpr bool is_logit = true;

    vec<T> operator()(vec<T> x) const { return product(x, vec<T>(T(1.44269504088896340736))); }
    vec<T> slope(vec<T>, vec<T> y) const { return y; }
};

}  // namespace detail

/// The type of heed::exp_features.
struct exp_feature_map : detail::elementwise_map<exp_feature_map> {
    static constexpr std::string_view name = "heed::exp_features";

    template <class T>
    auto function() const {
        return detail::exp_feature<T>();
    }
};

/// φ(x) = e^x, as many features as q and k have dimensions (kexue 8338). Each feature is kept
/// relative to a reference of its own, so that numbers of any size neither overflow nor vanish.
///
///     auto o = heed::linear_attention(q, k, v, heed::causal, heed::exp_features);
inline constexpr exp_feature_map exp_features{};

}  // namespace heed::inline HEED_ARCHITECTURE
