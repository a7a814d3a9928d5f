#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

/// \file
/// The softmax family on one row, as the specification writes it: loops, and nothing of heed's.
/// Sums and exponentials are in long double, so that doubles can be held to their last bits.

namespace reference {

using row = std::vector<double>;

inline constexpr double minus_infinity = -std::numeric_limits<double>::infinity();

/// The largest element and the sink; a NaN if there is one.
inline double maximum(const row& x, double sink = minus_infinity) {
    double largest = sink;
    for (const double element : x)
        if (!(element <= largest)) largest = element;
    return largest;
}

/// e^{(x − shift)/τ}
inline long double exponential(double x, double shift, double tau) {
    return std::exp((static_cast<long double>(x) - shift) / tau);
}

/// A sum in long double; of a million numbers too, right to more digits than a double has.
class sum_of_many {
  public:
    void add(long double x) {
        part_ += x;
        if (++count_ % 1024 != 0) return;
        sum_ += part_;
        part_ = 0;
    }
    long double value() const { return sum_ + part_; }

  private:
    long double sum_ = 0, part_ = 0;
    std::size_t count_ = 0;
};

/// Z/e^{maximum/τ}, Z = e^{sink/τ} + Σe^{x/τ}; no sink is −∞.
inline long double scaled_sum(const row& x, double tau, double sink = minus_infinity) {
    const double largest = maximum(x, sink);
    if (largest == minus_infinity) return 0;
    sum_of_many sum;
    sum.add(exponential(sink, largest, tau));
    for (const double element : x) sum.add(exponential(element, largest, tau));
    return sum.value();
}

/// p = e^{x/τ}/Z; a row of −∞ gives zeros.
inline row softmax(const row& x, double tau = 1, double sink = minus_infinity) {
    const double largest = maximum(x, sink);
    const long double sum = scaled_sum(x, tau, sink);
    row p(x.size(), 0);
    if (sum == 0) return p;
    for (std::size_t i = 0; i < x.size(); ++i)
        p[i] = static_cast<double>(exponential(x[i], largest, tau) / sum);
    return p;
}

/// What the sink takes of the row, e^{sink/τ}/Z.
inline double sink_probability(const row& x, double tau, double sink) {
    const long double sum = scaled_sum(x, tau, sink);
    if (sum == 0) return 0;
    return static_cast<double>(exponential(sink, maximum(x, sink), tau) / sum);
}

/// τ·log Σe^{x/τ}
inline double log_sum_exp(const row& x, double tau = 1) {
    const long double sum = scaled_sum(x, tau);
    if (sum == 0) return minus_infinity;
    return static_cast<double>(maximum(x) + tau * std::log(sum));
}

/// log softmax(x/τ)
inline row log_softmax(const row& x, double tau = 1) {
    const double largest = maximum(x);
    const long double sum = scaled_sum(x, tau);
    row y(x.size(), minus_infinity);
    if (sum == 0) return y;
    for (std::size_t i = 0; i < x.size(); ++i)
        y[i] =
            static_cast<double>((static_cast<long double>(x[i]) - largest) / tau - std::log(sum));
    return y;
}

inline double dot(const row& a, const row& b) {
    long double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<long double>(a[i]) * b[i];
    return static_cast<double>(sum);
}

/// dx = p ⊙ (dp − p·dp)/τ
inline row softmax_backward(const row& p, const row& dp, double tau = 1) {
    const double mean = dot(p, dp);
    row dx(p.size());
    for (std::size_t i = 0; i < p.size(); ++i) dx[i] = p[i] * (dp[i] - mean) / tau;
    return dx;
}

/// dx = (dy − e^y·Σdy)/τ
inline row log_softmax_backward(const row& y, const row& dy, double tau = 1) {
    double sum = 0;
    for (const double element : dy) sum += element;
    row dx(y.size());
    for (std::size_t i = 0; i < y.size(); ++i) dx[i] = (dy[i] - std::exp(y[i]) * sum) / tau;
    return dx;
}

/// dsink = −p_s·(p·dp)/τ of one row.
inline double sink_backward(const row& x, const row& p, const row& dp, double tau, double sink) {
    return -sink_probability(x, tau, sink) * dot(p, dp) / tau;
}

}  // namespace reference
