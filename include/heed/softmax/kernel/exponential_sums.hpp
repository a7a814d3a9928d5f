#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <numbers>

#include <heed/core/architecture.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/rows/layouts.hpp>
#include <heed/rows/lines.hpp>

/// \file
/// What the whole softmax family begins with: the maximum of a row and Σ e^{(x − maximum)/τ}.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// What the kernels need of a temperature τ.
template <class T>
struct temperature_factors {
    explicit temperature_factors(double tau)
        : exponent(within_range(std::numbers::log2e / tau)),
          inverse(within_range(1 / tau)),
          temperature(within_range(tau)) {}

    /// log₂ e^{x/τ}. The sum with 0 keeps compilers from fusing the product with what comes next.
    vec<T> exponent_of(vec<T> x) const { return product(x, exponent); }

    vec<T> exponent;  ///< log₂e/τ
    vec<T> inverse;   ///< 1/τ
    vec<T> temperature;

  private:
    /// Neither 0 nor ∞ in T, which times the other would be NaN.
    static T within_range(double factor) {
        using limits = std::numeric_limits<T>;
        return static_cast<T>(std::clamp<double>(factor, limits::min(), limits::max()));
    }
};

/// p_i = numerator·2^{exponent·(x_i − shift)}/sum.
template <class T>
struct row_weights {
    vec<T> shift;  ///< the row's maximum; 0 if all is −∞, so that nothing becomes ∞ − ∞
    vec<T> sum;    ///< 0 if all is −∞

    /// What the exponentials are multiplied by; a row of −∞ has no weights.
    vec<T> inverse(vec<T> numerator = T(1)) const {
        return select(sum == vec<T>(T(0)), vec<T>(T(0)), numerator / sum);
    }
};

template <class T>
vec<T> finite_shift(vec<T> maximum) {
    return select(maximum == vec<T>(-std::numeric_limits<T>::infinity()), vec<T>(T(0)), maximum);
}

/// What a row's exponentials are relative to while it is read block by block: `reference`, or the
/// maximum so far once that lies more than two octaves above it. Where it moves, sums are
/// multiplied by a power that is rounded; a row that rises slowly would do so with every block.
template <class T>
vec<T> moved_reference(vec<T> reference, vec<T> maximum, const temperature_factors<T>& by) {
    return select(by.exponent_of(maximum - reference) > vec<T>(T(2)), maximum, reference);
}

/// No logit beside those of the row.
struct no_sink {};

template <class T>
vec<T> with_sink(vec<T> maximum, no_sink) {
    return maximum;
}
template <class T>
vec<T> with_sink(vec<T> maximum, vec<T> sink) {
    return max(sink, maximum);
}
template <class T>
vec<T> sink_weight(vec<T>, const temperature_factors<T>&, no_sink) {
    return T(0);
}
/// e^{(sink − shift)/τ}
template <class T>
vec<T> sink_weight(vec<T> shift, const temperature_factors<T>& by, vec<T> sink) {
    return exp2_fast(by.exponent_of(sink - shift));
}

/// Σ e^{(x − shift)/τ} and the sink's term; `keep(at, e)` sees every exponential.
template <class T, class Line, class Sink, class Keep>
[[gnu::always_inline]] inline row_weights<T> sum_exponentials(const Line& x, vec<T> maximum,
                                                              const temperature_factors<T>& by,
                                                              Sink sink, Keep&& keep) {
    constexpr double lowest = -std::numeric_limits<double>::infinity();
    const vec<T> shift = finite_shift(with_sink(maximum, sink));
    const vec<T> sum = sum_over(
        x, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
            const vec<T> e = exp2_fast(by.exponent_of(x.load(at, lowest) - shift));
            keep(at, e);
            return so_far + e;
        });
    return {shift, sum + sink_weight(shift, by, sink)};
}

/// A line without what is equal to `greatest`, which reads as −∞.
template <class Line>
struct line_below {
    using vector = typename Line::vector;

    Line line;
    vector greatest_element;

    index whole() const { return line.whole(); }
    index rest() const { return line.rest(); }

    template <class At>
    vector load(At at, double fill = 0) const {
        const vector x = line.load(at, fill);
        return select(x == greatest_element, vector(-std::numeric_limits<double>::infinity()), x);
    }

    static vector sum(vector v) { return Line::sum(v); }
    static vector greatest(vector v) { return Line::greatest(v); }
};

/// Σ e^{(x − shift)/τ} over all that is less than the greatest, shift, to the last digits however
/// much less. Out of line: few rows want it.
template <class T, class Line>
[[gnu::noinline]] vec<T> sum_beside_greatest(const Line& x, vec<T> shift,
                                             const temperature_factors<T>& by) {
    const line_below<Line> others{x, shift};
    const vec<T> maximum = maximum_over(others);
    const auto weights = sum_exponentials<T>(others, maximum, by, no_sink{}, [](auto, vec<T>) {});
    return weights.sum * exp(product(maximum - shift, by.inverse));
}

/// log Σ e^{(x − shift)/τ}, of a sum without sink. Where one element makes up nearly all of it, and
/// `matters`, it comes from the others' sum, whose digits are lost beside the greatest's 1.
template <class T, class Line>
[[gnu::always_inline]] inline vec<T> log_of_sum(const Line& x, const row_weights<T>& weights,
                                                const temperature_factors<T>& by,
                                                vec_mask<T> matters) {
    const vec<T> usual = log(weights.sum);
    // A sum of two that are greatest is 2 at least, of a row of −∞ it is 0.
    const auto near = (weights.sum < vec<T>(T(1.0625))) & (weights.sum >= vec<T>(T(1))) & matters;
    if (!any(near)) return usual;
    return select(near, log1p(sum_beside_greatest<T>(x, weights.shift, by)), usual);
}

/// The maxima of lines of operand I.
template <std::size_t I, class T, class Layout>
[[gnu::always_inline]] inline void find_maxima(const Layout& layout, const T* from,
                                               vec<T>* maximum) {
    for (index l = 0; l < layout.lines; ++l)
        maximum[l] = maximum_over(layout.template line<I>(from, l));
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
