#pragma once

#include <array>
#include <cmath>
#include <type_traits>

#include <heed/attention/detail/parameter_gradient.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/vector_input.hpp>

/// \file
/// The soft cap: scores are bent into (−c, c).

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// tanh x = x·P(x²)/Q(x²), P and Q fitted together to the least largest error on |x| ≤ limit,
/// beyond which tanh x is ±1 to rounding. Coefficients from the highest power down. In float that
/// is eleven multiplications and a division beside them, no exponential: a score of attention costs
/// 2d multiplications already.
template <class T>
struct tanh_fit;

template <>
struct tanh_fit<float> {  // error 9.2e-9, and rounding
    static constexpr float limit = 8.3f;
    static constexpr std::array numerator = {1.462834869823176e-08f, 2.1494017078569473e-05f,
                                             0.0035482826083730466f, 0.13425122798959785f, 1.0f};
    static constexpr std::array denominator = {8.286933019045683e-07f, 0.0003372505325700895f,
                                               0.026076571528359026f, 0.46758448418356535f, 1.0f};
};

template <>
struct tanh_fit<double> {  // error 5.2e-17, and rounding
    static constexpr double limit = 18.8;
    static constexpr std::array numerator = {2.58561628575194625e-23, 7.59031599388086795e-19,
                                             3.11326721420885285e-15, 4.21483932388178126e-12,
                                             2.45628280579383181e-09, 6.8556312890698502e-07,
                                             9.37780161584652611e-05, 0.00597935279232100603,
                                             0.15183637727241148,     1.0};
    static constexpr std::array denominator = {6.40033211553089694e-21, 5.74279671554813242e-17,
                                               1.28708859771821667e-13, 1.12038051526634567e-10,
                                               4.48524504232864122e-08, 8.77701391861515674e-06,
                                               0.000829156012835363889, 0.0343692563275705578,
                                               0.485169710605744146,    1.0};
};

}  // namespace detail

/// The type of heed::soft_cap(c).
class soft_cap_modifier : public modifier_base {
  public:
    constexpr explicit soft_cap_modifier(double cap) : cap_(cap) {}

    template <class T>
    auto on_row(const query_row&) const {
        return row<T>(static_cast<T>(cap_));
    }

    template <class T>
    auto make_gradient(const attention_shape&) const {
        return detail::make_scalar_gradient<T>();
    }
    template <class View>
    void check_gradient(const View& gradient, const attention_shape&) const {
        detail::check_vector_gradient("the gradient of heed::soft_cap", gradient, 1);
    }

    template <class T>
    index partials() const {
        return detail::lane_sum<T>::size;
    }

    /// ∂/∂c c·tanh(s/c) = tanh(s/c) − (s/c)·(1 − tanh²(s/c))
    template <class T, class View>
    void add_gradient(View, T* partial, const query_row&, const key_lanes<T>&, vec<T> s, vec<T> out,
                      vec<T> g) const {
        const row<T> cap(static_cast<T>(cap_));
        const vec<T> tangent = out * cap.inverse;
        const vec<T> x = cap.clamp(s) * cap.inverse;
        const vec<T> by_cap = fnma(x, fnma(tangent, tangent, vec<T>(T(1))), tangent);
        detail::lane_sum<T>::add(partial, g, by_cap);
    }

    template <class T, class View>
    void finish_gradient(View gradient, const T* partials, const attention_shape& shape,
                         index blocks) const {
        double sum = 0;
        for (index p = 0; p < shape.batch * shape.heads * blocks; ++p)
            sum += detail::lane_sum<T>::total(partials + p * detail::lane_sum<T>::size);
        detail::gradient_element(gradient, 0) = static_cast<T>(sum);
    }

  private:
    template <class T>
    struct row {
        vec<T> inverse;  ///< 1/c
        T greatest;      ///< beyond it out is c to rounding

        explicit row(T cap) : inverse(T(1) / cap), greatest(detail::tanh_fit<T>::limit * cap) {}

        vec<T> operator()(vec<T> s, const key_lanes<T>&) const {
            const vec<T> y = clamp(s);
            const vec<T> x = y * inverse;
            const vec<T> square = x * x;
            return y * detail::polynomial(square, detail::tanh_fit<T>::numerator) /
                   detail::polynomial(square, detail::tanh_fit<T>::denominator);
        }

        vec<T> derivative(vec<T>, vec<T> out, const key_lanes<T>&) const {
            const vec<T> tangent = out * inverse;
            return fnma(tangent, tangent, vec<T>(T(1)));
        }

        vec<T> clamp(vec<T> s) const { return detail::clamp(s, -greatest, greatest); }
    };

    double cap_;
};

/// c·tanh(s/c), c > 0: scores near 0 stay, none leaves (−c, c); ±∞ becomes ±c. Right to four
/// units in the last place of c. It can be learned.
///
///     auto o = heed::attention(q, k, v, heed::soft_cap(30));
///
/// argument_error if c is not positive, or so small or large (outside 1e-30 … 1e30) that a float
/// cannot divide by it.
template <class Number>
requires std::is_arithmetic_v<Number> soft_cap_modifier soft_cap(Number cap) {
    const auto value = static_cast<double>(cap);
    detail::require_argument(value >= 1e-30 && value <= 1e30, "heed::soft_cap: the cap is ", value,
                             ", but must lie between 1e-30 and 1e30");
    return soft_cap_modifier(value);
}

}  // namespace heed::inline HEED_ARCHITECTURE
