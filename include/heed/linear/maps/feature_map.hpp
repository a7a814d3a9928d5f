#pragma once

#include <string_view>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/lane_functions.hpp>
#include <heed/core/lane_numbers.hpp>
#include <heed/core/scalar.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/kernel/rules/elementwise_rule.hpp>

/// \file
/// A feature map of the user's.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// In the place of the derivative of a feature.
struct no_feature_slope {};

/// f of a vector, f a function of vectors or of numbers.
template <class T, class F>
vec<T> call_feature(const F& f, vec<T> x) {
    constexpr bool takes_vectors = std::is_invocable_r_v<vec<T>, const F&, vec<T>>;
    static_assert(takes_vectors,
                  "heed: a feature map takes a heed::vec<T> and returns one; a function of one "
                  "number goes in as heed::feature_map(heed::scalar(f))");
    if constexpr (takes_vectors)
        return static_cast<vec<T>>(f(x));
    else
        return x;
}
template <class T, class F>
vec<T> call_feature(const scalar_function<F>& f, vec<T> x) {
    alignas(64) auto numbers = to_array(x);
    for (T& number : numbers) number = static_cast<T>(f.f(number));
    return vec<T>::load_aligned(numbers.data());
}

template <class T, class F, class Derivative>
struct user_feature {
    const F* f;
    const Derivative* derivative;

    vec<T> operator()(vec<T> x) const { return call_feature<T>(*f, x); }
    vec<T> slope(vec<T> x, vec<T>) const {
        constexpr bool has_derivative = !std::is_same_v<Derivative, no_feature_slope>;
        static_assert(has_derivative,
                      "heed: backward needs the derivative of a feature map: "
                      "heed::feature_map(f, df)");
        if constexpr (has_derivative)
            return call_feature<T>(*derivative, x);
        else
            return x;
    }
};

}  // namespace detail

/// The type of heed::feature_map(f) and heed::feature_map(f, df).
template <class F, class Derivative>
class user_feature_map : public detail::elementwise_map<user_feature_map<F, Derivative>> {
  public:
    static constexpr std::string_view name = "heed::feature_map";

    user_feature_map(F f, Derivative derivative)
        : f_(std::move(f)), derivative_(std::move(derivative)) {}

    template <class T>
    auto function() const {
        return detail::user_feature<T, F, Derivative>{&f_, &derivative_};
    }

  private:
    F f_;
    [[no_unique_address]] Derivative derivative_;
};

/// φ(x)_f = f(x_f) for any f, as many features as q and k have dimensions. f is called with
/// heed::vec<T>, as many numbers as an instruction computes; +, −, *, /, abs, min, max, sqrt,
/// select, exp, log and tanh of heed work on it. A function that only takes numbers goes in as
/// heed::scalar(f). Without a derivative it serves forward only.
///
///     const auto softplus = heed::feature_map([](auto x) { return log1p(exp(x)); },
///                                             [](auto x) { return 1 / (1 + exp(-x)); });
///     auto o = heed::linear_attention(q, k, v, heed::causal, softplus);
///
/// f may be negative; then so may the denominator, which no longer is that of an average.
template <class F>
[[nodiscard]] auto feature_map(F&& f) {
    return user_feature_map<std::decay_t<F>, detail::no_feature_slope>(std::forward<F>(f), {});
}
template <class F, class Derivative>
[[nodiscard]] auto feature_map(F&& f, Derivative&& derivative) {
    return user_feature_map<std::decay_t<F>, std::decay_t<Derivative>>(
        std::forward<F>(f), std::forward<Derivative>(derivative));
}

}  // namespace heed::inline HEED_ARCHITECTURE
