#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "masks.hpp"
#include "rope.hpp"
#include "softmax.hpp"
#include "tensor.hpp"

/// \file
/// Linear attention in doubles (spec, section 4), query after query and key after key: o_i = Σ_j
/// (φ(q_i)·φ(k_j)) v_j / Σ_j φ(q_i)·φ(k_j); with decays as a recurrence, token after token. Shapes:
/// q [B, H_q, N, d], k [B, H_k, M, d], v [B, H_v, M, d_v], log α [B, H_α, M, 1] or of a number a
/// channel [B, H_α, M, d], o [B, H, N, d_v], H the largest of them.

namespace reference {

/// φ of a row at a position.
using feature_function =
    std::function<std::vector<double>(const std::vector<double>& x, double position)>;

struct linear_options {
    feature_function map;  ///< empty: double softmax
    bool divides = true;
    double least = 0;               ///< divides by max(z, least)
    std::vector<double> scale;      ///< where nothing divides: a factor a head; empty: 1
    mask visible;                   ///< all keys if empty
    std::optional<rotation> turns;  ///< rotates features in the numerator, or rows before the map
    bool turns_rows = false;
    index offset = 0;                  ///< query i stands at i + offset
    std::optional<tensor> log_decays;  ///< causal then, and nothing divides
    std::optional<tensor> deltas;      ///< the same: β of the delta rule
    std::optional<tensor>
        bonus;  ///< causal: u [1, H_u, 1, d], of which tokens read S before their own
    std::optional<tensor> erased,
        written;                 ///< or, a channel each, e [B, H, M, d], w [B, H, M, d_v]
    std::optional<tensor> a, b;  ///< or of low rank, [B, H, M, d]
    bool unit_rows = false;      ///< q and k are of length 1, but for ε
};

/// A feature map, and nothing else.
inline linear_options with_map(feature_function map) {
    linear_options how;
    how.map = std::move(map);
    return how;
}

/// Features: φ(x) applied to each number.
inline feature_function each_number(double (*f)(double)) {
    return [f](const std::vector<double>& x, double) {
        std::vector<double> y(x.size());
        std::transform(x.begin(), x.end(), y.begin(), f);
        return y;
    };
}
inline double elu_plus_one(double x) { return x > 0 ? x + 1 : std::exp(x); }
inline double relu(double x) { return x > 0 ? x : 0; }
inline double exponential(double x) { return std::exp(x); }
inline double identity(double x) { return x; }

/// [1, x/‖x‖]
inline std::vector<double> one_plus_cosine(const std::vector<double>& x, double) {
    double square = 0;
    for (const double c : x) square += c * c;
    std::vector<double> y{1};
    for (const double c : x) y.push_back(square > 0 ? c / std::sqrt(square) : 0);
    return y;
}

/// [1, x/d^¼, x_i²/√(2d), x_i x_j/√d for i < j]
inline std::vector<double> taylor_features(const std::vector<double>& x, double) {
    const auto d = static_cast<double>(x.size());
    std::vector<double> y{1};
    for (const double c : x) y.push_back(c / std::pow(d, 0.25));
    for (const double c : x) y.push_back(c * c / std::sqrt(2 * d));
    for (std::size_t i = 0; i < x.size(); ++i)
        for (std::size_t j = i + 1; j < x.size(); ++j) y.push_back(x[i] * x[j] / std::sqrt(d));
    return y;
}

/// relu beside cos and sin of π·position/2M
inline feature_function cosformer(double span) {
    return [span](const std::vector<double>& x, double position) {
        const double angle = std::acos(-1.0) * position / (2 * span);
        std::vector<double> y;
        for (const double c : x) y.push_back(relu(c) * std::cos(angle));
        for (const double c : x) y.push_back(relu(c) * std::sin(angle));
        return y;
    };
}

/// f of ω·x for all directions (and for −ω), x scaled by d^−¼, over the root of their number;
/// f(ω·x, ‖x‖²/2).
inline feature_function random_directions(std::vector<std::vector<double>> omega, bool both_signs,
                                          std::function<double(double, double)> f) {
    return [=](std::vector<double> x, double) {
        const double scale = std::pow(static_cast<double>(x.size()), -0.25);
        double half_square = 0;
        for (double& c : x) {
            c *= scale;
            half_square += c * c / 2;
        }
        std::vector<double> y;
        for (const double sign : {1.0, -1.0}) {
            if (sign < 0 && !both_signs) break;
            for (const std::vector<double>& direction : omega) {
                double dot = 0;
                for (std::size_t c = 0; c < x.size(); ++c) dot += direction[c] * x[c];
                y.push_back(f(sign * dot, half_square));
            }
        }
        for (double& feature : y)
            feature /= std::sqrt(static_cast<double>(omega.size()) * (both_signs ? 2 : 1));
        return y;
    };
}

/// A row, turned by its position.
inline std::vector<double> turned(const std::vector<double>& x, const rotation& how,
                                  double position) {
    tensor one(1, 1, 1, static_cast<index>(x.size()));
    one.values = x;
    return rotate(one, how, [&](index, index) { return position; }).values;
}

/// Features of a row, for the denominator and for the numerator.
struct row_features {
    std::vector<double> plain, turned;
};
inline std::vector<row_features> features_of(const tensor& x, index b, index h, index offset,
                                             const linear_options& how) {
    std::vector<row_features> all;
    for (index i = 0; i < x.rows(); ++i) {
        const auto position = static_cast<double>(i + offset);
        row numbers;
        for (index c = 0; c < x.columns(); ++c) numbers.push_back(x(b, h, i, c));
        if (how.turns && how.turns_rows) numbers = turned(numbers, *how.turns, position);
        const row plain = how.map(numbers, position);
        const bool turns = how.turns && !how.turns_rows;
        all.push_back({plain, turns ? turned(plain, *how.turns, position) : plain});
    }
    return all;
}

/// o_i = Σ_f softmax(q_i)_f · (Σ_j e^{k_jf} v_j)/(Σ_j e^{k_jf}) over the keys that i sees.
inline void double_softmax(const tensor& q, const tensor& k, const tensor& v, const mask& visible,
                           index b, index h, tensor& o) {
    const index k_head = h * k.heads() / o.heads(), v_head = h * v.heads() / o.heads();
    const linear_options exponentials = with_map(each_number(exponential));
    const auto queries = features_of(q, b, h * q.heads() / o.heads(), 0, exponentials);
    const auto keys = features_of(k, b, k_head, 0, exponentials);
    for (index i = 0; i < q.rows(); ++i) {
        const std::vector<double>& weights = queries[static_cast<std::size_t>(i)].plain;
        const double of_query = std::accumulate(weights.begin(), weights.end(), 0.0);
        for (std::size_t f = 0; f < weights.size(); ++f) {
            double sum = 0;
            std::vector<double> values(static_cast<std::size_t>(v.columns()));
            for (index j = 0; j < k.rows(); ++j) {
                if (visible && !visible(b, h, i, j)) continue;
                const double weight = keys[static_cast<std::size_t>(j)].plain[f];
                sum += weight;
                for (index c = 0; c < v.columns(); ++c)
                    values[static_cast<std::size_t>(c)] += weight * v(b, v_head, j, c);
            }
            for (index c = 0; c < v.columns() && sum > 0; ++c)
                o(b, h, i, c) += weights[f] / of_query * values[static_cast<std::size_t>(c)] / sum;
        }
    }
}

/// Σ_j φ(q_i)·φ(k_j) v_j of one head, divided or scaled.
inline void sum_of_features(const tensor& q, const tensor& k, const tensor& v,
                            const linear_options& how, index b, index h, tensor& o) {
    const index v_head = h * v.heads() / o.heads();
    const auto queries = features_of(q, b, h * q.heads() / o.heads(), how.offset, how);
    const auto keys = features_of(k, b, h * k.heads() / o.heads(), 0, how);
    for (index i = 0; i < q.rows(); ++i) {
        const row_features& query = queries[static_cast<std::size_t>(i)];
        double z = 0;
        for (index j = 0; j < k.rows(); ++j) {
            if (how.visible && !how.visible(b, h, i, j)) continue;
            const row_features& key = keys[static_cast<std::size_t>(j)];
            z += dot(query.plain, key.plain);
            const double weight = dot(query.turned, key.turned);
            for (index c = 0; c < v.columns(); ++c) o(b, h, i, c) += weight * v(b, v_head, j, c);
        }
        double factor = 1;
        if (how.divides) {
            z = std::max(z, how.least);
            factor = z == 0 ? 0 : 1 / z;
        } else if (!how.scale.empty()) {
            factor = how.scale[static_cast<std::size_t>(h)];
        }
        for (index c = 0; c < v.columns(); ++c) o(b, h, i, c) *= factor;
    }
}

/// x/√(‖x‖² + 10⁻⁶)
inline std::vector<double> unit_row(std::vector<double> x) {
    const double length = std::sqrt(dot(x, x) + 1e-6);
    for (double& c : x) c /= length;
    return x;
}

/// S_t = S_{t−1} Diag(α_t) + v_t k_tᵀ, or by the delta rule S_{t−1} Diag(α_t)(I − β_t k_t k_tᵀ) +
/// β_t v_t k_tᵀ, or by channels S_{t−1} Diag(α_t)(I − (e_t⊙k_t) k_tᵀ) + (w_t⊙v_t) k_tᵀ, or of low
/// rank S_{t−1}(Diag(α_t) + a_t b_tᵀ) + v_t k_tᵀ, o_t = c·S_t q_t of one head; what is cleared is
/// not read by a. The result has S_t [d_v, d] behind each token. With a bonus o_t = c·(S_{t−1} +
/// v_t (u⊙k_t)ᵀ) q_t. Where a query does not see the key at its place, that is padding; where it
/// does not see the key before, a document begins.
inline std::vector<std::vector<std::vector<double>>> recurrence(const tensor& q, const tensor& k,
                                                                const tensor& v,
                                                                const linear_options& how, index b,
                                                                index h, tensor& o) {
    const auto head_of = [&](const tensor& x) { return h * x.heads() / o.heads(); };
    const auto number = [&](const std::optional<tensor>& of, index t, double otherwise) {
        return of ? (*of)(b, head_of(*of), t, 0) : otherwise;
    };
    const auto row_of = [&](const row_features& features) {
        return how.unit_rows ? unit_row(features.turned) : features.turned;
    };
    const auto queries = features_of(q, b, head_of(q), how.offset, how);
    const auto keys = features_of(k, b, head_of(k), 0, how);
    const double factor = how.scale.empty() ? 1 : how.scale[static_cast<std::size_t>(h)];
    // A row of S for each column of v.
    std::vector<std::vector<double>> s(static_cast<std::size_t>(v.columns()),
                                       std::vector<double>(static_cast<std::size_t>(k.columns())));
    std::vector<std::vector<std::vector<double>>> states;
    for (index t = 0; t < std::max(k.rows(), q.rows() + how.offset); ++t) {
        const index i = t - how.offset;
        const auto before = s;
        const bool own = how.bonus && i >= 0 && t < k.rows() && how.visible(b, h, i, t);
        if (t < k.rows() && how.visible(b, h, i, t)) {
            const bool begins = t > 0 && !how.visible(b, h, i, t - 1);
            row decay(static_cast<std::size_t>(k.columns()), 1);
            for (index f = 0; how.log_decays && f < k.columns(); ++f)
                decay[static_cast<std::size_t>(f)] = std::exp((*how.log_decays)(
                    b, head_of(*how.log_decays), t, std::min(f, how.log_decays->columns() - 1)));
            const std::vector<double> key = row_of(keys[static_cast<std::size_t>(t)]);
            std::vector<double> reader = key;
            for (std::size_t f = 0; how.erased && f < key.size(); ++f)
                reader[f] *= (*how.erased)(b, head_of(*how.erased), t, static_cast<index>(f));
            for (index c = 0; c < v.columns(); ++c) {
                row& sums = s[static_cast<std::size_t>(c)];
                double corrected = 0;
                for (std::size_t f = 0; f < sums.size(); ++f) {
                    if (begins || decay[f] == 0) sums[f] = 0;
                    if (how.a)
                        corrected +=
                            (*how.a)(b, head_of(*how.a), t, static_cast<index>(f)) * sums[f];
                    sums[f] *= decay[f];
                }
                for (std::size_t f = 0; how.b && f < sums.size(); ++f)
                    sums[f] += corrected * (*how.b)(b, head_of(*how.b), t, static_cast<index>(f));
                double value = v(b, head_of(v), t, c);
                if (how.deltas) value = number(how.deltas, t, 1) * (value - dot(sums, key));
                if (how.erased)
                    value =
                        (*how.written)(b, head_of(*how.written), t, c) * value - dot(sums, reader);
                for (std::size_t f = 0; f < key.size(); ++f) sums[f] += value * key[f];
            }
        }
        states.push_back(s);
        if (i < 0) continue;
        const std::vector<double> query = row_of(queries[static_cast<std::size_t>(i)]);
        if (!own) {
            for (index c = 0; c < v.columns(); ++c)
                o(b, h, i, c) = factor * dot(s[static_cast<std::size_t>(c)], query);
            continue;
        }
        const bool begins = t > 0 && !how.visible(b, h, i, t - 1);
        double weight = 0;
        for (index f = 0; f < k.columns(); ++f)
            weight += query[static_cast<std::size_t>(f)] *
                      (*how.bonus)(0, head_of(*how.bonus), 0, f) *
                      row_of(keys[static_cast<std::size_t>(t)])[static_cast<std::size_t>(f)];
        for (index c = 0; c < v.columns(); ++c)
            o(b, h, i, c) =
                factor * ((begins ? 0 : dot(before[static_cast<std::size_t>(c)], query)) +
                          weight * v(b, head_of(v), t, c));
    }
    return states;
}

inline tensor linear_attention(const tensor& q, const tensor& k, const tensor& v,
                               const linear_options& how) {
    index heads = std::max({q.heads(), k.heads(), v.heads()});
    for (const std::optional<tensor>& numbers :
         {how.log_decays, how.deltas, how.erased, how.a, how.bonus})
        if (numbers) heads = std::max(heads, numbers->heads());
    tensor o(q.batches(), heads, q.rows(), v.columns());
    for (index b = 0; b < o.batches(); ++b) {
        for (index h = 0; h < o.heads(); ++h) {
            if (how.log_decays || how.deltas || how.erased || how.a || how.bonus)
                recurrence(q, k, v, how, b, h, o);
            else if (how.map)
                sum_of_features(q, k, v, how, b, h, o);
            else
                double_softmax(q, k, v, how.visible, b, h, o);
        }
    }
    return o;
}

/// Within one document alone: tokens offsets[d] … offsets[d + 1] − 1, of queries and keys.
inline mask documents(std::vector<index> offsets) {
    const auto of = [offsets](index i) {
        return std::upper_bound(offsets.begin(), offsets.end(), i) - offsets.begin();
    };
    return [of](index, index, index i, index j) { return of(i) == of(j); };
}

}  // namespace reference
