#pragma once

#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/role.hpp>
#include <heed/core/simd.hpp>
#include <heed/rows/row_function.hpp>
#include <heed/softmax/dense/kernel/weights.hpp>

/// \file
/// Softmax with the Taylor polynomial of the exponential in its place.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

inline constexpr int largest_taylor_order = 128;

/// 1/m
template <class T>
inline constexpr auto inverse_integers = [] {
    std::array<T, largest_taylor_order + 1> inverse{};
    for (int m = 1; m <= largest_taylor_order; ++m)
        inverse[static_cast<std::size_t>(m)] = T(1) / static_cast<T>(m);
    return inverse;
}();

/// f_k(x) = Σ_{m≤k} x^m/m! = 1 + x(1 + x/2(1 + x/3(…))), k ≥ 1. No factorial can overflow.
template <class T>
[[gnu::always_inline]] inline vec<T> exponential_polynomial(vec<T> x, int order) {
    const auto inverse = [](int m) {
        return vec<T>(inverse_integers<T>[static_cast<std::size_t>(m)]);
    };
    const vec<T> one(T(1));
    vec<T> sum = fma(x, inverse(order), one);
    for (int m = order - 1; m > 1; --m) sum = fma(x * inverse(m), sum, one);
    return order > 1 ? fma(x, sum, one) : sum;
}

/// The same of y = ux, times u^k: each step's 1 is a power of u.
template <class T>
vec<T> shrunk_polynomial(vec<T> y, int order, vec<T> u) {
    const auto inverse = [](int m) {
        return vec<T>(inverse_integers<T>[static_cast<std::size_t>(m)]);
    };
    vec<T> power = u;
    vec<T> sum = fma(y, inverse(order), power);
    for (int m = order - 1; m > 1; --m) {
        power = power * u;
        sum = fma(y * inverse(m), sum, power);
    }
    return order > 1 ? fma(y, sum, power * u) : sum;
}

/// f_k of an order that the compiler knows.
template <class T, int Order>
struct fixed_taylor_weight {
    vec<T> operator()(vec<T> x) const {
        return unless_left_out<T>(
            x, [](vec<T> s)
                   __attribute__((always_inline)) { return exponential_polynomial<T>(s, Order); });
    }
    vec<T> slope(vec<T> x) const {
        return unless_left_out<T>(
            x, [](vec<T> s) __attribute__((always_inline)) {
                return exponential_polynomial<T>(s, Order - 1);
            });
    }
};

/// u^k·f_k(x) = Σ_{m≤k} (ux)^m·u^{k−m}/m!, for |x| so large that f_k(x) is beyond T; the bits of
/// f_k at u = 1.
template <class T>
struct shrunk_taylor_weight {
    int order;
    vec<T> u;

    vec<T> operator()(vec<T> x) const {
        return max(vec<T>(T(0)), unless_left_out<T>(x, [this](vec<T> s) {
                       return shrunk_polynomial<T>(s * u, order, u);
                   }));
    }
    vec<T> slope(vec<T> x) const {
        return unless_left_out<T>(
            x, [this](vec<T> s) { return shrunk_polynomial<T>(s * u, order - 1, u) * u; });
    }
};

/// f_k of any even order; see weights.hpp.
template <class T>
struct taylor_weight {
    int order;

    vec<T> operator()(vec<T> x) const {
        if (order == 2) return fixed_taylor_weight<T, 2>()(x);
        // At a high order, terms of both signs may cancel to less than nothing.
        return max(vec<T>(T(0)), unless_left_out<T>(x, [this](vec<T> s) {
                       return exponential_polynomial<T>(s, order);
                   }));
    }
    vec<T> slope(vec<T> x) const {
        if (order == 2) return fixed_taylor_weight<T, 2>().slope(x);
        return unless_left_out<T>(
            x, [this](vec<T> s) { return exponential_polynomial<T>(s, order - 1); });
    }
    /// Where f_k is 2^64: rows of 2^31 such numbers have sums within a float.
    T comfortable() const {
        double log_factorial = 0;
        for (int m = 2; m <= order; ++m) log_factorial += std::log2(m);
        return static_cast<T>(std::exp2((64 + log_factorial) / order));
    }
    shrunk_taylor_weight<T> shrunk(vec<T> u) const { return {order, u}; }
    int degree() const { return order; }
    bool operator==(const taylor_weight&) const = default;
    template <class G>
    [[gnu::always_inline]] void unrolled(G&& g) const {
        if (order == 2)
            g(fixed_taylor_weight<T, 2>());
        else
            g(*this);
    }
};

}  // namespace detail

/// p = f_k(x)/Σf_k(x) with f_k(x) = Σ_{m≤k} x^m/m!, k even, so that f_k > 0 (arXiv 1511.05042,
/// kexue 10145); dx = (f_{k−1}(x)/Z) ⊙ (dp − p·dp).
///
///     auto taylor = heed::taylor_softmax(2);
///     auto p  = taylor(x);                        // the rows of x, whatever x is
///     auto dx = taylor.backward(x, p, dp);
///     auto o  = heed::attention(q, k, v, taylor);
///
/// It needs no exponential. It is not shift invariant, nor monotone: f_2(−3) > f_2(−1). An element
/// of −∞ is left out, a row of them gives zeros; a NaN or +∞ makes its own row NaN. See
/// row_function for shapes, errors and cost.
class taylor_softmax_normaliser : public row_function<taylor_softmax_normaliser>,
                                  public normaliser_base {
  public:
    explicit taylor_softmax_normaliser(int order) : order_(order) {}

    int order() const { return order_; }

    /// For attention: a row block by block.
    template <class T>
    auto streaming(index) const {
        using weight = detail::taylor_weight<T>;
        return detail::weight_stream<T, weight>(weight{order_});
    }

    /// For row_function.
    template <class T>
    auto forward() const {
        return detail::weight_rows<T, detail::taylor_weight<T>>{{order_}};
    }
    template <class T>
    auto gradient() const {
        return detail::weight_backward_rows<T, detail::taylor_weight<T>>{{order_}};
    }

  private:
    int order_;
};

/// The Taylor softmax of an order. Throws argument_error unless it is even and in [2, 128].
template <std::integral Integer>
[[nodiscard]] taylor_softmax_normaliser taylor_softmax(Integer order) {
    detail::require_argument(order >= 2 && order <= detail::largest_taylor_order && order % 2 == 0,
                             "heed::taylor_softmax: the order is ", order,
                             ", but must be even and in [2, ", detail::largest_taylor_order, "]");
    return taylor_softmax_normaliser(static_cast<int>(order));
}

}  // namespace heed::inline HEED_ARCHITECTURE
