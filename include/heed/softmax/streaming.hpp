#pragma once

#include <cmath>
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
///
/// What the kernels ask of the object that a normaliser's `streaming<T>(head)` returns is what
/// softmax_stream has: begin, advance, weigh, finish; and for backward: row. A score of −∞ is a key
/// that is left out: its weight is 0, whatever the normaliser. A normaliser that says
/// `needs_visible_count` is told in begin how many keys each row sees. One without log_sum_exp and
/// with_log_sum_exp_gradient has no log-sum-exp.

namespace heed::inline HEED_ARCHITECTURE {

/// What backward needs of a row of softmax: p_j = exp(s_j/τ − maximum/τ)/sum. They are kept apart,
/// since at scores of 1e4 one float cannot hold the log-sum-exp.
template <class T>
struct softmax_statistics {
    T maximum = -std::numeric_limits<T>::infinity();
    T sum = T(0);
};

namespace detail {

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
    T* sum;        ///< of the weights so far
    T* factor;     ///< by which what was summed before this block is to be multiplied
};

/// Softmax with temperature τ and a sink: e^{s_j/τ}/(e^{sink/τ} + Σe^{s/τ}); no sink is −∞.
///
/// Weights are 2^(c·s − r) with c = log₂e/τ and the reference r = c·maximum, rounded: one fused
/// multiply-add and one exp2 a score, whatever scale and modifiers did before.
template <class T>
class softmax_stream {
  public:
    using statistics = softmax_statistics<T>;

    softmax_stream(double temperature, double sink)
        : temperature_(temperature),
          coefficient_(static_cast<T>(std::numbers::log2e / temperature)),
          inverse_temperature_(static_cast<T>(1 / temperature)),
          sink_(static_cast<T>(sink)) {}

    /// Before the first block; `visible`, how many keys each row sees, is of no interest here.
    void begin(const running_rows<T>& rows, const index* /*visible*/, index count) const {
        const bool has_sink = sink_ != minus_infinity;
        for (index r = 0; r < count; ++r) {
            rows.maximum[r] = sink_;
            rows.reference[r] = has_sink ? coefficient_ * sink_ : T(0);
            rows.sum[r] = has_sink ? T(1) : T(0);
            rows.factor[r] = T(1);
        }
    }

    /// The block's largest scores are known: moves the references. `rows` has room for a whole
    /// number of vectors.
    void advance(const running_rows<T>& rows, const T* block_maximum, index count) const {
        for (index r = 0; r < count; r += vec<T>::size) {
            const vec<T> before = vec<T>::load(rows.maximum + r);
            const vec<T> maximum = max(before, vec<T>::load(block_maximum + r));
            const vec<T> old_reference = vec<T>::load(rows.reference + r);
            // While every score is −∞ the reference stays 0, so that weights are 0 and not NaN.
            const vec<T> reference = select(maximum == vec<T>(minus_infinity), vec<T>(T(0)),
                                            maximum * vec<T>(coefficient_));
            const vec<T> factor = select(before == vec<T>(minus_infinity), vec<T>(T(0)),
                                         exp2_fast(old_reference - reference));
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
        constexpr index size = vec<T>::size;
        const vec<T> coefficient(coefficient_), reference(-rows.reference[r]);
        vec<T> even(T(0)), odd(T(0));
        for (index j = first; j < last; j += 2 * size) {
            const vec<T> a_log = fma(vec<T>::load(scores + j), coefficient, reference);
            const vec<T> b_log = fma(vec<T>::load(scores + j + size), coefficient, reference);
            const vec<T> a = exp2_fast(a_log), b = exp2_fast(b_log);
            watch(a, a_log);
            watch(b, b_log);
            a.store(scores + j);
            b.store(scores + j + size);
            even += a;
            odd += b;
        }
        rows.sum[r] = fma(rows.sum[r], rows.factor[r], reduce_add(even + odd));
    }

    /// What Σ weight·v is to be multiplied by; 0 for a row that sees nothing.
    T finish(const running_rows<T>& rows, index r, statistics& result) const {
        result = {rows.maximum[r], rows.sum[r]};
        return rows.sum[r] == T(0) ? T(0) : T(1) / rows.sum[r];
    }

    /// τ·log(e^{sink/τ} + Σe^{s/τ}), exact where maximum alone is large.
    double log_sum_exp(const statistics& row) const {
        if (row.sum == T(0)) return -std::numeric_limits<double>::infinity();
        const T reference = row.maximum * coefficient_;  // as it was rounded in advance
        return (static_cast<double>(reference) + std::log2(static_cast<double>(row.sum))) *
               temperature_ / std::numbers::log2e;
    }

    /// What backward subtracts from a row's dp: p·dp, less what the log-sum-exp's gradient adds.
    T with_log_sum_exp_gradient(T p_dot_dp, T d_lse) const {
        return fma(static_cast<T>(-temperature_), d_lse, p_dot_dp);
    }

    /// The weight of the sink, e^{sink/τ}/Z.
    double sink_probability(const statistics& row) const {
        if (sink_ == minus_infinity || row.sum == T(0)) return 0;
        return std::exp2(static_cast<double>(sink_ * coefficient_) -
                         static_cast<double>(row.maximum * coefficient_)) /
               static_cast<double>(row.sum);
    }

    /// A row of backward: probabilities from scores again, and the gradient of the scores.
    class backward_row {
      public:
        backward_row(const softmax_stream& of, const statistics& row, T statistic)
            : coefficient_(of.coefficient_),
              reference_(row.maximum == minus_infinity ? T(0) : -(row.maximum * of.coefficient_)),
              inverse_sum_(row.sum == T(0) ? T(0) : T(1) / row.sum),
              inverse_temperature_(of.inverse_temperature_),
              statistic_(statistic) {}

        /// p = e^{s/τ}/Z
        vec<T> probability(vec<T> score) const {
            return exp2_fast(fma(score, coefficient_, reference_)) * inverse_sum_;
        }
        /// p·(dp − p·dp)/τ
        vec<T> gradient(vec<T>, vec<T> p, vec<T> dp) const {
            return (p * inverse_temperature_) * (dp - statistic_);
        }

      private:
        vec<T> coefficient_, reference_, inverse_sum_, inverse_temperature_, statistic_;
    };

    /// `statistic` is Σ_j p_j·dp_j, which is d_o·o, less the gradient of the log-sum-exp.
    backward_row row(const statistics& row, T statistic) const { return {*this, row, statistic}; }

  private:
    static constexpr T minus_infinity = -std::numeric_limits<T>::infinity();

    double temperature_;
    T coefficient_;
    T inverse_temperature_;
    T sink_;
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
