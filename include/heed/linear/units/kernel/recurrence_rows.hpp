#pragma once

#include <array>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/units/kernel/token_rows.hpp>

/// \file
/// x_t = λx_{t−1} + γu_t, token after token, a channel a lane, in real and in complex numbers.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A real or a complex number a lane.
template <class T, int Parts>
struct unit_number {
    static_assert(Parts == 1 || Parts == 2, "real, or real and imaginary");
    std::array<vec<T>, static_cast<std::size_t>(Parts)> part;

    [[gnu::always_inline]] static unit_number zero() {
        unit_number x;
        x.part.fill(vec<T>(T(0)));
        return x;
    }
    template <class Row>
    [[gnu::always_inline]] static unit_number load(const std::array<Row, std::size_t(Parts)>& rows,
                                                   index c) {
        unit_number x;
        for (std::size_t i = 0; i < std::size_t(Parts); ++i) x.part[i] = vec<T>::load(rows[i] + c);
        return x;
    }
    [[gnu::always_inline]] void store(const std::array<T*, std::size_t(Parts)>& rows,
                                      index c) const {
        for (std::size_t i = 0; i < std::size_t(Parts); ++i) part[i].store(rows[i] + c);
    }
};

/// λx + y, or λ̄x + y.
template <bool Conjugate, class T, int Parts>
[[gnu::always_inline]] inline unit_number<T, Parts> add_scaled(const unit_number<T, Parts>& lambda,
                                                               const unit_number<T, Parts>& x,
                                                               const unit_number<T, Parts>& y) {
    if constexpr (Parts == 1) {
        return {{fma(lambda.part[0], x.part[0], y.part[0])}};
    } else {
        const vec<T> imaginary = Conjugate ? -lambda.part[1] : lambda.part[1];
        return {{fma(lambda.part[0], x.part[0], fnma(imaginary, x.part[1], y.part[0])),
                 fma(lambda.part[0], x.part[1], fma(imaginary, x.part[0], y.part[1]))}};
    }
}

/// The parameters of a group's channels, where they lie. λ is two numbers, λ + less: rounded to one
/// it would be off by a thousandth of a thousandth after a thousand tokens.
template <class T, int Parts>
struct recurrence_group {
    index width;
    std::array<const T*, static_cast<std::size_t>(Parts)> lambda, less;
    const T* gamma;
};

/// A block's rows of real parts and of imaginary ones.
template <class T, int Parts>
struct recurrence_rows {
    std::array<token_rows<T>, static_cast<std::size_t>(Parts)> part;

    std::array<T*, static_cast<std::size_t>(Parts)> operator[](index t) const {
        std::array<T*, static_cast<std::size_t>(Parts)> row{};
        for (std::size_t i = 0; i < row.size(); ++i) row[i] = part[i][t];
        return row;
    }
    [[gnu::always_inline]] void prefetch(index token, index c) const {
        for (const token_rows<T>& each : part) each.prefetch(token, c);
    }
    /// To column c of row t.
    template <class Number>
    [[gnu::always_inline]] void put(const Number& x, index t, index c) const {
        for (std::size_t i = 0; i < part.size(); ++i) part[i].put(x.part[i], part[i][t] + c);
    }
};

/// x of every token; `state` is x before the first one, and then that of the last one. Where all
/// lies is taken by value, here and below: for all that compilers know, a vector that is stored
/// might change it, and they would read it again for each.
template <class T, int Parts>
void recurrence_forward(recurrence_group<T, Parts> group, index tokens,
                        recurrence_rows<const T, Parts> u, recurrence_rows<T, Parts> x,
                        std::array<T*, static_cast<std::size_t>(Parts)> state) {
    using number = unit_number<T, Parts>;
    for (index t = 0; t < tokens; ++t) {
        const auto u_row = u[t];
        for (index c = 0; c < group.width; c += vec<T>::size) {
            prefetch_column(t + unit_rows_ahead, c, u, x);
            const vec<T> gamma = vec<T>::load(group.gamma + c);
            const number before = number::load(state, c);
            number now = number::load(u_row, c);
            for (vec<T>& part : now.part) part = gamma * part;
            now = add_scaled<false>(number::load(group.less, c), before, now);
            now = add_scaled<false>(number::load(group.lambda, c), before, now);
            now.store(state, c);
            x.put(now, t, c);
        }
    }
}

/// Rows of a block backward.
template <class T, int Parts>
struct recurrence_backward_rows {
    recurrence_rows<const T, Parts> dx, x, u;
    recurrence_rows<T, Parts> du;
    /// x̄ of the token behind the block, and then that of the block's first.
    std::array<T*, static_cast<std::size_t>(Parts)> later;
    /// What is added to x̄ beside dx: the gradient of the final state to that of the last token.
    std::array<T*, static_cast<std::size_t>(Parts)> added;
    /// Sums over the block's tokens, to which it adds: Σ Re(x̄_t⁻ u_t), and Σ x̄_{t+1}⁻ x_t.
    T* of_gamma;
    std::array<T*, static_cast<std::size_t>(Parts)> of_lambda;
};

/// From a block's token last − 1 back to `first`: x̄_t = dx_t + λ̄x̄_{t+1}, du = γx̄.
template <class T, int Parts>
void recurrence_backward(recurrence_group<T, Parts> group, index first, index last,
                         recurrence_backward_rows<T, Parts> rows) {
    using number = unit_number<T, Parts>;
    const bool adds = rows.added[0] != nullptr;
    for (index t = last; t-- > first;) {
        const auto dx_row = rows.dx[t], x_row = rows.x[t], u_row = rows.u[t];
        for (index c = 0; c < group.width; c += vec<T>::size) {
            prefetch_column(t - unit_rows_ahead, c, rows.dx, rows.x, rows.u, rows.du);
            const number later = number::load(rows.later, c);
            add_scaled<true>(later, number::load(x_row, c), number::load(rows.of_lambda, c))
                .store(rows.of_lambda, c);
            number bar = number::load(dx_row, c);
            if (adds) {
                const number more = number::load(rows.added, c);
                for (std::size_t i = 0; i < std::size_t(Parts); ++i) bar.part[i] += more.part[i];
            }
            bar = add_scaled<true>(number::load(group.less, c), later, bar);
            bar = add_scaled<true>(number::load(group.lambda, c), later, bar);
            bar.store(rows.later, c);
            const number u = number::load(u_row, c);
            vec<T> of_gamma = vec<T>::load(rows.of_gamma + c);
            const vec<T> gamma = vec<T>::load(group.gamma + c);
            for (std::size_t i = 0; i < std::size_t(Parts); ++i) {
                of_gamma = fma(bar.part[i], u.part[i], of_gamma);
                bar.part[i] = gamma * bar.part[i];
            }
            of_gamma.store(rows.of_gamma + c);
            rows.du.put(bar, t, c);
        }
    }
}

/// Before the first token, whose x̄ is `later`: what the state there adds to `of_lambda`; and
/// `later` becomes the state's gradient, λ̄x̄.
template <class T, int Parts>
void recurrence_backward_state(const recurrence_group<T, Parts>& group,
                               const std::array<T*, static_cast<std::size_t>(Parts)>& state,
                               const recurrence_backward_rows<T, Parts>& rows) {
    using number = unit_number<T, Parts>;
    for (index c = 0; c < group.width; c += vec<T>::size) {
        const number later = number::load(rows.later, c);
        add_scaled<true>(later, number::load(state, c), number::load(rows.of_lambda, c))
            .store(rows.of_lambda, c);
        const number by_less = add_scaled<true>(number::load(group.less, c), later, number::zero());
        add_scaled<true>(number::load(group.lambda, c), later, by_less).store(rows.later, c);
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
