#pragma once

#include <algorithm>
#include <cmath>

#include "attention.hpp"
#include "masks.hpp"
#include "tensor.hpp"

/// \file
/// Causal softmax attention over integers of 8 bits times a scale a key and value, and how far from
/// it rounding rows of q and weights to 16 bits may lead.

namespace reference {

struct attention_over_integers_result {
    tensor o;
    tensor error;  ///< [B, H, N, 1]: that of any number of the row at most
};

/// Let u_i be the largest |c·q_i| over min(32767, ⌊(2³¹ − 1)/(127·d)⌋), and a number of c·q_i be a
/// multiple of it: scores are off by δ = ½·u_i·max_j Σ_c |k_jc| at most, probabilities by a factor
/// e^{±2δ}. Of a page, p_j·s_j with the scale s_j = max_c |v_jc|/127 of a value are multiples of
/// the largest of them over 32767, each off by half of that and multiplied by 127 at most. And the
/// rest is computed in floats.
inline attention_over_integers_result attention_over_integers(const tensor& q, const tensor& k,
                                                              const tensor& v, index keys_a_page) {
    options parts;
    parts.visible = causal(q.rows(), k.rows());
    const index dim = q.columns();
    const attention_result exact = attention_forward(q, k, v, parts);
    attention_over_integers_result result{exact.o, tensor(q.batches(), q.heads(), q.rows(), 1)};
    const double most = std::min(32767.0, std::floor(2147483647.0 / (127.0 * double(dim))));
    for_each_row(q, [&](index b, index h, index i) {
        const index of_k = kv_head(h, q, k);
        double of_q = 0, of_keys = 0, of_values = 0, rounded = 0, largest = 0;
        for (index c = 0; c < dim; ++c) of_q = std::max(of_q, std::abs(q(b, h, i, c)));
        for (index j = 0; j < k.rows(); ++j) {
            double sum = 0, value = 0;
            for (index c = 0; c < dim; ++c) sum += std::abs(k(b, of_k, j, c));
            for (index c = 0; c < v.columns(); ++c)
                value = std::max(value, std::abs(v(b, of_k, j, c)));
            of_keys = std::max(of_keys, sum);
            of_values = std::max(of_values, value);
            largest = std::max(largest, exact.p(b, h, i, j) * value);
            if (j % keys_a_page != keys_a_page - 1 && j + 1 < k.rows()) continue;
            rounded += largest * static_cast<double>(j % keys_a_page + 1) / (2 * 32767.0);
            largest = 0;
        }
        const double delta = 0.5 * of_q / std::sqrt(double(dim)) / most * of_keys;
        result.error(b, h, i, 0) = std::expm1(2 * delta) * of_values + rounded + 1e-5 * of_values;
    });
    return result;
}

}  // namespace reference
