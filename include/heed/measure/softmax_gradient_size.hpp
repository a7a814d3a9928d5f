#pragma once

#include <cmath>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/simd.hpp>
#include <heed/measure/detail/row_measure.hpp>
#include <heed/rows/lines.hpp>

/// \file
/// How much of a gradient a row of softmax lets through.

namespace heed::inline HEED_ARCHITECTURE {
namespace measure {

/// Of the rows p = softmax(αx), a distribution each, ½‖∂p/∂x‖₁ = α(1 − Σp²), the sum of absolute
/// values of the Jacobian (kexue 9812): 0 at a one-hot row, α(1 − 1/n) at an even one; α = 1 unless
/// given. Computed as αΣp(1 − p), which keeps its digits near 0. See row_measure.
class softmax_gradient_size_measure : public row_measure<softmax_gradient_size_measure> {
  public:
    constexpr softmax_gradient_size_measure() = default;

    /// The same under a scale α. Throws argument_error unless α is finite.
    softmax_gradient_size_measure scale(double alpha) const {
        detail::require_argument(std::isfinite(alpha),
                                 "heed::measure::softmax_gradient_size: the scale is ", alpha,
                                 ", but must be finite");
        softmax_gradient_size_measure other;
        other.alpha_ = alpha;
        return other;
    }

    template <class T, class Line>
    vec<T> of(const Line& p, arena&) const {
        const vec<T> one(T(1));
        return vec<T>(static_cast<T>(alpha_)) *
               detail::sum_over(
                   p, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
                       const vec<T> v = p.load(at);
                       return fma(v, one - v, so_far);
                   });
    }

  private:
    double alpha_ = 1;
};

/// ½‖∂p/∂x‖₁ of rows: see softmax_gradient_size_measure.
inline constexpr softmax_gradient_size_measure softmax_gradient_size{};

}  // namespace measure
}  // namespace heed::inline HEED_ARCHITECTURE
