#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <heed/core/architecture.hpp>
#include <heed/core/length.hpp>
#include <heed/core/simd.hpp>
#include <heed/rows/lines.hpp>

/// \file
/// The moments of rows of any size and any mean, for layer_norm and rms_norm.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// What the rows of a line are normalised by: x̂ = (s·x − mean)·r + shift.
///
/// `mean` is rounded, maybe by more than the deviation where that is far below it: `shift` is −r
/// times what is left of it. The scale s is a power of two, 1 unless squares of x are beyond T; ε
/// is s²ε then. A row alone decides, never its neighbours in the line.
template <class T>
struct row_moments {
    vec<T> mean, r, shift, scale;
    bool is_scaled;  ///< whether any scale in the line is not 1
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
    if (!row.is_scaled) [[likely]]
        f(unit);
    else
        f([&](vec<T> x) __attribute__((always_inline)) { return unit(x * row.scale); });
}

/// mean + rest, what the mean lost to rounding, and mean (x − mean − rest)² + ε.
template <class T>
struct central_moments {
    vec<T> mean, rest, square;
};

/// The same for the masked rows, whose mean is so far from 0 beside their deviation that what it
/// lost to rounding counts, `squares` the sum of theirs: one more pass. If that is as much as the
/// deviation, or the numbers are equal and are their mean, another.
template <class T, class Line, class Load>
[[gnu::noinline]] central_moments<T> refine_moments(const Line& x, const Load& load, vec<T> epsilon,
                                                    vec_mask<T> refined, vec<T> squares,
                                                    central_moments<T> row) {
    const vec<T> zero(T(0)), share(T(1) / static_cast<T>(x.length));
    const auto where = [](auto at) {
        if constexpr (std::is_same_v<decltype(at), part_vector>)
            return vec_mask<T>::first(at.count);
        else
            return vec_mask<T>(true);
    };
    const vec<T> sum = sum_over(x, [&](auto at, vec<T> so_far) {
        return so_far + select(where(at), load(at) - row.mean, zero);
    });
    row.rest = select(refined, share * sum, zero);
    // mean (x − mean)² = var x + rest²
    row.square = fnma(row.rest, row.rest, row.square);
    const vec_mask<T> is_lost =
        refined & (row.rest * row.rest > vec<T>(T(0.25)) * (squares * share));
    if (!any(is_lost)) return row;

    const vec<T> infinity(std::numeric_limits<T>::infinity());
    vec<T> least = infinity, greatest = -infinity, again = zero;
    for_each_vector(x, [&](auto at) {
        const vec_mask<T> is_inside = where(at);
        const vec<T> v = load(at);
        least = select(is_inside, min(v, least), least);
        greatest = select(is_inside, max(v, greatest), greatest);
        const vec<T> d = select(is_inside, v - row.mean - row.rest, zero);
        again = fma(d, d, again);
    });
    least = -Line::greatest(-least);
    const vec_mask<T> is_even = is_lost & (least == Line::greatest(greatest));
    row.mean = select(is_even, least, row.mean);
    row.rest = select(is_even, zero, row.rest);
    const vec<T> square = fma(Line::sum(again), share, epsilon);
    row.square = select(is_lost, select(is_even, epsilon, square), row.square);
    return row;
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
    // What is beyond the row counts as the mean.
    const vec<T> squares = sum_over(
        x, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
            vec<T> d = load(at) - row.mean;
            if constexpr (Centred && std::is_same_v<decltype(at), part_vector>)
                d = select(vec_mask<T>::first(at.count), d, zero);
            return fma(d, d, so_far);
        });
    row.square = fma(squares, share, epsilon);
    if constexpr (Centred) {
        const vec_mask<T> is_far = row.mean * row.mean > vec<T>(T(4)) * (squares * share);
        if (any(is_far)) [[unlikely]]
            row = refine_moments(x, load, epsilon, is_far, squares, row);
    }
    return row;
}

template <class T>
[[gnu::always_inline]] inline row_moments<T> factors_of(const central_moments<T>& row) {
    const vec<T> r = vec<T>(T(1)) / sqrt(row.square);
    return {row.mean, r, -row.rest * r, vec<T>(T(1)), false};
}

/// The moments of those rows that are not `exact`: of rows times the power of two that brings the
/// greater of max|x| and √ε near 1.
template <class T, bool Centred, class Line>
[[gnu::noinline]] row_moments<T> scale_moments(const Line& x, T epsilon, vec_mask<T> exact,
                                               row_moments<T> row) {
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
    row.is_scaled = true;
    return row;
}

/// The moments of a line's rows.
template <class T, bool Centred, class Line>
[[gnu::always_inline]] inline row_moments<T> find_moments(const Line& x, T epsilon) {
    const auto load = [&](auto at) __attribute__((always_inline)) { return x.load(at); };
    const auto found = moments_of<T, Centred>(x, load, vec<T>(epsilon));
    row_moments<T> row = factors_of(found);
    const vec_mask<T> exact = are_exact_square_sums(found.square);
    if (!all(exact)) [[unlikely]]
        row = scale_moments<T, Centred>(x, epsilon, exact, row);
    return row;
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
