#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/unroll.hpp>
#include <heed/rows/layouts.hpp>
#include <heed/rows/line_parts.hpp>
#include <heed/rows/lines.hpp>
#include <heed/softmax/kernel/candidates.hpp>
#include <heed/softmax/kernel/whole_rows.hpp>
#include <heed/softmax/losses/kernel/loss_rows.hpp>

/// \file
/// Losses whose gradient is p − onehot(t), p from a normaliser that needs a whole row.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// The probabilities of a row that are not 0, and what its loss needs besides. In the place of p_t
/// stands 0.
template <class T>
struct solved_row {
    contiguous_line<const T> p;
    T maximum;
    T logit;       ///< x_t
    T p_t;         ///< 0 where t is not in the support
    T others;      ///< 1 − p_t; where p_t is more, as the sum of the others
    T greatest_p;  ///< of all

    /// x_t − max x, of any two finite numbers.
    double gap() const { return static_cast<double>(logit) - static_cast<double>(maximum); }

    /// Σ f(p) over all but the label's.
    template <class F>
    double sum_others(F&& f) const {
        const vec<T> zero(T(0));
        const vec<T> total = sum_over(
            p, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
                const vec<T> v = p.load(at);
                return so_far + select(v == zero, zero, f(v));
            });
        return static_cast<double>(reduce_max(total));  // every lane has the sum
    }
};

/// v in the whole line.
template <class Line, class T>
void fill_line(const Line& line, T number) {
    for_each_vector(line, [&](auto at) { line.store(at, vec<T>(number)); });
}

/// The losses of rows and, if dx is among the operands, `scale` times their gradients.
/// Operands: dx (may be x, or be left out), x, one label a row, one loss a row.
template <class T, class Loss>
class whole_row_loss_rows {
  public:
    static constexpr bool can_stream = true;

    whole_row_loss_rows(const Loss& loss, double scale)
        : loss_(loss), scale_(static_cast<T>(scale)) {}

    template <class Layout, class Value>
    void operator()(const Layout& layout, T* dx, const T* x, const index* label,
                    Value* value) const {
        for (index l = 0; l < layout.lines; ++l)
            take_line<1, Layout::streams>(layout, l, layout.template line<1>(x, l),
                                          layout.template line<0>(dx, l), label, value);
        if constexpr (Layout::streams) stream_fence();
    }
    template <class Layout, class Value>
    void operator()(const Layout& layout, const T* x, const index* label, Value* value) const {
        for (index l = 0; l < layout.lines; ++l)
            take_line<0, false>(layout, l, layout.template line<0>(x, l), nullptr, label, value);
    }

  private:
    static constexpr T lowest = -std::numeric_limits<T>::infinity();

    /// Line l, with its gradient if `dx` is a line; operand X of the layout is x.
    template <std::size_t X, bool Streams, class Layout, class Line, class DX, class Value>
    void take_line(const Layout& layout, index l, const Line& x, const DX& dx, const index* label,
                   Value* value) const {
        arena& memory = *layout.memory;
        const arena::scope mark(memory);
        const bool is_ready = can_be_read(x);
        const auto rows = is_ready ? rows_in_scratch<T, Line>(stretch_of(x, 0, 0), memory)
                                   : rows_in_scratch<T, Line>(x, memory);
        if (!is_ready) rows.load(x, lowest);
        for (index r = 0; r < rows_of_line(layout, l); ++r) {
            const index target = number_of_row<X + 1>(layout, label, l, r);
            Value& result = number_of_row<X + 2>(layout, value, l, r);
            const arena::scope row_mark(memory);
            support_of found;
            if (target != ignored_row)
                found = is_ready ? solve(&element_of(x, 0, 0), x.length, target, memory)
                                 : solve(rows.row(r), rows.length, target, memory);
            result = static_cast<Value>(found.loss);
            if constexpr (X == 1) write<Streams>(found, target, row_of(dx, r));
        }
    }

    /// What is not 0 of a row's p, in scratch, but for the label's.
    struct support_of {
        double loss = 0;
        T others = T(1);  ///< 1 − p_t
        index count = 0;
        const T* p = nullptr;
        const std::int32_t* positions = nullptr;
    };

    support_of solve(const T* scores, index length, index target, arena& memory) const {
        constexpr index size = vec<T>::size;
        const auto row = loss_.template whole_row<T>();
        T* p = memory.take<T>(length + size);
        auto* positions = memory.take<std::int32_t>(length + size);
        typename decltype(row)::statistics unused;
        const T maximum = largest_score(scores, length);
        support_of found;
        found.count = row.support(scores, length, maximum, p, positions, unused, memory);
        found.p = p;
        found.positions = positions;
        const T logit = scores[target];
        if (found.count > 0 && std::isnan(p[0])) {
            found.loss = static_cast<double>(p[0]);
        } else if (logit == lowest) {
            found.loss = std::numeric_limits<double>::infinity();
        } else {
            const contiguous_line<const T> line{p, found.count};
            solved_row<T> solved{line, maximum, logit, T(0), T(1), reduce_max(maximum_over(line))};
            const std::int32_t* const end = positions + found.count;
            const auto* const at = std::lower_bound<const std::int32_t*>(positions, end, target);
            if (at != end && *at == target) {
                T& of_target = p[at - positions];
                solved.p_t = std::exchange(of_target, T(0));
                solved.others = solved.p_t > T(0.5)
                                    ? static_cast<T>(solved.sum_others([](vec<T> v) { return v; }))
                                    : T(1) - solved.p_t;
            }
            found.others = solved.others;
            found.loss = loss_(solved);
        }
        return found;
    }

    /// scale·(p − onehot(t)), or zeros where there is no target.
    template <bool Streams, class Line>
    void write(const support_of& found, index target, const Line& dx) const {
        if (target != ignored_row && std::isnan(found.loss)) {
            fill_line(dx, static_cast<T>(found.loss));
        } else if constexpr (Streams) {
            stream(found, target, dx);
        } else {
            fill_line(dx, T(0));
            if (target == ignored_row) return;
            for (index i = 0; i < found.count; ++i)
                element_of(dx, found.positions[i], 0) = found.p[i] * scale_;
            element_of(dx, target, 0) = -(found.others * scale_);
        }
    }

    /// The same past the caches: a stretch that has numbers other than 0 is put together first,
    /// since what has been streamed is far away.
    void stream(const support_of& found, index target, const contiguous_line<T>& dx) const {
        constexpr index size = vec<T>::size, stretch = 16 * size;
        const auto behind = static_cast<index>(reinterpret_cast<std::uintptr_t>(dx.data) /
                                               sizeof(T) % static_cast<std::size_t>(size));
        alignas(64) array_of<T, stretch> numbers = {};
        index next = 0;
        for (index first = -behind; first < dx.length; first += stretch) {
            const index begin = std::max<index>(first, 0);
            const index end = std::min(first + stretch, dx.length);
            const bool has_target = target >= begin && target < end;
            const index entry = next;
            if (target != ignored_row)
                for (; next < found.count && found.positions[next] < end; ++next)
                    numbers[found.positions[next] - first] = found.p[next] * scale_;
            if (has_target) numbers[target - first] = -(found.others * scale_);
            if (end - begin < stretch) {
                std::copy(numbers + (begin - first), numbers + (end - first), dx.data + begin);
            } else {
                for (index j = 0; j < stretch; j += size)
                    vec<T>::load_aligned(numbers + j).stream(dx.data + first + j);
            }
            for (index i = entry; i < next; ++i) numbers[found.positions[i] - first] = T(0);
            if (has_target) numbers[target - first] = T(0);
        }
    }

    /// Whether a row can be read where it lies: aligned, in pairs of vectors.
    template <class Line>
    static bool can_be_read(const Line& x) {
        if constexpr (std::is_same_v<Line, contiguous_line<const T>>)
            return x.length > 0 && x.length == whole_length<T>(x.length) &&
                   reinterpret_cast<std::uintptr_t>(x.data) % arena::alignment == 0;
        else
            return false;
    }

    /// Row r of a line, as a line.
    template <class Line>
    static auto row_of(const Line& line, index r) {
        if constexpr (is_lane_line<Line>)
            return strided_line<T>{line.data + r, line.length, line.step};
        else
            return line;
    }

    Loss loss_;
    T scale_;
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
