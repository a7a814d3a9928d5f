#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/rows/layouts.hpp>
#include <heed/rows/line_parts.hpp>
#include <heed/rows/lines.hpp>
#include <heed/softmax/kernel/whole_rows.hpp>
#include <heed/softmax/losses/kernel/loss_rows.hpp>

/// \file
/// Cross-entropy of rows whose targets q_j are numbers of any size, one a class:
/// −Σ q_j·log p_j, p = softmax(x), whose gradient is (Σq)·p − q. A row lies in scratch meanwhile.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// The loss of a row; x, filled up with −∞, becomes scale times its gradient. q has as many
/// numbers, filled up with 0. A class with q = 0 takes no part in the loss, whatever its p.
template <class T>
double take_targets(T* x, const T* q, index length, double scale) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    if (length == 0) return 0;
    const contiguous_line<T> logits{x, length};
    const contiguous_line<const T> target{q, length};
    const vec<T> zero(T(0)), maximum = maximum_over(logits);
    const auto first = [](vec<T> same) { return static_cast<double>(reduce_max(same)); };
    const double total = first(sum_over(
        target, [&](auto at, vec<T> so_far)
                    __attribute__((always_inline)) { return so_far + target.load(at); }));
    if (first(maximum) == -infinity && first(sum_over(logits, [&](auto at, vec<T> so_far) {
                                           return so_far + logits.load(at);
                                       })) == -infinity) {  // no NaN among them
        const vec<T> factor(static_cast<T>(-scale));
        for_each_vector(logits, [&](auto at) { logits.store(at, target.load(at) * factor); });
        return total > 0 ? infinity : std::isnan(total) ? total : 0;
    }
    const double sum = first(sum_over(
        logits, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
            return so_far + exp(logits.load(at) - maximum);
        }));
    const double weighted = first(sum_over(
        logits, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
            const vec<T> weight = target.load(at);
            const vec<T> gap = select(weight == zero, zero, logits.load(at) - maximum);
            return fma(weight, gap, so_far);
        }));
    const vec<T> of_p(static_cast<T>(scale * total / sum)), of_q(static_cast<T>(-scale));
    for_each_vector(
        logits, [&](auto at) __attribute__((always_inline)) {
            const vec<T> e = exp(logits.load(at) - maximum);
            logits.store(at, fma(e, of_p, product(target.load(at), of_q)));
        });
    return total * std::log(sum) - weighted;
}

/// The losses of rows with labels and, if dx is among the operands, `scale` times their gradients.
/// `targets.fill(q, label)` writes the targets of a row. Operands: dx (may be x, or be left out),
/// x, one label a row, one loss a row.
template <class T, class Targets>
struct target_rows {
    Targets targets;
    double scale;

    template <class Layout, class Value>
    void operator()(const Layout& layout, T* dx, const T* x, const index* label,
                    Value* value) const {
        for (index l = 0; l < layout.lines; ++l) {
            const arena::scope mark(*layout.memory);
            const auto rows = take_line<1>(layout, l, x, label, value);
            rows.store(layout.template line<0>(dx, l));
        }
    }
    template <class Layout, class Value>
    void operator()(const Layout& layout, const T* x, const index* label, Value* value) const {
        for (index l = 0; l < layout.lines; ++l) {
            const arena::scope mark(*layout.memory);
            take_line<0>(layout, l, x, label, value);
        }
    }

  private:
    /// The gradients of line l, in scratch, and its losses; operand X of the layout is x.
    template <std::size_t X, class Layout, class Value>
    auto take_line(const Layout& layout, index l, const T* x, const index* label,
                   Value* value) const {
        arena& memory = *layout.memory;
        const auto from = layout.template line<X>(x, l);
        const auto rows = take_rows<T>(from, memory);
        rows.load(from, -std::numeric_limits<T>::infinity());
        T* const q = memory.take<T>(rows.length);
        std::fill_n(q, rows.length, T(0));
        for (index r = 0; r < rows.rows; ++r) {
            const index target = number_of_row<X + 1>(layout, label, l, r);
            Value& loss = number_of_row<X + 2>(layout, value, l, r);
            loss = Value(0);
            if (target == ignored_row) {
                std::fill_n(rows.row(r), rows.length, T(0));
            } else {
                targets.fill(q, target);
                loss = static_cast<Value>(take_targets(rows.row(r), q, rows.length, scale));
            }
        }
        return rows;
    }
};

/// The same with targets of each row's own: y, of which `targets.fill(q)` makes q. Operands: dx
/// (may be x, or be left out), x, y, one loss a row.
template <class T, class Targets>
struct soft_target_rows {
    Targets targets;
    double scale;

    template <class Layout, class Value>
    void operator()(const Layout& layout, T* dx, const T* x, const T* y, Value* value) const {
        for (index l = 0; l < layout.lines; ++l) {
            const arena::scope mark(*layout.memory);
            const auto rows = take_line<1>(layout, l, x, y, value);
            rows.store(layout.template line<0>(dx, l));
        }
    }
    template <class Layout, class Value>
    void operator()(const Layout& layout, const T* x, const T* y, Value* value) const {
        for (index l = 0; l < layout.lines; ++l) {
            const arena::scope mark(*layout.memory);
            take_line<0>(layout, l, x, y, value);
        }
    }

  private:
    template <std::size_t X, class Layout, class Value>
    auto take_line(const Layout& layout, index l, const T* x, const T* y, Value* value) const {
        const auto from = layout.template line<X>(x, l);
        const auto rows = take_rows<T>(from, *layout.memory);
        const auto shares = take_rows<T>(from, *layout.memory);
        rows.load(from, -std::numeric_limits<T>::infinity());
        shares.load(layout.template line<X + 1>(y, l), T(0));
        for (index r = 0; r < rows.rows; ++r) {
            targets.fill(shares.row(r), from.length);
            number_of_row<X + 2>(layout, value, l, r) =
                static_cast<Value>(take_targets(rows.row(r), shares.row(r), rows.length, scale));
        }
        return rows;
    }
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
