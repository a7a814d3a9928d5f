#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/simd/narrow.hpp>
#include <heed/core/simd/pairs.hpp>
#include <heed/core/simd/widen.hpp>
#include <heed/core/unroll.hpp>

/// \file
/// Numbers kept in 16 or 8 bits, in which nothing is computed: rounded when they are stored, exact
/// when they are read.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

template <class Storage>
struct stored_as {
    static constexpr bool can_store = false;
};
template <class T>
struct stored_exactly {
    static constexpr bool can_store = true;
    static constexpr bool has_scales = false;
    using computed = T;
};
template <>
struct stored_as<float> : stored_exactly<float> {};
template <>
struct stored_as<double> : stored_exactly<double> {};
template <>
struct stored_as<Eigen::bfloat16> : stored_exactly<float> {};
template <>
struct stored_as<Eigen::half> : stored_exactly<float> {};
/// Integers from −127 to 127 times a scale.
template <>
struct stored_as<std::int8_t> : stored_exactly<float> {
    static constexpr bool has_scales = true;
};

}  // namespace detail

/// What numbers may be stored as: float, double, Eigen::bfloat16, Eigen::half, std::int8_t.
template <class Storage>
concept storage_type = detail::stored_as<Storage>::can_store;

/// What numbers stored so are computed in: double for double, else float.
template <storage_type Storage>
using computed_scalar = typename detail::stored_as<Storage>::computed;

namespace detail {

/// Whether stored numbers are what is computed with, so that they can be read where they lie.
template <class Storage>
inline constexpr bool is_read_in_place = std::is_same_v<Storage, computed_scalar<Storage>>;

/// Whether the machine multiplies numbers stored so by pairs.
template <class Storage>
inline constexpr bool is_multiplied_by_pairs = has_pairs&& std::is_same_v<Storage, Eigen::bfloat16>;

/// What is computed in where tensors hold S: float for numbers of 16 bits, else S itself.
template <class S>
struct computed_for {
    using type = S;
};
template <>
struct computed_for<Eigen::bfloat16> {
    using type = float;
};
template <>
struct computed_for<Eigen::half> {
    using type = float;
};
template <class S>
using computed_in = typename computed_for<S>::type;

/// A number as it is stored: itself, or the nearest to it that there is, ties to even.
template <class Storage, class T>
Storage narrow(T number) {
    if constexpr (std::is_same_v<Storage, T>) {
        return number;
    } else {
        static_assert(std::is_same_v<Storage, computed_scalar<Storage>> || std::is_same_v<T, float>,
                      "heed: numbers of 16 bits are rounded from float, once: cast others first");
        return static_cast<Storage>(number);
    }
}

/// A vector of float from as many stored numbers, exactly.
inline vec<float> load_widened(const Eigen::bfloat16* from) { return widen_bfloat16(from); }
inline vec<float> load_widened(const Eigen::half* from) { return widen_half(from); }
inline vec<float> load_widened(const std::int8_t* from) { return widen_int8(from); }

/// A vector's worth of stored numbers, exactly; integers without their scale.
template <class S>
[[gnu::always_inline]] inline vec<computed_scalar<S>> load_stored(const S* from) {
    if constexpr (is_read_in_place<S>)
        return vec<S>::load(from);
    else
        return load_widened(from);
}
/// The first `count` of them, zeros in the other lanes; reads no more. Lane l is from[l·stride].
template <class S>
vec<computed_scalar<S>> load_stored(const S* from, index stride, index count) {
    constexpr index size = vec<computed_scalar<S>>::size;
    alignas(64) std::array<computed_scalar<S>, static_cast<std::size_t>(size)> lane{};
    for (index l = 0; l < size && l < count; ++l)
        lane[static_cast<std::size_t>(l)] = static_cast<computed_scalar<S>>(from[l * stride]);
    return vec<computed_scalar<S>>::load_aligned(lane.data());
}

/// to[i] = from[i·step], exactly.
template <class S, class T = computed_scalar<S>>
void widen_row(const S* from, index step, index count, T* to) {
    constexpr index size = vec<T>::size;
    index i = 0;
    if (step == 1)
        for (; i + size <= count; i += size) load_stored(from + i).store(to + i);
    for (; i < count; ++i) to[i] = static_cast<T>(from[i * step]);
}
/// A vector as so many stored numbers.
template <class T>
void store_narrowed(vec<T> x, T* to) {
    x.store(to);
}
inline void store_narrowed(vec<float> x, Eigen::bfloat16* to) { store_bfloat16(x, to); }
inline void store_narrowed(vec<float> x, Eigen::half* to) { store_half(x, to); }

/// to[i·step] = from[i] as it is stored.
template <class S, class T>
void narrow_row(const T* from, index count, S* to, index step) {
    constexpr index size = vec<T>::size;
    index i = 0;
    if (step == 1)
        for (; i + size <= count; i += size) store_narrowed(vec<T>::load(from + i), to + i);
    for (; i < count; ++i) to[i * step] = narrow<S>(from[i]);
}

/// to[i] = from[i], exactly, for a whole number of vectors.
template <class Storage>
void widen(const Storage* from, index count, float* to) {
    for (index i = 0; i < count; i += vec<float>::size) load_widened(from + i).store(to + i);
}

/// to[i] = scale[i mod (Vectors·size)]·from[i], rounded once.
template <int Vectors>
void widen_scaled(const std::int8_t* from, index count, const float* scale, float* to) {
    constexpr index size = vec<float>::size;
    array_of<vec<float>, Vectors> by;
    unroll<Vectors>([&](int v) __attribute__((always_inline)) {
        by[v] = vec<float>::load(scale + v * size);
    });
    for (index i = 0; i < count; i += Vectors * size)
        unroll<Vectors>([&](int v) __attribute__((always_inline)) {
            (load_widened(from + i + v * size) * by[v]).store(to + i + v * size);
        });
}
/// to[i] = scale·from[i], rounded once.
inline void widen_scaled(const std::int8_t* from, index count, float scale, float* to) {
    const vec<float> by(scale);
    for (index i = 0; i < count; i += vec<float>::size) (load_widened(from + i) * by).store(to + i);
}

/// Rows of integers of which those of column c stand for scale[c] times as much.
struct scaled_columns {
    const std::int8_t* data;
    const float* scale;

    scaled_columns& operator+=(index numbers) {
        data += numbers;
        return *this;
    }
};
/// Rows of integers of which those of row r stand for scale[r] times as much. Whoever goes on goes
/// to the next row.
struct scaled_rows {
    const std::int8_t* data;
    const float* scale;

    scaled_rows& operator+=(index numbers) {
        data += numbers;
        ++scale;
        return *this;
    }
};

/// Rows of integers of which those of row r and column c stand for factor[r]·scale[c] times as
/// much. Whoever goes on goes to the next row.
struct scaled_rows_and_columns {
    const std::int8_t* data;
    const float* factor;
    const float* scale;

    scaled_rows_and_columns& operator+=(index numbers) {
        data += numbers;
        ++factor;
        return *this;
    }
};

/// The `v`-th vector of a row, whose numbers begin where `row` is: what they stand for, rounded
/// once; and once more before, where a factor multiplies the scale.
template <class S>
[[gnu::always_inline]] inline vec<computed_scalar<S>> read_vector(const S* row, int v) {
    return load_stored(row + v * vec<computed_scalar<S>>::size);
}
[[gnu::always_inline]] inline vec<float> read_vector(const scaled_columns& row, int v) {
    const index first = v * vec<float>::size;
    return load_widened(row.data + first) * vec<float>::load(row.scale + first);
}
[[gnu::always_inline]] inline vec<float> read_vector(const scaled_rows& row, int v) {
    return load_widened(row.data + v * vec<float>::size) * vec<float>(*row.scale);
}

[[gnu::always_inline]] inline vec<float> read_vector(const scaled_rows_and_columns& row, int v) {
    const index first = v * vec<float>::size;
    const vec<float> scale = vec<float>::load(row.scale + first) * vec<float>(*row.factor);
    return load_widened(row.data + first) * scale;
}
/// Pairs and quads are read as they are.
[[gnu::always_inline]] inline vec<float> read_vector(const rows_of_pairs& row, int v) {
    return vec<float>::load(row.data + v * vec<float>::size);
}
[[gnu::always_inline]] inline vec<double> read_vector(const rows_of_quads& row, int v) {
    return vec<double>::load(row.data + v * vec<double>::size);
}

/// to[i], i = r·Vectors·size + c, = (factor[r]·scale[c])·from[i].
template <int Vectors>
void widen_scaled(const std::int8_t* from, index count, const float* factor, const float* scale,
                  float* to) {
    constexpr index size = vec<float>::size;
    scaled_rows_and_columns row{from, factor, scale};
    for (index i = 0; i < count; i += Vectors * size, row += Vectors * size)
        unroll<Vectors>([&](int v) __attribute__((always_inline)) {
            read_vector(row, v).store(to + i + v * size);
        });
}

/// Where the numbers of a row are.
template <class S>
const S* memory_of(const S* row) {
    return row;
}
inline const double* memory_of(const rows_of_quads& row) { return row.data; }
inline const std::int8_t* memory_of(const scaled_columns& row) { return row.data; }
inline const std::int8_t* memory_of(const scaled_rows& row) { return row.data; }
inline const std::int8_t* memory_of(const scaled_rows_and_columns& row) { return row.data; }

/// The scale of numbers whose largest magnitude this is: they become integers up to ±127.
inline float integer_scale(float largest) { return largest / 127; }
/// A finite number as an integer of this scale.
inline std::int8_t narrow_scaled(float number, float scale) {
    if (scale == 0) return 0;
    const float nearest = std::nearbyint(number / scale);
    return static_cast<std::int8_t>(std::fmin(std::fmax(nearest, -127.0F), 127.0F));
}

}  // namespace detail

}  // namespace heed::inline HEED_ARCHITECTURE
