#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <heed/core/architecture.hpp>
#include <heed/core/math.hpp>
#include <heed/core/scalar.hpp>
#include <heed/core/simd.hpp>
#include <heed/softmax/blockwise_softmax.hpp>
#include <heed/softmax/exponential_sums.hpp>
#include <heed/softmax/layouts.hpp>
#include <heed/softmax/line_parts.hpp>
#include <heed/softmax/lines.hpp>

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

/// What a loss may want to know of a row with n logits and target t.
struct target_facts {
    double log_p;           ///< log p_t
    double mean_log_p;      ///< Σ log p_j/n, if the loss asks for it
    double expected_log_p;  ///< Σ p_j·log p_j, if the loss asks for it
};

/// What a loss says of a row: its value, and dx = weight·(p − q),
/// q = (1 − smoothing)·onehot(t) + smoothing/n.
struct row_loss {
    double value;
    double weight = 1;
    double smoothing = 0;
};

/// A line whose element `target`, if it has one, is less by `margin`.
template <class Line>
struct line_with_margin {
    using vector = typename Line::vector;

    Line line;
    vector target;
    vector margin;

    index whole() const { return line.whole(); }
    index rest() const { return line.rest(); }

    template <class At>
    vector load(At at, double fill = 0) const {
        const vector v = line.load(at, fill);
        return select(positions<Line>(at.number) == target, v - margin, v);
    }

    static vector sum(vector v) { return Line::sum(v); }
    static vector greatest(vector v) { return Line::greatest(v); }
};

/// Sums over a row, a lane a row where rows lie across.
template <class T>
struct logit_sums {
    vec<T> shift;     ///< the maximum; 0 if all is −∞
    vec<T> sum;       ///< Σ e^{(x − shift)/τ}
    vec<T> logits;    ///< Σ x
    vec<T> weighted;  ///< Σ e^{(x − shift)/τ}·(x − shift)
};

/// The sums of a row that is given block by block: `part_of_row(first, length)` is a line.
template <class T, class Loss, class Part>
[[gnu::always_inline]] inline logit_sums<T> sum_logits(index length, index block,
                                                       const temperature_factors<T>& by,
                                                       const Loss& loss, Part&& part_of_row) {
    constexpr double lowest = -std::numeric_limits<double>::infinity();
    vec<T> maximum(static_cast<T>(lowest)), sum(T(0)), logits(T(0)), weighted(T(0));
    for (index first = 0; first < length; first += block) {
        const auto x = part_of_row(first, std::min(block, length - first));
        using line = std::remove_cvref_t<decltype(x)>;
        const vec<T> before = maximum;
        maximum = max(maximum_over(x), before);
        const vec<T> shift = finite_shift(maximum);
        vec<T> part_weighted(T(0));
        const vec<T> part = sum_over(
            x, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
                const vec<T> gap = x.load(at, lowest) - shift;
                const vec<T> e = exp2_fast(by.exponent_of(gap));
                // 0·(−∞) is NaN.
                if constexpr (Loss::wants_expected_log_p)
                    part_weighted =
                        fma(e, max(gap, vec<T>(std::numeric_limits<T>::lowest())), part_weighted);
                return so_far + e;
            });
        const vec<T> fade = exp2_fast(by.exponent_of(before - shift));
        if constexpr (Loss::wants_expected_log_p) {
            const vec<T> moved =
                select(sum == vec<T>(T(0)), vec<T>(T(0)), fma(sum, before - shift, weighted));
            weighted = fma(moved, fade, line::sum(part_weighted));
        }
        sum = fma(sum, fade, part);
        if (loss.wants_mean_log_p())
            logits += sum_over(
                x, [&](auto at, vec<T> so_far)
                       __attribute__((always_inline)) { return so_far + x.load(at); });
    }
    return {finite_shift(maximum), sum, logits, weighted};
}

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
            0, to.whole(), [&](auto, auto at) __attribute__((always_inline)) {
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
    static constexpr bool has_margin = requires(const Loss& l) { l.margin; };

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
            if constexpr (has_margin) logit[lane] -= static_cast<T>(loss.margin);
        }
        for (index r = 0; r < found.rows; ++r) number_of_row<X + 2>(layout, value, l, r) = Value(0);
        if (!found.any_in) return found;

        const auto all = sums_of(x, found);
        const auto sum = to_array(all.sum), logits = to_array(all.logits),
                   weighted = to_array(all.weighted);
        found.shift = to_array(all.shift);
        const auto length = static_cast<double>(x.length);
        for (index r = 0; r < found.rows; ++r) {
            const auto lane = static_cast<std::size_t>(r);
            if (found.target[lane] == ignored_row) continue;
            const auto facts = facts_of(logit[lane], found.shift[lane], sum[lane], logits[lane],
                                        weighted[lane], length);
            const row_loss row = loss(facts);
            number_of_row<X + 2>(layout, value, l, r) = static_cast<Value>(row.value);
            const double weight = scale * row.weight / loss.tau();
            const double even = weight * row.smoothing / length;
            found.factor[lane] = sum[lane] == T(0) ? T(0) : static_cast<T>(weight) / sum[lane];
            found.offset[lane] = static_cast<T>(even);
            found.at_target[lane] =
                static_cast<T>(weight * (std::expm1(facts.log_p) + row.smoothing) - even);
        }
        return found;
    }

    template <class Line>
    logit_sums<T> sums_of(const Line& x, const line_gradient& found) const {
        constexpr index block = block_vectors * elements_a_vector<Line>;
        return sum_logits<T>(x.length, block, by, loss, [&](index first, index length) {
            if constexpr (has_margin) {
                // Counted from the block's beginning, so that T holds it.
                lane_array<T> local{};
                for (std::size_t lane = 0; lane < lanes; ++lane) {
                    const auto row = static_cast<index>(lane) < found.rows ? lane : 0;
                    const index target = found.target[row] - first;
                    local[lane] = static_cast<T>(target >= 0 && target < length ? target : -1);
                }
                return line_with_margin<Line>{stretch_of(x, first, length),
                                              vec<T>::load(local.data()), vec<T>(loss.margin)};
            } else {
                return stretch_of(x, first, length);
            }
        });
    }

    target_facts facts_of(T logit, T shift, T sum, T logits, T weighted, double length) const {
        constexpr double lowest = -std::numeric_limits<double>::infinity();
        const double log_sum = std::log(static_cast<double>(sum));
        const double gap = static_cast<double>(logit) - static_cast<double>(shift);
        target_facts facts{lowest, 0, 0};
        // Of a row of −∞, −∞ − (−∞) would be NaN.
        if (gap != lowest || std::isnan(sum)) facts.log_p = gap / loss.tau() - log_sum;
        if (loss.wants_mean_log_p())
            facts.mean_log_p =
                (static_cast<double>(logits) / length - static_cast<double>(shift)) / loss.tau() -
                log_sum;
        if (Loss::wants_expected_log_p && sum != T(0))
            facts.expected_log_p =
                static_cast<double>(weighted) / static_cast<double>(sum) / loss.tau() - log_sum;
        return facts;
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
