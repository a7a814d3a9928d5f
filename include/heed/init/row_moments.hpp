#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/length.hpp>
#include <heed/core/simd.hpp>
#include <heed/softmax/lines.hpp>

/// \file
/// The moments of rows of any size and any mean, for layer_norm and rms_norm.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// Σd and Σd² of a row, by sum_over's order; `d(at)` is 0 beyond the row.
template <class T, class Line, class D>
[[gnu::always_inline]] inline std::pair<vec<T>, vec<T>> sum_with_squares(const Line& x, D&& d) {
    constexpr index block = 256;
    vec<T> sum(T(0)), square(T(0));
    for (index first = 0; first < x.whole(); first += block) {
        vec<T> part[4] = {0, 0, 0, 0}, part_square[4] = {0, 0, 0, 0};
        sweep(
            first, std::min(x.whole(), first + block),
            [&](auto i, auto at) __attribute__((always_inline)) {
                const vec<T> v = d(at);
                part[i] += v;
                part_square[i] = fma(v, v, part_square[i]);
            });
        sum += (part[0] + part[1]) + (part[2] + part[3]);
        square += (part_square[0] + part_square[1]) + (part_square[2] + part_square[3]);
    }
    if (x.rest() > 0) {
        const vec<T> v = d(part_vector{x.whole(), x.rest()});
        sum += v;
        square = fma(v, v, square);
    }
    return {Line::sum(sum), Line::sum(square)};
}

/// What the rows of a line are normalised by: x̂ = (s·x − mean)·r + shift.
///
/// `mean` is rounded, maybe by more than the deviation where that is far below it: `shift` is −r
/// times what is left of it. The scale s is a power of two, 1 unless squares of x are beyond T; ε
/// is s²ε then. A row alone decides, never its neighbours in the line.
template <class T>
struct row_moments {
    vec<T> mean, r, shift, scale;
};

/// f(x̂ as a function of x). Rows of ordinary size are not multiplied by their scale of 1.
template <bool Centred, class T, class F>
[[gnu::always_inline]] inline void with_unit(const row_moments<T>& row, F&& f) {
    const auto unit = [&](vec<T> x) __attribute__((always_inline)) {
        if constexpr (Centred)
            return fma(x - row.mean, row.r, row.shift);
        else
            return x * row.r;
    };
    if (all(row.scale == vec<T>(T(1)))) [[likely]]
        f(unit);
    else
        f([&](vec<T> x) __attribute__((always_inline)) { return unit(x * row.scale); });
}

/// mean + rest, what the mean lost to rounding, and mean (x − mean − rest)² + ε.
template <class T>
struct central_moments {
    vec<T> mean, rest, square;
};

/// The same for the masked rows, whose deviation is no more than what their mean lost: a second
/// look. Equal numbers are their mean.
template <class T, class Line, class Load>
[[gnu::noinline]] void refine_moments(const Line& x, const Load& load, vec<T> epsilon,
                                      vec_mask<T> refined, central_moments<T>& row) {
    const vec<T> zero(T(0)), infinity(std::numeric_limits<T>::infinity());
    vec<T> least = infinity, greatest = -infinity, squares = zero;
    for_each_vector(x, [&](auto at) {
        vec_mask<T> is_inside(true);
        if constexpr (std::is_same_v<decltype(at), part_vector>)
            is_inside = vec_mask<T>::first(at.count);
        const vec<T> v = load(at);
        least = select(is_inside, min(v, least), least);
        greatest = select(is_inside, max(v, greatest), greatest);
        const vec<T> d = select(is_inside, v - row.mean - row.rest, zero);
        squares = fma(d, d, squares);
    });
    least = -Line::greatest(-least);
    const vec_mask<T> is_even = refined & (least == Line::greatest(greatest));
    row.mean = select(is_even, least, row.mean);
    row.rest = select(is_even, zero, row.rest);
    const vec<T> share(T(1) / static_cast<T>(x.length));
    const vec<T> square = fma(Line::sum(squares), share, epsilon);
    row.square = select(refined, select(is_even, epsilon, square), row.square);
}

/// Moments of a line, `load` giving its vectors.
template <class T, bool Centred, class Line, class Load>
[[gnu::always_inline]] inline central_moments<T> moments_of(const Line& x, const Load& load,
                                                            vec<T> epsilon) {
    const vec<T> zero(T(0)), share(T(1) / static_cast<T>(x.length));
    central_moments<T> row{zero, zero, zero};
    if constexpr (Centred)
        row.mean = share * sum_over(
                               x, [&](auto at, vec<T> so_far)
                                      __attribute__((always_inline)) { return so_far + load(at); });
    if constexpr (!Centred) {
        const vec<T> squares = sum_over(
            x, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
                const vec<T> v = load(at);
                return fma(v, v, so_far);
            });
        row.square = fma(squares, share, epsilon);
    } else {
        // What is beyond the row counts as the mean.
        const auto away = [&](auto at) __attribute__((always_inline)) {
            const vec<T> d = load(at) - row.mean;
            if constexpr (std::is_same_v<decltype(at), part_vector>)
                return select(vec_mask<T>::first(at.count), d, zero);
            else
                return d;
        };
        const auto [sum, squares] = sum_with_squares<T>(x, away);
        row.rest = share * sum;
        row.square = fnma(row.rest, row.rest, fma(squares, share, epsilon));
        const vec_mask<T> is_lost = row.rest * row.rest > vec<T>(T(0.25)) * (squares * share);
        if (any(is_lost)) [[unlikely]]
            refine_moments(x, load, epsilon, is_lost, row);
    }
    return row;
}

template <class T>
[[gnu::always_inline]] inline row_moments<T> factors_of(const central_moments<T>& row) {
    const vec<T> r = vec<T>(T(1)) / sqrt(row.square);
    return {row.mean, r, -row.rest * r, vec<T>(T(1))};
}

/// The moments of those rows that are not `exact`: of rows times the power of two that brings the
/// greater of max|x| and √ε near 1.
template <class T, bool Centred, class Line>
[[gnu::noinline]] void scale_moments(const Line& x, T epsilon, vec_mask<T> exact,
                                     row_moments<T>& row) {
    const vec<T> zero(T(0));
    const vec<T> scale = unit_scale(max(vec<T>(std::sqrt(epsilon)), greatest_magnitude(x)));
    const auto load = [&](auto at) { return x.load(at) * scale; };
    const auto scaled = moments_of<T, Centred>(x, load, vec<T>(epsilon) * scale * scale);
    row_moments<T> other = factors_of(scaled);
    // Equal numbers, without ε.
    const vec_mask<T> is_even = scaled.square == zero;
    row.mean = select(exact, row.mean, scaled.mean);
    row.r = select(exact, row.r, select(is_even, zero, other.r));
    row.shift = select(exact, row.shift, select(is_even, zero, other.shift));
    row.scale = select(exact, row.scale, scale);
}

/// The moments of a line's rows.
template <class T, bool Centred, class Line>
[[gnu::always_inline]] inline row_moments<T> find_moments(const Line& x, T epsilon) {
    const auto load = [&](auto at) __attribute__((always_inline)) { return x.load(at); };
    const auto found = moments_of<T, Centred>(x, load, vec<T>(epsilon));
    row_moments<T> row = factors_of(found);
    const vec_mask<T> exact = are_exact_square_sums(found.square);
    if (!all(exact)) [[unlikely]]
        scale_moments<T, Centred>(x, epsilon, exact, row);
    return row;
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
