#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/math.hpp>
#include <heed/core/role.hpp>
#include <heed/core/simd.hpp>
#include <heed/rows/layouts.hpp>
#include <heed/rows/lines.hpp>
#include <heed/rows/row_function.hpp>
#include <heed/softmax/kernel/exponential_sums.hpp>
#include <heed/softmax/kernel/streaming.hpp>

/// \file
/// Exponentials divided by their length instead of their sum.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// For attention: e^s/√Σe^{2s} block by block. References are softmax's; the sum is that of the
/// weights' squares.
template <class T>
class l2_stream {
  public:
    using statistics = softmax_statistics<T>;
    static constexpr summed sums = summed::squares;

    l2_stream() : exponentials_(1, -std::numeric_limits<double>::infinity()) {}

    void begin(const running_rows<T>& rows, const index* visible, index count) const {
        exponentials_.begin(rows, visible, count);
    }
    void advance(const running_rows<T>& rows, const T* block_maximum, index count) const {
        exponentials_.advance(rows, block_maximum, count);
    }

    void weigh(const running_rows<T>& rows, index r, T* scores, index first, index last) const {
        const T squares = exponentials_.weigh_and_sum(
            rows.reference[r], scores, first, last,
            [](vec<T> weight, vec<T>, vec<T> sum)
                __attribute__((always_inline)) { return fma(weight, weight, sum); });
        const double factor = static_cast<double>(rows.factor[r]);
        rows.sum[r] = rows.sum[r] * (factor * factor) + static_cast<double>(squares);
    }

    T finish(const running_rows<T>& rows, index r, statistics& result) const {
        result = {rows.maximum[r], static_cast<T>(rows.sum[r])};
        return result.sum == T(0) ? T(0) : T(1) / std::sqrt(result.sum);
    }

    /// See softmax_stream: sums are of squares here.
    merge_factors<T> merge(statistics& whole, const statistics& part) const {
        const T maximum = std::max(whole.maximum, part.maximum);
        const double of_whole = root_relative_to(maximum, whole);
        const double of_part = root_relative_to(maximum, part);
        const double sum = of_whole * of_whole + of_part * of_part;
        whole = {maximum, static_cast<T>(sum)};
        return merge_factors<T>::of(of_whole, of_part, std::sqrt(sum));
    }
    bool operator==(const l2_stream&) const { return true; }

    class backward_row {
      public:
        backward_row(const softmax_stream<T>& exponentials, const statistics& row, T statistic)
            : row_(exponentials.row({row.maximum, std::sqrt(row.sum)}, T(0))),
              statistic_(statistic) {}

        vec<T> probability(vec<T> score) const { return row_.probability(score); }
        /// p·(dp − p·(p·dp))
        vec<T> gradient(vec<T>, vec<T> p, vec<T> dp) const { return p * fnma(p, statistic_, dp); }

      private:
        typename softmax_stream<T>::backward_row row_;
        vec<T> statistic_;
    };

    backward_row row(const statistics& row, T statistic) const {
        return {exponentials_, row, statistic};
    }

  private:
    /// √Σ e^{2(s − maximum)} of a row whose own maximum may be smaller.
    double root_relative_to(T maximum, const statistics& row) const {
        const double root = std::sqrt(static_cast<double>(row.sum));
        return root *
               exponentials_.sum_relative_to(maximum, {row.maximum, row.sum == T(0) ? T(0) : T(1)});
    }

    softmax_stream<T> exponentials_;
};

/// Alone: p = e^x/√Σe^{2x}. Operands: p, x.
template <class T>
struct l2_softmax_rows {
    template <class Layout>
    void operator()(const Layout& layout, T* to, const T* from) const {
        constexpr double lowest = -std::numeric_limits<double>::infinity();
        const temperature_factors<T> by(1);
        vec<T> maximum[most_lines], factor[most_lines];
        find_maxima<1>(layout, from, maximum);
        for (index l = 0; l < layout.lines; ++l) {
            const auto y = layout.template line<0>(to, l);
            const auto x = layout.template line<1>(from, l);
            const vec<T> shift = finite_shift(maximum[l]);
            const vec<T> sum = sum_over(
                x, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
                    const vec<T> e = exp2_fast(by.exponent_of(x.load(at, lowest) - shift));
                    y.store(at, e);
                    return fma(e, e, so_far);
                });
            factor[l] = row_weights<T>{shift, sqrt(sum)}.inverse();
        }
        for (index l = 0; l < layout.lines; ++l) {
            const auto y = layout.template line<0>(to, l);
            for_each_vector(
                y, [&](auto at)
                       __attribute__((always_inline)) { y.store(at, y.load(at) * factor[l]); });
        }
    }
};

/// dx = p ⊙ (dp − p·(Σp·dp)). Operands: dx, p, dp.
template <class T>
struct l2_softmax_backward_rows {
    template <class Layout>
    void operator()(const Layout& layout, T* to, const T* probability, const T* gradient) const {
        for (index l = 0; l < layout.lines; ++l) {
            const auto dx = layout.template line<0>(to, l);
            const auto p = layout.template line<1>(probability, l);
            const auto dp = layout.template line<2>(gradient, l);
            const vec<T> mean = sum_over(
                p, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
                    return fma(p.load(at), dp.load(at), so_far);
                });
            for_each_vector(
                dx, [&](auto at) __attribute__((always_inline)) {
                    const vec<T> weight = p.load(at);
                    dx.store(at, weight * fnma(weight, mean, dp.load(at)));
                });
        }
    }
};

}  // namespace detail

/// p = e^x/√Σe^{2x}, a row of length 1 in the Euclidean norm (kexue 9105);
/// dx = p ⊙ (dp − p·(Σp·dp)).
///
///     auto p = heed::l2_softmax(x);
///     auto o = heed::attention(q, k, v, heed::l2_softmax);
///
/// A row of −∞ gives zeros; a NaN, or +∞, makes its own row NaN. See row_function for shapes,
/// errors and cost.
class l2_softmax_normaliser : public row_function<l2_softmax_normaliser>, public normaliser_base {
  public:
    constexpr l2_softmax_normaliser() = default;

    /// For attention: a row block by block.
    template <class T>
    detail::l2_stream<T> streaming(index) const {
        return {};
    }

    /// For row_function.
    template <class T>
    detail::l2_softmax_rows<T> forward() const {
        return {};
    }
    template <class T>
    detail::l2_softmax_backward_rows<T> gradient() const {
        return {};
    }
};

/// Softmax whose rows have length 1, in attention and on rows: see l2_softmax_normaliser.
inline constexpr l2_softmax_normaliser l2_softmax{};

}  // namespace heed::inline HEED_ARCHITECTURE
