#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/padded_matrix.hpp>
#include <heed/core/simd.hpp>
#include <heed/nystrom/kernel/inverse_rounds.hpp>
#include <heed/nystrom/kernel/matrix_steps.hpp>

/// \file
/// The gradient of A from that of its iterative pseudo-inverse.
///
/// V of every round is kept; X, Y and Z are computed again. With g for "the gradient of", a round's
/// way back is
///
///     gZ = ¼Vᵀ·gV'    gY = −Xᵀ·gZ    gX = −gZ·Yᵀ + gY·Xᵀ + Xᵀ·gY − 7gY
///     gA += gX·Vᵀ     gV = ¼gV'·Zᵀ + Aᵀ·gX

namespace heed::inline HEED_ARCHITECTURE::detail {

template <class T>
class inverse_rounds_backward {
  public:
    /// `d_result` is the gradient of V behind the last round, and is overwritten; that of A is
    /// written to `d_a`.
    inverse_rounds_backward(const padded_matrix<T>& shape, const T* a, T* d_result, T* d_a,
                            index rounds, arena& scratch)
        : shape_(shape),
          a_(a),
          gv_{d_result, 0},
          ga_{d_a, shape.stride()},
          rounds_(rounds),
          forward_(shape, a, scratch.take<T>(padded_matrix<T>{shape.columns, shape.rows}.size()),
                   rounds, true, scratch) {
        const padded_matrix<T> square = forward_.of_square(), inverse = forward_.of_inverse();
        gv_.stride = inverse.stride();
        next_gv_ = {scratch.take<T>(inverse.size()), inverse.stride()};
        inverse.clear(next_gv_.data);
        for (operand<T>* each : {&gx_, &gy_, &gz_, &turned_}) {
            *each = {scratch.take<T>(square.size()), square.stride()};
            square.clear(each->data);
        }
        turned_v_ = {scratch.take<T>(shape.size()), shape.stride()};
        shape.clear(turned_v_.data);
        shape.clear(d_a);
    }

    /// All rounds but the last step forward; then back; then V₀.
    static index count_steps(index rounds) {
        return rounds == 0 ? 1 : forward_steps(rounds) + steps_a_round * rounds + 1;
    }

    static double operations(const padded_matrix<T>& shape, index rounds) {
        return 3.5 * inverse_rounds<T>::operations(shape, rounds);
    }

    index rows(index s) const {
        const index forward = rounds_ == 0 ? 0 : forward_steps(rounds_);
        if (s < forward) return forward_.rows(s);
        if (s + 1 == count_steps(rounds_)) return 1;  // one task does all of it
        const index k = (s - forward) % steps_a_round;
        return k == 4 || k == 12 ? shape_.columns : shape_.rows;  // those of V
    }

    void run(index s, index first, index last) const {
        const index forward = rounds_ == 0 ? 0 : forward_steps(rounds_);
        if (s < forward) return forward_.run(s, first, last);
        if (s + 1 == count_steps(rounds_)) return finish();
        const index back = (s - forward) / steps_a_round;
        run_back(rounds_ - 1 - back, (s - forward) % steps_a_round, first, last);
    }

  private:
    static constexpr index steps_a_round = 14;
    static index forward_steps(index rounds) { return 1 + 4 * (rounds - 1); }

    /// The gradient of V behind a round, and before it: by turns.
    operand<T> gradient_behind(index round) const {
        return (rounds_ - 1 - round) % 2 == 0 ? gv_ : next_gv_;
    }

    void run_back(index round, index k, index first, index last) const {
        const index r = shape_.rows, c = shape_.columns;
        const operand<T> v = forward_.before(round), x = forward_.x(), y = forward_.y(),
                         z = forward_.z();
        const operand<T> behind = gradient_behind(round), before = gradient_behind(round - 1);
        const operand<const T> a{a_, shape_.stride()};
        switch (k) {
            case 0:  // X, Y and Z again
            case 1:
            case 2:
                return forward_.run(1 + 4 * round + k, first, last);
            case 3:
                return transpose_padded<T>(first, last, z, r, turned_);
            case 4:  // gV = ¼gV'·Zᵀ
                return multiply_padded<false, T>(first, last, behind, turned_, before, r, r,
                                                 {.factor = T(0.25)});
            case 5:  // gZ = ¼Vᵀ·gV'
                return multiply_padded<true, T>(first, last, v, behind, gz_, r, c,
                                                {.factor = T(0.25)});
            case 6:
                return transpose_padded<T>(first, last, y, r, turned_);
            case 7:  // gX = −gZ·Yᵀ
                return multiply_padded<false, T>(first, last, gz_, turned_, gx_, r, r,
                                                 {.factor = -1});
            case 8:
                return transpose_padded<T>(first, last, x, r, turned_);
            case 9:  // gY = −Xᵀ·gZ
                return multiply_padded<true, T>(first, last, x, gz_, gy_, r, r, {.factor = -1});
            case 10:  // gX += gY·Xᵀ + Xᵀ·gY − 7gY
                multiply_padded<false, T>(first, last, gy_, turned_, gx_, r, r, {.add = gx_.data});
                multiply_padded<true, T>(first, last, x, gy_, gx_, r, r, {.add = gx_.data});
                return add_rows(first, last, gy_, T(-7), gx_, r);
            case 11:
                return transpose_padded<T>(first, last, v, c, turned_v_);
            case 12:  // gV += Aᵀ·gX
                return multiply_padded<true, T>(first, last, a, gx_, before, r, r,
                                                {.add = before.data});
            default:  // gA += gX·Vᵀ
                return multiply_padded<false, T>(first, last, gx_, turned_v_, ga_, c, r,
                                                 {.add = ga_.data});
        }
    }

    static void add_rows(index first, index last, const operand<T>& from, T factor,
                         const operand<T>& to, index columns) {
        for (index i = first; i < last; ++i)
            for (index j = 0; j < columns; ++j)
                to.data[i * to.stride + j] =
                    fma(factor, from.data[i * from.stride + j], to.data[i * to.stride + j]);
    }

    /// V₀ = Aᵀ·s, s = 1/(‖A‖₁‖A‖_∞), whose derivatives are −s/‖A‖₁ times the sign of the numbers
    /// of the column with the greatest sum, and so of a row.
    void finish() const {
        const operand<T> g = gradient_behind(-1);
        const inverse_start<T>& start = forward_.start();
        const index stride = shape_.stride();
        double dot = 0;  // Σ gV₀·V₀
        for (index i = 0; i < shape_.rows; ++i) {
            for (index j = 0; j < shape_.columns; ++j) {
                const T of_start = g.data[j * g.stride + i] * start.by_column * start.by_row;
                ga_.data[i * stride + j] += of_start;
                dot += static_cast<double>(of_start) * static_cast<double>(a_[i * stride + j]);
            }
        }
        const T of_column = static_cast<T>(dot) * start.by_column;
        const T of_row = static_cast<T>(dot) * start.by_row;
        const auto sign = [](T x) { return static_cast<T>((x > 0) - (x < 0)); };
        for (index i = 0; i < shape_.rows; ++i)
            ga_.data[i * stride + start.column] -= of_column * sign(a_[i * stride + start.column]);
        for (index j = 0; j < shape_.columns; ++j)
            ga_.data[start.row * stride + j] -= of_row * sign(a_[start.row * stride + j]);
    }

    padded_matrix<T> shape_;
    const T* a_;
    operand<T> gv_, ga_, next_gv_{}, gx_{}, gy_{}, gz_{}, turned_{}, turned_v_{};
    index rounds_;
    inverse_rounds<T> forward_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
