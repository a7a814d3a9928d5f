#pragma once

#include <array>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/units/kernel/token_rows.hpp>

/// \file
/// RWKV's sums, token after token, a channel a lane. A sum is a number times e^size: sizes are the
/// running maxima of what is added, so that no exponential overflows.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The logarithm of a sum's size, in two numbers: that of a sum that fades over a thousand tokens
/// would lose three digits in one.
template <class T>
struct log_size {
    vec<T> high, low;
};

/// Sizes stay within ±this, so that their differences are finite; −this is that of no sum.
template <class T>
inline constexpr T largest_size = std::numeric_limits<T>::max() / 4;

/// e^x for x that are above 0 by rounding at most.
template <class T>
[[gnu::always_inline]] inline vec<T> exp_nonpositive(vec<T> x) {
    return exp2_nonpositive(product(x, vec<T>(T(1.44269504088896340736))));
}

/// size + log_decay, not below −largest_size.
template <class T>
[[gnu::always_inline]] inline log_size<T> faded(const log_size<T>& size, vec<T> log_decay) {
    const vec<T> least(-largest_size<T>), step = log_decay + size.low;
    const vec<T> high = max(least, size.high + step);
    return {high, select(high > least, step - (high - size.high), vec<T>(T(0)))};
}

/// Two sums brought to the larger one's size: what each is multiplied by.
template <class T>
struct balance {
    log_size<T> size;
    vec<T> first, second;
};
template <class T>
[[gnu::always_inline]] inline balance<T> balanced(const log_size<T>& a, const log_size<T>& b) {
    const vec<T> difference = (a.high - b.high) + (a.low - b.low), one(T(1));
    const auto rises = difference < vec<T>(T(0));
    const vec<T> less = exp_nonpositive(-abs(difference));
    return {{select(rises, b.high, a.high), select(rises, b.low, a.low)},
            select(rises, less, one),
            select(rises, one, less)};
}

/// e^(a + b), which is at most 1.
template <class T>
[[gnu::always_inline]] inline vec<T> weight_of(const log_size<T>& a, const log_size<T>& b) {
    return exp_nonpositive((a.high + b.high) + (a.low + b.low));
}

/// Σ λ^(t−1−j) e^(k_j) v_j and Σ λ^(t−1−j) e^(k_j), each over e^size.
template <class T>
struct rwkv_sums {
    vec<T> numerator, denominator;
    log_size<T> size;

    [[gnu::always_inline]] static rwkv_sums load(T* const* parts, index c) {
        return {vec<T>::load(parts[0] + c),
                vec<T>::load(parts[1] + c),
                {vec<T>::load(parts[2] + c), vec<T>::load(parts[3] + c)}};
    }
    [[gnu::always_inline]] void store(T* const* parts, index c) const {
        numerator.store(parts[0] + c);
        denominator.store(parts[1] + c);
        size.high.store(parts[2] + c);
        size.low.store(parts[3] + c);
    }
};

/// A token's key and value. One whose key is −∞ has no weight, and its value is not read.
template <class T>
struct rwkv_token {
    vec<T> key, value, one;

    [[gnu::always_inline]] rwkv_token(vec<T> k, vec<T> v) {
        const vec<T> zero(T(0));
        const auto hidden = k == vec<T>(-std::numeric_limits<T>::infinity());
        key = clamp(k, -largest_size<T>, largest_size<T>);
        value = select(hidden, zero, v);
        one = select(hidden, zero, vec<T>(T(1)));
    }
};

/// What a token's output is made of: the sums before it and its own e^(u+k) v.
template <class T>
struct rwkv_output {
    log_size<T> size;
    vec<T> numerator, denominator, own;

    [[gnu::always_inline]] rwkv_output(const rwkv_sums<T>& before, const rwkv_token<T>& token,
                                       vec<T> bonus) {
        const balance<T> both = balanced(before.size, log_size<T>{token.key, bonus});
        size = both.size;
        own = both.second * token.one;
        numerator = fma(both.first, before.numerator, both.second * token.value);
        denominator = fma(both.first, before.denominator, own);
    }
};

/// The sums with one token more.
template <class T>
[[gnu::always_inline]] inline rwkv_sums<T> advanced(const rwkv_sums<T>& before,
                                                    const rwkv_token<T>& token, vec<T> log_decay) {
    const balance<T> both =
        balanced(faded(before.size, log_decay), log_size<T>{token.key, vec<T>(T(0))});
    return {fma(both.first, before.numerator, both.second * token.value),
            fma(both.first, before.denominator, both.second * token.one), both.size};
}

/// Where the numbers of a group's channels lie.
template <class T>
struct rwkv_group {
    index width;
    const T *log_decay, *bonus;
};

/// o = σ(r)·numerator/denominator of every token, and the sums after the last one. Where all lies
/// is taken by value, here and below: for all that compilers know, a vector that is stored might
/// change it, and they would read it again for each.
template <class T>
void rwkv_forward(rwkv_group<T> group, index tokens, token_rows<const T> r, token_rows<const T> k,
                  token_rows<const T> v, token_rows<T> o, std::array<T*, 4> sums) {
    for (index t = 0; t < tokens; ++t) {
        const T *const r_row = r[t], *const k_row = k[t], *const v_row = v[t];
        T* const o_row = o[t];
        for (index c = 0; c < group.width; c += vec<T>::size) {
            prefetch_column(t + unit_rows_ahead, c, r, k, v, o);
            const rwkv_token<T> token(vec<T>::load(k_row + c), vec<T>::load(v_row + c));
            const auto before = rwkv_sums<T>::load(sums.data(), c);
            const rwkv_output<T> out(before, token, vec<T>::load(group.bonus + c));
            const vec<T> zero(T(0)), shut = vec<T>(T(1)) + exp(-vec<T>::load(r_row + c));
            o.put(select(out.denominator == zero, zero, out.numerator / (out.denominator * shut)),
                  o_row + c);
            advanced(before, token, vec<T>::load(group.log_decay + c)).store(sums.data(), c);
        }
    }
}

/// The sums alone; `kept`, if not null, gets those before each token, four rows of numbers each.
template <class T>
void rwkv_advance(rwkv_group<T> group, index tokens, token_rows<const T> k, token_rows<const T> v,
                  std::array<T*, 4> sums, T* kept) {
    for (index t = 0; t < tokens; ++t) {
        const T *const k_row = k[t], *const v_row = v[t];
        for (index c = 0; c < group.width; c += vec<T>::size) {
            prefetch_column(t + unit_rows_ahead, c, k, v);
            const auto before = rwkv_sums<T>::load(sums.data(), c);
            if (kept != nullptr) {
                T* const at = kept + 4 * t * group.width;
                T* const parts[]{at, at + group.width, at + 2 * group.width, at + 3 * group.width};
                before.store(parts, c);
            }
            const rwkv_token<T> token(vec<T>::load(k_row + c), vec<T>::load(v_row + c));
            advanced(before, token, vec<T>::load(group.log_decay + c)).store(sums.data(), c);
        }
    }
}

/// Rows of a block backward.
template <class T>
struct rwkv_backward_rows {
    token_rows<const T> d_o, r, k, v;
    token_rows<T> dr, dk, dv;
    T* kept;  ///< the sums before each token
    /// Of the sums after the last token, and then of those before the first.
    std::array<T*, 4> gradients;
    T *of_decay, *of_bonus;  ///< sums over the block's tokens, to which it adds
};

/// From a block's last token to its first. With N and D the numerator and the denominator of a
/// token's output, dN = g/D and dD = −g·h/D, g = do·σ(r) and h = N/D. The gradients of the sums go
/// back as the sums go forth, dY ← λ·dY + dN, relative to the largest of 1/D: then e^(k + size) is
/// at most 1, as a token's share of a later output is.
template <class T>
void rwkv_backward(rwkv_group<T> group, index tokens, rwkv_backward_rows<T> rows) {
    const vec<T> zero(T(0)), one(T(1));
    for (index t = tokens; t-- > 0;) {
        T* const at = rows.kept + 4 * t * group.width;
        T* const parts[]{at, at + group.width, at + 2 * group.width, at + 3 * group.width};
        for (index c = 0; c < group.width; c += vec<T>::size) {
            prefetch_column(t - unit_rows_ahead, c, rows.d_o, rows.r, rows.dr, rows.dk, rows.dv);
            const vec<T> log_decay = vec<T>::load(group.log_decay + c);
            const rwkv_token<T> token(vec<T>::load(rows.k[t] + c), vec<T>::load(rows.v[t] + c));
            const auto before = rwkv_sums<T>::load(parts, c);
            const rwkv_output<T> out(before, token, vec<T>::load(group.bonus + c));
            const auto later = rwkv_sums<T>::load(rows.gradients.data(), c);

            const vec<T> inverse = select(out.denominator == zero, zero, one / out.denominator);
            const vec<T> h = product(out.numerator, inverse), d_o = vec<T>::load(rows.d_o[t] + c);
            const vec<T> open = one / (one + exp(-vec<T>::load(rows.r[t] + c)));
            rows.dr.put(d_o * h * (open * (one - open)), rows.dr[t] + c);
            const vec<T> g = d_o * open, share = out.own * inverse;

            // By its own output, and by what later ones have of it.
            const vec<T> by_bonus = (g * share) * (token.value - h);
            const vec<T> seen = token.one * weight_of(log_size<T>{token.key, zero}, later.size);
            rows.dv.put(fma(seen, later.numerator, g * share), rows.dv[t] + c);
            rows.dk.put(fma(seen, fma(token.value, later.numerator, later.denominator), by_bonus),
                        rows.dk[t] + c);
            fma(g * share, token.value - h, vec<T>::load(rows.of_bonus + c))
                .store(rows.of_bonus + c);
            const vec<T> left = weight_of(faded(before.size, log_decay), later.size);
            const vec<T> product =
                fma(later.numerator, before.numerator, later.denominator * before.denominator);
            fma(left, product, vec<T>::load(rows.of_decay + c)).store(rows.of_decay + c);

            const vec<T> dn = g * inverse;
            const balance<T> both =
                balanced(faded(later.size, log_decay), log_size<T>{-out.size.high, -out.size.low});
            rwkv_sums<T>{fma(both.first, later.numerator, both.second * dn),
                         fma(both.first, later.denominator, both.second * (-dn * h)), both.size}
                .store(rows.gradients.data(), c);
        }
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
