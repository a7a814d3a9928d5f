#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/softmax/layouts.hpp>
#include <heed/softmax/line_parts.hpp>
#include <heed/softmax/lines.hpp>
#include <heed/softmax/loss_rows.hpp>
#include <heed/softmax/whole_rows.hpp>

/// \file
/// Losses whose gradient is p − onehot(t), p from a normaliser that needs a whole row.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// A row of scores and its probabilities, both in scratch; filled up with −∞ and 0.
template <class T>
struct solved_row {
    contiguous_line<const T> scores, p;
    T maximum;

    /// x_t − max x
    T gap(T logit) const { return logit - maximum; }

    /// max p
    T greatest_p() const { return reduce_max(maximum_over(p)); }

    /// Σ f(p, x − max x) over p ≠ 0.
    template <class F>
    T sum(F&& f) const {
        const vec<T> zero(T(0)), top(maximum);
        const vec<T> total = sum_over(
            p, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
                const vec<T> v = p.load(at);
                if (all(v == zero)) return so_far;
                return so_far + select(v == zero, zero, f(v, scores.load(at) - top));
            });
        return reduce_max(total);  // every lane has the sum
    }
};

/// The losses of rows and, if dx is among the operands, `scale` times their gradients.
/// Operands: dx (may be x, or be left out), x, one label a row, one loss a row.
template <class T, class Loss>
class whole_row_loss_rows {
  public:
    whole_row_loss_rows(const Loss& loss, double scale) : loss_(loss), scale_(scale) {}

    template <class Layout, class Value>
    void operator()(const Layout& layout, T* dx, const T* x, const index* label,
                    Value* value) const {
        for (index l = 0; l < layout.lines; ++l) {
            const arena::scope mark(*layout.memory);
            const auto from = layout.template line<1>(x, l);
            const auto rows = take_rows<T>(from, *layout.memory);
            evaluate<1>(layout, l, from, rows, label, value);
            rows.store(layout.template line<0>(dx, l));
        }
    }
    template <class Layout, class Value>
    void operator()(const Layout& layout, const T* x, const index* label, Value* value) const {
        for (index l = 0; l < layout.lines; ++l) {
            const arena::scope mark(*layout.memory);
            const auto from = layout.template line<0>(x, l);
            evaluate<0>(layout, l, from, take_rows<T>(from, *layout.memory), label, value);
        }
    }

  private:
    static constexpr T lowest = -std::numeric_limits<T>::infinity();

    /// The losses of line l, and `rows` becomes the gradients; operand X of the layout is x.
    template <std::size_t X, class Layout, class Line, class Rows, class Value>
    void evaluate(const Layout& layout, index l, const Line& x, const Rows& rows,
                  const index* label, Value* value) const {
        rows.load(x, lowest);
        for (index r = 0; r < rows.rows; ++r) {
            const index target = number_of_row<X + 1>(layout, label, l, r);
            Value& result = number_of_row<X + 2>(layout, value, l, r);
            if (target == ignored_row) {
                result = Value(0);
                clear(rows.row(r), rows.length);
            } else {
                result = static_cast<Value>(
                    evaluate_row(rows.row(r), rows.length, target, *layout.memory));
            }
        }
    }

    static void clear(T* row, index length) {
        for (index j = 0; j < length; j += vec<T>::size) vec<T>(T(0)).store_aligned(row + j);
    }

    /// The loss; scores become the gradient.
    T evaluate_row(T* row, index length, index target, arena& memory) const {
        const arena::scope mark(memory);
        T* scores = memory.take<T>(length);
        for (index j = 0; j < length; j += vec<T>::size)
            vec<T>::load_aligned(row + j).store_aligned(scores + j);
        const contiguous_line<const T> from{scores, length}, p{row, length};
        loss_.template whole_row<T>().normalise(row, length, memory);
        const T logit = scores[target];
        const bool is_impossible = logit == lowest && !std::isnan(row[target]);
        const T value = is_impossible
                            ? -lowest
                            : loss_(solved_row<T>{from, p, reduce_max(maximum_over(from))}, logit);
        row[target] -= T(1);
        if (scale_ != 1)
            for (index j = 0; j < length; j += vec<T>::size)
                (vec<T>::load_aligned(row + j) * vec<T>(scale_)).store_aligned(row + j);
        return value;
    }

    Loss loss_;
    double scale_;
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
