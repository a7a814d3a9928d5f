#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/lane_numbers.hpp>
#include <heed/core/simd.hpp>
#include <heed/rows/layouts.hpp>
#include <heed/rows/lines.hpp>
#include <heed/softmax/kernel/streaming.hpp>

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
/// Nothing is subtracted from x: f need not grow with x. An f that grows like a power of |x|, and
/// may be beyond T where p is not, says so by
///
///     T comfortable() const                  the |x| up to which no sum of f can overflow, ≥ 1
///     auto shrunk(vec<T> u) const            u^k·f, k its degree, as a weight with u^k·f' as slope
///     int degree() const                     k
///
/// and rows with larger elements take u = a power of two that makes them comfortable.

namespace heed::inline HEED_ARCHITECTURE {

/// What backward needs of a row of f(x)/Σf(x): the sum, and by what u its weights were shrunk.
template <class T>
struct weight_statistics {
    T sum = T(0);
    T shrink = T(1);
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

template <class Weight>
concept shrinking_weight = requires(const Weight& weight) {
    weight.comfortable();
};

/// The power of two that makes numbers up to `largest` comfortable; 1 if they are.
template <class T, class Weight>
T shrink_factor(const Weight& weight, T largest) {
    const T limit = weight.comfortable();
    if (!(largest > limit) || largest == std::numeric_limits<T>::infinity()) return T(1);
    int exponent = 0;
    std::frexp(largest / limit, &exponent);
    return std::ldexp(T(1), -exponent);
}

/// f(s)/Σf(s), block by block, of one row of attention.
template <class T, class Weight>
T weigh_scores(const Weight& f, T* scores, index first, index last) {
    constexpr index size = vec<T>::size;
    vec<T> even(T(0)), odd(T(0));
    for (index j = first; j < last; j += 2 * size) {
        const vec<T> a = f(vec<T>::load(scores + j));
        const vec<T> b = f(vec<T>::load(scores + j + size));
        a.store(scores + j);
        b.store(scores + j + size);
        even += a;
        odd += b;
    }
    return reduce_add(even + odd);
}

/// For attention: f(s)/Σf(s), block by block. A row's reference is its u.
template <class T, class Weight>
class weight_stream {
  public:
    using statistics = weight_statistics<T>;
    static constexpr summed sums = summed::weights;

    explicit weight_stream(const Weight& weight) : weight_(weight) {}

    void begin(const running_rows<T>& rows, const index* /*visible*/, index count) const {
        for (index r = 0; r < count; ++r) {
            rows.reference[r] = T(1);
            rows.sum[r] = 0;
        }
    }
    void advance(const running_rows<T>&, const T* /*block_maximum*/, index) const {}

    /// Whether the weights of a row that is done were beyond T; then it is to be weighed again,
    /// from the beginning, after `shrink`.
    bool overflows(const running_rows<T>& rows, index r) const {
        return shrinking_weight<Weight> && is_beyond(rows.sum[r]);
    }
    /// Scores of row r are ±largest at most.
    void shrink(const running_rows<T>& rows, index r, T largest) const {
        if constexpr (shrinking_weight<Weight>) rows.reference[r] = shrink_factor(weight_, largest);
    }

    void weigh(const running_rows<T>& rows, index r, T* scores, index first, index last) const {
        T sum;
        if constexpr (shrinking_weight<Weight>) {
            if (rows.reference[r] != T(1)) {
                sum = weigh_scores(weight_.shrunk(rows.reference[r]), scores, first, last);
                rows.sum[r] += static_cast<double>(sum);
                return;
            }
        }
        weight_.unrolled([&](const auto& f) __attribute__((always_inline)) {
            sum = weigh_scores(f, scores, first, last);
        });
        rows.sum[r] += static_cast<double>(sum);
    }

    T finish(const running_rows<T>& rows, index r, statistics& result) const {
        result = {static_cast<T>(rows.sum[r]), rows.reference[r]};
        return inverse_of_sum(result.sum);
    }

    /// The statistics of other keys become part of a row's; by what o of both is multiplied. The
    /// smaller u is that of both, or half of it where their sum would be beyond T.
    merge_factors<T> merge(statistics& whole, const statistics& part) const {
        T shrink = std::min(whole.shrink, part.shrink);
        double of_whole = sum_shrunk_by(shrink, whole), of_part = sum_shrunk_by(shrink, part);
        if (shrinking_weight<Weight> && is_beyond(of_whole + of_part)) {
            shrink /= 2;
            of_whole = sum_shrunk_by(shrink, whole), of_part = sum_shrunk_by(shrink, part);
        }
        const double sum = is_beyond(of_whole + of_part) ? std::numeric_limits<double>::quiet_NaN()
                                                         : of_whole + of_part;
        whole = {static_cast<T>(sum), shrink};
        return merge_factors<T>::of(of_whole, of_part, sum);
    }
    bool operator==(const weight_stream&) const = default;

    class backward_row {
      public:
        backward_row(const Weight& weight, const statistics& row, T statistic)
            : weight_(weight),
              inverse_sum_(inverse_of_sum(row.sum)),
              shrink_(row.shrink),
              statistic_(statistic) {}

        vec<T> probability(vec<T> score) const {
            if constexpr (shrinking_weight<Weight>)
                if (shrink_ != T(1)) return weight_.shrunk(shrink_)(score) * inverse_sum_;
            return weight_(score) * inverse_sum_;
        }
        /// (f'(s)/Z)·(dp − p·dp)
        vec<T> gradient(vec<T> score, vec<T>, vec<T> dp) const {
            return (slope(score) * inverse_sum_) * (dp - statistic_);
        }

      private:
        vec<T> slope(vec<T> score) const {
            if constexpr (shrinking_weight<Weight>)
                if (shrink_ != T(1)) return weight_.shrunk(shrink_).slope(score);
            return weight_.slope(score);
        }

        Weight weight_;
        vec<T> inverse_sum_;
        T shrink_;
        vec<T> statistic_;
    };

    backward_row row(const statistics& row, T statistic) const { return {weight_, row, statistic}; }

  private:
    /// Whether a T cannot hold it; so it is of NaN.
    static bool is_beyond(double sum) {
        return !(sum <= static_cast<double>(std::numeric_limits<T>::max()));
    }
    /// A row's sum for a u that is not larger than its own.
    double sum_shrunk_by(T u, const statistics& row) const {
        const auto sum = static_cast<double>(row.sum);
        if constexpr (shrinking_weight<Weight>)
            return std::ldexp(sum, weight_.degree() * (std::ilogb(u) - std::ilogb(row.shrink)));
        else
            return sum;
    }

    Weight weight_;
};

/// g(f) with the weight as a row's elements need it: f as it is, or shrunk where a row (a lane of a
/// line of several) has elements that are not comfortable.
template <class T, class Weight, class Line, class G>
[[gnu::always_inline]] inline void with_weight_for(const Weight& weight, const Line& x, G&& g) {
    if constexpr (shrinking_weight<Weight>) {
        const vec<T> largest = largest_finite_magnitude(x);
        if (any(largest > vec<T>(weight.comfortable()))) {
            auto shrink = to_array(largest);
            for (T& lane : shrink) lane = shrink_factor(weight, lane);
            return g(weight.shrunk(vec<T>::load(shrink.data())));
        }
    }
    weight.unrolled(g);
}

/// Alone: p = f(x)/Σf(x). Operands: p, x.
template <class T, class Weight>
struct weight_rows {
    Weight weight;

    template <class Layout>
    void operator()(const Layout& layout, T* to, const T* from) const {
        constexpr double lowest = -std::numeric_limits<double>::infinity();
        for (index l = 0; l < layout.lines; ++l) {
            const auto y = layout.template line<0>(to, l);
            const auto x = layout.template line<1>(from, l);
            vec<T> sum;
            with_weight_for<T>(
                weight, x, [&](const auto& f) __attribute__((always_inline)) {
                    sum = sum_over(
                        x, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
                            const vec<T> v = f(x.load(at, lowest));
                            y.store(at, v);
                            return so_far + v;
                        });
                });
            const vec<T> factor = inverse_of_sum(sum);
            for_each_vector(
                y, [&](auto at)
                       __attribute__((always_inline)) { y.store(at, y.load(at) * factor); });
        }
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
            with_weight_for<T>(
                weight, x, [&](const auto& f) __attribute__((always_inline)) {
                    const vec<T> factor = inverse_of_sum(sum_over(
                        x, [&](auto at, vec<T> so_far) __attribute__((always_inline)) {
                            return so_far + f(x.load(at, lowest));
                        }));
                    for_each_vector(
                        dx, [&](auto at) __attribute__((always_inline)) {
                            dx.store(at,
                                     (f.slope(x.load(at, lowest)) * factor) * (dp.load(at) - mean));
                        });
                });
        }
    }
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
