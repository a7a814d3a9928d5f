#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/math.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/unroll.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/rules/feature_rule.hpp>

/// \file
/// What decays do to the products of a chunk. With G_i = Σ_{t≤i} log α_t from its first token,
///
///     out_i = e^{G_i} a_iᵀS + Σ_{j≤i} e^{G_i−G_j} (a_i·b_j) c_j
///     S ← e^G S + Σ_j e^{G−G_j} b_j c_jᵀ
///
/// G is the last G_i. Each is two numbers: under a strong decay one would lose the digits of
/// e^{G_i−G_j}. A token whose α is 0 begins a chunk, before which nothing is read: so all G_i are
/// finite.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Whether e^x is 0 in T: what was before such a log decay is forgotten.
template <class T>
constexpr bool begins_anew(T log_decay) {
    using limits = std::numeric_limits<T>;
    constexpr T log2 = T(0.69314718055994530942);
    return log_decay < log2 * T(limits::min_exponent - limits::digits - 1);
}

/// x as the sum of two numbers.
template <class T>
struct two_parts {
    T high = 0, low = 0;

    static two_parts of(double x) {
        const T high = static_cast<T>(x);
        return {high, static_cast<T>(x - static_cast<double>(high))};
    }
    double value() const { return static_cast<double>(high) + static_cast<double>(low); }
};

/// G_i of a chunk's tokens, in memory of someone else's.
template <class T>
struct decay_sums {
    T *high, *low;

    two_parts<T> operator[](index i) const { return {high[i], low[i]}; }
    void set(index i, const two_parts<T>& to) const {
        high[i] = to.high;
        low[i] = to.low;
    }

    /// Numbers of a chunk, to whole vectors.
    static constexpr index size = 2 * chunk_length;
    static decay_sums at(T* memory) { return {memory, memory + chunk_length}; }
};

/// G_i of `count` tokens behind the chunk's first `tail`, from their log decays. How many: up to a
/// token that begins anew, which must be a chunk's first; `anew` says that it is.
template <class T>
index add_decays(const T* logs, index count, index tail, const decay_sums<T>& to, bool& anew) {
    two_parts<T> sum = tail == 0 ? two_parts<T>{} : to[tail - 1];
    for (index r = 0; r < count; ++r) {
        const T log_decay = logs[r];
        const bool forgets = begins_anew(log_decay);
        if (tail + r == 0)
            anew = forgets;
        else if (forgets)
            return r;
        // What a later call goes on from is what is kept, no more.
        if (!forgets) sum = two_parts<T>::of(sum.value() + static_cast<double>(log_decay));
        to.set(tail + r, sum);
    }
    return count;
}

/// e^{G_j} of a vector of tokens.
template <class T>
[[gnu::always_inline]] inline vec<T> decays_until(const decay_sums<T>& of, index j) {
    const vec<T> e = exp(vec<T>::load(of.high + j));
    return fma(e, vec<T>::load(of.low + j), e);
}
/// e^{G−G_j} of a vector of tokens.
template <class T>
[[gnu::always_inline]] inline vec<T> decays_since(const decay_sums<T>& of, index j,
                                                  const two_parts<T>& until) {
    return exp((vec<T>(until.high) - vec<T>::load(of.high + j)) +
               (vec<T>(until.low) - vec<T>::load(of.low + j)));
}

/// The G_i of a chunk of which `tokens` are known. Rows behind the last one stand with it; before
/// the first one G is 0.
template <class T>
struct chunk_decays {
    decay_sums<T> sums;
    index tokens;
    decay_sums<T> column_sums = sums;  ///< G_j of the columns of weights

    index place(index row) const { return std::min(row, tokens - 1); }
    two_parts<T> until(index row) const {
        return place(row) < 0 ? two_parts<T>{} : sums[place(row)];
    }

    /// p[r][j] ·= e^{G_i−G_j} where row r sees key j.
    void weigh(chunk_sight sight, index rows, T* p) const {
        constexpr index size = vec<T>::size;
        for (index r = 0; r < rows; ++r) {
            const two_parts<T> end = until(sight.first + r);
            const index seen = sight.of(r);
            T* at = p + r * weight_stride<T>;
            for (index j = 0; j < seen; j += size) {
                const vec<T> weight = vec<T>::load(at + j) * decays_since(column_sums, j, end);
                select(vec_mask<T>::first(seen - j), weight, vec<T>(T(0))).store(at + j);
            }
        }
    }
    /// Row r, at place `first` + r of the chunk, times e^{G_i}.
    void scale(index first, index rows, index columns, written_rows<T> x) const {
        if (tokens <= 0) return;
        T factor[chunk_length];
        for (index j = 0; j < tokens; j += vec<T>::size) decays_until(sums, j).store(factor + j);
        for (index r = std::max<index>(0, -first); r < rows; ++r)
            multiply_row(x[r], columns, factor[place(first + r)], x[r]);
    }
};

/// A vector of decays e^G, each of two numbers: a factor near 1 that is rounded would be wrong in
/// the same way thousands of times.
template <class T>
struct decay_factor {
    vec<T> high, low;
};

/// One that all columns of a row have.
template <class T>
struct same_for_columns {
    decay_factor<T> factor;

    [[gnu::always_inline]] const decay_factor<T>& operator()(index) const { return factor; }
};

/// sum ← decay·(sum + lost) + addend, compensated.
template <class T>
[[gnu::always_inline]] inline void decay_and_add(T* sum, T* lost, const decay_factor<T>& decay,
                                                 vec<T> addend) {
    const vec<T> old = vec<T>::load(sum);
    // A bare product would be contracted with the sum that it goes into.
    const vec<T> product = fma(decay.high, old, vec<T>(T(0)));
    const vec<T> rounding = fma(decay.low, old, fma(decay.high, old, -product));
    store_compensated(product, fma(decay.high, vec<T>::load(lost), rounding), addend, sum, lost);
}

/// S ← decay⊙S + Σ_{j < keys} b_j c_jᵀ; decay(row)(column) is the factor of a row of S from a
/// column on, so that what is a row's is read once.
template <class T, class Decay>
void decay_and_add_products(const compensated_rows<T>& to, index depth, const T* b_transposed,
                            contiguous_rows<T> c, index keys, index columns, const Decay& decay) {
    constexpr index size = vec<T>::size;
    multiply_columns(
        depth, b_transposed, fixed<chunk_length>{}, fixed<1>{}, c, columns, keys,
        [=]<int Vectors>(index r, index at, const vec<T>* sum) __attribute__((always_inline)) {
            if (r >= depth) return;
            T* to_sum = to.sum[r] + at;
            T* to_lost = to.lost[r] + at;
            const auto of_row = decay(r);
            unroll<Vectors>([&](auto i) __attribute__((always_inline)) {
                decay_and_add<T>(to_sum + i * size, to_lost + i * size, of_row(at + i * size),
                                 sum[i]);
            });
        });
}

/// Column j of b, of which there are `keys`, times e^{G−G_j}.
template <class T>
void decay_columns(index depth, T* b_transposed, index keys, const decay_sums<T>& sums,
                   const two_parts<T>& until) {
    constexpr index size = vec<T>::size;
    T since[chunk_length];
    for (index j = 0; j < keys; j += size) decays_since(sums, j, until).store(since + j);
    for (index f = 0; f < depth; ++f) {
        for (index j = 0; j < keys; j += size) {
            T* at = b_transposed + f * chunk_length + j;
            (vec<T>::load(at) * vec<T>::load(since + j)).store(at);
        }
    }
}

/// S ← e^G S + Σ_{j < keys} e^{G−G_j} b_j c_jᵀ; b is overwritten.
template <class T>
void decay_and_add_chunk(const compensated_rows<T>& to, index depth, T* b_transposed,
                         contiguous_rows<T> c, index keys, index columns, const decay_sums<T>& sums,
                         const two_parts<T>& until) {
    decay_columns<T>(depth, b_transposed, keys, sums, until);
    const two_parts<T> whole = two_parts<T>::of(std::exp(until.value()));
    const auto decay = [=](index) __attribute__((always_inline)) {
        return same_for_columns<T>{{vec<T>(whole.high), vec<T>(whole.low)}};
    };
    decay_and_add_products<T>(to, depth, b_transposed, c, keys, columns, decay);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
