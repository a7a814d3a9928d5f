#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

#include "attention.hpp"
#include "tensor.hpp"

/// \file
/// Nyström attention in doubles (spec, section 5), a sequence after the other.

namespace reference {

/// Row i of m is the mean of rows ⌊in/m⌋ … ⌊(i + 1)n/m⌋ − 1.
inline tensor segment_means(const tensor& x, index m) {
    const index n = x.rows();
    tensor means(x.batches(), x.heads(), m, x.columns());
    for_each_row(means, [&](index b, index h, index i) {
        const index first = i * n / m, last = (i + 1) * n / m;
        for (index c = 0; c < x.columns(); ++c) {
            for (index r = first; r < last; ++r) means(b, h, i, c) += x(b, h, r, c);
            means(b, h, i, c) /= static_cast<double>(last - first);
        }
    });
    return means;
}

/// a·b of each head.
inline tensor multiply(const tensor& a, const tensor& b) {
    tensor product(a.batches(), a.heads(), a.rows(), b.columns());
    for_each_row(a, [&](index n, index h, index i) {
        for (index j = 0; j < b.columns(); ++j)
            for (index k = 0; k < a.columns(); ++k)
                product(n, h, i, j) += a(n, h, i, k) * b(n, h, k, j);
    });
    return product;
}

/// diagonal·I − x
inline tensor identity_less(double diagonal, tensor x) {
    for (double& value : x.values) value = -value;
    for_each_row(x, [&](index b, index h, index i) { x(b, h, i, i) += diagonal; });
    return x;
}

/// V ← ¼V(13I − AV(15I − AV(7I − AV))) from Aᵀ/(‖A‖₁‖A‖_∞), a matrix at a time.
inline tensor iterative_pseudo_inverse(const tensor& a, int rounds) {
    tensor v(a.batches(), a.heads(), a.columns(), a.rows());
    for (index b = 0; b < a.batches(); ++b) {
        for (index h = 0; h < a.heads(); ++h) {
            double one_norm = 0, infinity_norm = 0;
            for (index i = 0; i < a.rows(); ++i) {
                double sum = 0;
                for (index j = 0; j < a.columns(); ++j) sum += std::abs(a(b, h, i, j));
                infinity_norm = std::max(infinity_norm, sum);
            }
            for (index j = 0; j < a.columns(); ++j) {
                double sum = 0;
                for (index i = 0; i < a.rows(); ++i) sum += std::abs(a(b, h, i, j));
                one_norm = std::max(one_norm, sum);
            }
            for (index i = 0; i < a.rows(); ++i)
                for (index j = 0; j < a.columns(); ++j)
                    v(b, h, j, i) = a(b, h, i, j) / (one_norm * infinity_norm);
        }
    }
    for (int round = 0; round < rounds; ++round) {
        const tensor x = multiply(a, v);
        v = multiply(
            v, identity_less(13, multiply(x, identity_less(15, multiply(x, identity_less(7, x))))));
        for (double& value : v.values) value /= 4;
    }
    return v;
}

/// A⁻¹ of square matrices that have one, by elimination with pivots.
inline tensor inverse(tensor a) {
    const index m = a.rows();
    tensor result = zeros_like(a);
    for (index b = 0; b < a.batches(); ++b) {
        for (index h = 0; h < a.heads(); ++h) {
            for (index i = 0; i < m; ++i) result(b, h, i, i) = 1;
            for (index k = 0; k < m; ++k) {
                index pivot = k;
                for (index i = k + 1; i < m; ++i)
                    if (std::abs(a(b, h, i, k)) > std::abs(a(b, h, pivot, k))) pivot = i;
                for (index j = 0; j < m; ++j) {
                    std::swap(a(b, h, k, j), a(b, h, pivot, j));
                    std::swap(result(b, h, k, j), result(b, h, pivot, j));
                }
                const double by = a(b, h, k, k);
                for (index j = 0; j < m; ++j) a(b, h, k, j) /= by, result(b, h, k, j) /= by;
                for (index i = 0; i < m; ++i) {
                    if (i == k) continue;
                    const double factor = a(b, h, i, k);
                    for (index j = 0; j < m; ++j) {
                        a(b, h, i, j) -= factor * a(b, h, k, j);
                        result(b, h, i, j) -= factor * result(b, h, k, j);
                    }
                }
            }
        }
    }
    return result;
}

/// What stands between q, k, v and o.
struct nystrom_options {
    index landmarks = 64;
    std::function<tensor(const tensor&)> inverse;         ///< of A; empty: softmax(QK̃ᵀ)·F
    std::vector<index> lengths;                           ///< keys of each sequence; empty: all
    std::function<double(index head, index keys)> scale;  ///< 1/√d if empty
    double temperature = 1;
    tensor convolution;  ///< [1, 1, heads, K]; empty for none
};

namespace detail {

/// The first `rows` rows of sequence b.
inline tensor sequence_of(const tensor& x, index b, index rows) {
    tensor part(1, x.heads(), rows, x.columns());
    for_each_row(part, [&](index, index h, index i) {
        for (index c = 0; c < x.columns(); ++c) part(0, h, i, c) = x(b, h, i, c);
    });
    return part;
}

/// Each head of x once for each of `heads` query heads.
inline tensor repeat_heads(const tensor& x, index heads) {
    tensor all(x.batches(), heads, x.rows(), x.columns());
    for_each_row(all, [&](index b, index h, index i) {
        for (index c = 0; c < x.columns(); ++c) all(b, h, i, c) = x(b, h * x.heads() / heads, i, c);
    });
    return all;
}

/// softmax(c·q·kᵀ/τ), and its product with v.
inline attention_result attend(const tensor& q, const tensor& k, const tensor& v, index keys,
                               const nystrom_options& how) {
    options of;
    of.temperature = how.temperature;
    if (how.scale) of.scale = [&](index, index h, index) { return how.scale(h, keys); };
    return attention_forward(q, k, v, of);
}

}  // namespace detail

/// softmax(Q·K̃ᵀ)·softmax(Q̃·K̃ᵀ)⁺·(softmax(Q̃·Kᵀ)·V), and the convolution of v. Rows beyond a
/// sequence's length, where q has as many as k, are zeros; so are those of a sequence without keys.
inline tensor nystrom_attention(const tensor& q, const tensor& k, const tensor& v,
                                const nystrom_options& how) {
    tensor o(q.batches(), q.heads(), q.rows(), v.columns());
    for (index b = 0; b < q.batches(); ++b) {
        const index keys =
            how.lengths.empty() ? k.rows() : how.lengths[static_cast<std::size_t>(b)];
        const index queries = q.rows() == k.rows() ? keys : q.rows();
        const index m = std::min({how.landmarks, queries, keys});
        if (m == 0) continue;
        const tensor own_q = detail::sequence_of(q, b, queries);
        const tensor own_k = detail::repeat_heads(detail::sequence_of(k, b, keys), q.heads());
        const tensor own_v = detail::repeat_heads(detail::sequence_of(v, b, keys), q.heads());
        const tensor mean_q = segment_means(own_q, m), mean_k = segment_means(own_k, m);
        tensor values = detail::attend(mean_q, own_k, own_v, keys, how).o;
        if (how.inverse) {
            const tensor a = detail::attend(mean_q, mean_k, mean_k, keys, how).p;
            values = multiply(how.inverse(a), values);
        }
        const tensor own_o = detail::attend(own_q, mean_k, values, keys, how).o;
        for_each_row(own_o, [&](index, index h, index i) {
            for (index c = 0; c < v.columns(); ++c) {
                o(b, h, i, c) = own_o(0, h, i, c);
                const index taps = how.convolution.columns();
                for (index t = 0; t < taps; ++t) {
                    const index from = i + t - taps / 2;
                    if (from >= 0 && from < keys)
                        o(b, h, i, c) += how.convolution(0, 0, h, t) * own_v(0, h, from, c);
                }
            }
        });
    }
    return o;
}

}  // namespace reference
