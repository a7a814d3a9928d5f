#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/lane_numbers.hpp>
#include <heed/core/math.hpp>
#include <heed/core/scalar.hpp>
#include <heed/core/simd.hpp>
#include <heed/rows/layouts.hpp>
#include <heed/rows/line_parts.hpp>
#include <heed/rows/lines.hpp>
#include <heed/softmax/kernel/exponential_sums.hpp>
#include <heed/softmax/losses/kernel/logit_sums.hpp>
#include <heed/softmax/losses/kernel/target_facts.hpp>

/// \file
/// Losses whose gradient is weight·(p − q), p the softmax of a row of logits and q what it should
/// be: a sweep for the row's sums, a sweep that writes the gradient.
///
/// The second sweep computes the exponentials again: a row of 131072 floats is still in the second
/// cache, and what memory takes to deliver the next row and to take this one's gradient hides the
/// work. So probabilities exist nowhere but in the gradient.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// The label of a row that is left out.
inline constexpr index ignored_row = -1;

/// dx = factor·e^{(x − shift)/τ} − offset where `is_in`, else 0.
template <class T>
struct gradient_writer {
    temperature_factors<T> by;
    vec<T> shift, factor, offset;
    vec_mask<T> is_in;

    [[gnu::always_inline]] vec<T> operator()(vec<T> x) const {
        const vec<T> e = exp2_fast(by.exponent_of(x - shift));
        return select(is_in, fma(e, factor, -offset), vec<T>(T(0)));
    }

    template <class To, class From>
    void store(const To& dx, const From& x) const {
        for_each_vector(
            dx, [&](auto at) __attribute__((always_inline)) { dx.store(at, (*this)(x.load(at))); });
    }

    /// Past the caches, which wants aligned addresses.
    void stream(const contiguous_line<T>& dx, const contiguous_line<const T>& x) const {
        constexpr index size = vec<T>::size;
        const auto behind = static_cast<index>(reinterpret_cast<std::uintptr_t>(dx.data) /
                                               sizeof(T) % static_cast<std::size_t>(size));
        const index head = std::min(dx.length, (size - behind) % size);
        store(stretch_of(dx, 0, head), stretch_of(x, 0, head));
        const auto to = stretch_of(dx, head, dx.length - head);
        const auto from = stretch_of(x, head, dx.length - head);
        sweep(
            0, to.whole(), [&](int, auto at) __attribute__((always_inline)) {
                (*this)(from.load(at)).stream(to.data + at.number * size);
            });
        if (to.rest() > 0) {
            const part_vector last{to.whole(), to.rest()};
            to.store(last, (*this)(from.load(last)));
        }
    }
};

/// The losses of rows and, if dx is among the operands, `scale` times their gradients.
/// Operands: dx (may be x, or be left out), x, one label a row, one loss a row.
template <class T, class Loss>
struct loss_rows {
    static constexpr bool can_stream = true;

    Loss loss;
    double scale;
    temperature_factors<T> by;

    template <class Layout, class Value>
    void operator()(const Layout& layout, T* dx, const T* x, const index* label,
                    Value* value) const {
        for (index l = 0; l < layout.lines; ++l) {
            const auto to = layout.template line<0>(dx, l);
            const auto from = layout.template line<1>(x, l);
            const auto found = evaluate_line<1>(layout, l, from, label, value);
            if (!found.any_in)
                for_each_vector(to, [&](auto at) { to.store(at, vec<T>(T(0))); });
            else
                write<Layout::streams>(found, to, from);
            for (index r = 0; r < found.rows; ++r) {
                const auto lane = static_cast<std::size_t>(r);
                if (found.target[lane] != ignored_row)
                    element_of(to, found.target[lane], r) = found.at_target[lane];
            }
        }
        if constexpr (Layout::streams) stream_fence();
    }
    template <class Layout, class Value>
    void operator()(const Layout& layout, const T* x, const index* label, Value* value) const {
        for (index l = 0; l < layout.lines; ++l)
            evaluate_line<0>(layout, l, layout.template line<0>(x, l), label, value);
    }

  private:
    static constexpr auto lanes = static_cast<std::size_t>(vec<T>::size);

    /// What the gradient of a line's rows needs.
    struct line_gradient {
        index rows;
        bool any_in = false;
        std::array<index, lanes> target{};
        lane_array<T> shift{}, factor{}, offset{}, at_target{};
    };

    /// The losses of line l; operand X of the layout is x.
    template <std::size_t X, class Layout, class Line, class Value>
    line_gradient evaluate_line(const Layout& layout, index l, const Line& x, const index* label,
                                Value* value) const {
        line_gradient found;
        found.rows = rows_of_line(layout, l);
        lane_array<T> logit{};
        for (index r = 0; r < found.rows; ++r) {
            const auto lane = static_cast<std::size_t>(r);
            const index target = number_of_row<X + 1>(layout, label, l, r);
            found.target[lane] = target;
            if (target == ignored_row) continue;
            found.any_in = true;
            logit[lane] = element_of(x, target, r);
        }
        for (index r = 0; r < found.rows; ++r) number_of_row<X + 2>(layout, value, l, r) = Value(0);
        if (!found.any_in) return found;

        const vec<T> labels = is_lane_line<Line> ? vec<T>::load(logit.data()) : vec<T>(logit[0]);
        const auto all = sum_logits<T>(x, line_labels<T>{labels, found.target}, by, loss);
        const auto sum = to_array(all.sum), weighted = to_array(all.weighted),
                   gaps = to_array(all.gaps);
        found.shift = to_array(all.shift);
        const auto length = static_cast<double>(x.length);
        const double tau = loss.tau(), units = static_cast<double>(all.unit) * length;
        for (index r = 0; r < found.rows; ++r) {
            const auto lane = static_cast<std::size_t>(r);
            if (found.target[lane] == ignored_row) continue;
            const double with_margin = static_cast<double>(logit[lane]) - loss.margin();
            sums_beside_label sums;
            sums.gap = (with_margin - static_cast<double>(found.shift[lane])) / tau;
            sums.sum = static_cast<double>(sum[lane]);
            if constexpr (Loss::wants_expected_gap)
                sums.weighted = static_cast<double>(weighted[lane]) / tau;
            if (loss.wants_mean_log_p())
                sums.mean_gap = static_cast<double>(gaps[lane]) / units / tau;
            const row_facts row = facts_of(with_margin, sums);
            const row_loss result = loss(row.target);
            number_of_row<X + 2>(layout, value, l, r) = static_cast<Value>(result.value);
            const double weight = scale * result.weight / tau;
            const double even = weight * result.smoothing / length;
            found.factor[lane] = within_range(weight * row.share);
            found.offset[lane] = static_cast<T>(even);
            found.at_target[lane] =
                static_cast<T>(weight * (result.smoothing - row.target.others) - even);
        }
        return found;
    }

    /// Not ∞, which times a probability of 0 would be NaN.
    static T within_range(double factor) {
        constexpr double most = std::numeric_limits<T>::max();
        return static_cast<T>(factor > most ? most : factor);  // a NaN stays one
    }

    template <bool Streams, class To, class From>
    void write(const line_gradient& found, const To& to, const From& x) const {
        gradient_writer<T> writer{by, found.shift[0], found.factor[0], found.offset[0],
                                  vec_mask<T>(true)};
        if constexpr (is_lane_line<To>) {
            writer.shift = vec<T>::load(found.shift.data());
            writer.factor = vec<T>::load(found.factor.data());
            writer.offset = vec<T>::load(found.offset.data());
            std::uint64_t bits = 0;
            for (std::size_t lane = 0; lane < lanes; ++lane)
                bits |= std::uint64_t(found.target[lane] != ignored_row) << lane;
            writer.is_in = vec_mask<T>::from_bits(bits);
        }
        if constexpr (Streams)
            writer.stream(to, x);
        else
            writer.store(to, x);
    }
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
