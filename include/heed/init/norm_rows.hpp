#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <type_traits>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/view.hpp>
#include <heed/softmax/layouts.hpp>
#include <heed/softmax/line_parts.hpp>
#include <heed/softmax/lines.hpp>
#include <heed/softmax/rows.hpp>

/// \file
/// Rows normalised by their second moment, with the mean taken off first or not: the kernels of
/// layer_norm and rms_norm. x̂ = (x − mean)·r, r = 1/√(mean (x − mean)² + ε).

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// A number for each element of a row, the same for all rows, in scratch.
template <class T>
struct along_rows {
    const T* data;

    template <class Line, class At>
    [[gnu::always_inline]] vec<T> load(const Line&, At at) const {
        if constexpr (is_lane_line<Line>)
            return vec<T>(data[at.number]);
        else
            return contiguous_line<const T>{data, 0}.load(at);
    }
};

/// mean and r of a line's rows.
template <class T, bool Centred, class Line>
[[gnu::always_inline]] inline void find_moments(const Line& x, T epsilon, vec<T>& mean, vec<T>& r) {
    const vec<T> share(T(1) / static_cast<T>(x.length));
    mean = vec<T>(T(0));
    if constexpr (Centred)
        mean = share * sum_over(
                           x, [&](auto at, vec<T> so_far)
                                  __attribute__((always_inline)) { return so_far + x.load(at); });
    // What is beyond the row counts as the mean.
    const vec<T> squares = sum_over(
        x, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
            vec<T> d = x.load(at) - mean;
            if constexpr (Centred && std::is_same_v<decltype(at), part_vector>)
                d = select(vec_mask<T>::first(at.count), d, vec<T>(T(0)));
            return fma(d, d, so_far);
        });
    r = vec<T>(T(1)) / sqrt(fma(squares, share, vec<T>(epsilon)));
}

/// y = x̂·γ + β. Operands: y, x.
template <class T, bool Centred>
struct norm_rows {
    along_rows<T> gamma, beta;
    T epsilon;

    template <class Layout>
    void operator()(const Layout& layout, T* to, const T* from) const {
        for (index l = 0; l < layout.lines; ++l) {
            const auto x = layout.template line<1>(from, l);
            const auto y = layout.template line<0>(to, l);
            vec<T> mean, r;
            find_moments<T, Centred>(x, epsilon, mean, r);
            for_each_vector(
                y, [&](auto at) __attribute__((always_inline)) {
                    const vec<T> unit = (x.load(at) - mean) * r;
                    if constexpr (Centred)
                        y.store(at, fma(unit, gamma.load(y, at), beta.load(y, at)));
                    else
                        y.store(at, unit * gamma.load(y, at));
                });
        }
    }
};

/// mean and r of every row. Operands: one mean a row, x, one r a row.
template <class T, bool Centred>
struct moment_rows {
    T epsilon;

    template <class Layout>
    void operator()(const Layout& layout, T* means, const T* from, T* factors) const {
        for (index l = 0; l < layout.lines; ++l) {
            vec<T> mean, r;
            find_moments<T, Centred>(layout.template line<1>(from, l), epsilon, mean, r);
            layout.template store_number<0>(means, l, mean);
            layout.template store_number<2>(factors, l, r);
        }
    }
};

/// dx = r·(g − mean g − x̂·mean(g·x̂)), g = dy·γ; without `mean g` if nothing is taken off.
/// Operands: dx, x, dy, one mean a row, one r a row.
template <class T, bool Centred>
struct norm_backward_rows {
    along_rows<T> gamma;

    template <class Layout>
    void operator()(const Layout& layout, T* to, const T* from, const T* gradient, const T* means,
                    const T* factors) const {
        for (index l = 0; l < layout.lines; ++l) {
            const auto dx = layout.template line<0>(to, l);
            const auto x = layout.template line<1>(from, l);
            const auto dy = layout.template line<2>(gradient, l);
            const vec<T> mean = layout.template load_number<3>(means, l);
            const vec<T> r = layout.template load_number<4>(factors, l);
            const vec<T> share(T(1) / static_cast<T>(x.length));
            const auto product = [&](auto at) __attribute__((always_inline)) {
                return dy.load(at) * gamma.load(dy, at);
            };
            vec<T> sum(T(0));
            if constexpr (Centred)
                sum = share * sum_over(
                                  dy, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
                                      return fma(dy.load(at), gamma.load(dy, at), so_far);
                                  });
            const vec<T> along =
                share * sum_over(
                            x, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
                                return fma(product(at), (x.load(at) - mean) * r, so_far);
                            });
            for_each_vector(
                dx, [&](auto at) __attribute__((always_inline)) {
                    const vec<T> unit = (x.load(at) - mean) * r;
                    const vec<T> centred = fma(dy.load(at), gamma.load(dy, at), -sum);
                    dx.store(at, fnma(unit, along, centred) * r);
                });
        }
    }
};

/// dγ = Σ dy·x̂ and dβ = Σ dy over all rows, in their order, each column by one task.
template <class T, int Rank>
struct norm_parameter_gradients {
    static constexpr index columns_a_task = 64;
    static constexpr auto last = static_cast<std::size_t>(Rank - 1);

    tensor_view<const T, Rank> x, dy;
    const T *means, *factors;  ///< row by row
    T *gamma, *beta;           ///< beta: null if there is none

    index tasks() const { return (x.extents[last] + columns_a_task - 1) / columns_a_task; }

    void operator()(index task) const {
        const index first = task * columns_a_task;
        const index count = std::min(columns_a_task, x.extents[last] - first);
        double scaled[columns_a_task] = {}, plain[columns_a_task] = {};
        index row = 0;
        tensor_view<const T, Rank - 1> starts{x.data, leading<last>(x.extents),
                                              leading<last>(x.strides)};
        tensor_view<const T, Rank - 1> gradients{dy.data, leading<last>(dy.extents),
                                                 leading<last>(dy.strides)};
        for_each_pair(starts, gradients, [&](const T* from, const T* gradient) {
            const double mean = static_cast<double>(means[row]);
            const double factor = static_cast<double>(factors[row]);
            ++row;
            for (index c = 0; c < count; ++c) {
                const auto d = static_cast<double>(gradient[(first + c) * dy.strides[last]]);
                const auto v = static_cast<double>(from[(first + c) * x.strides[last]]);
                scaled[c] = std::fma(d, (v - mean) * factor, scaled[c]);
                plain[c] += d;
            }
        });
        for (index c = 0; c < count; ++c) {
            gamma[first + c] = static_cast<T>(scaled[c]);
            if (beta != nullptr) beta[first + c] = static_cast<T>(plain[c]);
        }
    }

  private:
    /// f(pointer into a, pointer into b) of every element, the last axis running fastest.
    template <int Axes, class F>
    static void for_each_pair(const tensor_view<const T, Axes>& a,
                              const tensor_view<const T, Axes>& b, F&& f) {
        if constexpr (Axes == 0) {
            f(a.data, b.data);
        } else {
            tensor_view<const T, Axes - 1> in_a{a.data, {}, {}}, in_b{b.data, {}, {}};
            for (std::size_t axis = 1; axis < Axes; ++axis) {
                in_a.extents[axis - 1] = in_b.extents[axis - 1] = a.extents[axis];
                in_a.strides[axis - 1] = a.strides[axis];
                in_b.strides[axis - 1] = b.strides[axis];
            }
            for (index i = 0; i < a.extents[0];
                 ++i, in_a.data += a.strides[0], in_b.data += b.strides[0])
                for_each_pair(in_a, in_b, f);
        }
    }
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
