#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/math.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/kernel/chunk/head_sums.hpp>
#include <heed/linear/kernel/rules/feature_rule.hpp>

/// \file
/// Features 2^l of any size: of keys as 2^(l − M), of queries as 2^(l + M − max), M a reference a
/// feature, max the largest of a row. Both factors leave N/z as it is.
///
/// M begins with the first key and rises only at a key above it by more than 30 (in natural
/// logarithms): the chunk ends before that key, and S and Z are multiplied by 2^(old − new). So
/// what a row is relative to depends on the keys up to it alone, and z is at least about 1. One
/// reference for all features, or one of all keys, would do neither. Features that an encoding
/// turns into one another share the larger reference of theirs: a sum of what is relative to
/// several is none.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// By how much, in bits, a key may be above the references.
template <class T>
inline constexpr T most_above_reference = T(30 * 1.44269504088896340736);

/// What stands in a logit's place in a reference, which is finite: at a feature of 0.
template <class T>
[[gnu::always_inline]] inline vec<T> as_reference(vec<T> logit) {
    return max(logit, vec<T>(std::numeric_limits<T>::lowest()));
}

/// 2^x in the first `left` lanes, 0 behind them.
template <class T>
[[gnu::always_inline]] inline vec<T> power_in(vec<T> x, index left) {
    const vec<T> y = exp2_fast(x);
    return left >= vec<T>::size ? y : select(vec_mask<T>::first(left), y, vec<T>(T(0)));
}

/// Rows of logits of keys become features, up to the first that rises above the references; how
/// many. `reference` is that of the first row if there was none; `turn` is what turns features, or
/// null.
template <class T>
index relate_keys(written_rows<T> rows, index count, index features, T* reference, bool& begun,
                  const row_turn<T>* turn) {
    constexpr index size = vec<T>::size;
    if (!begun && count > 0) {
        for (index f = 0; f < features; f += size)
            as_reference(vec<T>::load(rows[0] + f)).store(reference + f);
        if (turn != nullptr) turn->share(reference);
        begun = true;
    }
    for (index r = 0; r < count; ++r) {
        vec<T> worst(std::numeric_limits<T>::lowest());
        for (index f = 0; f < features; f += size)
            worst = max(vec<T>::load(rows[r] + f) - vec<T>::load(reference + f), worst);
        if (reduce_max(worst) > most_above_reference<T>) return r;
        for (index f = 0; f < features; f += size) {
            T* at = rows[r] + f;
            power_in(vec<T>::load(at) - vec<T>::load(reference + f), features - f).store(at);
        }
    }
    return count;
}

/// Rows of logits of queries become features; shift[r] is the power of 2 that was taken off.
template <class T>
void relate_queries(written_rows<T> rows, index count, index features, const T* reference,
                    T* shift) {
    constexpr index size = vec<T>::size;
    constexpr T lowest = std::numeric_limits<T>::lowest();
    for (index r = 0; r < count; ++r) {
        vec<T> most(lowest);
        for (index f = 0; f < features; f += size) {
            const vec<T> sum = vec<T>::load(rows[r] + f) + vec<T>::load(reference + f);
            const auto own = vec_mask<T>::first(features - f);
            most = max(select(own, sum, vec<T>(lowest)), most);
            sum.store(rows[r] + f);
        }
        shift[r] = reduce_max(most);
        for (index f = 0; f < features; f += size) {
            T* at = rows[r] + f;
            power_in(vec<T>::load(at) - vec<T>(shift[r]), features - f).store(at);
        }
    }
}

/// The references become the logits that are above them; factor[f] = 2^(old − new).
template <class T>
void raise_references(const T* logits, index features, T* reference, T* factor,
                      const row_turn<T>* turn) {
    constexpr index size = vec<T>::size;
    for (index f = 0; f < features; f += size) {
        const vec<T> old = vec<T>::load(reference + f), l = vec<T>::load(logits + f);
        old.store(factor + f);
        select(l > old, l, old).store(reference + f);
    }
    if (turn != nullptr) turn->share(reference);
    for (index f = 0; f < features; f += size) {
        const vec<T> old = vec<T>::load(factor + f), now = vec<T>::load(reference + f);
        select(now > old, exp2(old - now), vec<T>(T(1))).store(factor + f);
    }
}

/// Row f times factor[f].
template <class T>
void multiply_rows_by(written_rows<T> rows, index count, const T* factor) {
    constexpr index size = vec<T>::size;
    for (index f = 0; f < count; ++f) {
        if (factor[f] == T(1)) continue;
        for (index c = 0; c < rows.stride; c += size)
            (vec<T>::load(rows[f] + c) * vec<T>(factor[f])).store(rows[f] + c);
    }
}
/// Column f of each row times factor[f].
template <class T>
void multiply_columns_by(written_rows<T> rows, index count, const T* factor) {
    constexpr index size = vec<T>::size;
    for (index r = 0; r < count; ++r)
        for (index f = 0; f < rows.stride; f += size)
            (vec<T>::load(rows[r] + f) * vec<T>::load(factor + f)).store(rows[r] + f);
}

/// S and Z of a head whose chunk is empty, times a factor a feature.
template <class T>
void rescale_head(const head_sums<T>& head, index features, const T* factor) {
    multiply_rows_by(head.s.sum, features, factor);
    multiply_rows_by(head.s.lost, features, factor);
    for (T* total : {head.total, head.total_lost})
        multiply_columns_by<T>({total, padded<T>(features)}, 1, factor);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
