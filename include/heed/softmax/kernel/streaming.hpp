#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>

#include <heed/core/architecture.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>

/// \file
/// Softmax, block of keys by block: the normaliser of attention that needs no row as a whole.
///
/// A streaming normaliser takes the scores of a row a block at a time, in the order of the keys,
/// turns each into a weight, and says at the end by what the sum of weight·v must be multiplied.
/// When a block raises the reference of the weights, what was summed before it shrinks by `factor`.
/// Sums of weights are kept in double: over a million keys there are thousands of blocks.
///
/// What the kernels ask of the object that a normaliser's `streaming<T>(head)` returns is what
/// softmax_stream has: begin, advance, weigh, finish; and for backward: row. A score of −∞ is a key
/// that is left out: its weight is 0, whatever the normaliser. A normaliser that says
/// `needs_visible_count` is told in begin how many keys each row sees. One without log_sum_exp and
/// with_log_sum_exp_gradient has no log-sum-exp; results of one without merge do not merge.

namespace heed::inline HEED_ARCHITECTURE {

/// What backward needs of a row of softmax: p_j = exp(s_j/τ − maximum/τ)/sum. They are kept apart,
/// since at scores of 1e4 one float cannot hold the log-sum-exp.
template <class T>
struct softmax_statistics {
    T maximum = -std::numeric_limits<T>::infinity();
    T sum = T(0);
};

namespace detail {

/// What a streaming normaliser adds up in rows.sum: nothing, its weights, or their squares.
enum class summed { nothing, weights, squares };

/// Nobody watches the weights.
struct unwatched {
    template <class T>
    void operator()(vec<T>, vec<T>) const {}
};

/// The running state of the rows of a tile, one number a row: what a streaming normaliser keeps
/// between two blocks of keys.
template <class T>
struct running_rows {
    T* maximum;    ///< of the scores so far
    T* reference;  ///< what weights are relative to
    double* sum;   ///< of the weights so far
    T* factor;     ///< by which what was summed before this block is to be multiplied
};

/// By what rows of o, each of some of the keys, are multiplied and added to be those of all of
/// them.
template <class T>
struct merge_factors {
    T whole = T(0), part = T(0);

    /// Shares of a sum, which may be 0.
    static merge_factors of(double whole, double part, double sum) {
        if (sum == 0) return {};
        return {static_cast<T>(whole / sum), static_cast<T>(part / sum)};
    }
};

/// log₂ e^{(s − reference)/τ}, for all finite scores s and temperatures τ. The difference comes
/// first: near the reference it is exact, however large both are, and at the reference the weight
/// is
/// 1. (s·log₂e/τ − reference·log₂e/τ, one multiply-add, would keep what the second product lost to
/// rounding: beyond scores of 2³¹, more than the exponents of a float.)
template <class T>
class relative_exponents {
  public:
    explicit relative_exponents(double temperature) {
        using limits = std::numeric_limits<T>;
        const double coefficient = std::numbers::log2e / temperature;
        // From here on a difference that is beyond T has a weight of 0.
        const double least = std::ldexp(1.0, limits::digits - limits::max_exponent);
        is_plain_ = coefficient >= least && coefficient <= static_cast<double>(limits::max());
        if (coefficient < least) before_ = small_power();
        if (!is_plain_ && coefficient >= least) between_ = 1 / small_power();
        coefficient_ = static_cast<T>(std::clamp<double>(
            coefficient / static_cast<double>(before_ * between_), limits::min(), limits::max()));
    }

    /// Whether f(s, reference) = plain(s, reference) is all that is needed.
    bool is_plain() const { return is_plain_; }

    /// The sum with 0 keeps compilers from fusing the product with what comes next.
    [[gnu::always_inline]] vec<T> plain(vec<T> s, vec<T> reference) const {
        return product(s - reference, vec<T>(coefficient_));
    }
    /// The same at temperatures so large that s − reference may be beyond T, or so small that
    /// log₂e/τ is.
    vec<T> scaled(vec<T> s, vec<T> reference) const {
        const vec<T> before(before_);
        const vec<T> difference = s * before - reference * before;  // powers of two: exact
        return product(difference * vec<T>(between_), vec<T>(coefficient_));
    }
    [[gnu::always_inline]] vec<T> operator()(vec<T> s, vec<T> reference) const {
        return is_plain_ ? plain(s, reference) : scaled(s, reference);
    }

  private:
    /// So small that the difference of any two numbers times it is a number.
    static constexpr T small_power() {
        return T(1) / static_cast<T>(std::uint64_t(1) << 32) /
               static_cast<T>(std::uint64_t(1) << 32);
    }

    bool is_plain_ = true;
    T before_ = T(1), between_ = T(1), coefficient_;
};

/// Softmax with temperature τ and a sink: e^{s_j/τ}/(e^{sink/τ} + Σe^{s/τ}); no sink is −∞.
///
/// Weights are e^{(s − reference)/τ}, the reference being the largest score so far: a subtraction,
/// a product and one exp2 a score, whatever scale and modifiers did before.
template <class T>
class softmax_stream {
  public:
    using statistics = softmax_statistics<T>;
    static constexpr summed sums = summed::weights;

    softmax_stream(double temperature, double sink)
        : temperature_(temperature),
          exponents_(temperature),
          inverse_temperature_(within_range(1 / temperature)),
          sink_(sink == -std::numeric_limits<double>::infinity() ? minus_infinity
                                                                 : within_range(sink)) {}

    /// Before the first block; `visible`, how many keys each row sees, is of no interest here.
    void begin(const running_rows<T>& rows, const index* /*visible*/, index count) const {
        const bool has_sink = sink_ != minus_infinity;
        for (index r = 0; r < count; ++r) {
            rows.maximum[r] = sink_;
            rows.reference[r] = has_sink ? sink_ : T(0);
            rows.sum[r] = has_sink ? 1 : 0;
            rows.factor[r] = T(1);
        }
    }

    /// The block's largest scores are known: moves the references. `rows` has room for a whole
    /// number of vectors.
    void advance(const running_rows<T>& rows, const T* block_maximum, index count) const {
        for (index r = 0; r < count; r += vec<T>::size) {
            const vec<T> before = vec<T>::load(rows.maximum + r);
            const vec<T> maximum = max(before, vec<T>::load(block_maximum + r));
            const vec<T> reference = finite_reference(maximum);
            const vec<T> factor =
                select(before == vec<T>(minus_infinity), vec<T>(T(0)),
                       exp2_nonpositive(exponents_(vec<T>::load(rows.reference + r), reference)));
            maximum.store(rows.maximum + r);
            reference.store(rows.reference + r);
            factor.store(rows.factor + r);
        }
    }

    /// scores[first … last) of row r become weights, in place. Bounds are multiples of a panel, so
    /// that a lane of the sum takes the same keys however many panels are skipped. `watch(w, e)` is
    /// told of all weights w = 2^e.
    template <class Watch = unwatched>
    void weigh(const running_rows<T>& rows, index r, T* scores, index first, index last,
               Watch&& watch = {}) const {
        const auto add = [&](vec<T> weight, vec<T> exponent, vec<T> sum)
            __attribute__((always_inline)) {
            watch(weight, exponent);
            return sum + weight;
        };
        const T sum = weigh_and_sum(rows.reference[r], scores, first, last, add);
        rows.sum[r] = rows.sum[r] * static_cast<double>(rows.factor[r]) + static_cast<double>(sum);
    }

    /// The same, and the sum over `add(weight, exponent, sum so far)`.
    template <class Add>
    T weigh_and_sum(T reference, T* scores, index first, index last, Add&& add) const {
        return exponents_.is_plain()
                   ? weigh_by(
                         [&](vec<T> s) __attribute__((always_inline)) {
                             return exponents_.plain(s, reference);
                         },
                         scores, first, last, add)
                   : weigh_by([&](vec<T> s) { return exponents_.scaled(s, reference); }, scores,
                              first, last, add);
    }

    /// What Σ weight·v is to be multiplied by; 0 for a row that sees nothing.
    T finish(const running_rows<T>& rows, index r, statistics& result) const {
        result = {rows.maximum[r], static_cast<T>(rows.sum[r])};
        return result.sum == T(0) ? T(0) : T(1) / result.sum;
    }

    /// The statistics of other keys become part of a row's; by what o of both is multiplied. Each
    /// has counted the sink, the two together count it once: what is taken off is never more than
    /// what is left.
    merge_factors<T> merge(statistics& whole, const statistics& part) const {
        const T maximum = std::max(whole.maximum, part.maximum);
        const double of_whole = sum_relative_to(maximum, whole);
        const double of_part = sum_relative_to(maximum, part);
        const double of_sink =
            sink_ == minus_infinity ? 0 : sum_relative_to(maximum, {.maximum = sink_, .sum = T(1)});
        const double sum = of_whole + (of_part - of_sink);
        whole = {maximum, static_cast<T>(sum)};
        return merge_factors<T>::of(of_whole, of_part, sum);
    }
    /// Σ e^{(s − maximum)/τ} of a row whose own maximum may be smaller.
    double sum_relative_to(T maximum, const statistics& row) const {
        const auto sum = static_cast<double>(row.sum);
        if (row.maximum == maximum || sum == 0) return sum;
        return sum * std::exp((static_cast<double>(row.maximum) - static_cast<double>(maximum)) /
                              temperature_);
    }

    /// Whether the other one is of the same temperature and sink.
    bool operator==(const softmax_stream& other) const {
        return temperature_ == other.temperature_ && sink_ == other.sink_;
    }

    /// τ·log(e^{sink/τ} + Σe^{s/τ}), exact where maximum alone is large.
    double log_sum_exp(const statistics& row) const {
        if (row.sum == T(0)) return -std::numeric_limits<double>::infinity();
        return static_cast<double>(row.maximum) +
               temperature_ * std::log(static_cast<double>(row.sum));
    }

    /// What backward subtracts from a row's dp: p·dp, less what the log-sum-exp's gradient adds.
    T with_log_sum_exp_gradient(T p_dot_dp, T d_lse) const {
        return fma(within_range(-temperature_), d_lse, p_dot_dp);
    }

    /// The weight of the sink, e^{sink/τ}/Z.
    double sink_probability(const statistics& row) const {
        if (sink_ == minus_infinity || row.sum == T(0)) return 0;
        return std::exp((static_cast<double>(sink_) - static_cast<double>(row.maximum)) /
                        temperature_) /
               static_cast<double>(row.sum);
    }

    /// A row of backward: probabilities from scores again, and the gradient of the scores.
    class backward_row {
      public:
        backward_row(const softmax_stream& of, const statistics& row, T statistic)
            : exponents_(of.exponents_),
              reference_(finite_reference(vec<T>(row.maximum))),
              inverse_sum_(row.sum == T(0) ? T(0) : T(1) / row.sum),
              inverse_temperature_(of.inverse_temperature_),
              statistic_(statistic) {}

        /// p = e^{s/τ}/Z
        vec<T> probability(vec<T> score) const {
            return exp2_nonpositive(exponents_(score, reference_)) * inverse_sum_;
        }
        /// p·(dp − p·dp)/τ
        vec<T> gradient(vec<T>, vec<T> p, vec<T> dp) const {
            return (p * inverse_temperature_) * (dp - statistic_);
        }

      private:
        relative_exponents<T> exponents_;
        vec<T> reference_, inverse_sum_, inverse_temperature_, statistic_;
    };

    /// `statistic` is Σ_j p_j·dp_j, which is d_o·o, less the gradient of the log-sum-exp.
    backward_row row(const statistics& row, T statistic) const { return {*this, row, statistic}; }

  private:
    static constexpr T minus_infinity = -std::numeric_limits<T>::infinity();

    /// While every score is −∞ the reference is 0, so that weights are 0 and not NaN.
    static vec<T> finite_reference(vec<T> maximum) {
        return select(maximum == vec<T>(minus_infinity), vec<T>(T(0)), maximum);
    }
    static T within_range(double x) {
        using limits = std::numeric_limits<T>;
        return static_cast<T>(std::clamp<double>(x, limits::lowest(), limits::max()));
    }

    template <class Exponent, class Add>
    static T weigh_by(Exponent&& exponent_of, T* scores, index first, index last, Add&& add) {
        constexpr index size = vec<T>::size;
        vec<T> even(T(0)), odd(T(0));
        for (index j = first; j < last; j += 2 * size) {
            const vec<T> a_log = exponent_of(vec<T>::load(scores + j));
            const vec<T> b_log = exponent_of(vec<T>::load(scores + j + size));
            const vec<T> a = exp2_nonpositive(a_log), b = exp2_nonpositive(b_log);
            even = add(a, a_log, even);
            odd = add(b, b_log, odd);
            a.store(scores + j);
            b.store(scores + j + size);
        }
        return reduce_add(even + odd);
    }

    double temperature_;
    relative_exponents<T> exponents_;
    T inverse_temperature_;
    T sink_;
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
