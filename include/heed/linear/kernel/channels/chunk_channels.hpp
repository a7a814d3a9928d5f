#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/math.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/unroll.hpp>
#include <heed/linear/kernel/chunk/chunk_decays.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/rules/feature_rule.hpp>

/// \file
/// What decays a channel do to the products of a chunk. With G_i = Σ_{t≤i} log α_t from its first
/// token, a number a channel, and E_i = 2^58 e^{G_i}, the channels' products ⊙,
///
///     out_i = (e^{G_i}⊙a_i)ᵀS + Σ_{j≤i} ((E_i⊙a_i)·(b_j/E_j)) c_j
///     S ← Diag(e^G) S + Σ_j (E⊙b_j/E_j) c_jᵀ
///
/// The chunk ends before a token that would take a G below −80, so that neither factor leaves T:
/// each is within e^{±40}. A token whose own log α is below −80 begins a chunk; S takes its α at
/// once, and its G is 0.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The sum G of the decays of a chunk, and later e^G, each of two numbers a channel, in memory of
/// someone else's: whole vectors.
template <class T>
struct channel_parts {
    T *high, *low;
};

/// What E is above e^G: about e^{40}, half of what a chunk's G may fall.
template <class T>
inline constexpr T channel_unit = static_cast<T>(std::uint64_t(1) << 58);

/// G of the next token.
template <class T>
struct channel_sum {
    vec<T> high, low;

    [[gnu::always_inline]] static channel_sum of(const channel_parts<T>& before, const T* logs,
                                                 index c, index channels) {
        const vec<T> old = vec<T>::load(before.high + c);
        const vec<T> log_decay = vec<T>::load_partial(logs + c, channels - c);
        const vec<T> sum = old + log_decay, b = sum - old;
        const vec<T> lost = (old - (sum - b)) + (log_decay - b);
        const vec<T> low = vec<T>::load(before.low + c) + lost;
        const vec<T> high = sum + low;
        return {high, low - (high - sum)};
    }
};

/// Whether a token fits behind those of a chunk. NaN does not.
template <class T>
bool fits_channels(const channel_parts<T>& sums, const T* logs, index channels) {
    constexpr T least = T(-80);
    for (index c = 0; c < channels; c += vec<T>::size)
        if (!all(channel_sum<T>::of(sums, logs, c, channels).high > vec<T>(least))) return false;
    return true;
}

/// G becomes that of a token which fits.
template <class T>
void advance_channels(const channel_parts<T>& sums, const T* logs, index channels) {
    for (index c = 0; c < channels; c += vec<T>::size) {
        const channel_sum<T> next = channel_sum<T>::of(sums, logs, c, channels);
        next.high.store(sums.high + c);
        next.low.store(sums.low + c);
    }
}

template <class T>
void clear_channels(const channel_parts<T>& sums, index channels) {
    const auto width = static_cast<std::size_t>(padded<T>(channels));
    std::fill_n(sums.high, width, T(0));
    std::fill_n(sums.low, width, T(0));
}

/// x becomes e^x in two parts: a factor near 1 that is rounded would be wrong in the same way
/// thousands of times.
template <class T>
void exponentiate_channels(const channel_parts<T>& x, index channels) {
    constexpr index size = vec<double>::size;
    for (index c = 0; c < padded<T>(channels); c += size) {
        double values[size];
        for (index l = 0; l < size; ++l)
            values[l] = two_parts<T>{x.high[c + l], x.low[c + l]}.value();
        exp(vec<double>::load(values)).store(values);
        for (index l = 0; l < size; ++l) {
            const auto parts = two_parts<T>::of(values[l]);
            x.high[c + l] = parts.high;
            x.low[c + l] = parts.low;
        }
    }
}

/// decay_f of row f of S, as decay_and_add_products takes it.
template <class T>
auto decays_of_rows(const channel_parts<T>& decay) {
    return [=](index f) __attribute__((always_inline)) {
        return same_for_columns<T>{{vec<T>(decay.high[f]), vec<T>(decay.low[f])}};
    };
}
/// decay_f of column f.
template <class T>
auto decays_of_columns(const channel_parts<T>& decay) {
    return [=](index) __attribute__((always_inline)) {
        return [=](index f) __attribute__((always_inline)) {
            return decay_factor<T>{vec<T>::load(decay.high + f), vec<T>::load(decay.low + f)};
        };
    };
}

/// S ← decay⊙S
template <class T, class Decay>
void decay_sum(const compensated_rows<T>& s, index depth, const Decay& decay) {
    for (index r = 0; r < depth; ++r) {
        const auto of_row = decay(r);
        for (index c = 0; c < s.sum.stride; c += vec<T>::size)
            decay_and_add<T>(s.sum[r] + c, s.lost[r] + c, of_row(c), vec<T>(T(0)));
    }
}

/// Row f of S becomes 0 where decay_f is 0 in T.
template <class T>
void clear_rows(const compensated_rows<T>& s, index depth, const channel_parts<T>& decay) {
    const auto columns = static_cast<std::size_t>(s.sum.stride);
    for (index f = 0; f < depth; ++f) {
        if (decay.high[f] != T(0)) continue;
        std::fill_n(s.sum[f], columns, T(0));
        std::fill_n(s.lost[f], columns, T(0));
    }
}
/// Row f of S times decay_f; where that is 0 in T nothing is read.
template <class T>
void decay_rows(const compensated_rows<T>& s, index depth, const channel_parts<T>& decay) {
    clear_rows(s, depth, decay);
    decay_sum(s, depth, decays_of_rows(decay));
}
/// The same of columns.
template <class T>
void clear_columns(const compensated_rows<T>& s, index depth, const channel_parts<T>& decay) {
    const vec<T> zero(T(0));
    for (index r = 0; r < depth; ++r) {
        for (index c = 0; c < s.sum.stride; c += vec<T>::size) {
            const auto cleared = vec<T>::load(decay.high + c) == zero;
            select(cleared, zero, vec<T>::load(s.sum[r] + c)).store(s.sum[r] + c);
            select(cleared, zero, vec<T>::load(s.lost[r] + c)).store(s.lost[r] + c);
        }
    }
}
template <class T>
void decay_columns(const compensated_rows<T>& s, index depth, const channel_parts<T>& decay) {
    clear_columns(s, depth, decay);
    decay_sum(s, depth, decays_of_columns(decay));
}

/// Row r of a transposed chunk, of which there are `keys` columns, times factor[r]·scale.
template <class T>
void multiply_transposed(T* b_transposed, index depth, index keys, const T* factor, T scale) {
    for (index f = 0; f < depth; ++f) {
        const vec<T> by((factor == nullptr ? T(1) : factor[f]) * scale);
        for (index j = 0; j < keys; j += vec<T>::size) {
            T* at = b_transposed + f * chunk_length + j;
            (vec<T>::load(at) * by).store(at);
        }
    }
}

/// Σ a·b·c over whole vectors.
template <class T>
T dot_of_three(const T* a, const T* b, const T* c, index count) {
    vec<T> sum(T(0));
    for (index f = 0; f < count; f += vec<T>::size)
        sum = fma(vec<T>::load(a + f) * vec<T>::load(b + f), vec<T>::load(c + f), sum);
    return reduce_add(sum);
}

/// Each row of x times `by`.
template <class T>
void multiply_all_rows(written_rows<T> x, index rows, const T* by) {
    for (index r = 0; r < rows; ++r)
        for (index c = 0; c < x.stride; c += vec<T>::size)
            (vec<T>::load(x[r] + c) * vec<T>::load(by + c)).store(x[r] + c);
}

/// The E_i of a chunk's tokens, as far as they are known.
template <class T>
class chunk_channels {
  public:
    chunk_channels(index channels, arena& scratch)
        : channels_(channels),
          width_(padded<T>(channels)),
          factors_{scratch.take<T>((chunk_length + 1) * width_) + width_, width_},
          alone_{scratch.take<T>(width_), scratch.take<T>(width_)} {
        std::fill_n(factors_[-1], static_cast<std::size_t>(width_), channel_unit<T>);
    }

    /// Tokens behind the chunk's first `tail`, from rows of log decays: how many fit, as far as
    /// there are. With `sums` G of the last of them. Where `alone` says that the decays of the
    /// chunk's first token are S's already, that one fits.
    index add(contiguous_rows<T> logs, index count, index tail, const channel_parts<T>& sums,
              bool alone = false) {
        if (tail == 0) clear_channels(sums, channels_);
        for (index r = 0; r < count; ++r) {
            if (!alone || tail + r > 0) {
                if (!fits_channels(sums, logs[r], channels_)) return r;
                advance_channels(sums, logs[r], channels_);
            }
            set(tail + r, sums);
        }
        return count;
    }
    /// How many tokens the chunk of a first one has, of `count`. `sums` is overwritten.
    index length(contiguous_rows<T> logs, index count, const channel_parts<T>& sums) const {
        clear_channels(sums, channels_);
        for (index r = 0; r < count; ++r) {
            if (fits_channels(sums, logs[r], channels_))
                advance_channels(sums, logs[r], channels_);
            else if (r > 0)
                return r;
        }
        return count;
    }
    /// E of the token at a place, from its G.
    void set(index place, const channel_parts<T>& sums) {
        const vec<T> unit(channel_unit<T>);
        for (index c = 0; c < width_; c += vec<T>::size) {
            const vec<T> e = exp(vec<T>::load(sums.high + c)) * unit;
            fma(e, vec<T>::load(sums.low + c), e).store(factors_[place] + c);
        }
    }
    /// α of a token that fits into no chunk.
    const channel_parts<T>& alone(const T* logs) {
        for (index c = 0; c < width_; c += vec<T>::size) {
            vec<T>::load_partial(logs + c, channels_ - c).store(alone_.high + c);
            vec<T>(T(0)).store(alone_.low + c);
        }
        exponentiate_channels(alone_, channels_);
        return alone_;
    }

    /// E of the token at a place, −1 being before the chunk.
    const T* at(index place) const { return factors_[place]; }

    /// Rows of which the first stands at the place `first`, times E; those behind `last` stand
    /// there.
    void multiply(written_rows<T> x, index first, index rows, index last) const {
        for (index r = 0; r < rows; ++r) {
            const T* by = factors_[std::min(first + r, last)];
            for (index c = 0; c < width_; c += vec<T>::size)
                (vec<T>::load(x[r] + c) * vec<T>::load(by + c)).store(x[r] + c);
        }
    }
    /// Rows from the place `first` on over E.
    void divide(written_rows<T> x, index first, index rows) const {
        for (index r = 0; r < rows; ++r)
            for (index c = 0; c < width_; c += vec<T>::size)
                (vec<T>::load(x[r] + c) / vec<T>::load(factors_[first + r] + c)).store(x[r] + c);
    }
    /// From E⊙x to e^G⊙x.
    static void leave_unit(written_rows<T> x, index rows) {
        for (index r = 0; r < rows; ++r) multiply_row(x[r], x.stride, T(1) / channel_unit<T>, x[r]);
    }

  private:
    index channels_, width_;
    written_rows<T> factors_;
    channel_parts<T> alone_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
