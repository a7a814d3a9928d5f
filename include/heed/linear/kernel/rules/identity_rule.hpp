#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/kernel/rules/elementwise_rule.hpp>

/// \file
/// What stands where a call has no feature map: q and k are the features.

namespace heed::inline HEED_ARCHITECTURE::detail {

template <class T>
struct identity_feature {
    vec<T> operator()(vec<T> x) const { return x; }
    vec<T> slope(vec<T>, vec<T>) const { return vec<T>(T(1)); }
};

struct no_feature_map : elementwise_map<no_feature_map> {
    static constexpr std::string_view name = "no feature map";

    template <class T>
    auto function() const {
        return identity_feature<T>();
    }
};
inline constexpr no_feature_map without_map{};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
