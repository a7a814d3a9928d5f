#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <heed/core/architecture.hpp>
#include <heed/core/microkernel.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>

/// \file
/// Packing: rows of q, k, v in the order in which the microkernels read them.
///
/// Sources are rows whose elements are contiguous. Strips and panels hold rows transposed: strips
/// of score_rows for the broadcast operand, panels of panel_width for the vector operand. Padded
/// rows are whole vectors long, the vector operand of p·v.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Rows one after the other whose elements are contiguous.
template <class T>
struct contiguous_rows {
    const T* data;
    index stride;

    const T* operator[](index row) const { return data + row * stride; }
};

/// Rows of pairs one after the other.
struct contiguous_pairs {
    rows_of_pairs data;
    index stride;
};

/// Rows between those that are read once and those that are fetched meanwhile.
inline constexpr index source_rows_ahead = 32;

/// What lies so many numbers behind `from` is fetched, if anything does.
template <class T>
[[gnu::always_inline]] inline void prefetch_behind(const T* from, index numbers) {
    prefetch(reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(from) +
                                           static_cast<std::uintptr_t>(numbers) * sizeof(T)));
}

/// The matrix whose rows are these vectors becomes its transpose.
template <class T>
[[gnu::always_inline]] inline void transpose(vec<T> (&row)[vec<T>::size]) {
    constexpr int size = static_cast<int>(vec<T>::size);
    array_of<vec<T>, size> other;
    if constexpr (size == 16) {
        // 4×4 blocks first, each within itself; then the blocks change places.
        unroll<4>([&](int i) __attribute__((always_inline)) {
            const vec<T> a = zip_low_in_blocks(row[4 * i], row[4 * i + 1]);
            const vec<T> b = zip_low_in_blocks(row[4 * i + 2], row[4 * i + 3]);
            const vec<T> c = zip_high_in_blocks(row[4 * i], row[4 * i + 1]);
            const vec<T> d = zip_high_in_blocks(row[4 * i + 2], row[4 * i + 3]);
            other[4 * i] = zip_low_pairs_in_blocks(a, b);
            other[4 * i + 1] = zip_high_pairs_in_blocks(a, b);
            other[4 * i + 2] = zip_low_pairs_in_blocks(c, d);
            other[4 * i + 3] = zip_high_pairs_in_blocks(c, d);
        });
        unroll<4>([&](int i) __attribute__((always_inline)) {
            const vec<T> a = take_blocks<0, 1>(other[i], other[4 + i]);
            const vec<T> b = take_blocks<2, 3>(other[i], other[4 + i]);
            const vec<T> c = take_blocks<0, 1>(other[8 + i], other[12 + i]);
            const vec<T> d = take_blocks<2, 3>(other[8 + i], other[12 + i]);
            row[i] = take_blocks<0, 2>(a, c);
            row[4 + i] = take_blocks<1, 3>(a, c);
            row[8 + i] = take_blocks<0, 2>(b, d);
            row[12 + i] = take_blocks<1, 3>(b, d);
        });
    } else {
        // log₂ size perfect shuffles of rows and lanes exchange the two.
        for (int half = 1; half < size; half *= 2) {
            unroll<size / 2>([&](int i) __attribute__((always_inline)) {
                other[2 * i] = zip_low(row[i], row[i + size / 2]);
                other[2 * i + 1] = zip_high(row[i], row[i + size / 2]);
            });
            unroll<size>([&](int i) __attribute__((always_inline)) { row[i] = other[i]; });
        }
    }
}

/// to[c·Width + r] = rows[r·stride + c] for r < count, zero for the other r < Width, c < depth.
/// Writes up to a vector beyond Width·depth.
template <index Width, class T>
void pack_transposed(const T* rows, index stride, index count, index depth, T* to) {
    constexpr index size = vec<T>::size;
    for (index r = 0; r < Width; r += size) {
        const index last = std::min(size, count - r);
        for (index c = 0; c < depth; c += size) {
            const index width = std::min(size, depth - c);
            const T* from = rows + r * stride + c;
            T* at = to + c * Width + r;
            array_of<vec<T>, size> block;
            if (width == size && (last == size || (Width < size && last == Width))) {
                constexpr index wanted = std::min(size, Width);
                unroll<size>([&](int l) __attribute__((always_inline)) {
                    prefetch_behind(from, (source_rows_ahead + l) * stride);
                    block[l] = l < wanted ? vec<T>::load(from + l * stride) : vec<T>(T(0));
                });
                transpose(block);
                // What one store writes too far, the next ones overwrite.
                constexpr bool whole = Width % size == 0 || Width < size;
                unroll<size>([&](int l) __attribute__((always_inline)) {
                    if (whole || Width - r >= size)
                        block[l].store(at + l * Width);
                    else
                        block[l].store_partial(at + l * Width, Width - r);
                });
            } else {
                for (index l = 0; l < size; ++l) {
                    block[l] =
                        l < last ? vec<T>::load_partial(from + l * stride, width) : vec<T>(T(0));
                }
                transpose(block);
                for (index l = 0; l < width; ++l) block[l].store_partial(at + l * Width, Width - r);
            }
        }
    }
}

/// Numbers that `count` rows take as strips or panels of Width, with the vector that may be written
/// beyond them.
template <class T>
constexpr index packed_size(index width, index count, index depth) {
    return round_up(count, width) * depth + vec<T>::size;
}

template <index Width, class T>
void pack_all_transposed(const contiguous_rows<T>& rows, index count, index depth, T* to) {
    for (index first = 0; first < count; first += Width) {
        pack_transposed<Width>(rows[first], rows.stride, std::min(Width, count - first), depth,
                               to + first * depth);
    }
}

/// Rows for the broadcast operand of q·kᵀ.
template <class T>
void pack_strips(const contiguous_rows<T>& rows, index count, index depth, T* strips) {
    pack_all_transposed<tiles.score_rows>(rows, count, depth, strips);
}

/// Rows for the vector operand of q·kᵀ: a key a lane.
template <class T>
void pack_panels(const contiguous_rows<T>& rows, index count, index depth, T* panels) {
    pack_all_transposed<panel_width<T>>(rows, count, depth, panels);
}

/// How far apart padded rows of `depth` numbers are.
template <class T>
constexpr index padded(index depth) {
    return round_up(depth, vec<T>::size);
}

/// Rows for the vector operand of p·v: as they are, filled up with zeros to whole vectors.
template <class T>
void pad_rows(const contiguous_rows<T>& rows, index count, index depth, T* to) {
    constexpr index size = vec<T>::size;
    for (index r = 0; r < count; ++r) {
        for (index c = 0; c < depth; c += size, to += size)
            vec<T>::load_partial(rows[r] + c, depth - c).store(to);
    }
}

/// Whether all numbers of these rows times `factor`, and their sums, are finite.
template <class T>
bool all_finite_times(T factor, const contiguous_rows<T>& rows, index count, index depth) {
    constexpr index size = vec<T>::size;
    constexpr index lanes = 4;  // independent sums, since one would wait for itself
    const vec<T> by(factor);
    vec<T> sum[lanes] = {T(0), T(0), T(0), T(0)};  // what is not finite stays so
    for (index r = 0; r < count; ++r) {
        const T* row = rows[r];
        index c = 0;
        for (; c + lanes * size <= depth; c += lanes * size) {
            unroll<lanes>([&](int l) __attribute__((always_inline)) {
                prefetch_behind(row + c + l * size, source_rows_ahead * rows.stride);
                sum[l] = fma(vec<T>::load(row + c + l * size), by, sum[l]);
            });
        }
        for (; c < depth; c += size)
            sum[0] = fma(vec<T>::load_partial(row + c, depth - c), by, sum[0]);
    }
    const vec<T> all_of_them = ((sum[0] + sum[1]) + (sum[2] + sum[3])) * vec<T>(T(0));
    return all(all_of_them == vec<T>(T(0)));
}

/// Whether no number of these rows is NaN or infinite.
template <class T>
bool all_finite(const contiguous_rows<T>& rows, index count, index depth) {
    return all_finite_times(T(0), rows, count, depth);
}

/// Whether a sum of 2^31 of these numbers, times weights up to 1, must be finite. What is not
/// moderate may yet be finite; what is, is.
template <class T>
bool all_moderate(const contiguous_rows<T>& rows, index count, index depth) {
    constexpr T weights = static_cast<T>(std::uint64_t(1) << 32);
    return all_finite_times(weights, rows, count, depth);
}

/// `finish<Vectors>(row, column, sums)` with sums = Σ_k a[row, k]·b[k, column …] for all rows and
/// all columns, b being padded rows, contiguous_rows or contiguous_pairs. A row of a has its
/// numbers a_step apart, its rows are a_row apart: indices or, where the kernel is to be built for
/// one, fixed<…>. Up to value_rows/3 rows too many are computed.
template <class T, class RowStride, class Step, class Rows, class Finish>
void multiply_columns(index rows, const T* a, RowStride a_row, Step a_step, const Rows& b,
                      index columns, index depth, Finish&& finish) {
    constexpr index size = vec<T>::size;
    constexpr index full = tiles.value_vectors * size;
    index column = 0;
    // A row alone: as many columns at once as hide the multiply-add's latency, and read whole
    // lines.
    if (rows == 1) {
        for (; column + one_row_vectors * size <= columns; column += one_row_vectors * size) {
            multiply_tile<1, one_row_vectors>(
                a, a_row, a_step, b.data + column, b.stride,
                depth, [&](int r, const vec<T>* sums) __attribute__((always_inline)) {
                    finish.template operator()<one_row_vectors>(index(r), column, sums);
                });
        }
    }
    for (; column < columns; column += full) {
        const index width = std::min(full, padded<T>(columns - column));
        const auto product = [&]<int Vectors>() __attribute__((always_inline)) {
            multiply_rows<tiles.value_rows, Vectors>(
                rows, a, tiles.value_rows * a_row, a_row, a_step, b.data + column, b.stride,
                depth, [=](index r, const vec<T>* sums) __attribute__((always_inline)) {
                    finish.template operator()<Vectors>(r, column, sums);
                });
        };
        switch (width / size) {
            case 1:
                product.template operator()<1>();
                break;
            case 2:
                product.template operator()<2>();
                break;
            case 3:
                if constexpr (tiles.value_vectors > 2) product.template operator()<3>();
                break;
            default:
                if constexpr (tiles.value_vectors > 2) product.template operator()<4>();
        }
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
