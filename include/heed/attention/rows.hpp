#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <tuple>
#include <type_traits>

#include <heed/attention/call.hpp>
#include <heed/attention/plan.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/length.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>

/// \file
/// Rows of q and k on their way into a kernel: bias, norm, rotation, scale; and the way back of
/// their gradients.

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

/// Whether a call has a bias of q (OfQueries) or of k.
template <bool OfQueries, class Parts>
inline constexpr bool has_input_bias = false;
template <bool OfQueries, class... Parts>
inline constexpr bool has_input_bias<OfQueries, std::tuple<const Parts&...>> =
    (is_input_bias<OfQueries, Parts> || ...);

/// Adds it to a row.
template <bool OfQueries, class T, class... Parts>
void add_input_bias(const std::tuple<const Parts&...>& parts, index head, T* row, index dim) {
    const auto add = [&](const auto& part) {
        if constexpr (is_input_bias<OfQueries, std::remove_cvref_t<decltype(part)>>)
            unwrap(part).add(head, row, dim);
    };
    std::apply([&](const auto&... part) { (add(part), ...); }, parts);
}

/// Runs f(what the position encoding prepared for this call), or f(no_part) without one.
template <class T, class Call, class F>
void with_encoding(const Call& call, const call_positions& where, arena& scratch, F&& f) {
    if constexpr (Call::has_encoding)
        f(call.encoding().template prepare<T>(scratch, call.shape, where));
    else
        f(nothing);
}

/// What a call does to rows of q and k before their product, and its transpose for gradients.
/// `Encoding` is what the position encoding prepared for this call, or no_part.
template <class T, class Call, class Encoding>
class row_preparation {
  public:
    using scale_type = std::remove_cvref_t<decltype(std::declval<const Call&>().scale())>;
    static constexpr bool has_encoding = Call::has_encoding;
    using parts_type = std::remove_cvref_t<decltype(std::declval<const Call&>().parts())>;
    static constexpr bool biases_query = has_input_bias<true, parts_type>;
    static constexpr bool biases_key = has_input_bias<false, parts_type>;
    static constexpr bool changes_keys = has_encoding || normalises_key<scale_type> || biases_key;

    row_preparation(const Call& call, const Encoding& encoding)
        : call_(call), encoding_(encoding) {}

    /// Keys, in `buffer` if they had to be changed or gathered.
    contiguous_rows<T> keys(index batch, index kv_head, index first, index count, T* buffer,
                            encoding_map map = encoding_map::near) const {
        if constexpr (!changes_keys) {
            return rows_of(call_.k, batch, kv_head, first, count, buffer);
        } else {
            const index dim = call_.shape.dim;
            copy_rows(call_.k, batch, kv_head, first, count, buffer);
            for (index r = 0; r < count; ++r) {
                if constexpr (biases_key)
                    add_input_bias<false>(call_.parts(), kv_head, buffer + r * dim, dim);
                if constexpr (normalises_key<scale_type>) normalise_row(buffer + r * dim, dim);
                if constexpr (Call::is_rectified)
                    encoding_.rotate_key(buffer + r * dim, batch, first + r, map);
                else if constexpr (has_encoding)
                    encoding_.rotate_key(buffer + r * dim, batch, first + r);
            }
            return {buffer, dim};
        }
    }

    /// Whether any of these keys is to be prepared by this map.
    bool takes([[maybe_unused]] encoding_map map, [[maybe_unused]] index first,
               [[maybe_unused]] index count) const {
        if constexpr (Call::is_rectified)
            return encoding_.takes(map, first, count);
        else
            return true;
    }

    /// A query before its scale.
    void query(const query_row& row, T* to, encoding_map map = encoding_map::near) const {
        const index dim = call_.shape.dim;
        copy_biased_query(row, to);
        if constexpr (normalises_query<scale_type>) normalise_row(to, dim);
        if constexpr (Call::is_rectified)
            encoding_.rotate_query(to, row.batch, row.query, map);
        else if constexpr (has_encoding)
            encoding_.rotate_query(to, row.batch, row.query);
    }

    /// A query times its scale.
    void scaled_query(const query_row& row, T scale, T* to,
                      encoding_map map = encoding_map::near) const {
        const index dim = call_.shape.dim;
        if constexpr (!has_encoding && !normalises_query<scale_type> && !biases_query) {
            const auto from = rows_of(call_.q, row.batch, row.head, row.query, 1, to);
            multiply_row(from.data, dim, scale, to);
        } else {
            query(row, to, map);
            multiply_row(to, dim, scale, to);
        }
    }

    /// The gradients of a query before its scale, one a map, become that of q in the first's place.
    /// Zeros stay zeros, whatever q is: a query that sees nothing may hold NaN.
    void query_back(const query_row& row, const query_maps<T*>& gradients, T* buffer) const {
        if (are_zero<Call::query_map_count>(gradients)) return;
        T* gradient = gradients[0];
        if constexpr (Call::is_rectified) {
            for (std::size_t m = 0; m < most_query_maps; ++m) {
                encoding_.rotate_query_back(gradients[m], row.batch, row.query,
                                            static_cast<encoding_map>(m));
                if (m > 0) add_to(gradient, gradients[m], call_.shape.dim);
            }
        } else if constexpr (has_encoding) {
            encoding_.rotate_query_back(gradient, row.batch, row.query);
        }
        if constexpr (normalises_query<scale_type>) {
            copy_biased_query(row, buffer);
            normalise_row_back(gradient, buffer, call_.shape.dim);
        }
    }

    /// The gradients of a prepared key, one a map, become that of k in the first's place. Zeros
    /// stay zeros, whatever k is: a key that no query sees may hold NaN.
    void key_back(index batch, index kv_head, index key, const key_maps<T*>& gradients,
                  T* buffer) const {
        if (are_zero<Call::key_map_count>(gradients)) return;
        T* gradient = gradients[0];
        if constexpr (Call::is_rectified) {
            encoding_.rotate_key_back(gradient, batch, key, encoding_map::near);
            encoding_.rotate_key_back(gradients[1], batch, key, encoding_map::past);
            add_to(gradient, gradients[1], call_.shape.dim);
        } else if constexpr (has_encoding) {
            encoding_.rotate_key_back(gradient, batch, key);
        }
        if constexpr (normalises_key<scale_type>) {
            copy_rows(call_.k, batch, kv_head, key, 1, buffer);
            if constexpr (biases_key)
                add_input_bias<false>(call_.parts(), kv_head, buffer, call_.shape.dim);
            normalise_row_back(gradient, buffer, call_.shape.dim);
        }
    }

  private:
    template <std::size_t Count, std::size_t Most>
    bool are_zero(const std::array<T*, Most>& gradients) const {
        for (std::size_t m = 0; m < Count; ++m)
            if (!is_zero(gradients[m], call_.shape.dim)) return false;
        return true;
    }

    static void add_to(T* to, const T* from, index count) {
        for (index c = 0; c < count; ++c) to[c] += from[c];
    }

    void copy_biased_query(const query_row& row, T* to) const {
        copy_rows(call_.q, row.batch, row.head, row.query, 1, to);
        if constexpr (biases_query)
            add_input_bias<true>(call_.parts(), row.head, to, call_.shape.dim);
    }

    const Call& call_;
    const Encoding& encoding_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
