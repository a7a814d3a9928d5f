#pragma once

#include <cstddef>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/softmax/layouts.hpp>
#include <heed/softmax/lines.hpp>
#include <heed/softmax/streaming.hpp>

/// \file
/// p = f(x)/Σf(x), f ≥ 0, alone on rows and block by block in attention; dx = (f'(x)/Z)⊙(dp −
/// p·dp).
///
/// A weight f is a small value with
///
///     vec<T> operator()(vec<T> x) const      f(x), 0 at −∞
///     vec<T> slope(vec<T> x) const           f'(x), 0 at −∞
///     void unrolled(g) const                 g(f), f as fast as it can be had for a whole row
///
/// Nothing is subtracted from x: f need not grow with x.

namespace heed::inline HEED_ARCHITECTURE {

/// What backward needs of a row of f(x)/Σf(x): the sum.
template <class T>
struct weight_statistics {
    T sum = T(0);
};

namespace detail {

/// f(x), but 0 where x is −∞: a key that is left out. f is never called with −∞.
template <class T, class F>
[[gnu::always_inline]] inline vec<T> unless_left_out(vec<T> x, F&& f) {
    const auto left_out = x == vec<T>(-std::numeric_limits<T>::infinity());
    const vec<T> zero(T(0));
    return select(left_out, zero, f(select(left_out, zero, x)));
}

/// 1/Z; 0 for a row without weights, NaN for one whose weights are beyond T.
template <class T>
vec<T> inverse_of_sum(vec<T> sum) {
    constexpr T infinity = std::numeric_limits<T>::infinity();
    const vec<T> inverse = select(sum == vec<T>(T(0)), vec<T>(T(0)), vec<T>(T(1)) / sum);
    return select(sum == vec<T>(infinity), vec<T>(std::numeric_limits<T>::quiet_NaN()), inverse);
}
template <class T>
T inverse_of_sum(T sum) {
    if (sum == T(0)) return T(0);
    if (sum == std::numeric_limits<T>::infinity()) return std::numeric_limits<T>::quiet_NaN();
    return T(1) / sum;
}

/// For attention: f(s)/Σf(s), block by block.
template <class T, class Weight>
class weight_stream {
  public:
    using statistics = weight_statistics<T>;

    explicit weight_stream(const Weight& weight) : weight_(weight) {}

    void begin(const running_rows<T>& rows, const index* /*visible*/, index count) const {
        for (index r = 0; r < count; ++r) rows.sum[r] = 0;
    }
    void advance(const running_rows<T>&, const T* /*block_maximum*/, index) const {}

    void weigh(const running_rows<T>& rows, index r, T* scores, index first, index last) const {
        constexpr index size = vec<T>::size;
        weight_.unrolled([&](const auto& f) __attribute__((always_inline)) {
            vec<T> even(T(0)), odd(T(0));
            for (index j = first; j < last; j += 2 * size) {
                const vec<T> a = f(vec<T>::load(scores + j));
                const vec<T> b = f(vec<T>::load(scores + j + size));
                a.store(scores + j);
                b.store(scores + j + size);
                even += a;
                odd += b;
            }
            rows.sum[r] += static_cast<double>(reduce_add(even + odd));
        });
    }

    T finish(const running_rows<T>& rows, index r, statistics& result) const {
        result = {static_cast<T>(rows.sum[r])};
        return inverse_of_sum(result.sum);
    }

    class backward_row {
      public:
        backward_row(const Weight& weight, const statistics& row, T statistic)
            : weight_(weight), inverse_sum_(inverse_of_sum(row.sum)), statistic_(statistic) {}

        vec<T> probability(vec<T> score) const { return weight_(score) * inverse_sum_; }
        /// (f'(s)/Z)·(dp − p·dp)
        vec<T> gradient(vec<T> score, vec<T>, vec<T> dp) const {
            return (weight_.slope(score) * inverse_sum_) * (dp - statistic_);
        }

      private:
        Weight weight_;
        vec<T> inverse_sum_, statistic_;
    };

    backward_row row(const statistics& row, T statistic) const { return {weight_, row, statistic}; }

  private:
    Weight weight_;
};

/// Alone: p = f(x)/Σf(x). Operands: p, x.
template <class T, class Weight>
struct weight_rows {
    Weight weight;

    template <class Layout>
    void operator()(const Layout& layout, T* to, const T* from) const {
        weight.unrolled([&](const auto& f) __attribute__((always_inline)) {
            vec<T> factor[most_lines];
            for (index l = 0; l < layout.lines; ++l) {
                const auto y = layout.template line<0>(to, l);
                const auto x = layout.template line<1>(from, l);
                factor[l] = inverse_of_sum(sum_over(
                    x, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
                        const vec<T> v = f(x.load(at, -std::numeric_limits<double>::infinity()));
                        y.store(at, v);
                        return so_far + v;
                    }));
            }
            for (index l = 0; l < layout.lines; ++l) {
                const auto y = layout.template line<0>(to, l);
                for_each_vector(
                    y, [&](auto at)
                           __attribute__((always_inline)) { y.store(at, y.load(at) * factor[l]); });
            }
        });
    }
};

/// dx = (f'(x)/Z)⊙(dp − p·dp). Operands: dx, p, dp, x.
template <class T, class Weight>
struct weight_backward_rows {
    static constexpr bool needs_input = true;

    Weight weight;

    template <class Layout>
    void operator()(const Layout& layout, T* to, const T* probability, const T* gradient,
                    const T* from) const {
        weight.unrolled([&](const auto& f) __attribute__((always_inline)) {
            constexpr double lowest = -std::numeric_limits<double>::infinity();
            for (index l = 0; l < layout.lines; ++l) {
                const auto dx = layout.template line<0>(to, l);
                const auto p = layout.template line<1>(probability, l);
                const auto dp = layout.template line<2>(gradient, l);
                const auto x = layout.template line<3>(from, l);
                const vec<T> mean = sum_over(
                    p, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
                        return fma(p.load(at), dp.load(at), so_far);
                    });
                const vec<T> factor = inverse_of_sum(sum_over(
                    x, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
                        return so_far + f(x.load(at, lowest));
                    }));
                for_each_vector(
                    dx, [&](auto at) __attribute__((always_inline)) {
                        dx.store(at, (f.slope(x.load(at, lowest)) * factor) * (dp.load(at) - mean));
                    });
            }
        });
    }
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
