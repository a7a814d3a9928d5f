#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/lane_numbers.hpp>
#include <heed/core/role.hpp>
#include <heed/core/scalar.hpp>
#include <heed/core/simd.hpp>
#include <heed/rows/row_function.hpp>
#include <heed/softmax/dense/kernel/weights.hpp>

/// \file
/// Probabilities by any positive function of the user's.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// In the place of the derivative of a positive function.
struct no_slope {};

/// f on a vector of scores, f on vectors or on numbers.
template <class T, class F>
vec<T> call_positive(const F& f, vec<T> x) {
    constexpr bool takes_vectors = std::is_invocable_v<const F&, vec<T>>;
    static_assert(takes_vectors,
                  "heed: a positive function takes heed::vec<T>; one that only takes numbers goes "
                  "in as heed::positive(heed::scalar(f))");
    if constexpr (takes_vectors)
        return static_cast<vec<T>>(f(x));
    else
        return x;
}
template <class T, class F>
vec<T> call_positive(const scalar_function<F>& f, vec<T> x) {
    alignas(64) auto numbers = to_array(x);
    for (T& number : numbers) number = static_cast<T>(f.f(number));
    return vec<T>::load_aligned(numbers.data());
}

/// The user's f and f'; see weights.hpp.
template <class T, class F, class Derivative>
struct user_weight {
    const F& f;
    const Derivative& derivative;

    vec<T> operator()(vec<T> x) const {
        return unless_left_out<T>(x, [this](vec<T> s) { return call_positive<T>(f, s); });
    }
    vec<T> slope(vec<T> x) const {
        constexpr bool has_derivative = !std::is_same_v<Derivative, no_slope>;
        static_assert(has_derivative,
                      "heed: backward needs the derivative of a positive function: "
                      "heed::positive(f, df)");
        if constexpr (has_derivative)
            return unless_left_out<T>(x,
                                      [this](vec<T> s) { return call_positive<T>(derivative, s); });
        else
            return x;
    }
    template <class G>
    [[gnu::always_inline]] void unrolled(G&& g) const {
        g(*this);
    }
};

}  // namespace detail

/// The type of heed::positive(f) and heed::positive(f, df).
template <class F, class Derivative>
class positive_normaliser : public row_function<positive_normaliser<F, Derivative>>,
                            public normaliser_base {
  public:
    positive_normaliser(F f, Derivative derivative)
        : f_(std::move(f)), derivative_(std::move(derivative)) {}

    /// For attention: a row block by block.
    template <class T>
    auto streaming(index) const {
        return detail::weight_stream<T, weight<T>>(weight<T>{f_, derivative_});
    }

    /// For row_function.
    template <class T>
    auto forward() const {
        return detail::weight_rows<T, weight<T>>{{f_, derivative_}};
    }
    template <class T>
    auto gradient() const {
        return detail::weight_backward_rows<T, weight<T>>{{f_, derivative_}};
    }

  private:
    template <class T>
    using weight = detail::user_weight<T, F, Derivative>;

    F f_;
    [[no_unique_address]] Derivative derivative_;
};

/// p = f(x)/Σf(x) for any f ≥ 0 of the user's (kexue 10145): softmax, Taylor softmax and normalised
/// relu² are cases. f is called with heed::vec<T>, as many scores as an instruction computes; +, −,
/// *, /, abs, min, max, sqrt, select, exp, log and tanh of heed work on it. A function that only
/// takes numbers goes in as heed::scalar(f). Without a derivative it serves forward only.
///
///     auto p = heed::positive([](auto x) { return log1p(exp(x)); })(x);
///
/// f is not called with −∞: such an element is left out and gets 0. So does every element of a row
/// where Σf = 0. Negative f are not found out. See row_function for shapes, errors and cost.
template <class F>
[[nodiscard]] auto positive(F&& f) {
    return positive_normaliser<std::decay_t<F>, detail::no_slope>(std::forward<F>(f), {});
}

/// The same with f', which backward needs: dx = (f'(x)/Z) ⊙ (dp − p·dp).
///
///     const auto squares = heed::positive([](auto x) { return 1 + x * x; },
///                                         [](auto x) { return 2 * x; });
template <class F, class Derivative>
[[nodiscard]] auto positive(F&& f, Derivative&& derivative) {
    return positive_normaliser<std::decay_t<F>, std::decay_t<Derivative>>(
        std::forward<F>(f), std::forward<Derivative>(derivative));
}

}  // namespace heed::inline HEED_ARCHITECTURE
