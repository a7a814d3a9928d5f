#pragma once

#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/latent.hpp>
#include <heed/rope/yarn.hpp>

#include "reference/latent.hpp"
#include "support/random.hpp"
#include "support/same_bits.hpp"

/// \file
/// Random layers of latent attention, for heed and for the reference.

namespace test_latent {

using heed::index;  // inside a namespace: <strings.h> has a global one
using heed_test::same_bits;

template <class T>
using tensor = Eigen::Tensor<T, 3, Eigen::RowMajor>;

/// What a layer has.
struct variant {
    bool compresses_queries = false, is_biased = false;
    index rotated = 4;
    index gates = 0;  ///< a head: 0, 1, or as many as it has values
    std::optional<heed::rope::frequencies> rope = {};
    double stretch = 1, mscale_all_dim = 0;
    index heads = 3, content = 5, value = 6, rank = 7, query_rank = 11, model = 10, outputs = 9;
    bool normed = true;

    heed::latent_options options() const {
        return {.heads = heads,
                .content = content,
                .rotated = rotated,
                .value = value,
                .rank = rank,
                .stretch = stretch,
                .mscale_all_dim = mscale_all_dim,
                .normed = normed};
    }
};

inline std::string to_string(const variant& of) {
    return std::string(of.compresses_queries ? "compressed queries, " : "") +
           (of.is_biased ? "biases, " : "") + std::to_string(of.rotated) + " rotated, " +
           std::to_string(of.gates) + " gates" + (of.normed ? "" : ", not normed");
}

/// The variants that tests go through: each thing there and not there.
inline std::vector<variant> variants() {
    const auto yarn = heed::rope::yarn({.dim = 4,
                                        .stretch = 4,
                                        .original_length = 64,
                                        .mscale = 0.8,
                                        .mscale_all_dim = 0.6,
                                        .layout = heed::rope::interleaved});
    return {{},
            {.is_biased = true, .rope = heed::rope::plain({.dim = 4})},
            {.compresses_queries = true, .rotated = 0, .gates = 1},
            {.rope = heed::rope::plain({.dim = 4}), .content = 0, .normed = false},
            {.compresses_queries = true,
             .is_biased = true,
             .gates = 6,
             .rope = yarn,
             .stretch = 4,
             .mscale_all_dim = 0.6}};
}

/// The numbers of all weights of a layer, normal and about 1/√inputs.
template <class T>
struct layer {
    variant of;
    heed::latent_weight_gradients<T> numbers;  // of the weights' shapes

    layer(heed_test::generator& random, const variant& chosen) : of(chosen) {
        const auto matrix = [&](auto& to, index outputs, index inputs) {
            to = random.matrix<T>(outputs, inputs) /
                 static_cast<T>(std::sqrt(static_cast<double>(inputs)));
        };
        const auto vector = [&](auto& to, index count) { to = random.matrix<T>(count, 1); };
        const index query = of.heads * (of.content + of.rotated), latent = of.rank + of.rotated;
        if (of.compresses_queries) {
            matrix(numbers.q_a_proj, of.query_rank, of.model);
            vector(numbers.q_a_layernorm, of.query_rank);
            matrix(numbers.q_b_proj, query, of.query_rank);
            if (of.is_biased) vector(numbers.q_a_proj_bias, of.query_rank);
        } else {
            matrix(numbers.q_proj, query, of.model);
        }
        matrix(numbers.kv_a_proj_with_mqa, latent, of.model);
        if (of.normed) vector(numbers.kv_a_layernorm, of.rank);
        matrix(numbers.kv_b_proj, of.heads * (of.content + of.value), of.rank);
        matrix(numbers.o_proj, of.outputs, of.heads * of.value);
        if (of.is_biased) {
            vector(numbers.kv_a_proj_with_mqa_bias, latent);
            vector(numbers.o_proj_bias, of.outputs);
        }
        if (of.gates > 0) matrix(numbers.g_proj, of.heads * of.gates, of.model);
    }

    heed::latent_weights<T> weights() const {
        heed::latent_weights<T> all;
        heed::for_each_latent_weight(all, numbers, [](auto, auto& weight, const auto& from) {
            if (from.size() > 0) weight = from;
        });
        return all;
    }
    heed::latent_attention<T> attention() const {
        if (of.rope) return {weights(), of.options(), *of.rope};
        return {weights(), of.options()};
    }
};

template <class Matrix>
reference::matrix rows_of_matrix(const Matrix& x) {
    reference::matrix rows;
    for (index r = 0; r < x.rows(); ++r) {
        rows.emplace_back();
        for (index c = 0; c < x.cols(); ++c) rows.back().push_back(static_cast<double>(x(r, c)));
    }
    return rows;
}
template <class Vector>
reference::row row_of(const Vector& x) {
    return x.size() > 0 ? rows_of_matrix(x.transpose())[0] : reference::row();
}

/// y of one sequence [tokens, model], by the reference.
template <class T, class X>
reference::matrix expected_output(const layer<T>& from, const X& x, bool is_absorbed = false) {
    const auto& n = from.numbers;
    const variant& of = from.of;
    const reference::latent_weights weights{rows_of_matrix(n.q_proj),
                                            rows_of_matrix(n.q_a_proj),
                                            row_of(n.q_a_proj_bias),
                                            row_of(n.q_a_layernorm),
                                            rows_of_matrix(n.q_b_proj),
                                            rows_of_matrix(n.kv_a_proj_with_mqa),
                                            row_of(n.kv_a_proj_with_mqa_bias),
                                            row_of(n.kv_a_layernorm),
                                            rows_of_matrix(n.kv_b_proj),
                                            rows_of_matrix(n.o_proj),
                                            row_of(n.o_proj_bias),
                                            rows_of_matrix(n.g_proj)};
    reference::latent_options how{.heads = of.heads,
                                  .content = of.content,
                                  .rotated = of.rotated,
                                  .value = of.value,
                                  .rank = of.rank,
                                  .epsilon = 1e-6,
                                  .stretch = of.stretch,
                                  .mscale_all_dim = of.mscale_all_dim,
                                  .rotary = {}};
    if (of.rope)
        how.rotary =
            reference::rotation{of.rope->angular(), of.rope->layout() == heed::rope::interleaved,
                                of.rope->attention_factor()};
    return reference::latent_attention(rows_of_matrix(x), weights, how, is_absorbed);
}

/// Sequence b of a tensor.
template <class T>
auto sequence_of(const tensor<T>& x, index b) {
    using matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    return Eigen::Map<const matrix>(x.data() + b * x.dimension(1) * x.dimension(2), x.dimension(1),
                                    x.dimension(2));
}

}  // namespace test_latent
