#pragma once

#include <algorithm>
#include <cmath>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/padded_matrix.hpp>
#include <heed/nystrom/kernel/matrix_steps.hpp>

/// \file
/// The rounds of the iterative pseudo-inverse of a matrix A [r, c], and their way back.
///
/// A round is V ← ¼V(13I − X(15I − X(7I − X))) with X = AV, as four products:
///
///     X = AV    Y = X·X − 7X + 15I    Z = 13I − X·Y    V ← ¼V·Z
///
/// from V₀ = Aᵀ/(‖A‖₁‖A‖_∞).

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A is multiplied by two factors to become V₀ᵀ: 1/‖A‖₁ and 1/‖A‖_∞, apart, since their product
/// may be no number. Both are 0 for a matrix of zeros, whose pseudo-inverse is 0.
template <class T>
struct inverse_start {
    T by_column, by_row;        ///< 1/‖A‖₁, 1/‖A‖_∞
    index column = 0, row = 0;  ///< whose sums of |A| are the greatest
};

template <class T>
inverse_start<T> find_inverse_start(const padded_matrix<T>& shape, const T* a, arena& scratch) {
    const arena::scope mark(scratch);
    T* columns = scratch.take<T>(std::max<index>(1, shape.columns));
    std::fill_n(columns, shape.columns, T(0));
    inverse_start<T> start{};
    T greatest_row = 0;
    for (index i = 0; i < shape.rows; ++i) {
        const T* row = a + i * shape.stride();
        T sum = 0;
        for (index j = 0; j < shape.columns; ++j) {
            sum += std::abs(row[j]);
            columns[j] += std::abs(row[j]);
        }
        if (!(sum <= greatest_row)) greatest_row = sum, start.row = i;  // a NaN, too
    }
    for (index j = 0; j < shape.columns; ++j)
        if (!(columns[j] <= columns[start.column])) start.column = j;
    const T greatest_column = shape.columns > 0 ? columns[start.column] : T(0);
    start.by_row = greatest_row == 0 ? T(0) : 1 / greatest_row;
    start.by_column = greatest_column == 0 ? T(0) : 1 / greatest_column;
    return start;
}

/// The rounds of one matrix, in steps that may be cut into rows.
template <class T>
class inverse_rounds {
  public:
    /// V ends up in `result`. With `keep_all`, V of every round is kept for the way back.
    inverse_rounds(const padded_matrix<T>& shape, const T* a, T* result, index rounds,
                   bool keep_all, arena& scratch)
        : shape_(shape), a_(a), rounds_(rounds), keeps_all_(keep_all) {
        const padded_matrix<T> square = of_square(), inverse = of_inverse();
        x_ = scratch.take<T>(square.size());
        y_ = scratch.take<T>(square.size());
        z_ = scratch.take<T>(square.size());
        v_ = scratch.take<T>((keep_all ? std::max<index>(1, rounds) : 1) * inverse.size());
        result_ = result;
        for (T* each : {x_, y_, z_}) square.clear(each);
        const index kept = keep_all ? std::max<index>(1, rounds) : 1;
        for (index i = 0; i < kept; ++i) inverse.clear(v_ + i * inverse.size());
        inverse.clear(result);
        start_ = find_inverse_start(shape, a, scratch);
    }

    padded_matrix<T> of_square() const { return {shape_.rows, shape_.rows}; }
    padded_matrix<T> of_inverse() const { return {shape_.columns, shape_.rows}; }
    const inverse_start<T>& start() const { return start_; }

    /// V₀, then four steps a round.
    static index count_steps(index rounds) { return 1 + 4 * rounds; }

    /// Operations of all of them.
    static double operations(const padded_matrix<T>& shape, index rounds) {
        const double r = static_cast<double>(shape.rows), c = static_cast<double>(shape.columns);
        return static_cast<double>(rounds) * 4 * r * r * (r + c);
    }

    index rows(index s) const { return s % 4 == 0 ? shape_.columns : shape_.rows; }

    void run(index s, index first, index last) const {
        if (s == 0) return begin(first, last);
        const index round = (s - 1) / 4, r = shape_.rows, c = shape_.columns;
        const operand<T> x = square(x_), y = square(y_), z = square(z_), v = before(round);
        switch ((s - 1) % 4) {
            case 0:  // X = AV
                return multiply_padded<false, T>(first, last, {a_, shape_.stride()}, v, x, r, c);
            case 1:  // Y = X·X − 7X + 15I
                return multiply_padded<false, T>(
                    first, last, x, x, y, r, r,
                    {.factor = 1, .add = x_, .add_factor = -7, .diagonal = 15});
            case 2:  // Z = 13I − X·Y
                return multiply_padded<false, T>(first, last, x, y, z, r, r,
                                                 {.factor = -1, .diagonal = 13});
            default:  // V ← ¼V·Z
                return multiply_padded<false, T>(first, last, v, z, before(round + 1), r, r,
                                                 {.factor = T(0.25)});
        }
    }

    operand<T> square(T* data) const { return {data, of_square().stride()}; }
    operand<T> x() const { return square(x_); }
    operand<T> y() const { return square(y_); }
    operand<T> z() const { return square(z_); }
    /// V before this round; behind the last one it is the result.
    operand<T> before(index round) const {
        const padded_matrix<T> inverse = of_inverse();
        if (round == rounds_) return {result_, inverse.stride()};
        if (keeps_all_) return {v_ + round * inverse.size(), inverse.stride()};
        return {(rounds_ - round) % 2 == 0 ? result_ : v_, inverse.stride()};  // by turns
    }

  private:
    void begin(index first, index last) const {
        const operand<T> v = before(0);
        for (index j = first; j < last; ++j)
            for (index i = 0; i < shape_.rows; ++i)
                v.data[j * v.stride + i] =
                    a_[i * shape_.stride() + j] * start_.by_column * start_.by_row;
    }

    padded_matrix<T> shape_;
    const T* a_;
    T *x_, *y_, *z_, *v_, *result_;
    inverse_start<T> start_;
    index rounds_;
    bool keeps_all_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
