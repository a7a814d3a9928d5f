#pragma once

#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/rows/layouts.hpp>
#include <heed/rows/lines.hpp>
#include <heed/softmax/kernel/exponential_sums.hpp>
#include <heed/softmax/kernel/row_kernels.hpp>

/// \file
/// The vector–Jacobian products of the softmax family along rows: kernels as in row_kernels.hpp.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// dx = (dy − e^y·Σdy)/τ, backward of log_softmax. Operands: dx, y, dy.
template <class T>
struct log_softmax_backward_rows {
    temperature_factors<T> by;

    template <class Layout>
    void operator()(const Layout& layout, T* to, const T* value, const T* gradient) const {
        vec<T> sum[most_lines];
        for (index l = 0; l < layout.lines; ++l) {
            const auto dy = layout.template line<2>(gradient, l);
            sum[l] = sum_over(
                dy, [&](auto at, vec<T> so_far)
                        __attribute__((always_inline)) { return so_far + dy.load(at); });
        }
        for (index l = 0; l < layout.lines; ++l) {
            const auto dx = layout.template line<0>(to, l);
            const auto y = layout.template line<1>(value, l);
            const auto dy = layout.template line<2>(gradient, l);
            for_each_vector(
                dx, [&](auto at) __attribute__((always_inline)) {
                    dx.store(at, minus_exp(dy.load(at), sum[l], y.load(at)) * by.inverse);
                });
        }
    }
};

/// dx = p·(dp − mean)/τ with mean = Σp·dp, which it also returns. Operands 0, 1, 2: dx, p, dp.
template <class T, class Layout>
[[gnu::always_inline]] inline void softmax_gradient(const Layout& layout, T* to,
                                                    const T* probability, const T* gradient,
                                                    const temperature_factors<T>& by,
                                                    vec<T>* mean) {
    for (index l = 0; l < layout.lines; ++l) {
        const auto p = layout.template line<1>(probability, l);
        const auto dp = layout.template line<2>(gradient, l);
        mean[l] = sum_over(
            p, [&](auto at, vec<T> so_far)
                   __attribute__((always_inline)) { return fma(p.load(at), dp.load(at), so_far); });
    }
    for (index l = 0; l < layout.lines; ++l) {
        const auto dx = layout.template line<0>(to, l);
        const auto p = layout.template line<1>(probability, l);
        const auto dp = layout.template line<2>(gradient, l);
        for_each_vector(
            dx, [&](auto at) __attribute__((always_inline)) {
                dx.store(at, (p.load(at) * by.inverse) * (dp.load(at) - mean[l]));
            });
    }
}

/// dx = p·(dp − Σp·dp)/τ, backward of softmax. Operands: dx, p, dp.
template <class T>
struct softmax_backward_rows {
    temperature_factors<T> by;

    template <class Layout>
    void operator()(const Layout& layout, T* dx, const T* p, const T* dp) const {
        vec<T> mean[most_lines];
        softmax_gradient<T>(layout, dx, p, dp, by, mean);
    }
};

/// The same, and what each row adds to the gradient of its sink: −p_s·(Σp·dp)/τ with
/// p_s = e^{s/τ}/(e^{s/τ} + Σe^{x/τ}). Operands: dx, p, dp, x, one s a row, one gradient a row.
template <class T>
struct sink_backward_rows {
    temperature_factors<T> by;

    template <class Layout>
    void operator()(const Layout& layout, T* dx, const T* p, const T* dp, const T* from,
                    const T* logit, T* logit_gradient) const {
        // The sinks' probabilities first: dx may be written over x.
        vec<T> maximum[most_lines];
        vec<T> probability[most_lines];
        find_maxima<3>(layout, from, maximum);
        for (index l = 0; l < layout.lines; ++l) {
            const vec<T> sink = layout.template load_number<4>(logit, l);
            const auto weights = sum_exponentials<T>(layout.template line<3>(from, l), maximum[l],
                                                     by, sink, [](auto, vec<T>) {});
            probability[l] = weights.inverse(sink_weight(weights.shift, by, sink));
        }
        vec<T> mean[most_lines];
        softmax_gradient<T>(layout, dx, p, dp, by, mean);
        for (index l = 0; l < layout.lines; ++l)
            layout.template store_number<5>(logit_gradient, l,
                                            -(probability[l] * mean[l]) * by.inverse);
    }
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
