#pragma once

#include <cmath>
#include <cstddef>
#include <optional>
#include <vector>

#include "attention.hpp"
#include "norms.hpp"
#include "projection.hpp"
#include "rope.hpp"
#include "tensor.hpp"

/// \file
/// Multi-head latent attention (spec, section 6) of one sequence, in doubles: expanded, and
/// absorbed.

namespace reference {

/// Weights [outputs][inputs] by their names in checkpoints; what is empty is not there.
struct latent_weights {
    matrix q_proj;       ///< [W_qc; W_qr] a head, of x
    matrix q_a_proj;     ///< W_c'
    row q_a_proj_bias;   //
    row q_a_layernorm;   ///< γ'
    matrix q_b_proj;     ///< [W_qc; W_qr] a head, of c'
    matrix kv_a_proj;    ///< [W_c; W_kr]
    row kv_a_proj_bias;  //
    row kv_a_layernorm;  ///< γ; none where c is not normed
    matrix kv_b_proj;    ///< [W_kc; W_v] a head
    matrix o_proj;       ///< W_o
    row o_proj_bias;     //
    matrix g_proj;       ///< W_g, of a number a head or of each of its values
};

struct latent_options {
    index heads = 1, content = 1, rotated = 0, value = 1, rank = 1;
    double epsilon = 1e-6;
    double stretch = 1, mscale_all_dim = 0;
    std::optional<rotation> rotary;
};

namespace detail {

inline matrix rms_norm(matrix rows, const row& gamma, double epsilon) {
    for (row& x : rows) x = norm(x, gamma, {}, epsilon, false);
    return rows;
}

/// Columns first … first + count − 1 of each row as heads of `stride` columns each.
inline tensor heads_of(const matrix& rows, index heads, index stride, index first, index count) {
    tensor x(1, heads, static_cast<index>(rows.size()), count);
    for_each_row(x, [&](index, index h, index i) {
        for (index c = 0; c < count; ++c)
            x(0, h, i, c) =
                rows[static_cast<std::size_t>(i)][static_cast<std::size_t>(h * stride + first + c)];
    });
    return x;
}

/// [a, b] of each row; a head of b for all of a's if it has one only.
inline tensor join(const tensor& a, const tensor& b) {
    tensor x(1, a.heads(), a.rows(), a.columns() + b.columns());
    for_each_row(x, [&](index, index h, index i) {
        for (index c = 0; c < x.columns(); ++c)
            x(0, h, i, c) =
                c < a.columns() ? a(0, h, i, c) : b(0, h % b.heads(), i, c - a.columns());
    });
    return x;
}

inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace detail

/// y of a sequence x [tokens][model], its first row at position 0. `is_absorbed`: multi-query
/// attention over rows [c, k_r], W_kc in the queries and W_v behind; else keys and values of every
/// head. The two are the same but for rounding.
inline matrix latent_attention(const matrix& x, const latent_weights& w, const latent_options& how,
                               bool is_absorbed) {
    const index d_k = how.content, d_r = how.rotated, d_v = how.value, d_c = how.rank;
    const auto tokens = static_cast<index>(x.size());
    const auto turned = [&](const tensor& part) {
        if (!how.rotary || d_r == 0) return part;
        return rotate(part, *how.rotary, [](index, index i) { return static_cast<double>(i); });
    };

    const matrix queries = w.q_a_proj.empty()
                               ? project(x, w.q_proj, {})
                               : project(detail::rms_norm(project(x, w.q_a_proj, w.q_a_proj_bias),
                                                          w.q_a_layernorm, how.epsilon),
                                         w.q_b_proj, {});
    const tensor q_c = detail::heads_of(queries, how.heads, d_k + d_r, 0, d_k);
    const tensor q_r = turned(detail::heads_of(queries, how.heads, d_k + d_r, d_k, d_r));

    const matrix compressed = project(x, w.kv_a_proj, w.kv_a_proj_bias);
    matrix c;
    for (const row& numbers : compressed) c.emplace_back(numbers.begin(), numbers.begin() + d_c);
    if (!w.kv_a_layernorm.empty()) c = detail::rms_norm(c, w.kv_a_layernorm, how.epsilon);
    const tensor k_r = turned(detail::heads_of(compressed, 1, 0, d_c, d_r));

    options of;
    of.visible = causal(tokens, tokens);
    const double mscale =
        how.stretch > 1 ? 0.1 * how.mscale_all_dim * std::log(how.stretch) + 1 : 1;
    of.scale = [&](index, index, index) {
        return mscale * mscale / std::sqrt(static_cast<double>(d_k + d_r));
    };
    const auto of_kv = [&](index h, index r) -> const row& {
        return w.kv_b_proj[static_cast<std::size_t>(h * (d_k + d_v) + r)];
    };
    tensor o(1, how.heads, tokens, d_v);
    if (is_absorbed) {
        tensor absorbed(1, how.heads, tokens, d_c);
        for_each_row(absorbed, [&](index, index h, index i) {
            for (index r = 0; r < d_k; ++r)
                for (index l = 0; l < d_c; ++l)
                    absorbed(0, h, i, l) +=
                        q_c(0, h, i, r) * of_kv(h, r)[static_cast<std::size_t>(l)];
        });
        const tensor latent = detail::heads_of(c, 1, 0, 0, d_c);
        const tensor seen =
            attention_forward(detail::join(absorbed, q_r), detail::join(latent, k_r), latent, of).o;
        for_each_row(o, [&](index, index h, index i) {
            for (index r = 0; r < d_v; ++r)
                for (index l = 0; l < d_c; ++l)
                    o(0, h, i, r) +=
                        seen(0, h, i, l) * of_kv(h, d_k + r)[static_cast<std::size_t>(l)];
        });
    } else {
        const matrix expanded = project(c, w.kv_b_proj, {});
        const tensor k =
            detail::join(detail::heads_of(expanded, how.heads, d_k + d_v, 0, d_k), k_r);
        const tensor v = detail::heads_of(expanded, how.heads, d_k + d_v, d_k, d_v);
        o = attention_forward(detail::join(q_c, q_r), k, v, of).o;
    }

    const matrix gate = w.g_proj.empty() ? matrix() : project(x, w.g_proj, {});
    const index gates = static_cast<index>(w.g_proj.size()) / how.heads;  // a head
    matrix all(x.size(), row(static_cast<std::size_t>(how.heads * d_v)));
    for_each_row(o, [&](index, index h, index i) {
        const auto r = static_cast<std::size_t>(i);
        for (index e = 0; e < d_v; ++e) {
            double& to = all[r][static_cast<std::size_t>(h * d_v + e)];
            to = o(0, h, i, e);
            if (!gate.empty())
                to *= detail::sigmoid(
                    gate[r][static_cast<std::size_t>(h * gates + (gates > 1 ? e : 0))]);
        }
    });
    return project(all, w.o_proj, w.o_proj_bias);
}

}  // namespace reference
