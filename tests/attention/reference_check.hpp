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
#include "support/scalars.hpp"

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

// What knows no part is compiled once.

/// What the reference finds, and the accuracy that is promised for T.
struct reference_results {
    reference::attention_result exact;
    reference::attention_gradient exact_gradient;
    reference::attention_bounds bound;
    reference::gradient_bounds bounds;
};

template <class T>
reference_results results_of_reference(const problem& from, const reference::options& how) {
    const auto& d_lse = from.d_log_sum_exp;
    reference_results all;
    auto& exact = all.exact = attention_forward(from.q, from.k, from.v, how);
    all.exact_gradient = attention_backward(from.d_o, exact, from.q, from.k, from.v, how, d_lse);
    all.bound = reference::forward_bounds<T>(exact, from.v, how);
    all.bounds = reference::backward_bounds<T>(from.d_o, exact, from.q, from.k, from.v, how, d_lse);

    const double slack = from.slack * slack_of(exact, how);
    for (auto* x :
         {&all.bound.o, &all.bound.log_sum_exp, &all.bounds.q, &all.bounds.k, &all.bounds.v})
        multiply(*x, slack);
    for (std::size_t row = 0; row < exact.log_sum_exp.values.size(); ++row) {
        double& own = all.bound.log_sum_exp.values[row];  // which is rounded itself, too
        own = how.temperature * own +
              2 * std::abs(exact.log_sum_exp.values[row]) * std::numeric_limits<T>::epsilon();
    }
    return all;
}

template <class T>
void compare_forward(const reference_results& all, const tensor4<T>& o,
                     const Eigen::Tensor<T, 3, Eigen::RowMajor>& log_sum_exp) {
    const auto& exact = all.exact;
    check_within<T>("o", to_reference(o, exact.o), exact.o, all.bound.o);
    check_within<T>("log-sum-exp", to_reference(log_sum_exp, exact.log_sum_exp), exact.log_sum_exp,
                    all.bound.log_sum_exp);
}

template <class T>
void compare_backward(const reference_results& all, const tensor4<T>& dq, const tensor4<T>& dk,
                      const tensor4<T>& dv) {
    const auto compare = [](const char* what, const tensor4<T>& gradient,
                            const reference::tensor& exact, const reference::tensor& bound) {
        check_within<T>(what, to_reference(gradient, exact), exact, bound);
    };
    compare("dq", dq, all.exact_gradient.q, all.bounds.q);
    compare("dk", dk, all.exact_gradient.k, all.bounds.k);
    compare("dv", dv, all.exact_gradient.v, all.bounds.v);
}

/// Forward and backward of heed with these parts are the reference's with these options, within
/// the accuracy that is promised for T.
template <class T, class... Parts>
auto check_against_reference(const problem& from, const reference::options& how,
                             const Parts&... parts) {
    INFO((std::is_same_v<T, float> ? "float, " : "double, ") << to_string(from.sizes));
    const inputs<T> in(from);
    reference_results all = results_of_reference<T>(from, how);

    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, parts...);
    compare_forward<T>(all, o, stats.log_sum_exp());
    auto gradient = heed::attention_backward(
        in.d_o, o, stats, in.q, in.k, in.v, heed::log_sum_exp_gradient(in.d_log_sum_exp), parts...);
    compare_backward<T>(all, gradient.q, gradient.k, gradient.v);
    return compared<decltype(gradient)>{std::move(all.exact), std::move(all.exact_gradient),
                                        std::move(all.bounds), std::move(gradient)};
}

/// Σ d_o·o + Σ d_lse·lse by heed, of rows that see something.
inline double loss_of_outputs(const inputs<double>& in, const tensor4<double>& o,
                              const Eigen::Tensor<double, 3, Eigen::RowMajor>& log_sum_exp) {
    double sum = 0;
    for (index e = 0; e < o.size(); ++e) sum += o.data()[e] * in.d_o.data()[e];
    for (index e = 0; e < log_sum_exp.size(); ++e)
        if (std::isfinite(log_sum_exp.data()[e]))
            sum += log_sum_exp.data()[e] * in.d_log_sum_exp.data()[e];
    return sum;
}
template <class... Parts>
double loss_of(const inputs<double>& in, const Parts&... parts) {
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, parts...);
    return loss_of_outputs(in, o, stats.log_sum_exp());
}

/// The slope of loss() at x, by a central difference.
inline double slope_at(double& x, const std::function<double()>& loss) {
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
template <class X, class Gradient>
void check_slopes(const char* what, generator& random, index count, X& x, const Gradient& gradient,
                  const std::function<double()>& loss, double largest_elsewhere = 0) {
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
    if constexpr (is_tested<float>)
        std::apply([&](const auto&... part) { check_against_reference<float>(from, how, part...); },
                   parts32);
    if constexpr (is_tested<double>)
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
