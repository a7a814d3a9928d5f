#pragma once

#include <string_view>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/kernel/rules/elementwise_rule.hpp>
#include <heed/softmax/dense/positive.hpp>

/// \file
/// heed::positive(f, df) as a feature map.

namespace heed::inline HEED_ARCHITECTURE::detail {

template <class T, class Weight>
struct positive_feature {
    Weight weight;

    vec<T> operator()(vec<T> x) const { return weight(x); }
    vec<T> slope(vec<T> x, vec<T>) const { return weight.slope(x); }
};

/// φ(x)_f = f(x_f) of the f of a positive function; of −∞ it is 0.
template <class Positive>
struct positive_map : elementwise_map<positive_map<Positive>> {
    static constexpr std::string_view name = "heed::positive";

    const Positive* positive;

    explicit positive_map(const Positive& of) : positive(&of) {}

    template <class T>
    auto function() const {
        const auto weight = positive->template forward<T>().weight;
        return positive_feature<T, decltype(weight)>{weight};
    }
};

template <class Positive>
positive_map<Positive> positive_map_of(const Positive& positive) {
    return positive_map<Positive>(positive);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
