#pragma once

#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

#include "masks.hpp"
#include "modifiers.hpp"
#include "rope.hpp"
#include "row_normaliser.hpp"
#include "scales.hpp"
#include "tensor.hpp"

/// \file
/// Exact attention and its gradients in doubles (spec, sections 1 and 2), row after row and key
/// after key. Shapes: q [B, H, N, d], k [B, H_kv, M, d], v [B, H_kv, M, d_v], o [B, H, N, d_v].

namespace reference {

/// Everything that may stand between q, k, v and o, in the order of the work.
struct options {
    tensor query_bias;  ///< [1, H, 1, d], added to q; empty for none
    tensor key_bias;    ///< [1, H_kv, 1, d], added to k; empty for none
    bool normalise_queries = false;
    bool normalise_keys = false;
    std::optional<rotation> rotary;
    position_function query_position;                        ///< i + M − N if empty
    position_function key_position;                          ///< j if empty
    std::function<double(index b, index h, index i)> scale;  ///< c_i; 1/√d if empty
    std::vector<modifier> modifiers;                         ///< from the first to the last
    mask visible;                                            ///< all keys if empty
    double temperature = 1;
    std::vector<double> sink;  ///< a logit a head, which takes part but has no value; empty: none
    std::optional<row_normaliser> normaliser;  ///< of the visible scores, in softmax's place
    /// What p is multiplied by before v, m/(1 − rate) of dropout (spec, section 9); 1 if empty.
    std::function<double(index b, index h, index i, index j)> dropout;
};

/// What forward found, with all that backward needs.
struct attention_result {
    tensor o;
    tensor log_sum_exp;             ///< [B, H, N, 1]: τ·log Σ_j e^{s_ij/τ}, the sink counted
    tensor p;                       ///< [B, H, N, M], 0 where masked
    tensor p_sink;                  ///< [B, H, N, 1]
    tensor scale;                   ///< [B, H, N, 1]: c_i
    tensor products;                ///< [B, H, N, M]: q_i·k_j as they meet, before c_i
    std::vector<tensor> scores;     ///< [0] before the first modifier, [m + 1] behind modifier m
    tensor visible;                 ///< [B, H, N, M]: 1 or 0
    tensor queries, keys;           ///< as they meet: bias, norm and rotation done
    tensor query_norms, key_norms;  ///< [.., 1]: lengths before the norm, 1 where there is none
};

/// The gradients. Those of c_i, a sink or a modifier's output are sums for the test to take:
/// db of a bias is `scores[m + 1]` summed over what b was broadcast over.
struct attention_gradient {
    tensor q, k, v;
    tensor query_bias, key_bias;  ///< of the options' shapes, whether or not they were there
    std::vector<tensor> scores;   ///< [0] at the scale's output, [m + 1] at modifier m's output
    tensor scale;                 ///< [B, H, N, 1]
    std::vector<double> scale_of_head;  ///< the same, summed for each head
    std::vector<double> sink;           ///< a head; zeros without a sink
};

/// The head of k and v that query head h reads.
inline index kv_head(index h, const tensor& q, const tensor& k) {
    return h * k.heads() / q.heads();
}

namespace detail {

/// x + bias, and each row divided by its length if asked to; a row of zeros stays.
inline tensor bias_and_normalise(const tensor& x, const tensor& bias, bool normalise,
                                 tensor& norms) {
    tensor y = x;
    norms = tensor(x.batches(), x.heads(), x.rows(), 1, 1.0);
    for_each_row(x, [&](index b, index h, index i) {
        for (index c = 0; c < x.columns() && !bias.values.empty(); ++c)
            y(b, h, i, c) += bias(0, h, 0, c);
        if (!normalise) return;
        double square = 0;
        for (index c = 0; c < x.columns(); ++c) square += y(b, h, i, c) * y(b, h, i, c);
        if (square == 0) return;
        norms(b, h, i, 0) = std::sqrt(square);
        for (index c = 0; c < x.columns(); ++c) y(b, h, i, c) /= norms(b, h, i, 0);
    });
    return y;
}

/// The way back through y = x/‖x‖: dx = (dy − y (y·dy))/‖x‖. `unit` holds y.
inline tensor normalise_backward(const tensor& dy, const tensor& unit, const tensor& norms) {
    tensor dx = dy;
    for_each_row(dy, [&](index b, index h, index i) {
        double dot = 0;
        for (index c = 0; c < dy.columns(); ++c) dot += unit(b, h, i, c) * dy(b, h, i, c);
        for (index c = 0; c < dy.columns(); ++c)
            dx(b, h, i, c) = (dy(b, h, i, c) - unit(b, h, i, c) * dot) / norms(b, h, i, 0);
    });
    return dx;
}

/// Σ over batches and rows, [1, H, 1, d].
inline tensor sum_rows(const tensor& x) {
    tensor sum(1, x.heads(), 1, x.columns());
    for_each_row(x, [&](index b, index h, index i) {
        for (index c = 0; c < x.columns(); ++c) sum(0, h, 0, c) += x(b, h, i, c);
    });
    return sum;
}

inline position_function query_position(const options& o, const tensor& q, const tensor& k) {
    if (o.query_position) return o.query_position;
    const index shift = k.rows() - q.rows();
    return [=](index, index i) { return static_cast<double>(i + shift); };
}

inline double dropout(const options& o, index b, index h, index i, index j) {
    return o.dropout ? o.dropout(b, h, i, j) : 1;
}

inline position_function key_position(const options& o) {
    if (o.key_position) return o.key_position;
    return [](index, index j) { return static_cast<double>(j); };
}

}  // namespace detail

/// o_i = Σ_j p_ij v_j, p_i = softmax over the visible keys of modifiers(c_i (q_i·k_j)).
/// A query that sees no key gives zeros and log-sum-exp −∞ (the sink's value with a sink); so does
/// one whose visible scores are all −∞.
inline attention_result attention_forward(const tensor& q, const tensor& k, const tensor& v,
                                          const options& how = {}) {
    const double infinity = std::numeric_limits<double>::infinity();
    const index keys = k.rows();
    const tensor rows(q.batches(), q.heads(), q.rows(), 1);
    const tensor square(q.batches(), q.heads(), q.rows(), keys);

    attention_result result;
    result.queries =
        detail::bias_and_normalise(q, how.query_bias, how.normalise_queries, result.query_norms);
    result.keys = detail::bias_and_normalise(k, how.key_bias, how.normalise_keys, result.key_norms);
    if (how.rotary) {
        result.queries = rotate(result.queries, *how.rotary, detail::query_position(how, q, k));
        result.keys = rotate(result.keys, *how.rotary, detail::key_position(how));
    }

    result.o = tensor(q.batches(), q.heads(), q.rows(), v.columns());
    result.log_sum_exp = result.p_sink = result.scale = rows;
    result.p = result.products = result.visible = square;
    result.scores.assign(how.modifiers.size() + 1, square);

    for_each_row(q, [&](index b, index h, index i) {
        const index kv = kv_head(h, q, k);
        const double c = how.scale ? how.scale(b, h, i) : standard_scale(q.columns());
        result.scale(b, h, i, 0) = c;

        const bool has_sink = !how.sink.empty();
        const double sink = has_sink ? how.sink[static_cast<std::size_t>(h)] : -infinity;
        double maximum = sink;
        for (index j = 0; j < keys; ++j) {
            if (how.visible && !how.visible(b, h, i, j)) continue;
            result.visible(b, h, i, j) = 1;
            double product = 0;
            for (index x = 0; x < q.columns(); ++x)
                product += result.queries(b, h, i, x) * result.keys(b, kv, j, x);
            result.products(b, h, i, j) = product;
            double s = c * product;
            result.scores[0](b, h, i, j) = s;
            for (std::size_t m = 0; m < how.modifiers.size(); ++m) {
                s = how.modifiers[m].value(s, b, h, i, j);
                result.scores[m + 1](b, h, i, j) = s;
            }
            if (!(s <= maximum)) maximum = s;  // also takes a NaN, and the row becomes NaN
        }

        if (how.normaliser) {
            row visible;
            for (index j = 0; j < keys; ++j)
                if (result.visible(b, h, i, j) != 0)
                    visible.push_back(result.scores.back()(b, h, i, j));
            const row p = how.normaliser->forward(visible);
            for (index j = 0, n = 0; j < keys; ++j) {
                if (result.visible(b, h, i, j) == 0) continue;
                result.p(b, h, i, j) = p[static_cast<std::size_t>(n++)];
                const double weight = result.p(b, h, i, j) * detail::dropout(how, b, h, i, j);
                for (index x = 0; x < v.columns(); ++x)
                    result.o(b, h, i, x) += weight * v(b, kv, j, x);
            }
            return;
        }

        result.log_sum_exp(b, h, i, 0) = -infinity;
        if (maximum == -infinity) return;

        const tensor& s = result.scores.back();
        double sum = has_sink ? std::exp((sink - maximum) / how.temperature) : 0;
        for (index j = 0; j < keys; ++j)
            if (result.visible(b, h, i, j) != 0)
                sum += std::exp((s(b, h, i, j) - maximum) / how.temperature);
        result.log_sum_exp(b, h, i, 0) = maximum + how.temperature * std::log(sum);
        if (has_sink)
            result.p_sink(b, h, i, 0) = std::exp((sink - maximum) / how.temperature) / sum;
        for (index j = 0; j < keys; ++j) {
            if (result.visible(b, h, i, j) == 0) continue;
            const double p = std::exp((s(b, h, i, j) - maximum) / how.temperature) / sum;
            result.p(b, h, i, j) = p;
            const double weight = p * detail::dropout(how, b, h, i, j);
            for (index x = 0; x < v.columns(); ++x) result.o(b, h, i, x) += weight * v(b, kv, j, x);
        }
    });
    return result;
}

/// The gradients of Σ d_o·o + Σ d_log_sum_exp·log_sum_exp; an empty d_log_sum_exp is zero.
/// With g_j = m_j·d_o·v_j, m_j dropout's factor: ds_j = p_j (g_j − Σ p g)/τ + p_j d_lse, d sink =
/// −p_sink Σ p g/τ + p_sink d_lse.
inline attention_gradient attention_backward(const tensor& d_o, const attention_result& forward,
                                             const tensor& q, const tensor& k, const tensor& v,
                                             const options& how = {},
                                             const tensor& d_log_sum_exp = {}) {
    const index keys = k.rows();
    const std::size_t last = how.modifiers.size();

    attention_gradient gradient;
    gradient.q = zeros_like(q);
    gradient.k = zeros_like(k);
    gradient.v = zeros_like(v);
    gradient.scores.assign(last + 1, zeros_like(forward.p));
    gradient.scale = zeros_like(forward.scale);
    gradient.scale_of_head.assign(static_cast<std::size_t>(q.heads()), 0);
    gradient.sink.assign(static_cast<std::size_t>(q.heads()), 0);

    for_each_row(q, [&](index b, index h, index i) {
        const index kv = kv_head(h, q, k);
        const double d_lse = d_log_sum_exp.values.empty() ? 0 : d_log_sum_exp(b, h, i, 0);

        std::vector<double> g(static_cast<std::size_t>(keys));
        double mean = 0;
        for (index j = 0; j < keys; ++j) {
            if (forward.visible(b, h, i, j) == 0) continue;
            double& g_j = g[static_cast<std::size_t>(j)];
            const double factor = detail::dropout(how, b, h, i, j);
            for (index x = 0; x < v.columns(); ++x) {
                g_j += factor * d_o(b, h, i, x) * v(b, kv, j, x);
                gradient.v(b, kv, j, x) += forward.p(b, h, i, j) * factor * d_o(b, h, i, x);
            }
            mean += forward.p(b, h, i, j) * g_j;
        }
        gradient.sink[static_cast<std::size_t>(h)] +=
            forward.p_sink(b, h, i, 0) * (d_lse - mean / how.temperature);

        row normaliser_ds;
        if (how.normaliser) {
            row visible, dp;
            for (index j = 0; j < keys; ++j) {
                if (forward.visible(b, h, i, j) == 0) continue;
                visible.push_back(forward.scores[last](b, h, i, j));
                dp.push_back(g[static_cast<std::size_t>(j)]);
            }
            normaliser_ds = how.normaliser->backward(visible, dp);
        }

        const double c = forward.scale(b, h, i, 0);
        std::size_t seen = 0;
        for (index j = 0; j < keys; ++j) {
            if (forward.visible(b, h, i, j) == 0) continue;
            double ds =
                how.normaliser
                    ? normaliser_ds[seen++]
                    : forward.p(b, h, i, j) *
                          ((g[static_cast<std::size_t>(j)] - mean) / how.temperature + d_lse);
            gradient.scores[last](b, h, i, j) = ds;
            for (std::size_t m = last; m-- > 0;) {
                ds *= how.modifiers[m].derivative(forward.scores[m](b, h, i, j), b, h, i, j);
                gradient.scores[m](b, h, i, j) = ds;
            }
            gradient.scale(b, h, i, 0) += ds * forward.products(b, h, i, j);
            for (index x = 0; x < q.columns(); ++x) {
                gradient.q(b, h, i, x) += ds * c * forward.keys(b, kv, j, x);
                gradient.k(b, kv, j, x) += ds * c * forward.queries(b, h, i, x);
            }
        }
        gradient.scale_of_head[static_cast<std::size_t>(h)] += gradient.scale(b, h, i, 0);
    });

    tensor queries = forward.queries, unit_keys = forward.keys;
    if (how.rotary) {
        const auto at_query = detail::query_position(how, q, k);
        const auto at_key = detail::key_position(how);
        gradient.q = rotate(gradient.q, *how.rotary, at_query, -1);
        gradient.k = rotate(gradient.k, *how.rotary, at_key, -1);
        rotation inverse = *how.rotary;  // what was met before the rotation
        inverse.factor = 1 / how.rotary->factor;
        queries = rotate(queries, inverse, at_query, -1);
        unit_keys = rotate(unit_keys, inverse, at_key, -1);
    }
    if (how.normalise_queries)
        gradient.q = detail::normalise_backward(gradient.q, queries, forward.query_norms);
    if (how.normalise_keys)
        gradient.k = detail::normalise_backward(gradient.k, unit_keys, forward.key_norms);
    gradient.query_bias = detail::sum_rows(gradient.q);
    gradient.key_bias = detail::sum_rows(gradient.k);
    return gradient;
}

}  // namespace reference
