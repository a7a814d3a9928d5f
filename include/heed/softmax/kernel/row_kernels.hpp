#pragma once

#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/rows/layouts.hpp>
#include <heed/rows/lines.hpp>
#include <heed/softmax/kernel/blockwise_softmax.hpp>
#include <heed/softmax/kernel/exponential_sums.hpp>
#include <heed/softmax/kernel/lane_softmax.hpp>

/// \file
/// The softmax family along rows, whatever their layout.
///
/// A kernel is called with a layout, which makes lines of the pointers to the rows' operands; the
/// operands come in the order that for_each_row was given them, the output first. Kernels read all
/// that they need of an element before they write it, so that an output may be one of the inputs.
/// Those with `can_stream` know what to do with a streaming_layout.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// y = numerator(l)·softmax(x/τ), with or without a sink. Operands 0 and 1: y, x. A few short rows,
/// phase by phase.
template <class T, class Layout, class Sink, class Numerator>
[[gnu::always_inline]] inline void short_softmax(const Layout& layout, T* to, const T* from,
                                                 const temperature_factors<T>& by, Sink&& sink,
                                                 Numerator&& numerator) {
    vec<T> maximum[most_lines];
    vec<T> factor[most_lines];
    find_maxima<1>(layout, from, maximum);
    for (index l = 0; l < layout.lines; ++l) {
        const auto y = layout.template line<0>(to, l);
        const auto x = layout.template line<1>(from, l);
        const auto weights = sum_exponentials<T>(
            x, maximum[l], by,
            sink(l), [&](auto at, vec<T> v) __attribute__((always_inline)) { y.store(at, v); });
        factor[l] = weights.inverse(numerator(l));
    }
    for (index l = 0; l < layout.lines; ++l) {
        const auto y = layout.template line<0>(to, l);
        for_each_vector(
            y, [&](auto at)
                   __attribute__((always_inline)) { y.store(at, y.load(at) * factor[l]); });
    }
}

/// The same in whatever way suits the layout and the length.
template <class T, class Layout, class Sink, class Numerator>
[[gnu::always_inline]] inline void scaled_softmax(const Layout& layout, T* to, const T* from,
                                                  const temperature_factors<T>& by, Sink&& sink,
                                                  Numerator&& numerator) {
    if constexpr (Layout::streams) {
        streamed_softmax<T>(layout, to, from, by, sink, numerator);
    } else if constexpr (Layout::is_lanes) {
        lane_softmax<T>(layout, to, from, by, sink, numerator);
    } else {
        if constexpr (Layout::is_contiguous) {
            if (layout.length > block_elements<T>) {
                for (index l = 0; l < layout.lines; ++l)
                    blockwise_softmax<T>(layout.template line<0>(to, l),
                                         layout.template line<1>(from, l), by, sink(l),
                                         numerator(l), layout.references);
                return;
            }
        }
        short_softmax<T>(layout, to, from, by, sink, numerator);
    }
}

/// p = e^{x/τ}/Σe^{x/τ}. Operands: p, x.
template <class T>
struct softmax_rows {
    static constexpr bool can_stream = true;

    temperature_factors<T> by;

    template <class Layout>
    void operator()(const Layout& layout, T* p, const T* x) const {
        scaled_softmax<T>(
            layout, p, x, by, [](index) { return no_sink{}; }, [](index) { return vec<T>(T(1)); });
    }
};

/// p = e^{x/τ}/(1 + Σe^{x/τ}). Operands: p, x.
template <class T>
struct softmax_plus_one_rows {
    static constexpr bool can_stream = true;

    temperature_factors<T> by;

    template <class Layout>
    void operator()(const Layout& layout, T* p, const T* x) const {
        scaled_softmax<T>(
            layout, p, x, by, [](index) { return vec<T>(T(0)); },
            [](index) { return vec<T>(T(1)); });
    }
};

/// p = e^{x/τ}/(e^{s/τ} + Σe^{x/τ}). Operands: p, x, one s a row.
template <class T>
struct sink_rows {
    static constexpr bool can_stream = true;

    temperature_factors<T> by;

    template <class Layout>
    void operator()(const Layout& layout, T* p, const T* x, const T* logit) const {
        scaled_softmax<T>(
            layout, p, x, by, [&](index l) { return layout.template load_number<2>(logit, l); },
            [](index) { return vec<T>(T(1)); });
    }
};

/// dx = softmax(x/τ)·dz, backward of log_sum_exp. Operands: dx, x, one dz a row.
template <class T>
struct log_sum_exp_backward_rows {
    static constexpr bool can_stream = true;

    temperature_factors<T> by;

    template <class Layout>
    void operator()(const Layout& layout, T* dx, const T* x, const T* dz) const {
        scaled_softmax<T>(
            layout, dx, x, by, [](index) { return no_sink{}; },
            [&](index l) { return layout.template load_number<2>(dz, l); });
    }
};

/// z = τ·log Σe^{x/τ}. Operands: one z a row, x.
template <class T>
struct log_sum_exp_rows {
    temperature_factors<T> by;

    template <class Layout>
    void operator()(const Layout& layout, T* z, const T* from) const {
        vec<T> maximum[most_lines];
        find_maxima<1>(layout, from, maximum);
        for (index l = 0; l < layout.lines; ++l) {
            const auto x = layout.template line<1>(from, l);
            const auto weights =
                sum_exponentials<T>(x, maximum[l], by, no_sink{}, [](auto, vec<T>) {});
            const auto is_small = abs(weights.shift) < by.temperature;  // beside others it is lost
            layout.template store_number<0>(
                z, l, fma(by.temperature, log_of_sum<T>(x, weights, by, is_small), weights.shift));
        }
    }
};

/// y = x/τ − log Σe^{x/τ}. Operands: y, x.
template <class T>
struct log_softmax_rows {
    temperature_factors<T> by;

    template <class Layout>
    void operator()(const Layout& layout, T* to, const T* from) const {
        vec<T> maximum[most_lines];
        row_weights<T> weights[most_lines];
        find_maxima<1>(layout, from, maximum);
        for (index l = 0; l < layout.lines; ++l)
            weights[l] = sum_exponentials<T>(layout.template line<1>(from, l), maximum[l], by,
                                             no_sink{}, [](auto, vec<T>) {});
        for (index l = 0; l < layout.lines; ++l) {
            const auto y = layout.template line<0>(to, l);
            const auto x = layout.template line<1>(from, l);
            const vec<T> shift = weights[l].shift;
            // A row of −∞ stays −∞, and is not −∞ − (−∞).
            const vec<T> log_sum = select(weights[l].sum == vec<T>(T(0)), vec<T>(T(0)),
                                          log_of_sum<T>(x, weights[l], by, vec_mask<T>(true)));
            for_each_vector(
                y, [&](auto at) __attribute__((always_inline)) {
                    y.store(at, fma(x.load(at) - shift, by.inverse, -log_sum));
                });
        }
    }
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
