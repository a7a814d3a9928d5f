#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <type_traits>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/view.hpp>
#include <heed/init/kernel/row_moments.hpp>
#include <heed/rows/layouts.hpp>
#include <heed/rows/line_parts.hpp>
#include <heed/rows/lines.hpp>
#include <heed/rows/rows.hpp>

/// \file
/// Rows normalised by their second moment, with the mean taken off first or not: the kernels of
/// layer_norm and rms_norm. x̂ = (x − mean)·r, r = 1/√(mean (x − mean)² + ε); row_moments.hpp finds
/// them.

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
            const auto normalise = [&](auto unit) __attribute__((always_inline)) {
                for_each_vector(
                    y, [&](auto at) __attribute__((always_inline)) {
                        const vec<T> u = unit(x.load(at));
                        if constexpr (Centred)
                            y.store(at, fma(u, gamma.load(y, at), beta.load(y, at)));
                        else
                            y.store(at, u * gamma.load(y, at));
                    });
            };
            with_unit<Centred>(find_moments<T, Centred>(x, epsilon), normalise);
        }
    }
};

/// The moments of every row. Operands: one mean a row, x, one r, shift and scale a row.
template <class T, bool Centred>
struct moment_rows {
    T epsilon;

    template <class Layout>
    void operator()(const Layout& layout, T* means, const T* from, T* factors, T* shifts,
                    T* scales) const {
        for (index l = 0; l < layout.lines; ++l) {
            const auto row = find_moments<T, Centred>(layout.template line<1>(from, l), epsilon);
            layout.template store_number<0>(means, l, row.mean);
            layout.template store_number<2>(factors, l, row.r);
            layout.template store_number<3>(shifts, l, row.shift);
            layout.template store_number<4>(scales, l, row.scale);
        }
    }
};

/// dx = s·r·(g − mean g − x̂·mean(g·x̂)), g = dy·γ; without `mean g` if nothing is taken off.
/// Operands: dx, x, dy, one mean, r, shift and scale a row.
template <class T, bool Centred>
struct norm_backward_rows {
    along_rows<T> gamma;

    template <class Layout>
    void operator()(const Layout& layout, T* to, const T* from, const T* gradient, const T* means,
                    const T* factors, const T* shifts, const T* scales) const {
        for (index l = 0; l < layout.lines; ++l) {
            const auto dx = layout.template line<0>(to, l);
            const auto x = layout.template line<1>(from, l);
            const auto dy = layout.template line<2>(gradient, l);
            const vec<T> scale = layout.template load_number<6>(scales, l);
            const row_moments<T> row{layout.template load_number<3>(means, l),
                                     layout.template load_number<4>(factors, l),
                                     layout.template load_number<5>(shifts, l), scale,
                                     any(scale != vec<T>(T(1)))};
            const vec<T> share(T(1) / static_cast<T>(x.length));
            vec<T> sum(T(0));
            if constexpr (Centred)
                sum = share * sum_over(
                                  dy, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
                                      return fma(dy.load(at), gamma.load(dy, at), so_far);
                                  });
            const auto differentiate = [&](auto unit) __attribute__((always_inline)) {
                const vec<T> along =
                    share * sum_over(
                                x, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
                                    const vec<T> g = dy.load(at) * gamma.load(dy, at);
                                    return fma(g, unit(x.load(at)), so_far);
                                });
                for_each_vector(
                    dx, [&](auto at) __attribute__((always_inline)) {
                        const vec<T> centred = fma(dy.load(at), gamma.load(dy, at), -sum);
                        const vec<T> across = fnma(unit(x.load(at)), along, centred);
                        dx.store(at, across * row.r * row.scale);
                    });
            };
            with_unit<Centred>(row, differentiate);
        }
    }
};

/// dγ = Σ dy·x̂ and dβ = Σ dy over all rows, in their order, each column by one task.
template <class S, int Rank>
struct norm_parameter_gradients {
    using T = computed_in<S>;

    static constexpr index columns_a_task = 64;
    static constexpr auto last = static_cast<std::size_t>(Rank - 1);

    tensor_view<const S, Rank> x, dy;
    const T *means, *factors, *shifts, *scales;  ///< row by row
    T *gamma, *beta;                             ///< beta: null if there is none

    index tasks() const { return count_blocks(x.extents[last], columns_a_task); }

    void operator()(index task) const {
        const index first = task * columns_a_task;
        const index count = std::min(columns_a_task, x.extents[last] - first);
        double scaled[columns_a_task] = {}, plain[columns_a_task] = {};
        index row = 0;
        tensor_view<const S, Rank - 1> starts{x.data, leading<last>(x.extents),
                                              leading<last>(x.strides)};
        tensor_view<const S, Rank - 1> gradients{dy.data, leading<last>(dy.extents),
                                                 leading<last>(dy.strides)};
        for_each_pair(starts, gradients, [&](const S* from, const S* gradient) {
            const double mean = static_cast<double>(means[row]);
            const double factor = static_cast<double>(factors[row]);
            const double shift = static_cast<double>(shifts[row]);
            const double scale = static_cast<double>(scales[row]);
            ++row;
            for (index c = 0; c < count; ++c) {
                const auto d = number_in(gradient[(first + c) * dy.strides[last]]);
                const auto v = number_in(from[(first + c) * x.strides[last]]);
                // The scale is a power of two: its product is exact.
                const double unit = std::fma(scale * v - mean, factor, shift);
                scaled[c] = std::fma(d, unit, scaled[c]);
                plain[c] += d;
            }
        });
        for (index c = 0; c < count; ++c) {
            gamma[first + c] = static_cast<T>(scaled[c]);
            if (beta != nullptr) beta[first + c] = static_cast<T>(plain[c]);
        }
    }

  private:
    static double number_in(S stored) { return static_cast<double>(static_cast<T>(stored)); }

    /// f(pointer into a, pointer into b) of every element, the last axis running fastest.
    template <int Axes, class F>
    static void for_each_pair(const tensor_view<const S, Axes>& a,
                              const tensor_view<const S, Axes>& b, F&& f) {
        if constexpr (Axes == 0) {
            f(a.data, b.data);
        } else {
            tensor_view<const S, Axes - 1> in_a{a.data, {}, {}}, in_b{b.data, {}, {}};
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
