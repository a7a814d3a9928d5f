#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <type_traits>
#include <utility>

#include <heed/attention/attention.hpp>

#include "attention/problem.hpp"
#include "reference/accuracy.hpp"
#include "support/catch.hpp"

/// \file
/// heed's attention against the double reference and against central differences.

namespace heed_test {

/// What the reference has found, and heed's gradients beside it.
template <class Gradient>
struct compared {
    reference::attention_result exact;
    reference::attention_gradient exact_gradient;
    reference::gradient_bounds bounds;
    Gradient gradient;
};

/// Each element within its bound; probabilities too small for a T may be lost.
template <class T>
void check_within(const char* what, const reference::tensor& actual,
                  const reference::tensor& expected, reference::tensor bound) {
    INFO(what);
    for (double& element : bound.values) element += 1e4 * std::numeric_limits<T>::min();
    CHECK(reference::largest_ratio(actual, expected, bound) <= 1);
}

/// How much larger than the promised one an error may be: rotations and norms round q and k once
/// more, and a modifier multiplies the error of a score by its slope.
inline double slack_of(const reference::attention_result& exact, const reference::options& how) {
    double steepest = 1;
    for_each_row(exact.o, [&](index b, index h, index i) {
        for (index j = 0; j < exact.p.columns(); ++j) {
            if (exact.visible(b, h, i, j) == 0) continue;
            double slope = 1;
            for (std::size_t m = 0; m < how.modifiers.size(); ++m)
                slope *= how.modifiers[m].derivative(exact.scores[m](b, h, i, j), b, h, i, j);
            steepest = std::max(steepest, std::abs(slope));
        }
    });
    const int preparations =
        (how.rotary ? 1 : 0) + (how.normalise_queries ? 1 : 0) + (how.normalise_keys ? 1 : 0);
    return steepest * (1 + preparations);
}

inline void multiply(reference::tensor& x, double factor) {
    for (double& element : x.values) element *= factor;
}

/// Forward and backward of heed with these parts are the reference's with these options, within
/// the accuracy that is promised for T.
template <class T, class... Parts>
auto check_against_reference(const problem& from, const reference::options& how,
                             const Parts&... parts) {
    INFO((std::is_same_v<T, float> ? "float, " : "double, ") << to_string(from.sizes));
    const inputs<T> in(from);
    const auto& d_lse = from.d_log_sum_exp;
    auto exact = attention_forward(from.q, from.k, from.v, how);
    auto exact_gradient = attention_backward(from.d_o, exact, from.q, from.k, from.v, how, d_lse);
    auto bound = reference::forward_bounds<T>(exact, from.v, how);
    auto bounds =
        reference::backward_bounds<T>(from.d_o, exact, from.q, from.k, from.v, how, d_lse);

    const double slack = from.slack * slack_of(exact, how);
    for (auto* x : {&bound.o, &bound.log_sum_exp, &bounds.q, &bounds.k, &bounds.v})
        multiply(*x, slack);

    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, parts...);
    check_within<T>("o", to_reference(o, exact.o), exact.o, bound.o);
    auto log_sum_exp_bound = bound.log_sum_exp;
    for (std::size_t row = 0; row < log_sum_exp_bound.values.size(); ++row)
        log_sum_exp_bound.values[row] =  // which is rounded itself, too
            how.temperature * log_sum_exp_bound.values[row] +
            2 * std::abs(exact.log_sum_exp.values[row]) * std::numeric_limits<T>::epsilon();
    check_within<T>("log-sum-exp", to_reference(stats.log_sum_exp(), exact.log_sum_exp),
                    exact.log_sum_exp, log_sum_exp_bound);

    auto gradient = heed::attention_backward(
        in.d_o, o, stats, in.q, in.k, in.v, heed::log_sum_exp_gradient(in.d_log_sum_exp), parts...);
    check_within<T>("dq", to_reference(gradient.q, from.q), exact_gradient.q, bounds.q);
    check_within<T>("dk", to_reference(gradient.k, from.k), exact_gradient.k, bounds.k);
    check_within<T>("dv", to_reference(gradient.v, from.v), exact_gradient.v, bounds.v);
    return compared<decltype(gradient)>{std::move(exact), std::move(exact_gradient),
                                        std::move(bounds), std::move(gradient)};
}

/// Σ d_o·o + Σ d_lse·lse by heed, of rows that see something.
template <class... Parts>
double loss_of(const inputs<double>& in, const Parts&... parts) {
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, parts...);
    double sum = 0;
    for (index e = 0; e < o.size(); ++e) sum += o.data()[e] * in.d_o.data()[e];
    const auto log_sum_exp = stats.log_sum_exp();
    for (index e = 0; e < log_sum_exp.size(); ++e)
        if (std::isfinite(log_sum_exp.data()[e]))
            sum += log_sum_exp.data()[e] * in.d_log_sum_exp.data()[e];
    return sum;
}

/// The slope of loss() at x, by a central difference.
template <class Loss>
double slope_at(double& x, const Loss& loss) {
    const double at = x;
    const double step = 1e-5 * std::max(1.0, std::abs(at));
    x = at + step;
    const double up = loss();
    x = at - step;
    const double down = loss();
    x = at;
    return (up - down) / (2 * step);
}

template <class Gradient>
double largest_magnitude(const Gradient& gradient) {
    double largest = 0;
    for (index e = 0; e < gradient.size(); ++e)
        largest = std::max(largest, std::abs(gradient.data()[e]));
    return largest;
}

/// Of dq, dk and dv.
template <class... Types>
double largest_of(const heed::gradient<Types...>& gradient) {
    return std::max({largest_magnitude(gradient.q), largest_magnitude(gradient.k),
                     largest_magnitude(gradient.v)});
}

/// `count` elements of a gradient, drawn at random, are the slopes of loss() at the elements of x;
/// the largest gradient there is may lie in another one.
template <class X, class Gradient, class Loss>
void check_slopes(const char* what, generator& random, index count, X& x, const Gradient& gradient,
                  const Loss& loss, double largest_elsewhere = 0) {
    INFO(what);
    REQUIRE(x.size() == gradient.size());
    const double largest = std::max(largest_elsewhere, largest_magnitude(gradient));
    double error = 0;
    for (index n = 0; n < std::min<index>(count, x.size()); ++n) {
        const index e = x.size() <= count ? n : random.integer(0, x.size() - 1);
        const double difference = std::abs(gradient.data()[e] - slope_at(x.data()[e], loss));
        if (!(difference <= error)) error = difference;
    }
    // Where there is no gradient at all, what is left is the rounding of the difference.
    CHECK(error <= 1e-7 * std::max(largest, 1e-2));
}

/// heed's double gradients of q, k and v are the slopes of its own forward; returns the gradients.
template <class... Parts>
auto check_differences(generator& random, inputs<double>& in, const Parts&... parts) {
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, parts...);
    auto gradient = heed::attention_backward(
        in.d_o, o, stats, in.q, in.k, in.v, heed::log_sum_exp_gradient(in.d_log_sum_exp), parts...);
    const auto loss = [&] { return loss_of(in, parts...); };
    const double largest = largest_of(gradient);
    check_slopes("dq by differences", random, 12, in.q, gradient.q, loss, largest);
    check_slopes("dk by differences", random, 12, in.k, gradient.k, loss, largest);
    check_slopes("dv by differences", random, 12, in.v, gradient.v, loss, largest);
    return gradient;
}

/// All of the above, for one problem: float and double against the reference, double against
/// differences.
template <class... Parts32, class... Parts64>
void check_everything(generator& random, const problem& from, const reference::options& how,
                      const std::tuple<Parts32...>& parts32,
                      const std::tuple<Parts64...>& parts64) {
    std::apply([&](const auto&... part) { check_against_reference<float>(from, how, part...); },
               parts32);
    std::apply(
        [&](const auto&... part) {
            check_against_reference<double>(from, how, part...);
            inputs<double> in(from);
            check_differences(random, in, part...);
        },
        parts64);
}

/// The same for parts that do not depend on the scalar.
template <class... Parts>
void check_all(generator& random, const problem& from, const reference::options& how,
               const Parts&... parts) {
    check_everything(random, from, how, std::tie(parts...), std::tie(parts...));
}

/// f(random, problem) for a few problems, small ones and two long ones; a long call is enough to
/// need several blocks of queries or keys.
template <class F>
void for_problems(std::uint64_t stream, F&& f) {
    generator random(stream);
    for (int round = 0; round < 6; ++round) {
        const extents e = round < 4 ? random_extents(random) : long_extents(random);
        f(random, problem(random, e));
    }
}

}  // namespace heed_test
