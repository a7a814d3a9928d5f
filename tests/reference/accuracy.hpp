#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "attention.hpp"

/// \file
/// How far a result of floats (or doubles) may be from the reference.

namespace reference {

/// One bound an element, of the shapes of what they bound.
struct attention_bounds {
    tensor factor;  ///< [B, H, N, 1]: (8 + 2·max_j c·Σ|q_c k_jc|)·ε, the relative size of an error
    tensor o;       ///< factor_i·max|v| over the keys the row sees
    tensor log_sum_exp;  ///< factor_i
};

/// One bound an element of each gradient: the forward's factor of the row, times the sum that makes
/// the gradient, taken over absolute values.
struct gradient_bounds {
    tensor q, k, v;
    std::vector<tensor> scores;  ///< as attention_gradient::scores
    tensor scale;                ///< [B, H, N, 1]
    std::vector<double> scale_of_head, sink;
};

/// The largest of c·Σ_c|q_c k_jc| over the keys that row i sees. What modifiers and a sink add to a
/// score is rounded too, and counts beside it.
inline double score_magnitude(const attention_result& forward, const options& how, index b, index h,
                              index i) {
    const tensor& q = forward.queries;
    const tensor& k = forward.keys;
    double largest = how.sink.empty() ? 0 : std::abs(how.sink[static_cast<std::size_t>(h)]);
    for (index j = 0; j < k.rows(); ++j) {
        if (forward.visible(b, h, i, j) == 0) continue;
        double sum = 0;
        for (index x = 0; x < q.columns(); ++x)
            sum += std::abs(q(b, h, i, x) * k(b, kv_head(h, q, k), j, x));
        double magnitude = std::abs(forward.scale(b, h, i, 0)) * sum;
        for (std::size_t m = 1; m < forward.scores.size(); ++m)
            if (std::isfinite(forward.scores[m](b, h, i, j)))
                magnitude += std::abs(forward.scores[m](b, h, i, j));
        largest = std::max(largest, magnitude);
    }
    return largest / how.temperature;
}

/// |o − exact o| ≤ (8 + 2·max_j c·Σ|q_c k_jc|)·ε·max|v|, ε = 2⁻²³ for Scalar float.
template <class Scalar>
attention_bounds forward_bounds(const attention_result& forward, const tensor& v,
                                const options& how = {}) {
    const double epsilon = std::numeric_limits<Scalar>::epsilon();
    attention_bounds bound{zeros_like(forward.scale), zeros_like(forward.o),
                           zeros_like(forward.scale)};
    for_each_row(forward.o, [&](index b, index h, index i) {
        const double factor = (8 + 2 * score_magnitude(forward, how, b, h, i)) * epsilon;
        double largest = 0;
        for (index j = 0; j < v.rows(); ++j)
            for (index x = 0; x < v.columns() && forward.visible(b, h, i, j) != 0; ++x)
                largest = std::fmax(largest, std::abs(v(b, kv_head(h, forward.o, v), j, x)));
        bound.factor(b, h, i, 0) = bound.log_sum_exp(b, h, i, 0) = factor;
        for (index x = 0; x < v.columns(); ++x) bound.o(b, h, i, x) = factor * largest;
    });
    return bound;
}

namespace detail {

/// The magnitudes that a rotation by these angles lets through: |cos|, |sin| and no minus.
inline tensor rotate_magnitudes(const tensor& x, const rotation& how,
                                const position_function& position) {
    tensor y = x;
    const auto pairs = static_cast<index>(how.frequencies.size());
    for_each_row(x, [&](index b, index h, index i) {
        for (index t = 0; t < pairs; ++t) {
            const index first = how.interleaved ? 2 * t : t;
            const index second = how.interleaved ? 2 * t + 1 : t + pairs;
            const double angle = position(b, i) * how.frequencies[static_cast<std::size_t>(t)];
            const double cosine = how.factor * std::abs(std::cos(angle));
            const double sine = how.factor * std::abs(std::sin(angle));
            y(b, h, i, first) = x(b, h, i, first) * cosine + x(b, h, i, second) * sine;
            y(b, h, i, second) = x(b, h, i, first) * sine + x(b, h, i, second) * cosine;
        }
    });
    return y;
}

/// (|dy| + |y|(|y|·|dy|))/‖x‖: normalise_backward over magnitudes.
inline tensor normalise_magnitudes(const tensor& dy, const tensor& unit, const tensor& norms) {
    tensor dx = dy;
    for_each_row(dy, [&](index b, index h, index i) {
        double dot = 0;
        for (index c = 0; c < dy.columns(); ++c) dot += std::abs(unit(b, h, i, c)) * dy(b, h, i, c);
        for (index c = 0; c < dy.columns(); ++c)
            dx(b, h, i, c) =
                (dy(b, h, i, c) + std::abs(unit(b, h, i, c)) * dot) / norms(b, h, i, 0);
    });
    return dx;
}

}  // namespace detail

/// The bounds of attention_backward's results.
template <class Scalar>
gradient_bounds backward_bounds(const tensor& d_o, const attention_result& forward, const tensor& q,
                                const tensor& k, const tensor& v, const options& how = {},
                                const tensor& d_log_sum_exp = {}) {
    const tensor factor = forward_bounds<Scalar>(forward, v, how).factor;
    const std::size_t last = how.modifiers.size();
    const auto heads = static_cast<std::size_t>(q.heads());

    gradient_bounds bound{zeros_like(q),
                          zeros_like(k),
                          zeros_like(v),
                          std::vector<tensor>(last + 1, zeros_like(forward.p)),
                          zeros_like(forward.scale),
                          std::vector<double>(heads),
                          std::vector<double>(heads)};

    for_each_row(q, [&](index b, index h, index i) {
        const index kv = kv_head(h, q, k);
        const double error = factor(b, h, i, 0);
        const double d_lse = d_log_sum_exp.values.empty() ? 0 : std::abs(d_log_sum_exp(b, h, i, 0));

        std::vector<double> g(static_cast<std::size_t>(k.rows()));
        double mean = 0;
        for (index j = 0; j < k.rows(); ++j) {
            if (forward.visible(b, h, i, j) == 0) continue;
            const double p = forward.p(b, h, i, j);
            for (index x = 0; x < v.columns(); ++x) {
                g[static_cast<std::size_t>(j)] += std::abs(d_o(b, h, i, x) * v(b, kv, j, x));
                bound.v(b, kv, j, x) += error * p * std::abs(d_o(b, h, i, x));
            }
            mean += p * g[static_cast<std::size_t>(j)];
        }
        bound.sink[static_cast<std::size_t>(h)] +=
            error * forward.p_sink(b, h, i, 0) * (d_lse + mean / how.temperature);

        const double c = std::abs(forward.scale(b, h, i, 0));
        for (index j = 0; j < k.rows(); ++j) {
            if (forward.visible(b, h, i, j) == 0) continue;
            double ds = error * forward.p(b, h, i, j) *
                        ((g[static_cast<std::size_t>(j)] + mean) / how.temperature + d_lse);
            bound.scores[last](b, h, i, j) = ds;
            for (std::size_t m = last; m-- > 0;) {
                const modifier& f = how.modifiers[m];
                const double score = forward.scores[m](b, h, i, j);
                ds *= f.magnitude ? f.magnitude(score, b, h, i, j)
                                  : std::abs(f.derivative(score, b, h, i, j));
                bound.scores[m](b, h, i, j) = ds;
            }
            double product = 0;
            for (index x = 0; x < q.columns(); ++x) {
                const double q_x = std::abs(forward.queries(b, h, i, x));
                const double k_x = std::abs(forward.keys(b, kv, j, x));
                product += q_x * k_x;
                bound.q(b, h, i, x) += ds * c * k_x;
                bound.k(b, kv, j, x) += ds * c * q_x;
            }
            bound.scale(b, h, i, 0) += ds * product;
        }
        bound.scale_of_head[static_cast<std::size_t>(h)] += bound.scale(b, h, i, 0);
    });

    tensor queries = forward.queries, keys = forward.keys;
    if (how.rotary) {
        const auto at_query = detail::query_position(how, q, k);
        const auto at_key = detail::key_position(how);
        bound.q = detail::rotate_magnitudes(bound.q, *how.rotary, at_query);
        bound.k = detail::rotate_magnitudes(bound.k, *how.rotary, at_key);
        rotation inverse = *how.rotary;
        inverse.factor = 1 / how.rotary->factor;
        queries = rotate(queries, inverse, at_query, -1);
        keys = rotate(keys, inverse, at_key, -1);
    }
    if (how.normalise_queries)
        bound.q = detail::normalise_magnitudes(bound.q, queries, forward.query_norms);
    if (how.normalise_keys)
        bound.k = detail::normalise_magnitudes(bound.k, keys, forward.key_norms);
    return bound;
}

/// The largest |actual − expected| / bound; at most 1 is a pass, NaN or infinity a failure. Equal
/// elements (infinities too) and NaN beside NaN count as 0.
inline double largest_ratio(const tensor& actual, const tensor& expected, const tensor& bound) {
    double largest = 0;
    for (std::size_t e = 0; e < expected.values.size(); ++e) {
        const double a = actual.values[e], x = expected.values[e];
        if (a == x || (std::isnan(a) && std::isnan(x))) continue;
        const double ratio = std::abs(a - x) / bound.values[e];
        if (std::isnan(ratio)) return std::numeric_limits<double>::infinity();
        largest = std::max(largest, ratio);
    }
    return largest;
}

}  // namespace reference
