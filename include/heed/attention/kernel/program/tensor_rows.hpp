#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/length.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/view.hpp>

/// \file
/// Rows of tensors on their way into a kernel and out of it: gathered, scaled, of length 1.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// to[r·dim + c] = x[batch, head, first + r, c]
template <class T>
void copy_rows(const tensor_view<const T, 4>& x, index batch, index head, index first, index count,
               T* to) {
    const index dim = x.extents[3];
    const auto [along_batch, along_head, row_stride, step] = x.strides;
    const T* from = x.data + batch * along_batch + head * along_head + first * row_stride;
    if (step == 1) {
        for (index r = 0; r < count; ++r)
            std::copy_n(from + r * row_stride, static_cast<std::size_t>(dim), to + r * dim);
    } else {
        for (index c = 0; c < dim; ++c)
            for (index r = 0; r < count; ++r) to[r * dim + c] = from[r * row_stride + c * step];
    }
}

/// Rows of x as they are, copied to `buffer` only if their elements are not contiguous.
template <class T>
contiguous_rows<T> rows_of(const tensor_view<const T, 4>& x, index batch, index head, index first,
                           index count, T* buffer) {
    if (x.strides[3] == 1) {
        return {x.data + batch * x.strides[0] + head * x.strides[1] + first * x.strides[2],
                x.strides[2]};
    }
    copy_rows(x, batch, head, first, count, buffer);
    return {buffer, x.extents[3]};
}

/// Whether a head's rows lie in memory as padded rows do, so that the microkernels can read them
/// where they are. Rows further apart would be whole vectors too, but fall on few sets of a cache.
template <class T>
bool are_padded(const tensor_view<const T, 4>& x) {
    return x.strides[3] == 1 && x.strides[2] == x.extents[3] && x.extents[3] % vec<T>::size == 0;
}

/// to[c] = factor·from[c]; the two may be the same.
template <class T>
void multiply_row(const T* from, index count, T factor, T* to) {
    constexpr index size = vec<T>::size;
    const vec<T> multiplier(factor);
    index c = 0;
    for (; c + size <= count; c += size) (vec<T>::load(from + c) * multiplier).store(to + c);
    if (c < count)
        (vec<T>::load_partial(from + c, count - c) * multiplier).store_partial(to + c, count - c);
}

/// x[batch, head, first + r, c] = factor(r)·from[r·stride + c]
template <class T, class Factor>
void write_rows(const tensor_view<T, 4>& x, index batch, index head, index first, index count,
                const T* from, index stride, Factor factor) {
    const index dim = x.extents[3];
    const index step = x.strides[3];
    T* to = x.data + batch * x.strides[0] + head * x.strides[1] + first * x.strides[2];
    for (index r = 0; r < count; ++r, from += stride, to += x.strides[2]) {
        if (step == 1) {
            multiply_row(from, dim, factor(r), to);
        } else {
            for (index c = 0; c < dim; ++c) to[c * step] = factor(r) * from[c];
        }
    }
}

template <class T>
T dot(const T* a, const T* b, index count) {
    vec<T> sum(T(0));
    for (index c = 0; c < count; c += vec<T>::size) {
        sum = fma(vec<T>::load_partial(a + c, count - c), vec<T>::load_partial(b + c, count - c),
                  sum);
    }
    return reduce_add(sum);
}

/// Whether every number of a row is 0; a NaN is not.
template <class T>
bool is_zero(const T* row, index count) {
    const vec<T> zero(T(0));
    for (index c = 0; c < count; c += vec<T>::size)
        if (!all(vec<T>::load_partial(row + c, count - c) == zero)) return false;
    return true;
}

/// What a row x is multiplied by, one after the other, to have length 1: a power of two, 1 unless
/// the squares of x are beyond T, and then `inverse`, 0 for a row of zeros, which stays as it is.
template <class T>
struct unit_factors {
    T scale, inverse;
};

template <class T>
unit_factors<T> unit_factors_of(const T* row, index count) {
    const T square = dot(row, row, count);
    if (is_exact_square_sum<T>(square)) return {T(1), T(1) / std::sqrt(square)};
    const auto [scale, length] = scaled_length_of(row, count);
    return {scale, length == T(0) ? T(0) : T(1) / length};
}

/// x/‖x‖ in place.
template <class T>
void normalise_row(T* row, index count) {
    const auto [scale, inverse] = unit_factors_of(row, count);
    if (scale != T(1)) multiply_row(row, count, scale, row);
    multiply_row(row, count, inverse, row);
}

/// The way back through y = x/‖x‖: dy, in place, becomes dx = (dy − y·(y·dy))/‖x‖. Where squares of
/// x are beyond T, x is overwritten.
template <class T>
void normalise_row_back(T* dy, T* x, index count) {
    const auto [scale, inverse] = unit_factors_of(x, count);
    if (scale != T(1)) multiply_row(x, count, scale, x);
    const T along = -(inverse * (inverse * dot(x, dy, count)));
    for (index c = 0; c < count; c += vec<T>::size) {
        const vec<T> across = fma(vec<T>(along), vec<T>::load_partial(x + c, count - c),
                                  vec<T>::load_partial(dy + c, count - c));
        (across * vec<T>(inverse)).store_partial(dy + c, count - c);
    }
    if (scale != T(1)) multiply_row(dy, count, scale, dy);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
